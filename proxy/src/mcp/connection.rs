//! One connection: who is at its other end, and what is kept of the conversation with them.
#![expect(
    deprecated,
    reason = "2026-07-28 deprecates log messages; the older revisions have them, and clients ask for them"
)]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::{
    ErrorData, RoleServer,
    model::{Extensions, LoggingLevel},
    service::Peer,
};
use rungs::Error;
use secrecy::{ExposeSecret, SecretString};
use tokio_util::task::AbortOnDropHandle;

use super::changes::Changes;
use crate::{auth::Principal, gateway::Gateway, http::Grant, tools::Trail};

/// Who calls.
#[derive(Clone)]
pub(crate) enum Who {
    /// A program on this computer that needs no key.
    Local(Arc<Principal>),
    /// The holder of a key, for as long as the connection lasts.
    Key(SecretString),
    /// Whoever the gate let in with each request.
    EachRequest,
}

/// A client's connection, or its session.
pub(super) struct Connection {
    pub(super) who: Who,
    /// What the conversation has read.
    pub(super) trail: Trail,
    /// From which level on a client of an older revision wants log messages, once it has said so.
    level: Mutex<Option<LoggingLevel>>,
    /// What tells such a client that tools have changed.
    telling: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Connection {
    /// A new one.
    pub(super) fn of(who: Who) -> Self {
        Self {
            who,
            trail: Trail::default(),
            level: Mutex::default(),
            telling: Mutex::default(),
        }
    }

    /// Whether the caller may come in at all, as far as that is known before a request.
    pub(super) async fn check(&self, gateway: &Gateway) -> Result<(), Error> {
        match &self.who {
            Who::Key(key) => holder(gateway, key).await.map(|_| ()),
            Who::Local(_) | Who::EachRequest => Ok(()),
        }
    }

    /// Who sent a message. A key is looked at each time: it may have ended since.
    pub(super) async fn caller(
        &self,
        gateway: &Gateway,
        extensions: &Extensions,
    ) -> Result<Arc<Principal>, ErrorData> {
        match &self.who {
            Who::Local(principal) => Ok(Arc::clone(principal)),
            Who::Key(key) => {
                let holder = holder(gateway, key).await;
                holder.map_err(|error| ErrorData::invalid_request(error.message().to_owned(), None))
            }
            Who::EachRequest => {
                let parts = extensions.get::<http::request::Parts>();
                let principal = parts.and_then(|parts| parts.extensions.get::<Arc<Principal>>());
                principal.cloned().ok_or_else(|| {
                    ErrorData::internal_error("a request came past authentication", None)
                })
            }
        }
    }

    /// From which level on the client wants log messages.
    pub(super) fn level(&self) -> Option<LoggingLevel> {
        *held(&self.level)
    }

    pub(super) fn set_level(&self, level: LoggingLevel) {
        *held(&self.level) = Some(level);
    }

    /// Tells the client of changes, for as long as the connection lasts.
    pub(super) fn tell_of(&self, changes: Changes, peer: Peer<RoleServer>) {
        *held(&self.telling) = Some(changes.told_to(peer));
    }
}

async fn holder(gateway: &Gateway, key: &SecretString) -> Result<Arc<Principal>, Error> {
    let principal = gateway.principal(key.expose_secret()).await?;
    Grant::Mcp.admits(&principal)?;
    Ok(principal)
}

fn held<T>(one: &Mutex<T>) -> MutexGuard<'_, T> {
    one.lock().unwrap_or_else(PoisonError::into_inner)
}
