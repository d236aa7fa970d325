//! Clients hear when the tools that they may see are others than before.

use std::sync::Arc;

use rmcp::{RoleServer, service::Peer};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::{auth::Principal, tools::Toolbox};

/// What one caller may see, and each change of it. Only tools of other servers change: when one is approved or quarantined, when
/// its server goes or comes back, when the configuration names others.
pub(super) struct Changes {
    toolbox: Arc<Toolbox>,
    principal: Arc<Principal>,
    anything: watch::Receiver<()>,
    seen: String,
}

impl Changes {
    /// Those from now on.
    pub(super) fn of(toolbox: Arc<Toolbox>, principal: Arc<Principal>) -> Self {
        Self {
            anything: toolbox.changes(),
            seen: toolbox.mounted_digest(&principal),
            toolbox,
            principal,
        }
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        // Its other end is in the gateway's state, which the toolbox keeps.
        while self.anything.changed().await.is_ok() {
            let seen = self.toolbox.mounted_digest(&self.principal);
            if seen != self.seen {
                self.seen = seen;
                return;
            }
        }
        std::future::pending().await
    }

    /// Tells a client of the older revisions of each, until it does not hear any more, or this is dropped.
    #[expect(
        clippy::disallowed_methods,
        reason = "the server of the connection holds the task, and ends it with itself"
    )]
    pub(super) fn told_to(mut self, peer: Peer<RoleServer>) -> AbortOnDropHandle<()> {
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                self.next().await;
                if peer.notify_tool_list_changed().await.is_err() {
                    return;
                }
            }
        }))
    }
}
