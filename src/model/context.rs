use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Builder;

use super::{RateFacts, RateLimits, Usage};
use crate::catalog::{DeploymentId, Money, Tier};

/// How much an answer matters.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Quality {
    /// The cheapest tier that can carry it.
    #[default]
    Normal,
    /// Cross-checked where that is configured.
    High,
    /// Cross-checked where that is configured, and starting one tier up where there is one.
    Critical,
}

/// What a call does that its accounts cannot pay for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnExhaust {
    /// It goes to something cheaper, if there is something.
    #[default]
    Downgrade,
    /// It is refused.
    Refuse,
}

/// What a call does when what was said before in its conversation cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Recall {
    /// It is refused.
    #[default]
    Required,
    /// It is answered without, and says so.
    IfThere,
}

/// The facts of one call, fixed where it enters. Give it to [`CallContext::new`].
#[derive(Debug, Clone)]
pub struct Call {
    /// The request id, unique.
    pub id: Arc<str>,
    /// Whose data this is: caches and conversations are never shared between tenants.
    pub tenant: Arc<str>,
    /// The id of the API key, never the key.
    pub key: Option<Arc<str>>,
    /// The end user, as the client names them.
    pub user: Option<Arc<str>>,
    /// The conversation that this call continues.
    pub conversation: Option<Arc<str>>,
    /// What happens when that cannot be had.
    pub recall: Recall,
    /// How much the answer matters.
    pub quality: Quality,
    /// The accounts that pay, all of them at once.
    pub accounts: Arc<[Arc<str>]>,
    /// What happens when they cannot.
    pub on_exhaust: OnExhaust,
    /// How often the key may ask.
    pub limits: RateLimits,
    /// How often the end user may ask.
    pub user_limits: RateLimits,
    /// The client's name for this call: calls of one key with the same name are one call.
    pub idempotency: Option<Arc<str>>,
    /// No attempt starts, and no frame is waited for, beyond this point.
    pub deadline: Option<Instant>,
    /// How many attempts the call may have, over retries, fallbacks, climbs and reviewers together.
    pub max_attempts: u32,
}

impl Call {
    /// A call of `tenant` with a fresh id, four attempts and no deadline.
    #[must_use]
    pub fn new(tenant: impl Into<Arc<str>>) -> Self {
        Self {
            id: request_id(),
            tenant: tenant.into(),
            key: None,
            user: None,
            conversation: None,
            recall: Recall::default(),
            quality: Quality::Normal,
            accounts: Arc::new([]),
            on_exhaust: OnExhaust::default(),
            limits: RateLimits::default(),
            user_limits: RateLimits::default(),
            idempotency: None,
            deadline: None,
            max_attempts: 4,
        }
    }
}

/// `req_` and a version 7 UUID: sorted by time, unique without asking the system for randomness.
fn request_id() -> Arc<str> {
    let millis = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    let random = fastrand::u128(..).to_le_bytes();
    let (tail, _) = random
        .split_first_chunk::<10>()
        .expect("sixteen bytes hold ten");
    let uuid = Builder::from_unix_timestamp_millis(u64::try_from(millis).unwrap_or(u64::MAX), tail)
        .into_uuid();
    let mut text = *b"req_00000000000000000000000000000000";
    uuid.simple().encode_lower(&mut text[4..]);
    std::str::from_utf8(&text)
        .expect("hexadecimal digits are text")
        .into()
}

/// The context of one call, shared by all its attempts.
#[derive(Clone)]
pub struct CallContext(Arc<Shared>);

struct Shared {
    call: Call,
    started: Instant,
    attempts: AtomicU32,
    /// Counts on when attempts are given back, so that no two ever share a number.
    numbers: AtomicU32,
    spent: AtomicI64,
    tokens: AtomicU64,
    /// A bit an attempt, by its number; that of the whole call is there from the beginning.
    sent: AtomicU64,
    rates: Mutex<RateFacts>,
    trail: Mutex<Vec<Step>>,
}

