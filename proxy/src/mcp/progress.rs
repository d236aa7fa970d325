use rmcp::{
    RoleServer,
    model::{ProgressNotificationParam, ProgressToken},
    service::Peer,
};
use tokio::sync::mpsc;

use crate::tools::Said;

/// Progress as the client was told it: it never goes back.
pub(super) struct Reported {
    token: ProgressToken,
    last: Option<f64>,
}

impl Reported {
    /// Nothing yet.
    pub(super) fn new(token: ProgressToken) -> Self {
        Self { token, last: None }
    }

    pub(super) async fn report(&mut self, said: Said, peer: &Peer<RoleServer>) {
        if self.last.is_some_and(|last| said.done <= last) {
            return;
        }
        self.last = Some(said.done);
        let mut told = ProgressNotificationParam::new(self.token.clone(), said.done);
        told.total = said.total;
        told.message = Some(said.message);
        let _ = peer.notify_progress(told).await;
    }

    /// What was said and not yet told when the tool was done.
    pub(super) async fn rest(&mut self, said: &mut mpsc::Receiver<Said>, peer: &Peer<RoleServer>) {
        while let Ok(said) = said.try_recv() {
            self.report(said, peer).await;
        }
    }
}
