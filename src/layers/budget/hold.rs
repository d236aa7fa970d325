use std::sync::Arc;

use super::{BudgetLayer, Unpriced};
use crate::{
    catalog::{Deployment, Money},
    error::{Error, ErrorKind},
    model::{ModelRequest, Outcome, Tap, TokenBound},
    store::Reservation,
};

/// The reservation of one attempt. Dropped before the answer began, it posts all it holds.
pub(super) struct Hold {
    reservation: Reservation,
    deployment: Arc<Deployment>,
}

impl Hold {
    /// Reserves the worst case of `request`; `None` if nobody pays.
    pub(super) fn take(request: &ModelRequest, terms: &BudgetLayer) -> Result<Option<Self>, Error> {
        let BudgetLayer {
            deployment,
            book,
            unpriced,
        } = terms;
        let accounts = &request.ctx.accounts;
        if !accounts
            .iter()
            .any(|account| book.balance(account).is_some())
        {
            return Ok(None);
        }
        let worst_case = match (deployment.price, unpriced) {
            (Some(price), _) if price.is_free() => Money::ZERO,
            (Some(_), _) => TokenBound::of(request, deployment)?.cost(deployment),
            (None, Unpriced::Allow) => Money::ZERO,
            (None, Unpriced::Refuse) => {
                return Err(Error::new(
                    ErrorKind::Budget,
                    format!(
                        "the model `{}` has no price, so no budget can pay for it; give it a price (0 if it is free)",
                        deployment.model
                    ),
                ));
            }
        };
        let reservation = Reservation::hold(Arc::clone(book), Arc::clone(accounts), worst_case)?;
        Ok(Some(Self {
            reservation,
            deployment: Arc::clone(deployment),
        }))
    }

    /// The attempt failed before its answer began.
    pub(super) fn failed(self, error: &Error) {
        if error.is_unbilled() {
            self.reservation.release();
        }
    }
}

impl Tap for Hold {
    fn on_end(self: Box<Self>, outcome: Outcome<'_>) {
        if let Outcome::Complete(end) = outcome
            && let (Some(usage), Some(price)) = (end.usage, &self.deployment.price)
        {
            self.reservation.settle(usage.cost(price));
        }
    }
}
