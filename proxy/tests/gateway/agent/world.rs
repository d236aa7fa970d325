//! Projects to repair, and models that can repair some of them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rungs::{
    catalog::{Deployment, Price},
    model::{ModelRequest, chat::Prompt},
    testing::{Reply, Scripted, Upstream},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::*;

/// Dollars per million tokens, in and out, of the four strengths.
pub(super) const PRICES: [(&str, &str); 4] =
    [("0.1", "0.4"), ("0.4", "1.6"), ("2", "8"), ("10", "40")];

/// A job may compile, beside other tests that do.
const LONG: Duration = Duration::from_secs(240);

/// A project with a fault.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Repair {
    #[serde(skip)]
    pub(super) name: String,
    pub(super) task: String,
    pub(super) language: String,
    /// The lowest strength that can do it.
    pub(super) skill: u8,
    /// What those below answer.
    weak: Weak,
    files: Vec<String>,
    #[serde(skip)]
    fix: String,
    #[serde(skip)]
    wrong: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Weak {
    /// A change with which the tests fail.
    Wrong,
    /// A change of lines that are not there.
    Missing,
    /// Words.
    Talk,
    /// No.
    Refusal,
}

/// Where the projects and their answers are kept.
fn store() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/agent")
}

/// All of them, by name.
pub(super) fn repairs() -> Vec<Repair> {
    let entries = fs::read_dir(store())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders.iter().map(|folder| Repair::read(folder)).collect()
}

/// The one of this name.
pub(super) fn repair(name: &str) -> Repair {
    Repair::read(&store().join(name))
}

impl Repair {
    fn read(folder: &Path) -> Self {
        let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        Self {
            name,
            fix: text("fix.txt"),
            wrong: text("wrong.txt"),
            ..toml::from_str(&text("task.toml")).unwrap()
        }
    }

    /// What a model of this strength answers.
    pub(super) fn answer(&self, strength: u8) -> Reply {
        Reply::text(match self.weak {
            _ if strength >= self.skill => &self.fix,
            Weak::Wrong | Weak::Missing => &self.wrong,
            Weak::Talk => "The code looks fine to me.",
            Weak::Refusal => "I'm sorry, but I can't help with that.",
        })
    }

    /// A request for this job.
    pub(super) fn job(&self) -> Value {
        json!({ "task": self.task, "root": self.name, "test": self.language, "conversationId": self.name })
    }
}

/// The system message and the user's of a request to a scripted model.
pub(super) fn prompt(request: &ModelRequest) -> (String, String) {
    let prompt = Prompt::of(&request.body).unwrap();
    let mut texts = prompt.texts().map(|(_, text)| text);
    (texts.next().unwrap(), texts.next().unwrap())
}

/// A plan of one part.
pub(super) fn plan(title: &str, files: &[String]) -> Reply {
    Reply::text(&json!({ "todos": [{ "title": title, "files": files }] }).to_string())
}

