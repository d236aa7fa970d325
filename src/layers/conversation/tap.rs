use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{compress::Compression, conversations::Place};
use crate::{
    catalog::DeploymentId,
    error::Error,
    model::{CallContext, Collected, End, Outcome, Tap, chat::reply},
    store::Turn,
};

/// Collects an answer as it goes by, and keeps the turn once it is complete.
pub(super) struct TurnTap {
    pub(super) place: Place,
    pub(super) ctx: CallContext,
    /// What the client asked, without what was remembered.
    pub(super) asked: Vec<Box<RawValue>>,
    pub(super) compression: Option<Box<Compression>>,
    pub(super) deployment: Option<DeploymentId>,
    pub(super) limit: usize,
    pub(super) whole: bool,
    pub(super) data: Vec<Bytes>,
    pub(super) size: usize,
}

impl TurnTap {
    fn turn(&mut self, end: &End) -> Result<Turn, Error> {
        if self.size > self.limit {
            let limit = self.limit;
            return Err(Error::internal(format!("it is longer than {limit} bytes")));
        }
        let answer = Collected {
            whole: self.whole,
            data: std::mem::take(&mut self.data),
            end: end.clone(),
        };
        let mut messages = std::mem::take(&mut self.asked);
        messages.push(reply(&answer.to_whole()?)?);
        Ok(Turn {
            request: Arc::clone(&self.ctx.id),
            key: self.ctx.key.clone(),
            user: self.ctx.user.clone(),
            deployment: self.deployment.take(),
            messages: messages.into(),
            at: SystemTime::now(),
        })
    }
}

impl Tap for TurnTap {
    fn on_data(&mut self, data: &Bytes) {
        self.size += data.len();
        if self.size <= self.limit {
            self.data.push(data.clone());
        } else {
            self.data = Vec::new();
        }
    }

    fn on_end(mut self: Box<Self>, outcome: Outcome<'_>) {
        let Outcome::Complete(end) = outcome else {
            return;
        };
        match self.turn(end) {
            Ok(turn) => self.place.keep(turn, self.compression),
            Err(error) => {
                tracing::warn!(call = %self.ctx.id, %error, "an answer is not kept in its conversation");
            }
        }
    }
}
