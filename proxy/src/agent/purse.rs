use std::fmt;

use rungs::{catalog::Money, model::CallContext};
use tokio::time::Instant;

use crate::tools::Bill;

/// What a job may still use up.
#[derive(Debug)]
pub(super) struct Purse {
    budget: Money,
    spent: Money,
    steps: u32,
    taken: u32,
    deadline: Instant,
    /// What whoever wants the job done is told of it, also when it is cut off.
    bill: Bill,
}

/// A call under way: however it ends, and also if it is given up, what it has cost is paid.
pub(super) struct Paying<'a> {
    purse: &'a mut Purse,
    call: CallContext,
}

impl Drop for Paying<'_> {
    fn drop(&mut self) {
        self.purse.pay(self.call.spent());
    }
}

/// The limit of a job that ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The most that the next question can cost is more than what is left.
    Budget { left: Money, worst: Money },
    /// All questions are asked.
    Steps(u32),
    /// The time is over.
    Deadline,
}

impl Purse {
    /// One that puts what it pays on `bill`.
    pub(super) fn new(budget: Money, steps: u32, deadline: Instant, bill: Bill) -> Self {
        Self {
            bill,
            budget,
            spent: Money::ZERO,
            steps,
            taken: 0,
            deadline,
        }
    }

    /// Begins a question that costs at most `worst`; its number, from 1. The budget holds whatever the question costs then.
    pub(super) fn begin(&mut self, worst: Money) -> Result<u32, Stop> {
        let left = self.budget - self.spent;
        if Instant::now() >= self.deadline {
            return Err(Stop::Deadline);
        }
        if self.taken >= self.steps {
            return Err(Stop::Steps(self.steps));
        }
        if worst > left {
            return Err(Stop::Budget { left, worst });
        }
        self.taken += 1;
        Ok(self.taken)
    }

    /// Pays for `call` when what is given is dropped, which must be after the call itself: only then is it known what it has cost.
    pub(super) fn paying(&mut self, call: CallContext) -> Paying<'_> {
        Paying { purse: self, call }
    }

    fn pay(&mut self, cost: Money) {
        self.spent += cost;
        self.bill.add(cost);
    }

    pub(super) fn spent(&self) -> Money {
        self.spent
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Budget { left, worst } => write!(
                f,
                "the budget of the job has ${left} left, and the next question may cost ${worst}; raise `budget`"
            ),
            Self::Steps(steps) => {
                write!(
                    f,
                    "all {steps} questions of the job are asked; raise `agent.steps`"
                )
            }
            Self::Deadline => {
                f.write_str("the time of the job is over; raise `agent.deadline_seconds`")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_limit_stops_before_a_question() {
        let dollar = |text: &str| text.parse::<Money>().unwrap();
        let mut purse = Purse::new(
            dollar("0.01"),
            2,
            Instant::now() + Duration::from_secs(5),
            Bill::default(),
        );
        assert_eq!(purse.begin(dollar("0.01")), Ok(1));
        purse.pay(dollar("0.004"));
        let worst = dollar("0.0060001");
        let left = dollar("0.006");
        assert_eq!(purse.begin(worst), Err(Stop::Budget { left, worst }));
        assert_eq!(purse.begin(left), Ok(2));
        assert_eq!(purse.begin(Money::ZERO), Err(Stop::Steps(2)));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(purse.begin(Money::ZERO), Err(Stop::Deadline));
        assert_eq!(purse.spent(), dollar("0.004"));
    }
}
