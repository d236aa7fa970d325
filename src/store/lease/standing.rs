/// How a budget stands over one window, for all its holders. Amounts in nano-dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) limit: i64,
    /// A lower limit, which applies as soon as what is out fits under it.
    pub(crate) target: Option<i64>,
    pub(crate) posted: i64,
    pub(crate) granted: i64,
    /// What was spent beyond the limit; `posted` does not count it.
    pub(crate) excess: i64,
    /// The part of `posted` that no ledger row explains.
    pub(crate) unexplained: i64,
}

impl Standing {
    #[cfg(test)]
    pub(crate) fn new(limit: i64) -> Self {
        Self {
            limit,
            target: None,
            posted: 0,
            granted: 0,
            excess: 0,
            unexplained: 0,
        }
    }

    /// What may still be granted; negative when more was spent than the limit.
    pub(crate) fn room(&self) -> i64 {
        self.room_under(self.limit)
    }

    /// The same for a holder that knows of another limit: the lower one of both counts.
    pub(crate) fn room_under(&self, limit: i64) -> i64 {
        self.limit.min(limit) - self.posted - self.granted - self.excess
    }

    /// Takes back `nanos` that were granted and not used.
    pub(crate) fn give_back(&mut self, nanos: i64) {
        self.granted -= nanos;
        self.approach_target();
        self.fold();
    }

    /// Counts what was spent: `leased` of it was granted before, the rest nobody had held.
    pub(crate) fn post(&mut self, leased: i64, rest: i64) {
        self.posted += leased;
        self.granted -= leased;
        let fits = rest.min(self.room()).max(0);
        self.posted += fits;
        self.excess += rest - fits;
    }

    /// Counts as spent what was granted to a process that is gone, and that no row explains.
    pub(crate) fn write_off(&mut self, nanos: i64) {
        self.post(nanos, 0);
        self.unexplained += nanos;
    }

    /// Another limit. One that is below what is out already waits until it fits; nothing is granted meanwhile.
    pub(crate) fn set_limit(&mut self, limit: i64) {
        self.target = Some(limit);
        self.approach_target();
        self.fold();
    }

    /// What was spent beyond the limit while others had the rest is within it once they have given that back.
    fn fold(&mut self) {
        let fits = self.limit - self.posted - self.granted;
        let folded = self.excess.min(fits).max(0);
        self.excess -= folded;
        self.posted += folded;
    }

    fn approach_target(&mut self) {
        if let Some(target) = self.target {
            self.limit = target.max(self.posted + self.granted);
            self.target = (self.limit > target).then_some(target);
        }
    }

    /// The limit that somebody wants.
    pub(crate) fn wanted_limit(&self) -> i64 {
        self.target.unwrap_or(self.limit)
    }
}
