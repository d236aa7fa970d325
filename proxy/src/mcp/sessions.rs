//! Sessions of the revisions that have them: each belongs to who opened it, few are kept, and idle ones end.
//!
//! rmcp keeps the sessions; here it is known whose they are, and what they do. Whose does not reach its session manager by its
//! methods, so it comes by [`CALLER`], which stands around each request; and of calls under way rmcp knows nothing, so those say it
//! themselves.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures_util::Stream;
use rmcp::{
    model::{ClientJsonRpcMessage, ServerJsonRpcMessage},
    transport::{
        common::server_side_http::ServerSseMessage,
        streamable_http_server::session::{
            SessionId, SessionManager,
            local::{LocalSessionManager, LocalSessionManagerError, SessionError},
        },
    },
};
use tokio::{runtime::Handle, time::Instant};
use tokio_util::task::AbortOnDropHandle;

use crate::auth::Principal;

tokio::task_local! {
    /// Whose request is being answered.
    pub(super) static CALLER: Owner;
}

/// Whose a session is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    tenant: Arc<str>,
    key: Option<Arc<str>>,
    user: Option<Arc<str>>,
}

impl Owner {
    pub(super) fn of(principal: &Principal) -> Self {
        Self {
            tenant: principal.tenant.clone(),
            key: principal.key.clone(),
            user: principal.user.clone(),
        }
    }

    /// Who sent the request that is being answered; the server itself outside of requests.
    fn of_now() -> Option<Self> {
        CALLER.try_with(Clone::clone).ok()
    }
}

/// The sessions of `/mcp`.
pub(super) struct Sessions {
    local: Arc<LocalSessionManager>,
    open: Mutex<HashMap<SessionId, Open>>,
    /// The most that one owner may have; another one ends the one that was idle longest.
    most: usize,
    /// How long one may be idle.
    idle: Duration,
    _sweep: AbortOnDropHandle<()>,
}

struct Open {
    owner: Owner,
    used: Instant,
    /// How many calls are under way in it.
    calls: usize,
}

impl Open {
    /// Since when nothing was asked of it and nothing is under way.
    fn idle_since(&self) -> Option<Instant> {
        (self.calls == 0).then_some(self.used)
    }
}

/// How long an answer that is there may take to its client, before the session may end because it is one too many.
const HANDING_OVER: Duration = Duration::from_secs(1);

/// A call in a session, which is not idle as long as this lives.
pub(super) struct UnderWay {
    sessions: Arc<Sessions>,
    id: SessionId,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let owner = {
            let mut open = self.sessions.open();
            let Some(session) = open.get_mut(&self.id) else {
                return;
            };
            session.calls -= 1;
            session.used = Instant::now();
            let owner = session.owner.clone();
            (owned(&open, &owner) > self.sessions.most).then_some(owner)
        };
        // It was kept for its call alone.
        if let (Some(owner), Ok(runtime)) = (owner, Handle::try_current()) {
            let sessions = Arc::clone(&self.sessions);
            drop(runtime.spawn(async move {
                tokio::time::sleep(HANDING_OVER).await;
                sessions.end_surplus(&owner);
            }));
        }
    }
}

/// Ends what is idle for too long, as soon as it is.
async fn sweep(sessions: Weak<Sessions>, idle: Duration) {
    let mut pause = idle;
    loop {
        tokio::time::sleep(pause).await;
        let Some(sessions) = sessions.upgrade() else {
            return;
        };
        pause = sessions.end_idle();
    }
}

impl Sessions {
    /// Sessions that end after `idle` without a request and without a call under way.
    pub(super) fn new(most: usize, idle: Duration) -> Arc<Self> {
        let mut local = LocalSessionManager::default();
        // Its own timer knows messages alone, and would end a session in the middle of a long call.
        local.session_config.keep_alive = None;
        local.session_config.init_timeout = Some(idle.min(Duration::from_secs(10)));
        local.session_config.completed_cache_ttl = idle.min(Duration::from_secs(30));
        Arc::new_cyclic(|sessions| Self {
            local: Arc::new(local),
            open: Mutex::default(),
            most,
            idle,
            _sweep: AbortOnDropHandle::new(Handle::current().spawn(sweep(sessions.clone(), idle))),
        })
    }

