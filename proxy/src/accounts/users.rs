//! A budget of their own for each end user that a client names, opened with the user's first call.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use rungs::{
    Error,
    model::{BoxModelService, ModelRequest, ModelResponse},
};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};

use super::{Accounts, Terms, of_user};

/// Users of late. What they have spent is on the ledger, so that an idle one may be forgotten.
#[derive(Default)]
pub(crate) struct Users(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    /// When they were last seen, and under the budgets of which ring.
    last: HashMap<Arc<str>, (Instant, u64)>,
    /// Counts the rings.
    rings: u64,
    /// How many there were after the last sweep.
    swept: usize,
}

/// So many are kept without looking who is idle.
const FEW: usize = 1_000;

/// Before the first ring.
const NOBODYS: u64 = 0;

impl Users {
    /// The number of a ring that is being built: budgets may be others than in the ring before.
    pub(crate) fn next_ring(&self) -> u64 {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.rings += 1;
        seen.rings
    }

    /// Notes that a call on `ring` uses `account`; whether it was open under these budgets or newer ones. Those idle for `patience` are
    /// forgotten before anybody else looks.
    fn visit(
        &self,
        account: &Arc<str>,
        ring: u64,
        patience: Duration,
        forget: impl FnMut(Arc<str>),
    ) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let open = seen.last.get_mut(account).is_some_and(|(last, under)| {
            *last = now;
            *under >= ring
        });
        if seen.last.len() <= 2 * seen.swept.max(FEW) {
            return open;
        }
        let idle = seen
            .last
            .extract_if(|_, (last, _)| now.duration_since(*last) > patience)
            .map(|(account, _)| account);
        idle.for_each(forget);
        seen.swept = seen.last.len();
        open
    }

    /// Notes that a call on `ring` has put its budgets in force. Where those of a newer one were, the next call puts them back.
    fn opened(&self, account: Arc<str>, ring: u64) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.last.get(&account).map_or(0, |(_, under)| *under);
        let under = if before > ring { NOBODYS } else { ring };
        seen.last.insert(account, (Instant::now(), under));
    }
}

/// Adds [`UserAccounts`] to the call ring.
#[derive(Clone)]
pub(crate) struct UsersLayer {
    /// Of each user.
    pub(crate) each: Arc<Terms>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) users: Arc<Users>,
    /// The [number](Users::next_ring) of the ring that this is in.
    pub(crate) ring: u64,
    /// Longer than any call takes.
    pub(crate) patience: Duration,
}

impl<S> Layer<S> for UsersLayer
where
    S: Service<ModelRequest, Response = ModelResponse, Error = Error>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
{
    type Service = UserAccounts;

    fn layer(&self, inner: S) -> UserAccounts {
        UserAccounts {
            inner: BoxModelService::new(inner),
            terms: self.clone(),
        }
    }
}

/// Opens the account of the user before the call goes on.
#[derive(Clone)]
pub(crate) struct UserAccounts {
    inner: BoxModelService,
    terms: UsersLayer,
}

impl Service<ModelRequest> for UserAccounts {
    type Response = ModelResponse;
    type Error = Error;
    type Future = BoxFuture<'static, Result<ModelResponse, Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ModelRequest) -> Self::Future {
        let Some(user) = &request.ctx.user else {
            return self.inner.call(request);
        };
        let account = of_user(&request.ctx.tenant, user);
        let UsersLayer {
            accounts,
            users,
            ring,
            patience,
            ..
        } = &self.terms;
        if users.visit(&account, *ring, *patience, |idle| accounts.forget(idle)) {
            return self.inner.call(request);
        }
        let (inner, terms) = (self.inner.clone(), self.terms.clone());
        Box::pin(async move {
            terms.accounts.open(&account, &terms.each).await?;
            terms.users.opened(account, terms.ring);
            inner.oneshot(request).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn an_account_that_an_older_ring_has_opened_last_is_opened_once_more() {
        let users = Users::default();
        let [old, new] = [users.next_ring(), users.next_ring()];
        let is_open = |ring| users.visit(&"ann".into(), ring, HOUR, |_| ());
        users.opened("ann".into(), new);
        assert!(is_open(new) && is_open(old));
        // It has waited while the newer one opened the account.
        users.opened("ann".into(), old);
        assert!(!is_open(new));
        users.opened("ann".into(), new);
        assert!(is_open(new));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_sees_a_user_who_is_being_forgotten() {
        let users = Users::default();
        for n in 0..3_000 {
            users.opened(format!("user{n}").into(), 1);
        }
        tokio::time::advance(HOUR).await;
        let mut forgotten = 0;
        let open = users.visit(&"busy".into(), 1, HOUR / 2, |_| {
            assert!(users.0.try_lock().is_err(), "a call could find it open");
            forgotten += 1;
        });
        assert!(!open);
        assert_eq!(forgotten, 3_000);
    }
}
