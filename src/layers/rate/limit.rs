use std::sync::Arc;

use tokio::time::Instant;

use super::RateKey;
use crate::{
    error::{Error, ErrorKind},
    model::{Call, LimitFacts, ModelRequest, RateLimits, output_limit},
    store::{Alone, Correction, Quota, RateStore, Standing, Take},
};

/// One limit of a layer.
#[derive(Debug, Clone)]
pub(super) struct Limit {
    pub(super) unit: Unit,
    pub(super) key: RateKey,
    pub(super) alone: Alone,
    quota: Source,
    /// What is limited, for people.
    whose: Arc<str>,
    /// Where it is counted, before the key.
    prefix: Arc<str>,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Requests,
    Tokens,
}

/// Where a quota comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// It is the same for every call.
    Set(Quota),
    /// The call brings its key's along.
    Key,
    /// The call brings its end user's along.
    User,
}

impl Limit {
    pub(super) fn set(name: &str, unit: Unit, quota: Quota) -> Self {
        Self {
            unit,
            key: RateKey::Fixed,
            alone: Alone::default(),
            quota: Source::Set(quota),
            whose: format!("`{name}`").into(),
            prefix: format!("{}/{name}", unit.as_str()).into(),
        }
    }

    pub(super) fn of_key(unit: Unit) -> Self {
        Self::of_call(unit, Source::Key, RateKey::Key, "this API key")
    }

    pub(super) fn of_user(unit: Unit) -> Self {
        Self::of_call(unit, Source::User, RateKey::User, "this user")
    }

    fn of_call(unit: Unit, quota: Source, key: RateKey, whose: &str) -> Self {
        Self {
            unit,
            key,
            alone: Alone::default(),
            quota,
            whose: whose.into(),
            prefix: format!("{}/caller", unit.as_str()).into(),
        }
    }

    /// The quota for `call`, if it has one.
    pub(super) fn quota(&self, call: &Call) -> Option<Quota> {
        let of = |limits: &RateLimits| match self.unit {
            Unit::Requests => limits.requests,
            Unit::Tokens => limits.tokens,
        };
        match self.quota {
            Source::Set(quota) => Some(quota),
            Source::Key => of(&call.limits).map(Quota::per_minute),
            // Users that the client does not name are nobody's: together they have the key's limits.
            Source::User if call.user.is_none() => None,
            Source::User => of(&call.user_limits).map(Quota::per_minute),
        }
    }

    /// Whether the caller is told how it stands.
    pub(super) fn is_the_callers(&self) -> bool {
        !matches!(self.quota, Source::Set(_))
    }

    /// What `request` needs of it; nothing if there is no quota.
    pub(super) fn need(&self, request: &ModelRequest) -> Option<Need<'_>> {
        let quota = self.quota(&request.ctx)?;
        let units = match self.unit {
            Unit::Requests => 1,
            Unit::Tokens => estimate(request),
        };
        Some(Need {
            limit: self,
            name: self.key.name(&self.prefix, &request.ctx),
            quota,
            units: units.min(quota.limit),
        })
    }
}

/// What a request needs of one limit.
pub(super) struct Need<'a> {
    pub(super) limit: &'a Limit,
    name: Arc<str>,
    quota: Quota,
    /// At most the whole quota.
    units: u64,
}

impl Need<'_> {
    pub(super) fn take(&self) -> Take<'_> {
        Take {
            name: &self.name,
            quota: self.quota,
            // A quota of nothing admits nothing, not even nothing.
            units: self.units.max(u64::from(self.quota.limit == 0)),
            alone: self.limit.alone,
        }
    }

    pub(super) fn refusal(&self) -> Error {
        let message = format!(
            "the limit of {} {} per {} s of {} is reached",
            self.quota.limit,
            self.limit.unit.as_str(),
            self.quota.period.as_secs_f32(),
            self.limit.whose,
        );
        Error::new(ErrorKind::RateLimited, message)
    }

    pub(super) fn facts(&self, standing: Standing) -> LimitFacts {
        LimitFacts {
            limit: self.quota.limit,
            remaining: standing.remaining,
            reset: standing.reset,
        }
    }

    pub(super) fn taken(self, store: &Arc<dyn RateStore>) -> Taken {
        Taken {
            unit: self.limit.unit,
            store: Arc::clone(store),
            name: self.name,
            quota: self.quota,
            units: self.units,
            at: Instant::now(),
        }
    }
}

impl Unit {
    fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
        }
    }
}

/// Units that were taken. They stay taken unless they are corrected.
pub(super) struct Taken {
    pub(super) unit: Unit,
    store: Arc<dyn RateStore>,
    name: Arc<str>,
    quota: Quota,
    units: u64,
    at: Instant,
}

impl Taken {
    /// Adds what was used beyond them.
    pub(super) fn at_least(&self, used: u64) {
        self.correct(used.max(self.units));
    }

    /// Corrects them to what was really used.
    pub(super) fn correct(&self, used: u64) {
        if used != self.units {
            let correction = Correction {
                taken: self.units,
                used,
                after: self.at.elapsed(),
            };
            self.store.adjust(&self.name, self.quota, correction);
        }
    }
}

/// The tokens that a request will use, as far as it can be told: four bytes of the body each, and its output limit.
fn estimate(request: &ModelRequest) -> u64 {
    let body = &request.body;
    let output = output_limit(body).ok().flatten();
    (body.as_bytes().len() as u64 / 4).saturating_add(output.unwrap_or(0))
}
