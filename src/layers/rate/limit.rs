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
    quota: Quota,
    unit: &'static str,
    /// What is limited, for people.
    whose: Arc<str>,
    /// Where it is counted, before the key.
    prefix: Arc<str>,
}

impl Limit {
    pub(super) fn new(whose: &Arc<str>, unit: &'static str, quota: Quota) -> Self {
        Self {
            quota,
            unit,
            whose: Arc::clone(whose),
            prefix: format!("{unit}/{whose}").into(),
        }
    }

    /// Takes `units`, at most the whole quota.
    pub(super) async fn take(
        &self,
        store: &Arc<dyn RateStore>,
        key: RateKey,
        call: &Call,
        units: u64,
    ) -> Result<Taken, Error> {
        let name = key.name(&self.prefix, call);
        let units = units.min(self.quota.limit);
        // A quota of nothing admits nothing, not even nothing.
        let asked = units.max(u64::from(self.quota.limit == 0));
        match store.take(&name, self.quota, asked).await? {
            RateDecision::Taken { .. } => Ok(Taken {
                store: Arc::clone(store),
                name,
                quota: self.quota,
                units,
            }),
            RateDecision::Refused { retry_after } => {
                let Quota { limit, period } = self.quota;
                let message = format!(
                    "the limit of {limit} {} per {} s of `{}` is reached",
                    self.unit,
                    period.as_secs_f32(),
                    self.whose,
                );
                Err(Error::new(ErrorKind::RateLimited, message).retry_after(retry_after))
            }
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
pub(super) fn estimate(request: &ModelRequest) -> u64 {
    let body = &request.body;
    let limit = |name| body.get_as::<u64>(name).ok().flatten();
    let output = limit("max_completion_tokens").or_else(|| limit("max_tokens"));
    (body.as_bytes().len() as u64 / 4).saturating_add(output.unwrap_or(0))
}

/// The tokens that were used.
pub(super) fn total(usage: &Usage) -> u64 {
    usage.total_input().saturating_add(usage.total_output())
}
