use std::fmt;

use rungs::catalog::{Money, Tier};
use serde::Serialize;

use super::plan::Todo;

/// Something that happened in a job, for whoever watches.
#[derive(Debug, Clone, Serialize)]
#[serde(
    tag = "type",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub(crate) enum Event {
    /// The project is copied.
    Opened { files: usize },
    /// The tests were run.
    Tests { passed: bool, ending: String },
    /// What is to be done; again after each part.
    Todo { todo: Vec<Todo> },
    /// A model is asked.
    Asking {
        step: usize,
        purpose: Purpose,
        tier: Tier,
    },
    /// It has answered.
    Answered {
        step: usize,
        tier: Tier,
        model: Option<String>,
        cost_usd: Money,
    },
    /// An answer was set aside.
    SetAside { step: usize, evidence: String },
    /// A higher tier is asked next.
    Climb { to: Tier },
    /// A change was kept.
    Kept { step: usize, files: Vec<String> },
    /// The change was written into the project.
    Written { files: Vec<String> },
}

/// What a question is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Purpose {
    /// To plan the work.
    Plan,
    /// To change files.
    Change,
    /// To look over a change.
    Review,
}

impl Purpose {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Change => "change",
            Self::Review => "review",
        }
    }
}

/// Somebody who is told of events. Best effort: it must not block.
pub(crate) type Watch<'a> = &'a (dyn Fn(&Event) + Send + Sync);

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened { files } => write!(f, "{files} files"),
            Self::Tests { passed: true, .. } => f.write_str("tests pass"),
            Self::Tests { ending, .. } => write!(f, "tests fail ({ending})"),
            Self::Todo { todo } => {
                let done = todo.iter().filter(|todo| todo.is_done()).count();
                let next = todo.iter().find(|todo| !todo.is_done());
                let next = next.map_or("done", |todo| &todo.title);
                write!(f, "todo {done}/{}: {next}", todo.len())
            }
            Self::Asking {
                step,
                purpose,
                tier,
            } => write!(f, "{step}. asking {tier} for a {}", purpose.as_str()),
            Self::Answered {
                step,
                tier,
                model,
                cost_usd,
            } => {
                let model = model.as_deref().unwrap_or("nobody");
                write!(f, "{step}. {tier} {model} answered for ${cost_usd}")
            }
            Self::SetAside { step, evidence } => write!(f, "{step}. set aside: {evidence}"),
            Self::Climb { to } => write!(f, "climbing to {to}"),
            Self::Kept { step, files } => write!(f, "{step}. kept: {}", files.join(", ")),
            Self::Written { files } => write!(f, "written: {}", files.join(", ")),
        }
    }
}
