use std::{sync::Arc, time::SystemTime};

use super::{BudgetLayer, Unpriced};
use crate::{
    catalog::{Deployment, Money},
    error::{Error, ErrorKind},
    model::{Charge, Ending, ModelRequest, Outcome, Tap, TokenBound, Usage},
    store::Reservation,
};

/// The reservation of one attempt. Dropped before the answer began, it posts all it holds.
pub(super) struct Hold {
    reservation: Reservation,
    deployment: Arc<Deployment>,
    /// `None` where no price makes it matter.
    bound: Option<TokenBound>,
}

/// The most that an attempt can cost, and what bounds it.
#[derive(Clone, Copy)]
pub(super) struct WorstCase {
    cost: Money,
    bound: Option<TokenBound>,
}

impl WorstCase {
    /// Of a request that may ask for anything. A budget that comes while it is under way is to count what it has cost.
    fn without_budget(request: &ModelRequest, deployment: &Deployment) -> Self {
        let bound = TokenBound::of(request, deployment).ok();
        let cost = bound.and_then(|bound| bound.cost(deployment));
        Self {
            cost: cost.unwrap_or_default(),
            bound,
        }
    }
}

impl Hold {
    /// The most that `request` can cost; `None` if nobody pays, and nobody will.
    pub(super) fn worst_case(
        request: &ModelRequest,
        terms: &BudgetLayer,
    ) -> Result<Option<WorstCase>, Error> {
        let BudgetLayer {
            deployment,
            book,
            unpriced,
        } = terms;
        let accounts = &request.ctx.accounts;
        if accounts.is_empty() {
            return Ok(None);
        }
        if !accounts
            .iter()
            .any(|account| book.balance(account).is_some())
        {
            return Ok(Some(WorstCase::without_budget(request, deployment)));
        }
        TokenBound::covers(request, deployment)?;
        let bound = match deployment.price {
            Some(price) if !price.is_free() => Some(TokenBound::of(request, deployment)?),
            _ => None,
        };
        let cost = match (bound, deployment.price, unpriced) {
            (Some(bound), ..) => bound
                .cost(deployment)
                .ok_or_else(|| no_price(deployment, " for that `service_tier`"))?,
            (None, Some(_), _) | (None, None, Unpriced::Allow) => Money::ZERO,
            (None, None, Unpriced::Refuse) => return Err(no_price(deployment, "")),
        };
        Ok(Some(WorstCase { cost, bound }))
    }

    /// Reserves `worst_case` at once.
    pub(super) fn take(
        request: &ModelRequest,
        terms: &BudgetLayer,
        worst_case: WorstCase,
    ) -> Result<Self, Error> {
        let (book, accounts) = (Arc::clone(&terms.book), Arc::clone(&request.ctx.accounts));
        let reservation = Reservation::hold(book, accounts, worst_case.cost)?;
        Ok(Self::of(reservation, terms, worst_case))
    }

    /// Reserves it as soon as there is money, or not; `None` if there is nothing to wait for.
    pub(super) async fn wait(
        accounts: Arc<[Arc<str>]>,
        terms: BudgetLayer,
        worst_case: WorstCase,
    ) -> Option<Result<Self, Error>> {
        let book = Arc::clone(&terms.book);
        let reservation = Reservation::wait(book, accounts, worst_case.cost).await?;
        Some(reservation.map(|reservation| Self::of(reservation, &terms, worst_case)))
    }

    fn of(reservation: Reservation, terms: &BudgetLayer, worst_case: WorstCase) -> Self {
        Self {
            reservation,
            deployment: Arc::clone(&terms.deployment),
            bound: worst_case.bound,
        }
    }

    /// When it was held.
    pub(super) fn at(&self) -> SystemTime {
        self.reservation.held_at()
    }

    /// The attempt failed before its answer began.
    pub(super) fn failed(self, error: &Error) {
        self.settle(Ending::Unanswered(error));
    }

    fn settle(self, ending: Ending<'_>) {
        let charge = Charge::of(&self.deployment, self.bound, ending, Usage::default());
        self.reservation.settle(charge.cost);
    }
}

impl Tap for Hold {
    fn on_end(self: Box<Self>, outcome: Outcome<'_>) {
        self.settle(match outcome {
            Outcome::Complete(end) => Ending::Complete(end),
            Outcome::Failed(_) | Outcome::Cut => Ending::Partial,
        });
    }
}

fn no_price(deployment: &Deployment, service: &str) -> Error {
    Error::new(
        ErrorKind::Budget,
        format!(
            "the model `{}` has no price{service}, so no budget can pay for it; give it a price (0 if it is free)",
            deployment.model
        ),
    )
    .elsewhere()
}
