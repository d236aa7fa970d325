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
        if let Some(told) = self.told(said) {
            let _ = peer.notify_progress(told).await;
        }
    }

    /// What was said and not yet told when the tool was done.
    pub(super) async fn rest(&mut self, said: &mut mpsc::Receiver<Said>, peer: &Peer<RoleServer>) {
        while let Ok(said) = said.try_recv() {
            self.report(said, peer).await;
        }
    }

    fn told(&mut self, said: Said) -> Option<ProgressNotificationParam> {
        if self.last.is_some_and(|last| said.done <= last) {
            return None;
        }
        self.last = Some(said.done);
        let mut told = ProgressNotificationParam::new(self.token.clone(), said.done);
        told.total = said.total;
        told.message = Some(said.message);
        Some(told)
    }
}

#[cfg(test)]
mod tests {
    use rmcp::model::NumberOrString;

    use super::*;

    #[test]
    fn progress_only_grows() {
        let mut reported = Reported::new(ProgressToken(NumberOrString::Number(1)));
        let said = [1.0, 1.0, 0.5, 3.0, 2.0, 3.5].map(|done| Said {
            done,
            total: Some(4.0),
            message: format!("at {done}"),
        });
        let told = said.into_iter().filter_map(|said| reported.told(said));
        let told: Vec<_> = told
            .map(|told| (told.progress, told.total, told.message))
            .collect();
        let expected = [1.0, 3.0, 3.5].map(|done| (done, Some(4.0), Some(format!("at {done}"))));
        assert_eq!(told, expected);
    }
}
