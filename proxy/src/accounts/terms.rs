use rungs::store::{Budget, OnStoreDown};

/// What is in force on an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Its budgets, all at once.
    pub(crate) budgets: Vec<Budget>,
    /// At how many percent of one of them somebody is warned; `None`: as `[budget]` says.
    pub(crate) warn_at: Option<u8>,
    /// What becomes of its calls while nobody can tell what was spent; `None` leaves that to the keys.
    pub(crate) on_store_down: Option<OnStoreDown>,
}

impl From<Vec<Budget>> for Terms {
    fn from(budgets: Vec<Budget>) -> Self {
        Self {
            budgets,
            ..Self::default()
        }
    }
}