/// What a model of this strength says: a plan, a review, or a change to the project that it is asked about.
fn say(all: &[Repair], strength: u8, request: &ModelRequest) -> Reply {
    let (system, user) = prompt(request);
    let about = all
        .iter()
        .find(|repair| user.contains(&repair.task))
        .unwrap();
    match system.split_whitespace().nth(1) {
        Some("plan") => plan(&about.task, &about.files),
        Some("review") => Reply::text(r#"{"agree": true, "issues": []}"#),
        _ => about.answer(strength),
    }
}

/// A model on the tier of its strength that answers with `say`.
pub(super) fn model_of(
    strength: u8,
    say: impl Fn(&ModelRequest) -> Reply + Send + Sync + 'static,
) -> Scripted {
    let (input, output) = PRICES[usize::from(strength)];
    let price = Price::per_million(input.parse().unwrap(), output.parse().unwrap());
    let deployment = Deployment::new("scripted", &format!("m{strength}"));
    Scripted::by(deployment.price(price), say)
}

/// Four models that can repair what is not above their strength.
pub(super) fn ladder() -> Vec<Scripted> {
    let all: Arc<[Repair]> = repairs().into();
    let model = |strength| {
        let all = Arc::clone(&all);
        model_of(strength, move |request| say(&all, strength, request))
    };
    (0..4).map(model).collect()
}

/// A gateway with an agent, its models, and projects that it may change.
pub(super) struct World {
    pub(super) gateway: Gateway,
    pub(super) models: Vec<Scripted>,
    pub(super) projects: TempDir,
    _upstream: Upstream,
}

impl World {
    /// Projects, the agent over `models`, and more lines of configuration, sections first.
    pub(super) async fn new(models: Vec<Scripted>, more: &str) -> Self {
        let projects = tempfile::tempdir().unwrap();
        for repair in repairs() {
            copy(
                &store().join(&repair.name).join("project"),
                &projects.path().join(repair.name),
            );
        }
        let upstream = Upstream::serve(models.clone()).await.unwrap();
        let config = config(&upstream, projects.path(), models.len(), more);
        Self {
            gateway: Gateway::serve(&config).with_local_token(),
            models,
            projects,
            _upstream: upstream,
        }
    }

    /// Asks for a job and waits for its end.
    pub(super) async fn ask(&self, job: &Value) -> Answer {
        let request = self.gateway.post("/v1/code-agent", job.to_string());
        Answer::read(request.timeout(LONG).send().await.unwrap()).await
    }

    /// The same, for a job that begins: its report.
    pub(super) async fn report(&self, job: &Value) -> Value {
        let answer = self.ask(job).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Every file of a project with its bytes.
    pub(super) fn files(&self, project: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        read_into(&self.projects.path().join(project), &mut files);
        files
    }

    /// The rows of the ledger that belong to the questions of a report.
    pub(super) fn rows(&self, report: &Value) -> Vec<Value> {
        let steps = report["routing"]["steps"].as_array().unwrap();
        let text = self.gateway.rungs(&["ledger", "export"]);
        let rows = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let ours = |row: &Value| {
            steps
                .iter()
                .any(|step| step["requestId"] == row["request_id"])
        };
        rows.filter(ours).collect()
    }

    /// What all models together would have charged, in nano-dollars.
    pub(super) fn bill(&self) -> i64 {
        self.models.iter().map(|model| model.bill().nanos()).sum()
    }
}

/// A configuration for `models` scripted models on as many tiers.
pub(super) fn config(upstream: &Upstream, projects: &Path, models: usize, more: &str) -> String {
    let ladder = PRICES.iter().take(models).enumerate().map(|(n, (input, output))| {
        let price = format!("price = {{ input = \"{input}\", output = \"{output}\" }}\ncontext_window = 32000\nmax_output = 4096");
        model(&format!("m{n}"), "scripted", &format!("L{n}"), &price)
    });
    let toolchain = Path::new(env!("CARGO")).ancestors().nth(2).unwrap();
    let env = format!("{}/bin:/usr/local/bin:/usr/bin:/bin", toolchain.display());
    let types = store().join("types.mjs");
    let tests = [
        ("rust", "rustc --test lib.rs -o lib-test && ./lib-test -q".to_owned()),
        ("typescript", format!("node --import {} --test *.test.ts", types.display())),
        ("python", "python3 -m unittest -q".to_owned()),
    ]
    .map(|(name, command)| {
        format!(
            "[tools.tests.{name}]\nargv = [\"/bin/sh\", \"-c\", \"{command}\"]\nreadable = [{toolchain:?}, {types:?}]\nenv = {{ PATH = {env:?} }}\n"
        )
    });
    let tools = match more.contains("[tools]") {
        true => String::new(),
        false => format!(
            "[tools]\nroots = [\"{}\"]\nallow = [\"write\", \"exec\"]\n",
            projects.display()
        ),
    };
    let routing = match more.contains("[routing]") {
        true => "",
        false => "[routing]\nmax_tier = \"L3\"\n",
    };
    [
        more,
        &tools,
        routing,
        &tests.concat(),
        &provider("scripted", &upstream.base_url()),
        &ladder.collect::<String>(),
    ]
    .concat()
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

fn read_into(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => read_into(&path, files),
            false => drop(files.insert(path.clone(), fs::read(path).unwrap())),
        }
    }
}
