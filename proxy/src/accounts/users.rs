//! A budget of their own for each end user that a client names, opened with the user's first call.

use std::{
    collections::HashMap,
    future::ready,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use rungs::{
    Error, ErrorKind,
    model::{BoxModelService, ModelRequest, ModelResponse},
};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};

use super::{Accounts, Terms, of_user};

/// Users of late. What they have spent is on the ledger, so that an idle one may be forgotten.
#[derive(Default)]
pub(crate) struct Users(Mutex<Seen>);

/// When users were last seen, by their accounts, and under the budgets of which ring.
type Lately = HashMap<Arc<str>, (Instant, u64)>;

#[derive(Default)]
struct Seen {
    /// The users of each tenant.
    last: HashMap<Arc<str>, Lately>,
    /// How many there are.
    count: usize,
    /// Counts the rings.
    rings: u64,
    /// How many there were after the last sweep.
    swept: usize,
    /// When that was.
    swept_at: Option<Instant>,
}

/// So many are kept without looking who is idle, until it is time: who comes again waits for the ledger.
const FEW: usize = 1_000;

/// How often it is looked who is idle, at least.
const EVERY: Duration = Duration::from_secs(3_600);

/// So many users of one tenant at a time: whoever invents names fills neither the memory nor the book of all others.
pub(super) const MOST: usize = 100_000;

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
    ///
    /// # Errors
    /// [`ErrorKind::RateLimited`] for a further user of a tenant that has too many.
    pub(super) fn visit(
        &self,
        tenant: &Arc<str>,
        account: &Arc<str>,
        ring: u64,
        patience: Duration,
        forget: impl FnMut(Arc<str>),
    ) -> Result<bool, Error> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let users = seen.last.get_mut(tenant);
        let open = users.and_then(|users| users.get_mut(account)).map(|user| {
            user.0 = now;
            user.1 >= ring
        });
        seen.sweep(now, patience, forget);
        if let Some(open) = open {
            return Ok(open);
        }
        let users = seen.last.entry(Arc::clone(tenant)).or_default();
        if users.len() >= MOST {
            let what = "too many end users of this tenant have called of late for another one";
            return Err(Error::new(ErrorKind::RateLimited, what).retry_after(patience));
        }
        users.insert(Arc::clone(account), (now, NOBODYS));
        seen.count += 1;
        Ok(false)
    }

    /// Notes that a call on `ring` has put its budgets in force. Where those of a newer one were, the next call puts them back.
    fn opened(&self, tenant: &Arc<str>, account: Arc<str>, ring: u64) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let users = seen.last.entry(Arc::clone(tenant)).or_default();
        let before = users.get(&account).map(|(_, under)| *under);
        let under = match before {
            Some(before) if before > ring => NOBODYS,
            _ => ring,
        };
        users.insert(account, (Instant::now(), under));
        seen.count += usize::from(before.is_none());
    }
}

impl Seen {
    /// Forgets those idle for `patience`, if there are many more than after the last time, or that was so long ago.
    fn sweep(&mut self, now: Instant, patience: Duration, mut forget: impl FnMut(Arc<str>)) {
        let swept_at = *self.swept_at.get_or_insert(now);
        if self.count <= 2 * self.swept.max(FEW)
            && now.duration_since(swept_at) < EVERY.max(patience)
        {
            return;
        }
        for users in self.last.values_mut() {
            let idle = users.extract_if(|_, (last, _)| now.duration_since(*last) > patience);
            idle.for_each(|(account, _)| forget(account));
        }
        self.last.retain(|_, users| !users.is_empty());
        self.count = self.last.values().map(HashMap::len).sum();
        self.swept = self.count;
        self.swept_at = Some(now);
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
        let tenant = Arc::clone(&request.ctx.tenant);
        let account = of_user(&tenant, user);
        let UsersLayer {
            accounts,
            users,
            ring,
            patience,
            ..
        } = &self.terms;
        let forget = |idle| accounts.forget(idle);
        match users.visit(&tenant, &account, *ring, *patience, forget) {
            Ok(true) => return self.inner.call(request),
            Ok(false) => {}
            Err(error) => return Box::pin(ready(Err(error))),
        }
        let (inner, terms) = (self.inner.clone(), self.terms.clone());
        Box::pin(async move {
            terms.accounts.open(&account, &terms.each).await?;
            terms.users.opened(&tenant, account, terms.ring);
            inner.oneshot(request).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const TENANT: &str = "t";

    #[test]
    fn an_account_that_an_older_ring_has_opened_last_is_opened_once_more() {
        let users = Users::default();
        let [old, new] = [users.next_ring(), users.next_ring()];
        let is_open = |ring| {
            let open = users.visit(&TENANT.into(), &"ann".into(), ring, HOUR, |_| ());
            open.unwrap()
        };
        users.opened(&TENANT.into(), "ann".into(), new);
        assert!(is_open(new) && is_open(old));
        // It has waited while the newer one opened the account.
        users.opened(&TENANT.into(), "ann".into(), old);
        assert!(!is_open(new));
        users.opened(&TENANT.into(), "ann".into(), new);
        assert!(is_open(new));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_sees_a_user_who_is_being_forgotten() {
        let users = Users::default();
        for n in 0..3_000 {
            users.opened(&TENANT.into(), format!("user{n}").into(), 1);
        }
        tokio::time::advance(HOUR).await;
        let mut forgotten = 0;
        let open = users.visit(&TENANT.into(), &"busy".into(), 1, HOUR / 2, |_| {
            assert!(users.0.try_lock().is_err(), "a call could find it open");
            forgotten += 1;
        });
        assert!(!open.unwrap());
        assert_eq!(forgotten, 3_000);
    }
}
