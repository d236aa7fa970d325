use std::sync::Arc;

use super::RateKey;
use crate::{
    error::{Error, ErrorKind},
    model::{Call, ModelRequest, Usage},
    store::{Quota, RateDecision, RateStore},
};

/// One of the two limits of a layer.
#[derive(Debug, Clone)]
pub(super) struct Limit {
    unit: Unit,
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
#[derive(Debug, Clone, Copy)]
enum Source {
    Set(Quota),
    Call,
}

impl Limit {
    /// A quota that is the same for every call.
    pub(super) fn set(name: &str, unit: Unit, quota: Quota) -> Self {
        Self {
            unit,
            quota: Source::Set(quota),
            whose: format!("`{name}`").into(),
            prefix: format!("{}/{name}", unit.as_str()).into(),
        }
    }

    /// The quota that a call brings along.
    pub(super) fn of_call(unit: Unit) -> Self {
        Self {
            unit,
            quota: Source::Call,
            whose: "this API key".into(),
            prefix: format!("{}/caller", unit.as_str()).into(),
        }
    }

    /// The quota for `call`, if it has one.
    pub(super) fn quota(&self, call: &Call) -> Option<Quota> {
        match (self.quota, self.unit) {
            (Source::Set(quota), _) => Some(quota),
            (Source::Call, Unit::Requests) => call.limits.requests.map(Quota::per_minute),
            (Source::Call, Unit::Tokens) => call.limits.tokens.map(Quota::per_minute),
        }
    }

    /// Takes what `request` needs, at most the whole quota; nothing if there is no quota.
    pub(super) async fn take(
        &self,
        store: &Arc<dyn RateStore>,
        key: RateKey,
        request: &ModelRequest,
    ) -> Result<Option<Taken>, Error> {
        let Some(quota) = self.quota(&request.ctx) else {
            return Ok(None);
        };
        let name = key.name(&self.prefix, &request.ctx);
        let units = match self.unit {
            Unit::Requests => 1,
            Unit::Tokens => estimate(request),
        };
        let units = units.min(quota.limit);
        // A quota of nothing admits nothing, not even nothing.
        let asked = units.max(u64::from(quota.limit == 0));
        match store.take(&name, quota, asked).await? {
            RateDecision::Taken { .. } => Ok(Some(Taken {
                store: Arc::clone(store),
                name,
                quota,
                units,
            })),
            RateDecision::Refused { retry_after } => {
                let message = format!(
                    "the limit of {} {} per {} s of {} is reached",
                    quota.limit,
                    self.unit.as_str(),
                    quota.period.as_secs_f32(),
                    self.whose,
                );
                Err(Error::new(ErrorKind::RateLimited, message).retry_after(retry_after))
            }
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
    store: Arc<dyn RateStore>,
    name: Arc<str>,
    quota: Quota,
    units: u64,
}

impl Taken {
    /// Corrects them to what was really used.
    pub(super) fn correct(self, used: u64) {
        let wide = |units: u64| i64::try_from(units).unwrap_or(i64::MAX);
        let delta = wide(used) - wide(self.units);
        if delta != 0 {
            self.store.adjust(&self.name, self.quota, delta);
        }
    }
}

/// The tokens that a request will use, as far as it can be told: four bytes of the body each, and its output limit.
fn estimate(request: &ModelRequest) -> u64 {
    let body = &request.body;
    let limit = |name| body.get_as::<u64>(name).ok().flatten();
    let output = limit("max_completion_tokens").or_else(|| limit("max_tokens"));
    (body.as_bytes().len() as u64 / 4).saturating_add(output.unwrap_or(0))
}

/// The tokens that were used.
pub(super) fn total(usage: &Usage) -> u64 {
    usage.total_input().saturating_add(usage.total_output())
}
