use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::store::{Quota, memory::MemoryRates};

/// What was used of each limit beyond what was taken, and could not be counted in the Redis yet, as far as time has not given it back.
#[derive(Default)]
pub(super) struct Owed {
    rates: MemoryRates,
    /// Whether to look: mostly there is nothing, and each call asks.
    any: AtomicBool,
}

impl Owed {
    fn add(&self, name: &str, quota: Quota, units: i64) {
        self.rates.shift(name, quota, units);
        self.any.store(true, Ordering::SeqCst);
    }

    fn drain(&self, name: &str, quota: Quota) -> u64 {
        if !self.any.load(Ordering::SeqCst) {
            return 0;
        }
        let units = self.rates.drain(name, quota);
        if units > 0 {
            // In this order: what is added meanwhile is seen, or says so itself.
            self.any.store(false, Ordering::SeqCst);
            if !self.rates.is_empty() {
                self.any.store(true, Ordering::SeqCst);
            }
        }
        units
    }
}

/// Units of a limit that were used, on their way to the Redis. Dropped before they are paid they are owed (again): a time-out may have
/// them counted twice, nothing has them forgotten.
pub(super) struct Debt {
    owed: Arc<Owed>,
    name: Box<str>,
    quota: Quota,
    units: u64,
}

impl Debt {
    pub(super) fn new(owed: &Arc<Owed>, name: &str, quota: Quota, units: u64) -> Self {
        Self {
            owed: Arc::clone(owed),
            name: name.into(),
            quota,
            units,
        }
    }

    /// All that is `owed` of a limit, as far as time has not given it back.
    pub(super) fn collect(owed: &Arc<Owed>, name: &str, quota: Quota) -> Option<Self> {
        let units = owed.drain(name, quota);
        (units > 0).then(|| Self::new(owed, name, quota, units))
    }

    pub(super) fn units(&self) -> u64 {
        self.units
    }

    /// The Redis has counted them.
    pub(super) fn paid(mut self) {
        self.units = 0;
    }
}

impl Drop for Debt {
    fn drop(&mut self) {
        let units = i64::try_from(self.units).unwrap_or(i64::MAX);
        if units > 0 {
            self.owed.add(&self.name, self.quota, units);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_owed_of_many_limits_is_collected_once_each() {
        const QUOTA: Quota = Quota {
            limit: 100,
            period: Duration::from_secs(3_600),
        };
        let owed = Arc::default();
        let collect = |name| Debt::collect(&owed, name, QUOTA);
        assert!(collect("a").is_none());
        for name in ["a", "b"] {
            drop(Debt::new(&owed, name, QUOTA, 5));
        }
        let debt = collect("a").unwrap();
        assert_eq!(debt.units(), 5);
        debt.paid();
        assert!(collect("a").is_none());
        // Not counted, so owed again.
        drop(collect("b").unwrap());
        collect("b").unwrap().paid();
        assert!(collect("b").is_none());
        assert!(!owed.any.load(Ordering::SeqCst), "nobody need look");
    }
}
