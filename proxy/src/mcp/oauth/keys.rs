//! The issuer's keys, fetched when somebody needs one that is not at hand.
//!
//! What fetches them is a task of its own, one for all who wait: who leaves takes nothing from the others, and who brings a known
//! key does not wait, unless it has not been seen at the issuer for long.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jsonwebtoken::jwk::Jwk;
use rungs::{Error, ErrorKind};
use tokio::{
    runtime::Handle,
    sync::watch,
    time::{Instant, timeout},
};

use super::refused;

/// How long keys are used without fetching them again.
const FRESH: Duration = Duration::from_secs(600);

/// How long they are used meanwhile: the issuer may have taken one back.
const STALE: Duration = FRESH.saturating_mul(2);

/// How often an unknown key is looked for at the issuer: tokens are free to name any.
const PAUSE: Duration = Duration::from_secs(30);

/// The longest that fetching takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// The keys of one issuer.
#[derive(Default)]
pub(super) struct Keys(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    known: Vec<Jwk>,
    /// When they were fetched, when that was last tried, and whether it was in vain.
    fetched: Option<Instant>,
    tried: Option<Instant>,
    in_vain: bool,
    /// Of the last fetch; its other end is gone when that has ended.
    fetching: Option<watch::Receiver<()>>,
}

impl Keys {
    /// The key of this name; the only one, for a token that names none. `fetch` asks the issuer for all.
    ///
    /// # Errors
    /// [`ErrorKind::Unauthorized`] if there is none.
    pub(super) async fn find<F>(
        &self,
        name: Option<&str>,
        fetch: impl FnOnce() -> F,
    ) -> Result<Jwk, Error>
    where
        F: Future<Output = Result<Vec<Jwk>, Error>> + Send + 'static,
    {
        if let Some(mut fetching) = self.fetching(name, fetch) {
            // An error is its end: nothing is sent.
            let _ = fetching.changed().await;
        }
        let held = self.held();
        held.find(name).cloned().ok_or_else(|| {
            refused(match held.in_vain {
                true => "it cannot be checked right now",
                false => "its key is not known to the issuer",
            })
        })
    }

    /// The fetch that whoever looks for this name has to wait for, begun if it is due.
    fn fetching<F>(
        &self,
        name: Option<&str>,
        fetch: impl FnOnce() -> F,
    ) -> Option<watch::Receiver<()>>
    where
        F: Future<Output = Result<Vec<Jwk>, Error>> + Send + 'static,
    {
        let mut held = self.held();
        let is_known = held.find(name).is_some();
        if is_known && !is_past(held.fetched, FRESH) {
            return None;
        }
        let waits = !is_known || is_past(held.fetched, STALE);
        let under_way = held.fetching.clone();
        let under_way = under_way.filter(|fetching| fetching.has_changed().is_ok());
        if under_way.is_some() || !is_past(held.tried, PAUSE) {
            return under_way.filter(|_| waits);
        }
        let (ended, fetching) = watch::channel(());
        held.tried = Some(Instant::now());
        held.fetching = Some(fetching.clone());
        let (keys, fetch) = (Self(Arc::clone(&self.0)), fetch());
        // It ends in good time by itself.
        drop(Handle::current().spawn(async move {
            let late = || Err(Error::new(ErrorKind::Timeout, "the issuer does not answer"));
            let fetched = timeout(PATIENCE, fetch).await.unwrap_or_else(|_| late());
            keys.take(fetched);
            drop(ended);
        }));
        waits.then_some(fetching)
    }

    fn take(&self, fetched: Result<Vec<Jwk>, Error>) {
        let mut held = self.held();
        held.in_vain = fetched.is_err();
        match fetched {
            Ok(known) => {
                held.known = known;
                held.fetched = Some(Instant::now());
            }
            Err(error) => tracing::warn!(%error, "the issuer's keys cannot be had"),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn find(&self, name: Option<&str>) -> Option<&Jwk> {
        match (name, &*self.known) {
            (Some(name), known) => known
                .iter()
                .find(|key| key.common.key_id.as_deref() == Some(name)),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }
}

fn is_past(since: Option<Instant>, span: Duration) -> bool {
    since.is_none_or(|since| since.elapsed() >= span)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use serde_json::json;
    use tokio::time::sleep;

    use super::*;

    const SLOW: Duration = Duration::from_millis(500);

    /// An issuer that takes its time.
    #[derive(Clone, Default)]
    struct Issuer(Arc<AtomicUsize>);

    impl Issuer {
        fn asked(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }

        async fn all(self) -> Result<Vec<Jwk>, Error> {
            self.0.fetch_add(1, Ordering::Relaxed);
            sleep(SLOW).await;
            let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": "AAAA", "kid": "one" });
            Ok(vec![serde_json::from_value(key).expect("a key")])
        }

        async fn is_known(&self, keys: &Keys, name: &str) -> bool {
            keys.find(Some(name), || self.clone().all()).await.is_ok()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_takes_nothing_from_the_others() {
        let (keys, issuer) = (Keys::default(), Issuer::default());
        let left = timeout(SLOW / 10, issuer.is_known(&keys, "one")).await;
        assert!(left.is_err(), "it was not that slow");
        let all = (0..100).map(|_| issuer.is_known(&keys, "one"));
        assert_eq!(join_all(all).await, [true; 100]);
        assert_eq!(issuer.asked(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_known_key_does_not_wait_for_an_unknown_one() {
        let (keys, issuer) = (Keys::default(), Issuer::default());
        assert!(issuer.is_known(&keys, "one").await);
        sleep(PAUSE).await;
        let began = Instant::now();
        let unknown = async {
            let found = issuer.is_known(&keys, "two").await;
            (found, began.elapsed())
        };
        let known = async {
            sleep(SLOW / 2).await;
            let found = issuer.is_known(&keys, "one").await;
            (found, began.elapsed())
        };
        let (unknown, known) = tokio::join!(unknown, known);
        assert_eq!((unknown, known), ((false, SLOW), (true, SLOW / 2)));
        // An unknown key is looked for once in a while only, and a known one is fetched again.
        assert!(!issuer.is_known(&keys, "two").await);
        assert_eq!(issuer.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_known_key_is_fetched_again_in_good_time_and_waited_for_once_it_is_old() {
        let (keys, issuer) = (Keys::default(), Issuer::default());
        let waited = async || {
            let began = Instant::now();
            assert!(issuer.is_known(&keys, "one").await);
            began.elapsed()
        };
        assert_eq!(waited().await, SLOW, "nobody knows it yet");
        sleep(FRESH).await;
        // Those who come while it is fetched do not wait either.
        assert_eq!([waited().await, waited().await], [Duration::ZERO; 2]);
        sleep(SLOW * 2).await;
        assert_eq!((waited().await, issuer.asked()), (Duration::ZERO, 2));
        sleep(STALE).await;
        assert_eq!((waited().await, issuer.asked()), (SLOW, 3));
    }
}
