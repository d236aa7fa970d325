use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use serde::Serialize;

use crate::{
    catalog::{Capabilities, Capability},
    model::{ModelRequest, Operation, chat::Prompt},
};

/// What kind of work a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Conversation and everything else.
    General,
    /// Writing, reading or repairing code.
    Code,
    /// Several steps: proofs, plans, comparisons, sums.
    Reasoning,
    /// Looking at pictures.
    Vision,
    /// Text to vectors.
    Embeddings,
}

/// How hard it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Complexity {
    /// A short question.
    Low,
    /// Neither short nor involved.
    Medium,
    /// Long, or of several steps.
    High,
}

/// What a classifier says about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Class {
    /// The kind of work.
    pub task: Task,
    /// How hard it looks.
    pub complexity: Complexity,
}

impl Class {
    /// An ordinary question: what a request counts as when nobody looks at it.
    pub const ORDINARY: Self = Self {
        task: Task::General,
        complexity: Complexity::Low,
    };

    /// What a deployment should be good at for this work.
    #[must_use]
    pub fn suits(self) -> Capabilities {
        Capabilities::from(match self.task {
            Task::General => Capability::General,
            Task::Code => Capability::Code,
            Task::Reasoning => Capability::Reasoning,
            Task::Vision => Capability::Vision,
            Task::Embeddings => Capability::Embeddings,
        })
    }
}

/// Looks at a request and says what kind of work it is. On the path of every routed call: it must be fast and must not block.
pub trait Classifier: Send + Sync {
    /// Classifies `request`.
    fn classify(&self, request: &ModelRequest) -> Class;
}

impl<F: Fn(&ModelRequest) -> Class + Send + Sync> Classifier for F {
    fn classify(&self, request: &ModelRequest) -> Class {
        self(request)
    }
}

/// A classifier of words and sizes: microseconds, no model, no state.
#[derive(Debug, Clone, Copy, Default)]
pub struct Heuristic(());

impl Heuristic {
    /// The heuristic classifier.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

/// How much of a question is looked at, in bytes; the rest of a long one is counted, not read.
const LOOK_AT: usize = 4096;

/// Words of code, then words of reasoning. Each counts once however often it occurs.
const WORDS: [&str; 30] = [
    "```",
    "fn ",
    "def ",
    "class ",
    "function",
    "stack trace",
    "traceback",
    "compile",
    "refactor",
    "regex",
    "sql",
    "unit test",
    "bug",
    "segfault",
    "typescript",
    "python",
    "prove",
    "step by step",
    "derive",
    "why does",
    "compare",
    "trade-off",
    "tradeoff",
    "design a",
    "architecture",
    "plan",
    "optimi",
    "analy",
    "solve",
    "how many",
];

/// Where the words of reasoning begin.
const REASONING: usize = 16;

/// One pass over the text for all words.
static FINDER: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(WORDS)
        .ok()
});

/// How many words of code and of reasoning occur in `text`.
fn count(text: &str) -> (usize, usize) {
    let mut seen = [false; WORDS.len()];
    for found in FINDER
        .iter()
        .flat_map(|finder| finder.find_overlapping_iter(text))
    {
        seen[found.pattern().as_usize()] = true;
    }
    let (code, reasoning) = seen.split_at(REASONING);
    let sum = |words: &[bool]| words.iter().filter(|seen| **seen).count();
    (sum(code), sum(reasoning))
}

impl Classifier for Heuristic {
    fn classify(&self, request: &ModelRequest) -> Class {
        if request.op == Operation::Embeddings {
            return Class {
                task: Task::Embeddings,
                complexity: Complexity::Low,
            };
        }
        let Ok(prompt) = Prompt::of(&request.body) else {
            return Class::ORDINARY;
        };
        let question = prompt.question();
        let (code, reasoning) = count(&question[..question.floor_char_boundary(LOOK_AT)]);
        let task = if prompt.has_images() {
            Task::Vision
        } else if code > 0 && code >= reasoning {
            Task::Code
        } else if reasoning > 0 {
            Task::Reasoning
        } else {
            Task::General
        };
        let tools = request.body.get("tools").is_some();
        let points = code + reasoning + usize::from(tools) + question.len() / 2000;
        let complexity = match points {
            0 | 1 => Complexity::Low,
            2 | 3 => Complexity::Medium,
            _ => Complexity::High,
        };
        Class { task, complexity }
    }
}
