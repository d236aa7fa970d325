use std::time::Duration;

use rungs::catalog::Tier;
use serde::Deserialize;

use super::seconds;

/// `[cache]`: answers kept in memory.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Cache {
    /// Whether answers are kept at all.
    pub(crate) enabled: bool,
    /// How many bytes of them.
    pub(crate) max_bytes: u64,
    /// For how long.
    #[serde(rename = "ttl_seconds", deserialize_with = "seconds::some")]
    pub(crate) ttl: Duration,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            enabled: true,
            max_bytes: 64 << 20,
            ttl: Duration::from_secs(3600),
        }
    }
}

/// `[timeouts]` of an attempt, and of a call as a whole.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Timeouts {
    /// Until the first frame of an attempt.
    #[serde(rename = "first_frame_seconds", deserialize_with = "seconds::some")]
    pub(crate) first_frame: Duration,
    /// Between two frames.
    #[serde(rename = "gap_seconds", deserialize_with = "seconds::some")]
    pub(crate) gap: Duration,
    /// Until an answer in one piece; 0 for as long as the call may take.
    #[serde(rename = "whole_seconds", deserialize_with = "seconds::or_off")]
    pub(crate) whole: Duration,
    /// A call with all its attempts.
    #[serde(rename = "total_seconds", deserialize_with = "seconds::some")]
    pub(crate) total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            first_frame: Duration::from_secs(30),
            gap: Duration::from_secs(60),
            whole: Duration::ZERO,
            total: Duration::from_secs(600),
        }
    }
}

/// `[retry]`: asking the same deployment again.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Retry {
    /// Tries at one deployment, the first included; 1 never retries.
    pub(crate) max_tries: u32,
    /// The pause before the first retry; it doubles each time.
    #[serde(rename = "base_seconds", deserialize_with = "seconds::some")]
    pub(crate) base: Duration,
    /// The longest pause, also where a provider asks for a longer one: then the next deployment is asked.
    #[serde(rename = "max_seconds", deserialize_with = "seconds::some")]
    pub(crate) max: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_tries: 2,
            base: Duration::from_millis(200),
            max: Duration::from_secs(5),
        }
    }
}

/// `[breaker]`: leaving a dead deployment alone.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Breaker {
    /// Failures in a row that open it.
    pub(crate) failures: u32,
    /// Failures in a hundred outcomes that open it; more than 100 is never.
    pub(crate) percent: u32,
    /// How many outcomes are looked at for that, 1 to 64.
    pub(crate) window: u32,
    /// How long it stays open at first; the time doubles while trying again fails.
    #[serde(rename = "cool_down_seconds", deserialize_with = "seconds::some")]
    pub(crate) cool_down: Duration,
    /// The longest it stays open.
    #[serde(rename = "max_cool_down_seconds", deserialize_with = "seconds::some")]
    pub(crate) max_cool_down: Duration,
    /// How long it stays open when the provider does not accept our key.
    #[serde(rename = "bad_key_seconds", deserialize_with = "seconds::some")]
    pub(crate) bad_key: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            failures: 5,
            percent: 50,
            window: 20,
            cool_down: Duration::from_secs(10),
            max_cool_down: Duration::from_secs(300),
            bad_key: Duration::from_secs(900),
        }
    }
}

/// What to do with a stream that may have to climb.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnStream {
    /// Hold back a bounded window, judge it, then commit.
    #[default]
    Probe,
    /// Hold back the whole answer.
    Buffer,
    /// Send at once, never climb.
    Pass,
}

/// The quality from which answers are cross-checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CrossCheck {
    /// None are.
    #[default]
    Off,
    /// Calls of quality `high` and `critical`.
    High,
    /// Calls of quality `critical`.
    Critical,
    /// All calls.
    Always,
}

/// `[routing]`: where a call starts and how far it climbs.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Routing {
    /// Where a call starts.
    pub(crate) default_tier: Tier,
    /// How far it climbs, unless its key allows more.
    pub(crate) max_tier: Tier,
    /// Tiers whose deployments are left out.
    pub(crate) disabled_tiers: Vec<Tier>,
    /// Whether a poor answer is asked again one tier up.
    pub(crate) auto_escalate: bool,
    /// What climbing means for streams.
    pub(crate) on_stream: OnStream,
    /// Which answers are checked by other models.
    pub(crate) cross_check: CrossCheck,
    /// Whether the prompt is looked at to choose the tier to start on.
    pub(crate) classifier: bool,
}

impl Default for Routing {
    fn default() -> Self {
        Self {
            default_tier: Tier::L0,
            max_tier: Tier::L2,
            disabled_tiers: Vec::new(),
            auto_escalate: true,
            on_stream: OnStream::default(),
            cross_check: CrossCheck::default(),
            classifier: true,
        }
    }
}

/// Whether the built-in catalog is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum UseBuiltin {
    /// Where the file names no provider.
    #[default]
    Auto,
    /// Beside the file's own providers; a provider of the file replaces the built-in one of that name.
    On,
    /// Never.
    Off,
}

/// `[catalog]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CatalogRules {
    /// Whether the built-in catalog is used.
    pub(crate) builtin: UseBuiltin,
}