    /// Notes that a call begins in a session, if there is such a one.
    pub(super) fn call(self: &Arc<Self>, id: &str) -> Option<UnderWay> {
        let mut open = self.open();
        let id = open.get_key_value(id)?.0.clone();
        open.get_mut(&id)?.calls += 1;
        Some(UnderWay {
            sessions: Arc::clone(self),
            id,
        })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<SessionId, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a session of `owner`. In the same moment those that were idle longest are no more, as many as are too many; one in
    /// which a call is under way is not idle. `None` if there are twice as many of those as one may have: then it is not taken in.
    fn take_in(&self, id: SessionId, owner: Owner) -> Option<Vec<SessionId>> {
        self.counted(|open| {
            let theirs = open.values().filter(|session| session.owner == owner);
            let at_work = theirs.filter(|session| session.calls > 0).count();
            if at_work >= self.most.saturating_mul(2) {
                return None;
            }
            let surplus = put_out(open, &owner, self.most.saturating_sub(1));
            let used = Instant::now();
            open.insert(
                id,
                Open {
                    owner,
                    used,
                    calls: 0,
                },
            );
            Some(surplus)
        })
    }

    /// Ends those that were idle longest, as many as `owner` has too many.
    fn end_surplus(&self, owner: &Owner) {
        for id in self.counted(|open| put_out(open, owner, self.most)) {
            self.end(id, Duration::ZERO);
        }
    }

    /// Ends those that have been idle for too long; gives the time after which another one may have been.
    fn end_idle(&self) -> Duration {
        let mut over = Vec::new();
        let mut next = self.idle;
        self.counted(|open| {
            open.retain(|id, session| {
                let Some(since) = session.idle_since() else {
                    return true;
                };
                let left = self.idle.saturating_sub(since.elapsed());
                if left.is_zero() {
                    over.push(id.clone());
                    return false;
                }
                next = next.min(left);
                true
            });
        });
        for id in over {
            self.end(id, Duration::ZERO);
        }
        next
    }

    /// Whether the request being answered may use the session; if so, it is in use now.
    fn admits(&self, id: &SessionId) -> bool {
        let mut open = self.open();
        let Some(session) = open.get_mut(id) else {
            return false;
        };
        let theirs = Owner::of_now().is_none_or(|now| now == session.owner);
        if theirs {
            session.used = Instant::now();
        }
        theirs
    }

    /// Ends the work of a session that is no more, some time later.
    #[expect(
        clippy::disallowed_methods,
        reason = "it ends some time after the session's worker has taken one message, or is gone"
    )]
    fn end(&self, id: SessionId, after: Duration) {
        let local = Arc::clone(&self.local);
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            if let Err(error) = local.close_session(&id).await {
                tracing::debug!(%error, "the end of an MCP session");
            }
        });
    }

    fn unknown(id: &SessionId) -> LocalSessionManagerError {
        LocalSessionManagerError::SessionNotFound(id.clone())
    }

    fn counted<T>(&self, change: impl FnOnce(&mut HashMap<SessionId, Open>) -> T) -> T {
        let mut open = self.open();
        let changed = change(&mut open);
        #[expect(clippy::cast_precision_loss, reason = "thousands at most")]
        metrics::gauge!("rungs_mcp_sessions").set(open.len() as f64);
        changed
    }
}

/// How many sessions somebody has.
fn owned(open: &HashMap<SessionId, Open>, owner: &Owner) -> usize {
    let theirs = open.values().filter(|session| session.owner == *owner);
    theirs.count()
}

/// Takes out those of `owner` that were idle longest, as many as are more than `most`.
fn put_out(open: &mut HashMap<SessionId, Open>, owner: &Owner, most: usize) -> Vec<SessionId> {
    let too_many = owned(open, owner).saturating_sub(most);
    let theirs = open.iter().filter(|(_, session)| session.owner == *owner);
    let mut idle: Vec<_> = theirs
        .filter_map(|(id, session)| Some((session.idle_since()?, id.clone())))
        .collect();
    idle.sort_unstable_by_key(|(since, _)| *since);
    idle.truncate(too_many);
    let ids = idle.into_iter().map(|(_, id)| id);
    ids.inspect(|id| drop(open.remove(id))).collect()
}

impl SessionManager for Sessions {
    type Error = LocalSessionManagerError;
    type Transport = <LocalSessionManager as SessionManager>::Transport;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Self::Error> {
        let owner = CALLER.with(Clone::clone);
        let (id, transport) = self.local.create_session().await?;
        // Nothing is waited for from here on: a caller who leaves would leave a session that nobody ends.
        let Some(surplus) = self.take_in(id.clone(), owner) else {
            self.end(id, Duration::ZERO);
            let why = "a call is under way in each session; no other is opened until one has ended";
            return Err(SessionError::Io(io::Error::other(why)).into());
        };
        for surplus in surplus {
            tracing::debug!("an idle MCP session ends: its owner opens too many");
            // It may have been opened only now.
            self.end(surplus, HANDING_OVER);
        }
        Ok((id, transport))
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Self::Error> {
        self.local.initialize_session(id, message).await
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, Self::Error> {
        Ok(self.admits(id) && self.local.has_session(id).await?)
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), Self::Error> {
        // That of somebody else is, to who asks, not there.
        if !self.admits(id) {
            return Ok(());
        }
        self.counted(|open| {
            open.remove(id);
        });
        self.local.close_session(id).await
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        self.local.create_stream(id, message).await
    }

    async fn accept_message(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<(), Self::Error> {
        self.local.accept_message(id, message).await
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        self.local.create_standalone_stream(id).await
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        if !self.admits(id) {
            return Err(Self::unknown(id));
        }
        self.local.resume(id, last_event_id).await
    }
}
