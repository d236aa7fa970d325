use std::{collections::BTreeSet, sync::Arc};

use jiff::Zoned;
use rungs::{
    Error,
    catalog::Money,
    store::{ConversationKey, TodoStore},
};
use tokio::{task::spawn_blocking, time::Instant};

use super::{
    climb::Evidence,
    event::{Event, Purpose, Watch},
    job::{Ending, Job},
    map,
    models::{Models, Question, Said, Unanswered},
    notes, plan,
    plan::{Todo, TodoStatus},
    prompt::{self, Keep, Prompt},
    purse::Purse,
    report::{Assessment, Context, Outcome, Performance, Report, Routing, Step, Tokens, Work},
    work::Broken,
    workspace::Workspace,
};
use crate::{auth::Principal, gateway::Gateway, tools::Bill};

/// The longest plan, in tokens.
const PLAN_OUTPUT: u64 = 2_048;

/// A job under way.
pub(super) struct Run<'a> {
    pub(super) job: &'a Job,
    pub(super) models: Models<'a>,
    pub(super) watch: Watch<'a>,
    pub(super) workspace: Workspace,
    pub(super) purse: Purse,
    /// What stands around data in prompts.
    pub(super) mark: String,
    pub(super) todo: Vec<Todo>,
    pub(super) assessment: Assessment,
    /// The end of what the tests printed last.
    pub(super) printed: String,
    /// Whether the tests pass with what was kept so far.
    pub(super) passed_before: bool,
    /// Where the todo list is kept, and under which name.
    todos: &'a dyn TodoStore,
    key: ConversationKey,
    steps: Vec<Step>,
    tokens: Tokens,
    /// Who wrote what was kept last.
    author: Option<Arc<rungs::catalog::Deployment>>,
}

/// Does `job` for `principal`, who pays, puts what it costs on `bill`, and tells `watch`. Dropping the future ends the questions and the
/// tests of it; the project is written at the end or not at all.
///
/// # Errors
/// When it cannot begin: the caller may not ask, there is no such project, its tests cannot be started, nobody answers. Afterwards what
/// ends the job is told in the report.
pub(crate) async fn run(
    gateway: &Gateway,
    principal: &Principal,
    job: &Job,
    bill: Bill,
    watch: Watch<'_>,
) -> Result<Report, Error> {
    let started = Instant::now();
    let key = ConversationKey::new(Arc::clone(&principal.tenant), job.conversation.clone())
        .map_err(|error| error.param("conversationId"))?;
    let models = Models::new(gateway, principal, job)?;
    let (project, links) = (job.project.clone(), job.links.clone());
    let own = (*gateway.state().workshop.protected()).clone();
    let opened = spawn_blocking(move || Workspace::open(project, &links, own)).await;
    let workspace =
        opened.map_err(|e| Error::internal("the copy was not made").with_source(e))??;
    watch(&Event::Opened {
        files: workspace.texts().count(),
    });
    let mut run = Run {
        job,
        models,
        watch,
        workspace,
        purse: Purse::new(job.budget, job.steps, started + job.deadline, bill),
        mark: format!("{:032x}", uuid::Uuid::now_v7().as_u128().rotate_left(64)),
        todo: Vec::new(),
        assessment: Assessment::default(),
        printed: String::new(),
        passed_before: false,
        todos: &*gateway.state().todos,
        key,
        steps: Vec::new(),
        tokens: Tokens::default(),
        author: None,
    };
    let (outcome, why) = match Box::pin(run.go()).await {
        Ok(true) => (Outcome::Solved, None),
        Ok(false) => (Outcome::Unsolved, Some("no tier could do it".to_owned())),
        Err(Broken::Unanswered(Unanswered::Stop(stop))) => {
            (Outcome::Stopped, Some(stop.to_string()))
        }
        // Nobody has answered yet, if perhaps for money: then it is the caller's affair.
        Err(Broken::Unanswered(Unanswered::Never(error)))
            if run.steps.iter().all(|step| step.model.is_none()) =>
        {
            return Err(error);
        }
        Err(Broken::Unanswered(Unanswered::Never(error))) => {
            (Outcome::Stopped, Some(error.message().to_owned()))
        }
        Err(Broken::Failed(error)) => return Err(error),
    };
    run.finish(outcome, why, started).await
}

