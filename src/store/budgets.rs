use std::{fmt, str::FromStr, sync::Arc, time::SystemTime};

use serde::{Deserialize, Serialize};

use super::{StoreFuture, Window, Zone};
use crate::{
    catalog::Money,
    error::{Error, ErrorKind},
};

/// A cap on money over a window. Written `0.01/day`, `20/week@sun`, `100/month@15 Europe/Berlin`; see [`Window`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// The cap.
    pub limit: Money,
    /// What it counts over.
    pub window: Window,
}

impl Budget {
    /// The same in another time zone.
    #[must_use]
    pub fn in_zone(self, zone: Zone) -> Self {
        Self {
            window: self.window.in_zone(zone),
            ..self
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.limit, self.window)
    }
}

impl FromStr for Budget {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        let (limit, window) = s.split_once('/').unwrap_or((s, "total"));
        let window = window.parse()?;
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

/// How an account stands by one of its budgets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// Its budget.
    pub budget: Budget,
    /// Spent in the current window.
    pub posted: Money,
    /// Held for attempts under way.
    pub reserved: Money,
}

/// A [`Balance`], for somebody who wants to know: what other processes have spent is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountBalance {
    /// Whose it is.
    pub account: Arc<str>,
    /// How it stands.
    pub balance: Balance,
    /// Whether it is only what this process knows, which has not used the account lately: nobody else could be asked.
    pub is_stale: bool,
}

impl Balance {
    /// What may still be held; negative once more was spent than the limit.
    #[must_use]
    pub fn room(&self) -> Money {
        self.budget.limit - self.posted - self.reserved
    }

    /// A budget that is spent pays for nothing more, not even for what is free; one of nothing pays for what is free.
    pub(crate) fn is_spent(&self) -> bool {
        self.posted >= self.budget.limit && !self.budget.limit.is_zero()
    }

    /// Whether `amount` cannot be held.
    pub(crate) fn lacks_room(&self, amount: Money) -> bool {
        self.is_spent() || amount > self.room().max(Money::ZERO)
    }

    /// The error for who would have held `amount` at `now`. It shows the kind of the account, never its id: the caller need not be
    /// its owner. What all have spent together, on an account without an id, is no business of one of them.
    pub(crate) fn refusal(&self, account: &str, amount: Money, now: SystemTime) -> Error {
        let owned = account.split_once(':');
        let kind = owned.map_or(account, |(kind, _)| kind);
        let Self {
            budget,
            posted,
            reserved,
        } = self;
        let reset = budget.window.reset(now);
        let message = if self.is_spent() {
            format!("the {kind} budget of ${budget} is spent; it {reset}")
        } else {
            let sums = match owned {
                Some(_) => format!(": ${posted} is spent and ${reserved} held by calls under way"),
                None => String::new(),
            };
            format!(
                "the {kind} budget of ${budget} has no room for ${amount}, the most this call can cost{sums}; it {reset}"
            )
        };
        let error = Error::new(ErrorKind::Budget, message);
        match budget.window.end(now) {
            Some(end) => error.retry_after(end.duration_since(now).unwrap_or_default()),
            None => error,
        }
    }
}

/// What [`Budgets::hold`] gave out: how much, and when. A late settlement belongs to the window in which it was held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// How much is held on each account.
    pub amount: Money,
    /// When it was held, by the clock of the book.
    pub at: SystemTime,
    /// Which hold of its book this is: one given out before an account had a budget reserves nothing there.
    pub serial: u64,
}

/// What accounts may spend. An account without a budget may spend anything.
///
/// An account is named by its kind and an id, like `key:k_123`; messages to clients show the kind alone.
///
/// All methods work on memory: they are called on the path of a call and from taps.
pub trait Budgets: Send + Sync {
    /// Holds `amount` on all of `accounts`, or on none. Nothing at all can be held unless a budget is spent; so a budget of zero pays
    /// for what is free.
    ///
    /// # Errors
    /// [`ErrorKind::Budget`] naming the account without room.
    fn hold(&self, accounts: &[Arc<str>], amount: Money) -> Result<Hold, Error>;

    /// Where `hold` fails and money may still come from somewhere, waits a bounded time for it and holds; `None` if there is nothing
    /// to wait for.
    ///
    /// # Errors
    /// As [`hold`](Self::hold); [`ErrorKind::Unavailable`] if nobody can tell whether there is room.
    fn wait<'a>(
        &'a self,
        accounts: &'a [Arc<str>],
        amount: Money,
    ) -> Option<StoreFuture<'a, Hold>> {
        let _ = (accounts, amount);
        None
    }

    /// Turns a hold on the same `accounts` into spending of `spent`, which may be less or more than was held.
    fn settle(&self, accounts: &[Arc<str>], hold: Hold, spent: Money);

    /// How an account stands, by the budget with the least room if it has several; `None` if it has none.
    fn balance(&self, account: &str) -> Option<Balance>;
}

/// A hold that settles itself. Dropped without a settlement it posts all it held: what an attempt has cost is then unknown, and
/// unknown is charged at its worst case.
pub struct Reservation {
    book: Arc<dyn Budgets>,
    accounts: Arc<[Arc<str>]>,
    hold: Hold,
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
        let hold = book.hold(&accounts, worst_case)?;
        Ok(Self {
            book,
            accounts,
            hold,
            settled: false,
        })
    }

    /// Where [`Reservation::hold`] fails, waits for money that may still come; `None` if there is nothing to wait for.
    ///
    /// # Errors
    /// As [`Budgets::wait`].
    pub async fn wait(
        book: Arc<dyn Budgets>,
        accounts: Arc<[Arc<str>]>,
        worst_case: Money,
    ) -> Option<Result<Self, Error>> {
        let hold = book.wait(&accounts, worst_case)?.await;
        Some(hold.map(|hold| Self {
            book,
            accounts,
            hold,
            settled: false,
        }))
    }

    /// What is held.
    #[must_use]
    pub fn held(&self) -> Money {
        self.hold.amount
    }

    /// When, by the clock of the book.
    #[must_use]
    pub fn held_at(&self) -> SystemTime {
        self.hold.at
    }

    /// Posts what was really spent and frees the rest.
    pub fn settle(mut self, spent: Money) {
        self.settled = true;
        self.book.settle(&self.accounts, self.hold, spent);
    }

    /// Frees all of it: nothing was sent.
    pub fn release(self) {
        self.settle(Money::ZERO);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.settled {
            self.book
                .settle(&self.accounts, self.hold, self.hold.amount);
        }
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("accounts", &self.accounts)
            .field("hold", &self.hold)
            .finish_non_exhaustive()
    }
}
