//! What stands under a name in a register: a byte that says what it is, what was asked, and the rest.

use std::sync::Arc;

use bytes::Bytes;

use super::{KeptCall, Question};
use crate::{
    error::{Error, ErrorKind},
    store::record,
};

/// A claim; the rest says whose.
const CLAIMED: u8 = b'C';
/// What came of a call.
const DONE: u8 = b'E';
/// The same in a form that is only read any more: what was asked stands within the rest.
const ENCLOSED: u8 = b'D';

/// What stands under a name.
pub(super) enum State {
    /// A claim on a call that asks this.
    Claimed(Question),
    /// What came of a call.
    Done(Arc<KeptCall>),
    /// The work of another version, of which only what was asked may be known.
    Foreign(Option<Question>),
}

/// A claim of the process.
pub(super) fn claimed(question: &Question, process: [u8; 16], claim: u64) -> Vec<u8> {
    let mut state = vec![CLAIMED];
    state.extend_from_slice(question);
    state.extend_from_slice(&process);
    state.extend_from_slice(&claim.to_be_bytes());
    state
}

/// What came of a call; `None` if it cannot be written.
pub(super) fn done(call: &KeptCall) -> Option<Vec<u8>> {
    let mut state = vec![DONE];
    state.extend_from_slice(&call.question);
    state.extend_from_slice(&record::of_outcome(&call.outcome)?);
    Some(state)
}

impl State {
    pub(super) fn of(kept: &Bytes) -> Self {
        const FRONT: usize = 1 + size_of::<Question>();
        if kept.first() == Some(&ENCLOSED) {
            return match record::outcome(kept.slice(1..)) {
                Some((outcome, Some(question))) => {
                    Self::Done(Arc::new(KeptCall { question, outcome }))
                }
                _ => Self::Foreign(None),
            };
        }
        let Some([what, question @ ..]) = kept.first_chunk::<FRONT>().copied() else {
            return Self::Foreign(None);
        };
        match what {
            CLAIMED => Self::Claimed(question),
            DONE => match record::outcome(kept.slice(FRONT..)) {
                Some((outcome, _)) => Self::Done(Arc::new(KeptCall { question, outcome })),
                None => Self::Foreign(Some(question)),
            },
            _ => Self::Foreign(Some(question)),
        }
    }
}

/// What became of a call that another version has carried out. Asking again later is of no use.
pub(super) fn unreadable() -> Error {
    Error::new(
        ErrorKind::Conflict,
        "the call of this Idempotency-Key was carried out by another version of rungs, whose answer this one cannot read; to ask again, use another key",
    )
}
