use std::{borrow::Cow, sync::Arc};

use serde::Serialize;

use super::ModelBody;
use crate::catalog::{Deployment, DeploymentId, Money};

/// An answer and what is known about how it came to be.
#[derive(Debug)]
pub struct ModelResponse {
    /// Known before the first frame.
    pub meta: ResponseMeta,
    /// The answer itself.
    pub body: ModelBody,
}

/// What is known about an answer before its first frame.
#[derive(Debug, Clone, Default)]
pub struct ResponseMeta {
    /// Who answered.
    pub deployment: Option<Arc<Deployment>>,
    /// What the cache had to do with it.
    pub cache: CacheStatus,
    /// Whether a fallback answered instead of what was asked for.
    pub fallback: bool,
    /// Whether this is the answer to an earlier call of the same name.
    pub replayed: bool,
    /// Whether some of what was said before in the conversation could not be had, and the answer does without.
    pub forgetful: bool,
    /// What the other voices said, if the answer was cross-checked.
    pub verdict: Option<Verdict>,
    /// Things the client should know, such as a climb that the budget did not allow.
    pub notes: Vec<Cow<'static, str>>,
}

/// What the cache had to do with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheStatus {
    /// It was not asked.
    #[default]
    Off,
    /// It had nothing.
    Miss,
    /// It had the answer.
    Hit,
    /// Another call was fetching the same answer; this one joined it, or came as it ended.
    Shared,
}

impl CacheStatus {
    /// All of them, in the order in which they are declared.
    pub const ALL: [Self; 4] = [Self::Off, Self::Miss, Self::Hit, Self::Shared];

    /// The value of `x-rungs-cache`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Miss => "miss",
            Self::Hit => "hit",
            Self::Shared => "shared",
        }
    }
}

/// The result of a cross-check.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Whether the voices agree.
    pub agreement: Agreement,
    /// How sure the check is, in percent.
    pub confidence: u8,
    /// Who reviewed, the arbiter last if one was asked.
    pub reviewers: Vec<DeploymentId>,
    /// What the checking itself cost.
    pub cost: Money,
}

/// Whether voices agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// They do.
    Agree,
    /// They do not, in this.
    Differ(Vec<String>),
    /// No reviewer gave a usable answer.
    Unchecked,
}
