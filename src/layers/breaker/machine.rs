use std::time::Duration;

use tokio::time::Instant;

use super::{BreakerConfig, verdict::Verdict};

/// The states of a breaker, without locks, clocks and logs.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) config: BreakerConfig,
    phase: Phase,
    /// Grows with each change of state: an outcome counts only in the state in which its call began.
    epoch: u64,
    /// Failures in a row.
    run: u32,
    /// The last outcomes, the latest in the lowest bit; 1 is a failure.
    outcomes: u64,
    known: u32,
    /// For how long it opens next time.
    cool_down: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed,
    Open { until: Instant },
    HalfOpen,
}

/// The state in which a call was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch(u64);

/// A change of state, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Opened { wait: Duration, verdict: Verdict },
    Probing,
    Closed,
}

/// Longest wait that a provider may ask for.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl Machine {
    pub(super) fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            phase: Phase::Closed,
            epoch: 0,
            run: 0,
            outcomes: 0,
            known: 0,
            cool_down: config.cool_down,
        }
    }

    /// Goes by `config` from now on. What is known, and a cool-down under way, stay.
    pub(super) fn reconfigure(&mut self, config: BreakerConfig) {
        self.cool_down = match self.phase {
            Phase::Closed if self.cool_down <= self.config.cool_down => config.cool_down,
            _ => self.cool_down.max(config.cool_down),
        };
        self.config = config;
    }

    /// The state as it is now.
    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }

    /// Lets a call through, or says how long to wait.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(Epoch, Option<Change>), Duration> {
        match self.phase {
            Phase::Closed => Ok((self.epoch(), None)),
            Phase::Open { until } if now < until => Err(until - now),
            Phase::Open { .. } => {
                self.enter(Phase::HalfOpen);
                Ok((self.epoch(), Some(Change::Probing)))
            }
            Phase::HalfOpen => Err(self.config.cool_down),
        }
    }

    /// Whether a call would be refused.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        match self.phase {
            Phase::Closed => false,
            Phase::Open { until } => now < until,
            Phase::HalfOpen => true,
        }
    }

    /// The answer to the probe of `epoch` has begun. For how long it opens next time is forgotten when an answer has ended well.
    pub(super) fn found(&mut self, epoch: Epoch) -> Option<Change> {
        if epoch.0 != self.epoch || self.phase != Phase::HalfOpen {
            return None;
        }
        *self = Self {
            epoch: self.epoch + 1,
            cool_down: self.cool_down,
            ..Self::new(self.config)
        };
        Some(Change::Closed)
    }

    /// Takes in how a call ended that was let through in `epoch`.
    pub(super) fn settle(
        &mut self,
        epoch: Epoch,
        verdict: Verdict,
        now: Instant,
    ) -> Option<Change> {
        if epoch.0 != self.epoch {
            return None;
        }
        let probe = self.phase == Phase::HalfOpen;
        let wait = match verdict {
            Verdict::Silent => {
                if probe {
                    // The next call is the probe.
                    self.enter(Phase::Open { until: now });
                }
                return None;
            }
            Verdict::Healthy => {
                self.cool_down = self.config.cool_down;
                let change = self.found(epoch);
                if change.is_none() {
                    self.count(false);
                }
                return change;
            }
            Verdict::Failing => {
                self.count(true);
                if !(probe || self.is_too_much()) {
                    return None;
                }
                let wait = self.cool_down.min(self.config.max_cool_down);
                self.cool_down = wait.saturating_mul(2);
                wait
            }
            Verdict::Limited(wait) => wait,
            Verdict::BadKey => self.config.bad_key,
        };
        let wait = wait.min(LONGEST);
        self.enter(Phase::Open { until: now + wait });
        Some(Change::Opened { wait, verdict })
    }

    fn count(&mut self, failed: bool) {
        self.run = if failed {
            self.run.saturating_add(1)
        } else {
            0
        };
        self.outcomes = self.outcomes << 1 | u64::from(failed);
        self.known = (self.known + 1).min(64);
    }

    fn is_too_much(&self) -> bool {
        let window = self.config.window.clamp(1, 64);
        let failed = (self.outcomes << (64 - window)).count_ones();
        let needed = u64::from(self.config.percent) * u64::from(window);
        let ratio = self.known >= window && u64::from(failed) * 100 >= needed;
        ratio || self.run >= self.config.failures
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.epoch += 1;
    }
}
