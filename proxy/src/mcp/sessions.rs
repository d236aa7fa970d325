//! Sessions of the revisions that have them: each belongs to who opened it, few are kept, and idle ones end.
//!
//! rmcp keeps the sessions; here it is known whose they are. That does not reach its session manager by its methods, so it comes
//! by [`CALLER`], which stands around each request.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::Stream;
use rmcp::{
    model::{ClientJsonRpcMessage, ServerJsonRpcMessage},
    transport::{
        common::server_side_http::ServerSseMessage,
        streamable_http_server::session::{
            SessionId, SessionManager,
            local::{LocalSessionManager, LocalSessionManagerError},
        },
    },
};

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
}

struct Open {
    owner: Owner,
    used: Instant,
}

impl Sessions {
    /// Sessions that end after `idle` without a request.
    pub(super) fn new(most: usize, idle: Duration) -> Self {
        let mut local = LocalSessionManager::default();
        local.session_config.keep_alive = Some(idle);
        local.session_config.init_timeout = Some(idle.min(Duration::from_secs(10)));
        local.session_config.completed_cache_ttl = idle.min(Duration::from_secs(30));
        Self {
            local: Arc::new(local),
            open: Mutex::default(),
            most,
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<SessionId, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a session of `owner`. In the same moment those that were idle longest are no more, as many as are too many.
    fn take_in(&self, id: SessionId, owner: Owner) -> Vec<SessionId> {
        let mut surplus = Vec::new();
        self.counted(|open| {
            let theirs = open.iter().filter(|(_, session)| session.owner == owner);
            let mut theirs: Vec<_> = theirs.map(|(id, session)| (session.used, id)).collect();
            theirs.sort_unstable_by_key(|(used, _)| *used);
            let room = self.most.saturating_sub(1);
            theirs.truncate(theirs.len().saturating_sub(room));
            surplus = theirs.into_iter().map(|(_, id)| id.clone()).collect();
            for id in &surplus {
                open.remove(id);
            }
            let used = Instant::now();
            open.insert(id, Open { owner, used });
        });
        surplus
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

    /// Ends the work of a session that is no more.
    #[expect(
        clippy::disallowed_methods,
        reason = "it ends when the session's worker has taken one message, or is gone"
    )]
    fn end(&self, id: SessionId) {
        let local = Arc::clone(&self.local);
        tokio::spawn(async move {
            if let Err(error) = local.close_session(&id).await {
                tracing::debug!(%error, "the end of an MCP session");
            }
        });
    }

    fn unknown(id: &SessionId) -> LocalSessionManagerError {
        LocalSessionManagerError::SessionNotFound(id.clone())
    }

    fn counted(&self, change: impl FnOnce(&mut HashMap<SessionId, Open>)) {
        let mut open = self.open();
        change(&mut open);
        #[expect(clippy::cast_precision_loss, reason = "thousands at most")]
        metrics::gauge!("rungs_mcp_sessions").set(open.len() as f64);
    }
}

impl SessionManager for Sessions {
    type Error = LocalSessionManagerError;
    type Transport = <LocalSessionManager as SessionManager>::Transport;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Self::Error> {
        let owner = CALLER.with(Clone::clone);
        let (id, transport) = self.local.create_session().await?;
        // Nothing is waited for from here on: a caller who leaves would leave a session that nobody ends.
        for surplus in self.take_in(id.clone(), owner) {
            tracing::debug!("an idle MCP session ends: its owner opens too many");
            self.end(surplus);
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
