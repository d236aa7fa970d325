use std::time::Duration;

use serde::Deserialize;

use super::seconds;

/// `[limits]`: how much at once, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// Attempts of one call, over retries, fallbacks, climbs and reviewers together.
    pub(crate) max_attempts: u32,
    /// Calls at once; more are refused with 503.
    pub(crate) max_in_flight: usize,
    /// Answers that are read to their end at once though their client has left.
    pub(crate) max_drains: u32,
    /// Requests per minute of each end user.
    pub(crate) user_rpm: Option<u64>,
    /// Tokens per minute of each end user.
    pub(crate) user_tpm: Option<u64>,
    /// Processes that share the limits through Redis; one, unless it is said.
    pub(crate) replicas: Option<u32>,
    /// What limits become while Redis is away.
    pub(crate) without_redis: WithoutRedis,
}

/// `limits.without_redis`: what limits become while Redis is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WithoutRedis {
    /// Those of keys.
    pub(crate) keys: Alone,
    /// Those of end users.
    pub(crate) users: Alone,
    /// Those of providers and models.
    pub(crate) providers: Alone,
}

/// What one limit becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Alone {
    /// Each process has one part in `replicas` of it.
    #[default]
    Share,
    /// Nothing is let through.
    Deny,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_attempts: 4,
            max_in_flight: 1024,
            max_drains: 64,
            user_rpm: None,
            user_tpm: None,
            replicas: None,
            without_redis: WithoutRedis::default(),
        }
    }
}

/// `[idempotency]`: calls that clients may repeat.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Idempotency {
    /// How long answers are kept for repetitions.
    #[serde(rename = "ttl_seconds", deserialize_with = "seconds::some")]
    pub(crate) ttl: Duration,
    /// How long a repetition waits for the first call.
    #[serde(rename = "wait_seconds", deserialize_with = "seconds::or_off")]
    pub(crate) wait: Duration,
    /// How many bytes of them are in memory.
    pub(crate) max_bytes: u64,
}

impl Default for Idempotency {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(86_400),
            wait: Duration::from_secs(30),
            max_bytes: 64 << 20,
        }
    }
}
