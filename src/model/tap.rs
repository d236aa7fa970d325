use bytes::Bytes;

use super::End;
use crate::error::Error;

/// Something that only watches an answer go by: it counts, records or releases, and changes nothing.
///
/// A tap runs inside the body's poll: it must not block, await, spawn or panic. [`on_end`](Tap::on_end) is called exactly once,
/// whatever happens to the answer.
pub trait Tap: Send {
    /// Sees one payload, before the reader does.
    fn on_data(&mut self, data: &Bytes) {
        let _ = data;
    }

    /// Sees how the answer ended.
    fn on_end(self: Box<Self>, outcome: Outcome<'_>);
}

/// How an answer ended.
#[derive(Debug, Clone, Copy)]
pub enum Outcome<'a> {
    /// All of it arrived from the provider.
    Complete(&'a End),
    /// It failed on the way.
    Failed(&'a Error),
    /// The reader left before the end.
    Cut,
}

impl<F: FnOnce(Outcome<'_>) + Send> Tap for F {
    fn on_end(self: Box<Self>, outcome: Outcome<'_>) {
        self(outcome);
    }
}
