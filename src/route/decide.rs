use std::{cmp::Reverse, fmt, sync::Arc};

use serde::Serialize;

use super::{Class, Complexity};
use crate::{
    catalog::{Capability, Deployment, DeploymentId, Tier},
    model::{ModelRequest, Operation, Quality, Start, chat::Prompt},
};

/// In which order deployments will be asked, and why the others will not.
#[derive(Debug, Clone)]
pub struct Decision {
    /// What the classifier said.
    pub class: Class,
    /// The tier to start on.
    pub start: Tier,
    /// Whom to ask, in order.
    pub candidates: Vec<Candidate>,
    /// Who was left out.
    pub skipped: Vec<(DeploymentId, Skipped)>,
}

/// A deployment that may answer.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The deployment.
    pub deployment: Arc<Deployment>,
    /// Whether it is a fallback for what was asked for.
    pub fallback: bool,
}

/// Why a deployment was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Skipped {
    /// Its tier is below or above what the call may use.
    Tier,
    /// The call has heard it already.
    Excluded,
    /// It does not do this operation.
    Operation,
    /// The request has pictures, and it cannot see.
    Vision,
    /// The prompt does not fit its context window.
    ContextWindow,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tier => "its tier is out of range",
            Self::Excluded => "was asked already",
            Self::Operation => "does not do this",
            Self::Vision => "cannot see pictures",
            Self::ContextWindow => "its context window is too small",
        })
    }
}

impl Decision {
    /// Orders what the request's model name stands for.
    pub(super) fn make(request: &ModelRequest, class: Class, needs: &Needs) -> Self {
        let hint = &request.route;
        let start = start_tier(request, class);
        let mut decision = Self {
            class,
            start,
            candidates: Vec::new(),
            skipped: Vec::new(),
        };
        for deployment in hint.targets.first() {
            decision.consider(deployment, needs.unmet_by(deployment, request), false);
        }
        decision.candidates.sort_by_key(|c| {
            let d = &c.deployment;
            let below = d.tier < start;
            let rungs = if below {
                start.level() - d.tier.level()
            } else {
                d.tier.level() - start.level()
            };
            let suited = d.capabilities.contains(class.suits());
            (below, rungs, Reverse(suited), d.priority)
        });
        for deployment in hint.targets.fallback() {
            decision.consider(deployment, needs.unmet_by(deployment, request), true);
        }
        decision
    }

    fn consider(&mut self, deployment: &Arc<Deployment>, why_not: Option<Skipped>, fallback: bool) {
        match why_not {
            Some(why) => self.skipped.push((deployment.id.clone(), why)),
            None => self.candidates.push(Candidate {
                deployment: Arc::clone(deployment),
                fallback,
            }),
        }
    }

    /// Whether `candidate` is below the tier where the call starts, and only answers because those above it did not.
    pub(super) fn goes_down_to(&self, candidate: &Candidate) -> bool {
        let below = |c: &Candidate| c.deployment.tier < self.start;
        below(candidate) && self.candidates.first().is_some_and(|first| !below(first))
    }

    /// Whether all that was left out was left out for the length of the prompt.
    pub(super) fn too_long(&self) -> bool {
        self.candidates.is_empty()
            && self
                .skipped
                .iter()
                .any(|(_, why)| *why == Skipped::ContextWindow)
    }
}

/// The lowest tier that a call starts on: one up if it is critical, one up if it looks hard, unless it is told to start on the
/// lowest; never out of its range.
fn start_tier(request: &ModelRequest, class: Class) -> Tier {
    let hint = &request.route;
    let mut tiers = hint
        .targets
        .tiers()
        .filter(|t| (hint.min_tier..=hint.max_tier).contains(t));
    let Some(lowest) = tiers.next() else {
        return hint.min_tier;
    };
    if hint.start == Start::Lowest {
        return lowest;
    }
    let up = usize::from(request.ctx.quality == Quality::Critical)
        + usize::from(class.complexity == Complexity::High);
    tiers.take(up).last().unwrap_or(lowest)
}

/// What a request needs from whoever answers it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs {
    images: bool,
    /// At least so many: a deployment is left out only when there is no doubt.
    tokens: u64,
}

impl Needs {
    pub(super) fn of(request: &ModelRequest) -> Self {
        Self {
            images: has_images(request),
            tokens: least_tokens(request),
        }
    }

    fn unmet_by(&self, d: &Deployment, request: &ModelRequest) -> Option<Skipped> {
        let hint = &request.route;
        let embeds = d.capabilities.contains(Capability::Embeddings.into());
        if !(hint.min_tier..=hint.max_tier).contains(&d.tier) {
            Some(Skipped::Tier)
        } else if hint.exclude.contains(&d.id) {
            Some(Skipped::Excluded)
        } else if embeds != (request.op == Operation::Embeddings) {
            Some(Skipped::Operation)
        } else if self.images && !d.capabilities.contains(Capability::Vision.into()) {
            Some(Skipped::Vision)
        } else if d.context_window.is_some_and(|window| self.tokens > window) {
            Some(Skipped::ContextWindow)
        } else {
            None
        }
    }
}

/// More letters than a token stands for in any language, on the average.
const LETTERS_PER_TOKEN: u64 = 16;

/// The fewest tokens that a prompt can have: those of its texts. What else stands in a body, nobody may have to read, or it is long
/// in bytes and short in tokens. Most bodies are too short for it to matter, and are not read for it.
fn least_tokens(request: &ModelRequest) -> u64 {
    let targets = &request.route.targets;
    let all = targets.first().iter().chain(targets.fallback());
    let narrowest = all.filter_map(|d| d.context_window).min();
    let at_most = request.body.as_bytes().len() as u64 / LETTERS_PER_TOKEN;
    if narrowest.is_none_or(|window| at_most <= window) {
        return 0;
    }
    let letters = match request.op {
        Operation::Chat => Prompt::of(&request.body).map_or(0, |prompt| {
            prompt.texts().map(|(_, text)| letters(&text)).sum()
        }),
        // Several texts are read one by one.
        Operation::Embeddings => match request.body.get_as::<String>("input") {
            Ok(Some(text)) => letters(&text),
            _ => 0,
        },
    };
    letters / LETTERS_PER_TOKEN
}

/// The letters of `text`. A run of the same is one: a single token may stand for a hundred spaces.
fn letters(text: &str) -> u64 {
    let changes = text.chars().zip(text.chars().skip(1));
    u64::from(!text.is_empty()) + changes.filter(|(one, next)| one != next).count() as u64
}

/// Whether somebody must see to answer. Most requests name no image anywhere, and are not read for it.
fn has_images(request: &ModelRequest) -> bool {
    let names = |name: &[u8]| memchr::memmem::find(request.body.as_bytes(), name).is_some();
    names(b"image")
        && match Prompt::of(&request.body) {
            Ok(prompt) => prompt.has_images(),
            // What is to be embedded has no messages.
            Err(_) => names(b"\"image_url\""),
        }
}
