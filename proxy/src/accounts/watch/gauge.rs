use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU8, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use rungs::{
    catalog::Money,
    store::{Balance, Budget},
};

use super::warning::Warning;

/// How far an account is from its next warning.
#[derive(Default)]
pub(super) struct Gauge {
    /// At how many percent; 0: as the rules say.
    percent: AtomicU8,
    /// Nano-dollars until the first of its budgets reaches its mark: counted down by what is settled.
    left: AtomicI64,
    /// From then on the book is asked whatever is left, in milliseconds since 1970: a window is over, or others spend as well.
    look_at: AtomicI64,
    seen: Mutex<Vec<Seen>>,
}

/// A budget as it was at the last look.
struct Seen {
    budget: Budget,
    percent: u8,
    /// Of its window.
    end: Option<SystemTime>,
    /// `None` while nobody knows whether it was past its mark before.
    told: Option<bool>,
}

/// What a look goes by.
pub(super) struct Look {
    /// At how many percent where the account does not say.
    pub(super) default: Option<u8>,
    pub(super) now: SystemTime,
    /// When to look again at the latest.
    pub(super) again: Option<SystemTime>,
}

impl Gauge {
    /// Another mark, of which the next look goes by.
    pub(super) fn set_percent(&self, percent: Option<u8>) {
        self.percent.store(percent.unwrap_or(0), Ordering::Relaxed);
    }

    /// Counts what was settled at `at`; whether the book has to be asked.
    pub(super) fn has_to_look(&self, spent: Money, at: SystemTime) -> bool {
        let spent = spent.nanos().max(0);
        let left = self.left.fetch_sub(spent, Ordering::SeqCst);
        left.saturating_sub(spent) <= 0 || millis(at) >= self.look_at.load(Ordering::Relaxed)
    }

    /// Looks at the account's `balances`, and whether each is known; what there is to say, once per budget and window.
    pub(super) fn look(
        &self,
        look: &Look,
        balances: impl FnOnce() -> Vec<(Balance, bool)>,
    ) -> Vec<Warning> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // What is settled from here on may not be in the balances any more: it looks itself, after this.
        let left = self.left.swap(0, Ordering::SeqCst);
        // Since the last look, if that was at a budget that nobody knew.
        let settled = Money::from_nanos(left.min(0).saturating_neg());
        let own = match self.percent.load(Ordering::Relaxed) {
            0 => None,
            percent => Some(percent),
        };
        let (mut left, mut look_at) = (i64::MAX, look.again);
        let mut warnings = Vec::new();
        let mut now_seen = Vec::new();
        let Some(percent) = own.or(look.default) else {
            seen.clear();
            self.set(i64::MAX, None);
            return warnings;
        };
        for (balance, is_known) in balances() {
            let Some(mark) = mark(balance.budget.limit, percent) else {
                continue;
            };
            let end = balance.budget.window.end(look.now);
            look_at = look_at.into_iter().chain(end).min();
            let past = balance.posted >= mark;
            let before = seen.iter().find(|seen| {
                seen.percent == percent && seen.budget.window == balance.budget.window
            });
            // What was told of another limit says nothing of this one; what was not told of it is news here as well.
            let before = before.filter(|seen| {
                seen.budget.limit == balance.budget.limit
                    || seen.told == Some(false) && seen.end == end
            });
            let told = match before.map(|seen| (seen.told, seen.end)) {
                Some((Some(told), then)) => Some(told && then == end),
                _ if !is_known => None,
                // Whatever it was that passed this mark, it was not what was settled since, or is now.
                Some((None, _)) => Some(balance.posted - settled >= mark),
                None => Some(past),
            };
            left = left.min(match told {
                Some(true) => i64::MAX,
                Some(false) if past => i64::MAX,
                Some(false) if is_known => (mark - balance.posted).nanos(),
                // How far it is nobody knows until a call has been paid: that one looks.
                _ => 0,
            });
            now_seen.push(Seen {
                budget: balance.budget.clone(),
                percent,
                end,
                told: told.map(|told| told || past),
            });
            if past && told == Some(false) {
                warnings.push(Warning {
                    balance,
                    warn_at: percent,
                    end,
                });
            }
        }
        *seen = now_seen;
        self.set(left, look_at);
        warnings
    }

    #[cfg(test)]
    pub(super) fn has_told(&self) -> bool {
        self.seen
            .lock()
            .is_ok_and(|seen| seen.iter().any(|s| s.told == Some(true)))
    }

    fn set(&self, left: i64, look_at: Option<SystemTime>) {
        self.left.store(left, Ordering::Relaxed);
        let look_at = look_at.map_or(i64::MAX, millis);
        self.look_at.store(look_at, Ordering::Relaxed);
    }
}

/// So much of `limit`, rounded up; `None` for a budget of nothing, which is there to be spent from the first.
fn mark(limit: Money, percent: u8) -> Option<Money> {
    let nanos = (i128::from(limit.nanos()) * i128::from(percent) + 99) / 100;
    let nanos = i64::try_from(nanos).ok().filter(|nanos| *nanos > 0)?;
    Some(Money::from_nanos(nanos))
}

fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
