use std::sync::Arc;

use crate::store::{Quota, RateStore, memory::MemoryRates};

/// Units of a limit that were used, on their way to the Redis. Dropped before they are paid they are owed (again): a time-out may have
/// them counted twice, nothing has them forgotten.
pub(super) struct Debt {
    owed: Arc<MemoryRates>,
    name: Box<str>,
    quota: Quota,
    units: u64,
}

impl Debt {
    pub(super) fn new(owed: &Arc<MemoryRates>, name: &str, quota: Quota, units: u64) -> Self {
        Self {
            owed: Arc::clone(owed),
            name: name.into(),
            quota,
            units,
        }
    }

    /// All that is `owed` of a limit, as far as time has not given it back.
    pub(super) fn collect(owed: &Arc<MemoryRates>, name: &str, quota: Quota) -> Option<Self> {
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
            self.owed.adjust(&self.name, self.quota, units);
        }
    }
}
