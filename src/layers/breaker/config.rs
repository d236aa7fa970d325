use std::time::Duration;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerConfig {
    /// So many failures in a row open it; at least 1.
    pub failures: u32,
    /// So many failures in a hundred outcomes open it, once `window` outcomes are known. More than 100 is never.
    pub percent: u32,
    /// How many outcomes are looked at, 1 to 64.
    pub window: u32,
    /// How long it stays open at first. Each failed probe doubles the time.
    pub cool_down: Duration,
    /// The longest it stays open for failures.
    pub max_cool_down: Duration,
    /// How long it stays open when the provider does not accept our key or account.
    pub bad_key: Duration,
    /// An attempt that was silent for so long, until its call's own deadline, has failed. One that had less says nothing.
    pub patience: Duration,
}

impl Default for BreakerConfig {
    /// 5 in a row or half of the last 20; 10 s, doubling up to 5 minutes; 15 minutes for a bad key; a minute of silence.
    fn default() -> Self {
        Self {
            failures: 5,
            percent: 50,
            window: 20,
            cool_down: Duration::from_secs(10),
            max_cool_down: Duration::from_secs(300),
            bad_key: Duration::from_secs(900),
            patience: Duration::from_secs(60),
        }
    }
}