/// One thing that happened to a call, for its log line and for the curious client.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Who was asked.
    pub deployment: Option<DeploymentId>,
    /// On which tier.
    pub tier: Option<Tier>,
    /// What came of it.
    pub what: Cow<'static, str>,
}

impl CallContext {
    /// The context of `call`, which starts now.
    #[must_use]
    pub fn new(call: Call) -> Self {
        Self(Arc::new(Shared {
            call,
            started: Instant::now(),
            attempts: AtomicU32::new(0),
            numbers: AtomicU32::new(0),
            spent: AtomicI64::new(0),
            tokens: AtomicU64::new(0),
            sent: AtomicU64::new(1),
            rates: Mutex::default(),
            trail: Mutex::default(),
        }))
    }

    /// When the call entered.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.0.started
    }

    /// The time left until the deadline; `None` if there is no deadline.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        let deadline = self.0.call.deadline?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// Takes one attempt; its number, unique within the call, or `None` when all are used up.
    #[must_use]
    pub fn begin_attempt(&self) -> Option<u32> {
        let max = self.0.call.max_attempts;
        self.0
            .attempts
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                (used < max).then_some(used + 1)
            })
            .ok()
            .map(|_| self.0.numbers.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Gives back an attempt that never reached a provider.
    pub fn return_attempt(&self) {
        self.0.attempts.fetch_sub(1, Ordering::Relaxed);
    }

    /// Attempts begun so far.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.0.attempts.load(Ordering::Relaxed)
    }

    /// Whether another attempt may begin.
    #[must_use]
    pub fn may_try(&self) -> bool {
        self.attempts() < self.0.call.max_attempts
            && self.time_left().is_none_or(|left| !left.is_zero())
    }

    /// Adds to what the call has cost so far.
    pub fn charge(&self, cost: Money) {
        self.0.spent.fetch_add(cost.nanos(), Ordering::Relaxed);
    }

    /// What the call has cost so far, all attempts together. Final once the body has ended.
    #[must_use]
    pub fn spent(&self) -> Money {
        Money::from_nanos(self.0.spent.load(Ordering::Relaxed))
    }

    /// Adds to the tokens that the call has used so far. Those that cannot be are not believed.
    pub fn count(&self, usage: &Usage) {
        if !usage.is_absurd() {
            self.0.tokens.fetch_add(usage.total(), Ordering::Relaxed);
        }
    }

    /// The tokens that the call has used so far, all attempts together, input and output. Final once the body has ended.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.0.tokens.load(Ordering::Relaxed)
    }

    /// Says that the request of `attempt` goes out: from here on it may cost something.
    pub fn send(&self, attempt: u32) {
        if let Some(bit) = 1u64.checked_shl(attempt) {
            self.0.sent.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Whether the request of `attempt` went out. So has the whole call, which is number 0. Of more attempts than calls have, nobody keeps
    /// count: they count as sent.
    #[must_use]
    pub fn is_sent(&self, attempt: u32) -> bool {
        let bit = 1u64.checked_shl(attempt);
        bit.is_none_or(|bit| self.0.sent.load(Ordering::Relaxed) & bit != 0)
    }

    /// How the caller's limits stand; nothing for one without limits.
    #[must_use]
    pub fn rates(&self) -> RateFacts {
        *self.0.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says how the caller's limits stand.
    pub fn set_rates(&self, facts: RateFacts) {
        *self.0.rates.lock().unwrap_or_else(PoisonError::into_inner) = facts;
    }

    /// Writes a step down.
    pub fn note(&self, step: Step) {
        self.trail().push(step);
    }

    /// The steps so far.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        self.trail().clone()
    }

    fn trail(&self) -> std::sync::MutexGuard<'_, Vec<Step>> {
        self.0.trail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::ops::Deref for CallContext {
    type Target = Call;
    fn deref(&self) -> &Call {
        &self.0.call
    }
}

impl fmt::Debug for CallContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallContext")
            .field("id", &self.id)
            .field("tenant", &self.tenant)
            .field("attempts", &self.attempts())
            .finish_non_exhaustive()
    }
}
