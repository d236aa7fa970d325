use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{catalog::Money, error::Error};

/// The time over which a budget counts. Windows begin at midnight UTC, weeks on Monday.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    /// Each day anew.
    Day,
    /// Each week anew.
    Week,
    /// Each month anew.
    Month,
    /// Once and for all.
    Total,
}

/// A cap on money over a window. Written `0.01/day`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// The cap.
    pub limit: Money,
    /// What it counts over.
    pub window: Window,
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let window = match self.window {
            Window::Day => "day",
            Window::Week => "week",
            Window::Month => "month",
            Window::Total => "total",
        };
        write!(f, "{}/{window}", self.limit)
    }
}

impl FromStr for Budget {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        let (limit, window) = s.split_once('/').unwrap_or((s, "total"));
        let window = match window {
            "day" => Window::Day,
            "week" => Window::Week,
            "month" => Window::Month,
            "total" => Window::Total,
            other => {
                return Err(Error::invalid(format!(
                    "`{other}` is no budget window; windows are day, week, month and total"
                )));
            }
        };
        let limit: Money = limit.parse()?;
        if limit < Money::ZERO {
            return Err(Error::invalid("a budget cannot be negative"));
        }
        Ok(Self { limit, window })
    }
}

impl Serialize for Budget {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Budget {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// How an account stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// Its budget.
    pub budget: Budget,
    /// Spent in the current window.
    pub posted: Money,
    /// Held for attempts under way.
    pub reserved: Money,
}

/// What accounts may spend. An account without a budget may spend anything.
///
/// All methods work on memory: they are called on the path of a call and from taps.
pub trait Budgets: Send + Sync {
    /// Holds `amount` on all of `accounts`, or on none.
    ///
    /// # Errors
    /// [`ErrorKind::Budget`](crate::ErrorKind::Budget) naming the account without room.
    fn hold(&self, accounts: &[Arc<str>], amount: Money) -> Result<(), Error>;

    /// Turns a hold of `held` into spending of `spent`, which may be less or more.
    fn settle(&self, accounts: &[Arc<str>], held: Money, spent: Money);

    /// How an account stands; `None` if it has no budget.
    fn balance(&self, account: &str) -> Option<Balance>;
}

/// A hold that settles itself. Dropped without a settlement it posts all it held: what an attempt has cost is then unknown, and
/// unknown is charged at its worst case.
pub struct Reservation {
    book: Arc<dyn Budgets>,
    accounts: Arc<[Arc<str>]>,
    held: Money,
    settled: bool,
}

impl Reservation {
    /// Holds `worst_case` on all of `accounts`.
    ///
    /// # Errors
    /// As [`Budgets::hold`].
    pub fn hold(
        book: Arc<dyn Budgets>,
        accounts: Arc<[Arc<str>]>,
        worst_case: Money,
    ) -> Result<Self, Error> {
        book.hold(&accounts, worst_case)?;
        Ok(Self {
            book,
            accounts,
            held: worst_case,
            settled: false,
        })
    }

    /// What is held.
    #[must_use]
    pub fn held(&self) -> Money {
        self.held
    }

    /// Posts what was really spent and frees the rest.
    pub fn settle(mut self, spent: Money) {
        self.settled = true;
        self.book.settle(&self.accounts, self.held, spent);
    }

    /// Frees all of it: nothing was sent.
    pub fn release(self) {
        self.settle(Money::ZERO);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.settled {
            self.book.settle(&self.accounts, self.held, self.held);
        }
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("accounts", &self.accounts)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}
