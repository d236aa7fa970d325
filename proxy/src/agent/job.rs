use std::time::Duration;

use rmcp::schemars::JsonSchema;
use rungs::{
    Error,
    catalog::{Money, Tier},
    model::Quality,
};
use serde::Deserialize;

use crate::{
    auth::Principal,
    config::{AUTO, Config, Runner},
    gateway::Gateway,
    sandbox::{OpenFolder, Walls},
    tools::Effect,
};

/// A piece of work on a project.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// What is to be done.
    pub(crate) task: String,
    /// Files to look at first, below the root.
    pub(crate) files: Vec<String>,
    /// The folder of the project.
    pub(crate) project: OpenFolder,
    /// How its tests are run; `None`: they are not.
    pub(crate) tests: Option<Runner>,
    /// What to do where their jail lacks a wall.
    pub(crate) walls: Walls,
    /// The name of a model, or `auto`.
    pub(crate) model: String,
    /// The highest tier to ask, within what the caller may.
    pub(crate) max_tier: Option<Tier>,
    /// From `high` on, another model reviews the change.
    pub(crate) quality: Quality,
    /// The most that it may cost.
    pub(crate) budget: Money,
    /// The most questions.
    pub(crate) steps: u32,
    /// The longest time.
    pub(crate) deadline: Duration,
    /// Answers of one tier to one part of the work.
    pub(crate) tries: u32,
    /// What becomes of a change that does.
    pub(crate) ending: Ending,
    /// Whether notes are kept in the project.
    pub(crate) notes: bool,
    /// Ignored folders that tests need.
    pub(crate) links: Vec<String>,
    /// What it is called: under this name its todo list is kept.
    pub(crate) conversation: String,
    /// The end user it is done for.
    pub(crate) user: Option<String>,
}

/// What becomes of a change that does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It is written into the project.
    Write,
    /// It is shown only.
    Show,
}

/// What whoever wants a job done may say about it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wanted {
    /// What is to be done, in words.
    pub(crate) task: String,
    /// Files to look at first, relative to the root.
    #[serde(default)]
    pub(crate) files: Vec<String>,
    /// The folder of the project: the name of a configured root, `root/folder` below one, or `folder` below the first. The first root if not given.
    pub(crate) root: Option<String>,
    /// Which of the configured tests decides; the only one if not given.
    pub(crate) test: Option<String>,
    /// The model to ask; `auto` if not given.
    pub(crate) model: Option<String>,
    /// The highest tier to ask, such as L2; never above what the key may.
    pub(crate) max_tier: Option<String>,
    /// normal, high or critical: from high on, another model reviews the change.
    pub(crate) quality: Option<String>,
    /// The most that it may cost, in dollars as a decimal string; never above `agent.budget`.
    pub(crate) budget: Option<String>,
    /// Whether the change is shown only, and not written.
    #[serde(default)]
    pub(crate) dry_run: bool,
    /// What the job is called: under this name `/v1/todos` has its todo list.
    pub(crate) conversation_id: Option<String>,
    /// The end user it is done for, where users have budgets.
    pub(crate) user_id: Option<String>,
}

/// The longest task, in bytes, and the most files to begin with.
const LONGEST_TASK: usize = 32 << 10;
const MAX_FILES: usize = 64;

impl Wanted {
    /// The job as the configuration admits it for who asks from afar: in one of its roots, with its tests, if it lets programs run.
    ///
    /// # Errors
    /// What does not fit, or is not allowed, with the line that would allow it.
    pub(crate) async fn admitted(&self, gateway: &Gateway, who: &Principal) -> Result<Job, Error> {
        let config = &gateway.live().config;
        let tests = config.tools.tests.chosen(self.test.as_deref());
        let tests = tests.map_err(|error| error.param("test"))?;
        if tests.is_some() {
            config.tools.has(Effect::Exec, "a job with tests")?;
        }
        let roots = gateway.state().workshop.roots(who)?;
        let project = roots
            .folder(self.root.as_deref().unwrap_or_default())
            .await?;
        self.to_job(project, tests.cloned(), config)
    }

    /// The job, in `project`, within the limits of the configuration.
    pub(crate) fn to_job(
        &self,
        project: OpenFolder,
        tests: Option<Runner>,
        config: &Config,
    ) -> Result<Job, Error> {
        let limits = &config.agent;
        let task = self.task.trim();
        if task.is_empty() || task.len() > LONGEST_TASK {
            let what = format!("`task` has 1 to {LONGEST_TASK} bytes");
            return Err(Error::invalid(what).param("task"));
        }
        if self.files.len() > MAX_FILES {
            return Err(
                Error::invalid(format!("`files` has at most {MAX_FILES} paths")).param("files"),
            );
        }
        let max_tier = self.max_tier.as_deref().map(str::parse);
        let max_tier = max_tier
            .transpose()
            .map_err(|e: Error| e.param("maxTier"))?;
        let quality = match self.quality.as_deref() {
            None | Some("normal") => Quality::Normal,
            Some("high") => Quality::High,
            Some("critical") => Quality::Critical,
            Some(_) => {
                let what = "`quality` is one of normal, high, critical";
                return Err(Error::invalid(what).param("quality"));
            }
        };
        let budget = self.budget.as_deref().map(str::parse::<Money>);
        let budget = budget.transpose().map_err(|e| e.param("budget"))?;
        let budget = budget.map_or(limits.budget, |asked| asked.min(limits.budget));
        Ok(Job {
            task: task.to_owned(),
            files: self.files.clone(),
            project,
            tests,
            walls: config.tools.sandbox,
            model: self.model.clone().unwrap_or_else(|| AUTO.to_owned()),
            max_tier,
            quality,
            budget,
            steps: limits.steps,
            deadline: limits.deadline,
            tries: limits.tries,
            ending: match self.dry_run {
                true => Ending::Show,
                false => Ending::Write,
            },
            notes: limits.notes,
            links: limits.links.clone(),
            conversation: self
                .conversation_id
                .clone()
                .unwrap_or_else(|| uuid::Uuid::now_v7().to_string()),
            user: self.user_id.clone(),
        })
    }
}
