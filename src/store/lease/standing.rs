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

/// What a holder would like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Wish {
    /// What calls wait for, in their order, less what the lease can give.
    pub(crate) needs: Vec<i64>,
    /// What the lease lacks of what is spent in a while.
    pub(crate) slice: i64,
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
        self.limit - self.posted - self.granted - self.excess
    }

    /// Grants what fits of `wish`, with `replicas` holders in mind: whole needs in their order, or a slice that leaves enough for
    /// others. A part of a need helps nobody, and is not granted.
    pub(crate) fn grant(&mut self, wish: &Wish, replicas: i64) -> i64 {
        let room = self.room().max(0);
        let mut needed = 0_i64;
        for &need in &wish.needs {
            match needed.checked_add(need.max(0)) {
                Some(sum) if sum <= room => needed = sum,
                _ => {}
            }
        }
        let fair = room / (4 * replicas.max(1));
        let granted = match needed == 0 && !wish.needs.is_empty() {
            true => 0,
            false => needed.max(wish.slice.clamp(0, fair)),
        };
        self.granted += granted;
        granted
    }

    /// Takes back `nanos` that were granted and not used.
    pub(crate) fn give_back(&mut self, nanos: i64) {
        self.granted -= nanos;
        self.approach_target();
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
