use std::time::Duration;

use crate::{
    error::{Error, ErrorKind},
    model::CallContext,
};

/// What an outcome says about a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Healthy,
    Failing,
    /// It asks to be left alone for so long.
    Limited(Duration),
    /// It does not accept our key or account.
    BadKey,
    /// Nothing.
    Silent,
}

impl Verdict {
    /// That of an attempt which failed, and of which nothing came in `silence`.
    pub(super) fn of(
        error: &Error,
        ctx: &CallContext,
        silence: Duration,
        patience: Duration,
    ) -> Self {
        // An answer that cannot be taken, and would come again, is as much the request's fault.
        if !error.is_upstream() || error.is_conclusive() {
            return Self::Silent;
        }
        let status = error.get_upstream_status().map(|status| status.as_u16());
        match error.kind() {
            // Our credit would do for less.
            ErrorKind::Invalid if status == Some(402) => Self::Silent,
            ErrorKind::Invalid
            | ErrorKind::ContextTooLong
            | ErrorKind::Refused
            | ErrorKind::TooLarge => Self::Healthy,
            ErrorKind::RateLimited => error
                .get_retry_after()
                .filter(|after| !after.is_zero())
                .map_or(Self::Silent, Self::Limited),
            _ if matches!(status, Some(401..=403)) => Self::BadKey,
            // The call had no more time; whether the attempt had enough is another question.
            ErrorKind::Timeout
                if silence < patience && ctx.time_left().is_some_and(|left| left.is_zero()) =>
            {
                Self::Silent
            }
            ErrorKind::Timeout | ErrorKind::Unavailable | ErrorKind::Cut => Self::Failing,
            ErrorKind::Upstream if status.is_none_or(|status| status >= 500) => Self::Failing,
            _ => Self::Silent,
        }
    }
}
