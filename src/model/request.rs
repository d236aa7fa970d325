use std::{fmt, time::SystemTime};

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::CallContext;
use crate::{
    catalog::{DeploymentId, Targets, Tier},
    json::RawObject,
};

/// What the client called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Operation {
    /// `POST /v1/chat/completions`.
    Chat,
    /// `POST /v1/embeddings`.
    Embeddings,
}

impl Operation {
    /// All of them, in the order in which they are declared.
    pub const ALL: [Self; 2] = [Self::Chat, Self::Embeddings];

    /// The operation of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.as_str() == name)
    }

    /// The name in metrics and ledgers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embeddings => "embeddings",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a call wants of the answers that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheUse {
    /// A kept answer will do, and the new one may be kept.
    #[default]
    Use,
    /// Only a new answer will do; it takes the place of the kept one.
    Refresh,
    /// Neither read nor keep anything.
    Bypass,
}

/// Whether others may review the answer to a request before it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CheckUse {
    /// Where that is configured.
    #[default]
    Usual,
    /// Not this one: it is part of a review itself.
    Never,
}

/// Where a request starts, of the tiers that it may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Start {
    /// Where it looks as if it could be carried.
    #[default]
    Usual,
    /// On the lowest: whoever set the tiers has looked at what it needs.
    Lowest,
}

/// One request, on its way down the rings. Cheap to clone, so that it can be asked again.
#[derive(Debug, Clone)]
pub struct ModelRequest {
    /// What the client called.
    pub op: Operation,
    /// The body as received.
    pub body: RawObject,
    /// Who calls, and what this call may still do.
    pub ctx: CallContext,
    /// Where it may go.
    pub route: RouteHint,
    /// Which attempt of the call this is, counted from 1; 0 above the attempt ring.
    pub attempt: u32,
    /// When its cost was held, by the clock of the book: the attempt counts towards the windows of that time. `None` where no budget
    /// pays.
    pub held_at: Option<SystemTime>,
    /// What it wants of kept answers.
    pub cache: CacheUse,
    /// Whether others may review its answer.
    pub check: CheckUse,
    /// Whether its output limit is the gateway's own: then each deployment gets as much of it as it can give.
    pub own_limit: bool,
    /// For other people's layers; ours never read it.
    pub extensions: http::Extensions,
}

impl ModelRequest {
    /// A chat request.
    #[must_use]
    pub fn chat(body: RawObject, ctx: CallContext) -> Self {
        Self::new(Operation::Chat, body, ctx)
    }

    /// A request of any operation.
    #[must_use]
    pub fn new(op: Operation, body: RawObject, ctx: CallContext) -> Self {
        Self {
            op,
            body,
            ctx,
            route: RouteHint::default(),
            attempt: 0,
            held_at: None,
            cache: CacheUse::Use,
            check: CheckUse::Usual,
            own_limit: false,
            extensions: http::Extensions::new(),
        }
    }

    /// Sets where it may go.
    #[must_use]
    pub fn route(mut self, route: RouteHint) -> Self {
        self.route = route;
        self
    }

    /// Sets what it wants of kept answers.
    #[must_use]
    pub fn cache(mut self, cache: CacheUse) -> Self {
        self.cache = cache;
        self
    }

    /// Whether the client wants the answer as a stream, which only a chat's can be.
    #[must_use]
    pub fn wants_stream(&self) -> bool {
        self.op == Operation::Chat && self.body.get("stream") == Some("true")
    }
}

/// Where a request may go. Escalation raises `min_tier`, cross-checking excludes voices already heard.
#[derive(Debug, Clone)]
pub struct RouteHint {
    /// What the model name stands for.
    pub targets: Targets,
    /// Not below this tier.
    pub min_tier: Tier,
    /// Not above this tier.
    pub max_tier: Tier,
    /// Where in between it starts.
    pub start: Start,
    /// Deployments that must not be asked again.
    pub exclude: SmallVec<[DeploymentId; 2]>,
}

impl RouteHint {
    /// Any tier of `targets`.
    #[must_use]
    pub fn to(targets: Targets) -> Self {
        Self {
            targets,
            ..Self::default()
        }
    }
}

impl Default for RouteHint {
    fn default() -> Self {
        Self {
            targets: Targets::default(),
            min_tier: Tier::L0,
            max_tier: Tier::MAX,
            start: Start::Usual,
            exclude: SmallVec::new(),
        }
    }
}