impl Run<'_> {
    /// Tests, plans, and does each part; whether all are done.
    async fn go(&mut self) -> Result<bool, Broken> {
        let before = self.run_tests().await?;
        if let Some(tests) = &self.job.tests {
            self.assessment.test = Some(tests.name.clone());
            self.assessment.tests_before = self.assessment.tests_after.clone();
            self.passed_before = before.is_none();
        }
        self.plan().await?;
        for at in 0..self.todo.len() {
            if !Box::pin(self.work_on(at)).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Asks the lowest tier for a plan. It is not worth a climb: without one, the task is its only part.
    async fn plan(&mut self) -> Result<(), Unanswered> {
        let tier = self.models.tiers().first().copied().unwrap_or_default();
        let mut prompt = Prompt::new(self.models.room(tier, PLAN_OUTPUT), &self.mark);
        prompt.task(&self.job.task, None);
        if self.job.notes {
            let project = self.job.project.clone();
            let notes = spawn_blocking(move || notes::read(project.dir()))
                .await
                .unwrap_or_default();
            prompt.data("Notes on earlier jobs:", &notes, Keep::End);
        }
        if !self.printed.is_empty() {
            let mut printed = Prompt::new(prompt.room() / 4, &self.mark);
            printed.data(
                "The end of what the project's tests print:",
                &self.printed,
                Keep::End,
            );
            prompt.say(&printed.finish());
        }
        let map = map::draw(self.workspace.texts(), &self.job.task, prompt.room() / 2);
        prompt.data("The files of the project:", &map, Keep::Beginning);
        let question = Question {
            tier,
            system: prompt::PLAN,
            user: prompt.finish(),
            output: PLAN_OUTPUT,
            not: None,
        };
        let said = self.ask(&question, Purpose::Plan, None).await?;
        let known: BTreeSet<_> = self.workspace.texts().map(|(path, _)| path).collect();
        let todo = plan::parse(&said.text, &known);
        if todo.is_none() {
            self.set_aside(&said.evidence.unwrap_or(Evidence::NoChange));
        }
        self.todo = todo.unwrap_or_else(|| vec![Todo::new(1, self.job.task.clone(), Vec::new())]);
        self.show_todo().await;
        Ok(())
    }

    /// Asks a model, and writes down who was asked and what it took: also if nobody answered, unless that was for nothing.
    pub(super) async fn ask(
        &mut self,
        question: &Question<'_>,
        purpose: Purpose,
        part: Option<usize>,
    ) -> Result<Said, Unanswered> {
        let (step, tier) = (self.steps.len() + 1, question.tier);
        (self.watch)(&Event::Asking {
            step,
            purpose,
            tier,
        });
        let (mut last, before) = (None, self.purse.spent());
        let asked = self.models.ask(question, &mut self.purse, &mut last);
        let said = asked.await;
        let cost = self.purse.spent() - before;
        let Some(request) = last.filter(|_| said.is_ok() || cost > Money::ZERO) else {
            return said;
        };
        let answer = said.as_ref().ok();
        let by = answer.and_then(|said| said.by.as_ref());
        let model = by.map(|by| by.model.to_string());
        let (input, output) = answer.map_or((0, 0), |said| {
            (said.usage.total_input(), said.usage.total_output())
        });
        self.tokens.input += input;
        self.tokens.output += output;
        self.steps.push(Step {
            step,
            request_id: request.to_string(),
            purpose: purpose.as_str(),
            todo: part.map(|at| self.todo[at].id),
            tier: tier.to_string(),
            model: model.clone(),
            input,
            output,
            cost_usd: cost.to_string(),
            evidence: None,
            kind: None,
        });
        (self.watch)(&Event::Answered {
            step,
            tier,
            model,
            cost_usd: cost,
        });
        said
    }

    /// Writes down why the last answer that was to change something, or to plan, will not do.
    pub(super) fn set_aside(&mut self, evidence: &Evidence) {
        let last = self
            .steps
            .iter_mut()
            .rev()
            .find(|step| step.purpose != Purpose::Review.as_str());
        if let Some(step) = last {
            step.evidence = Some(evidence.to_string());
            step.kind = Some(evidence.kind());
            (self.watch)(&Event::SetAside {
                step: step.step,
                evidence: evidence.to_string(),
            });
        }
    }

    /// Keeps the change of the answer `said`.
    pub(super) fn keep(&mut self, said: &Said) {
        self.workspace.keep();
        self.author.clone_from(&said.by);
        self.passed_before = self.assessment.tests_after.as_deref() == Some("passed");
        (self.watch)(&Event::Kept {
            step: self.steps.len(),
            files: self.workspace.changed().map(ToString::to_string).collect(),
        });
    }

    pub(super) async fn set_status(&mut self, at: usize, status: TodoStatus) {
        self.todo[at].status = status;
        self.show_todo().await;
    }

    /// Tells and keeps the todo list. A store that is away does not hold the work up.
    async fn show_todo(&self) {
        (self.watch)(&Event::Todo {
            todo: self.todo.clone(),
        });
        let items: Vec<_> = self.todo.iter().map(Todo::to_item).collect();
        if let Err(error) = self.todos.put(&self.key, &items).await {
            tracing::warn!(%error, "the todo list of a job was not kept");
        }
    }

    /// Writes the project if all is done, and says what came of the job.
    async fn finish(
        mut self,
        outcome: Outcome,
        why: Option<String>,
        started: Instant,
    ) -> Result<Report, Error> {
        self.workspace.roll_back().await?;
        let (job, watch) = (self.job, self.watch);
        let diff = self.workspace.diff();
        let changed: Vec<_> = self.workspace.changed().cloned().collect();
        let files: Vec<String> = changed.iter().map(ToString::to_string).collect();
        let write = outcome == Outcome::Solved && job.ending == Ending::Write;
        if write {
            let workspace = self.workspace;
            let written = spawn_blocking(move || workspace.commit()).await;
            written
                .map_err(|e| Error::internal("the project was not written").with_source(e))??;
            watch(&Event::Written {
                files: files.clone(),
            });
        }
        let tested = |path: &&super::path::RelPath| path.is_test();
        self.assessment.tests_touched = changed
            .iter()
            .filter(tested)
            .map(ToString::to_string)
            .collect();
        let response = match (outcome, &why) {
            (Outcome::Solved, _) if self.assessment.test.is_none() => {
                "Done. No tests were run: the change is only known to apply.".to_owned()
            }
            (Outcome::Solved, _) => "Done, and the tests pass.".to_owned(),
            (_, why) => format!(
                "Not done, and the project is as it was: {}.",
                why.as_deref().unwrap_or_default()
            ),
        };
        self.tokens.total = self.tokens.input + self.tokens.output;
        let report = Report {
            result: Work {
                outcome,
                response,
                diff,
                files,
                written: write,
                todo: self.todo,
                model: self.author.as_ref().map(|by| by.model.to_string()),
                provider: self.author.as_ref().map(|by| by.provider.to_string()),
            },
            routing: Routing::of(self.steps),
            context: Context {
                conversation_id: job.conversation.clone(),
            },
            performance: Performance {
                duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
                tokens: self.tokens,
                cost: self.purse.spent().to_f64_lossy(),
                cost_usd: self.purse.spent().to_string(),
            },
            quality: self.assessment,
        };
        if job.notes && job.ending == Ending::Write {
            keep_notes(job, report.clone()).await;
        }
        Ok(report)
    }
}

/// Notes are a courtesy: a job that is done is not undone because they cannot be written.
async fn keep_notes(job: &Job, report: Report) {
    let (project, task) = (job.project.clone(), job.task.clone());
    let date = Zoned::now().date().to_string();
    let written = spawn_blocking(move || notes::write(project.dir(), &task, &report, &date)).await;
    if let Ok(Err(error)) = written {
        tracing::warn!(%error, "the agent's notes were not written");
    }
}
