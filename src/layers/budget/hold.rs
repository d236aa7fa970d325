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
    /// The most that `request` can cost; `None` if nobody pays.
    pub(super) fn worst_case(
        request: &ModelRequest,
        terms: &BudgetLayer,
    ) -> Result<Option<Money>, Error> {
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
        match (deployment.price, unpriced) {
            (Some(price), _) if price.is_free() => Ok(Some(Money::ZERO)),
            (Some(_), _) => Ok(Some(TokenBound::of(request, deployment)?.cost(deployment))),
            (None, Unpriced::Allow) => Ok(Some(Money::ZERO)),
            (None, Unpriced::Refuse) => Err(Error::new(
                ErrorKind::Budget,
                format!(
                    "the model `{}` has no price, so no budget can pay for it; give it a price (0 if it is free)",
                    deployment.model
                ),
            )),
        }
    }

    /// Reserves `worst_case` at once.
    pub(super) fn take(
        request: &ModelRequest,
        terms: &BudgetLayer,
        worst_case: Money,
    ) -> Result<Self, Error> {
        let (book, accounts) = (Arc::clone(&terms.book), Arc::clone(&request.ctx.accounts));
        let reservation = Reservation::hold(book, accounts, worst_case)?;
        Ok(Self::of(reservation, terms))
    }

    /// Reserves it as soon as there is money, or not; `None` if there is nothing to wait for.
    pub(super) async fn wait(
        accounts: Arc<[Arc<str>]>,
        terms: BudgetLayer,
        worst_case: Money,
    ) -> Option<Result<Self, Error>> {
        let reservation = Reservation::wait(Arc::clone(&terms.book), accounts, worst_case).await?;
        Some(reservation.map(|reservation| Self::of(reservation, &terms)))
    }

    fn of(reservation: Reservation, terms: &BudgetLayer) -> Self {
        Self {
            reservation,
            deployment: Arc::clone(&terms.deployment),
        }
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
