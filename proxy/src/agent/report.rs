use rmcp::schemars::JsonSchema;
use serde::Serialize;

use super::plan::Todo;

/// What came of a job, in the original's shape.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub(crate) struct Report {
    /// The change.
    pub(crate) result: Work,
    /// Who was asked, and why.
    pub(crate) routing: Routing,
    /// What the job is called.
    pub(crate) context: Context,
    /// What it took.
    pub(crate) performance: Performance,
    /// How good it is, as far as that is known.
    pub(crate) quality: Assessment,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// All parts are done, and the tests pass where there are any.
    Solved,
    /// No tier could do it. The project is as it was.
    Unsolved,
    /// A limit ended it. The project is as it was.
    Stopped,
}

/// The change.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub(crate) struct Work {
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// The same in a sentence.
    pub(crate) response: String,
    /// What was kept, as a unified diff.
    pub(crate) diff: String,
    /// The files in it.
    pub(crate) files: Vec<String>,
    /// Whether it is in the project.
    pub(crate) written: bool,
    /// The parts of the work.
    pub(crate) todo: Vec<Todo>,
    /// The model whose answer was kept last.
    pub(crate) model: Option<String>,
    /// Its provider.
    pub(crate) provider: Option<String>,
}

/// Who was asked, and why.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "camelCase")]
pub(crate) struct Routing {
    /// In a sentence.
    pub(crate) summary: String,
    /// Always false: a job asks anew.
    pub(crate) from_cache: bool,
    /// The lowest tier that was asked for a change.
    pub(crate) start_tier: Option<String>,
    /// The highest.
    pub(crate) end_tier: Option<String>,
    /// Every question, in order.
    pub(crate) steps: Vec<Step>,
}

/// A question and what came of it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "camelCase")]
pub(crate) struct Step {
    /// Counted from 1.
    pub(crate) step: usize,
    /// The id of its call in the ledger; of the last, where it was put twice.
    pub(crate) request_id: String,
    /// plan, change or review.
    pub(crate) purpose: &'static str,
    /// The part of the work that it is about.
    pub(crate) todo: Option<usize>,
    /// Who was asked.
    pub(crate) tier: String,
    /// Who answered.
    pub(crate) model: Option<String>,
    /// Tokens of the question.
    pub(crate) input: u64,
    /// Tokens of the answer.
    pub(crate) output: u64,
    /// What it cost, in dollars, however often it was put.
    pub(crate) cost_usd: String,
    /// Why the answer was set aside; null if it was not.
    pub(crate) evidence: Option<String>,
    /// The same, without a word from any model or file.
    #[serde(skip)]
    pub(crate) kind: Option<String>,
}

/// What the job is called.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "camelCase")]
pub(crate) struct Context {
    /// Under which `/v1/todos` has the todo list.
    pub(crate) conversation_id: String,
}

/// What it took.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "camelCase")]
pub(crate) struct Performance {
    /// Milliseconds, tests included.
    pub(crate) duration_ms: u64,
    /// Tokens of all questions.
    pub(crate) tokens: Tokens,
    /// Dollars, to look at.
    pub(crate) cost: f64,
    /// Dollars, exactly.
    pub(crate) cost_usd: String,
}

/// Tokens.
#[derive(Debug, Clone, Copy, Default, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub(crate) struct Tokens {
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) total: u64,
}

/// How good the change is, as far as that is known.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "camelCase")]
pub(crate) struct Assessment {
    /// The tests that decided; null if none were run, and the change is only known to apply.
    pub(crate) test: Option<String>,
    /// How they ended before any change.
    pub(crate) tests_before: Option<String>,
    /// How they ended last.
    pub(crate) tests_after: Option<String>,
    /// Walls around the tests that this kernel does not offer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) missing_walls: Vec<String>,
    /// Test files in the change: whoever changes the tests can make them pass.
    pub(crate) tests_touched: Vec<String>,
    /// What a reviewer says: agree, differ or unchecked; null if none was asked for.
    pub(crate) review: Option<String>,
}

impl Routing {
    /// The summary of `steps`.
    pub(super) fn of(steps: Vec<Step>) -> Self {
        let changes = || steps.iter().filter(|step| step.purpose == "change");
        let start = changes().map(|step| step.tier.clone()).min();
        let end = changes().map(|step| step.tier.clone()).max();
        let set_aside = steps.iter().filter(|step| step.evidence.is_some()).count();
        let summary = match (&start, &end) {
            (Some(start), Some(end)) if start == end => {
                format!(
                    "{} questions, {set_aside} answers set aside, all on {start}",
                    steps.len()
                )
            }
            (Some(start), Some(end)) => format!(
                "{} questions, {set_aside} answers set aside, climbed from {start} to {end}",
                steps.len()
            ),
            _ => format!("{} questions", steps.len()),
        };
        Self {
            summary,
            from_cache: false,
            start_tier: start,
            end_tier: end,
            steps,
        }
    }
}
