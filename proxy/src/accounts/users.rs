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
    /// When they were last seen, and under which budgets.
    last: HashMap<Arc<str>, (Instant, u64)>,
    /// Counts the changes of the budgets.
    budgets: u64,
    /// How many there were after the last sweep.
    swept: usize,
}

/// So many are kept without looking who is idle.
const FEW: usize = 1_000;

impl Users {
    /// Notes that `account` is used; whether it was open. Those idle for `patience` are forgotten before anybody else looks.
    fn visit(&self, account: &Arc<str>, patience: Duration, forget: impl FnMut(Arc<str>)) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let budgets = seen.budgets;
        let open = seen.last.get_mut(account).is_some_and(|(last, under)| {
            *last = now;
            *under == budgets
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

    fn opened(&self, account: Arc<str>) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let budgets = seen.budgets;
        seen.last.insert(account, (Instant::now(), budgets));
    }

    /// Each account is opened once more, with the next call: budgets may have changed.
    pub(crate) fn reopen(&self) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.budgets += 1;
    }
}

/// Adds [`UserAccounts`] to the call ring.
#[derive(Clone)]
pub(crate) struct UsersLayer {
    /// Of each user.
    pub(crate) each: Arc<Terms>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) users: Arc<Users>,
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
            patience,
            ..
        } = &self.terms;
        if users.visit(&account, *patience, |idle| accounts.forget(idle)) {
            return self.inner.call(request);
        }
        let (inner, terms) = (self.inner.clone(), self.terms.clone());
        Box::pin(async move {
            terms.accounts.open(&account, &terms.each).await?;
            terms.users.opened(account);
            inner.oneshot(request).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[tokio::test(start_paused = true)]
    async fn nobody_sees_a_user_who_is_being_forgotten() {
        let users = Users::default();
        for n in 0..3_000 {
            users.opened(format!("user{n}").into());
        }
        tokio::time::advance(HOUR).await;
        let mut forgotten = 0;
        let open = users.visit(&"busy".into(), HOUR / 2, |_| {
            assert!(users.0.try_lock().is_err(), "a call could find it open");
            forgotten += 1;
        });
        assert!(!open);
        assert_eq!(forgotten, 3_000);
    }
}
