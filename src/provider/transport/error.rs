//! What a client's errors mean to a call.

use std::error::Error as StdError;

use crate::error::{BoxError, Error, ErrorKind};

/// Where on the way a client failed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stage {
    /// Before the connection stood: nothing was sent.
    Connecting,
    /// Afterwards.
    Connected,
}

/// Our own error if one lies within, else what the stage says.
pub(super) fn translate(error: impl Into<BoxError>, stage: Stage) -> Error {
    let error = error.into();
    let first: &(dyn StdError + 'static) = &*error;
    let ours = std::iter::successors(Some(first), |&error| error.source())
        .find_map(|error| error.downcast_ref::<Error>())
        .cloned();
    if let Some(ours) = ours {
        return ours;
    }
    let (kind, message) = match stage {
        Stage::Connecting => (ErrorKind::Unavailable, "the provider cannot be reached"),
        Stage::Connected => (
            ErrorKind::Cut,
            "the connection to the provider broke before the end of its answer",
        ),
    };
    Error::new(kind, message).with_source(error)
}
