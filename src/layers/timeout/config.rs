use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    catalog::Deployment,
    error::{Error, ErrorKind},
    model::CallContext,
};

/// The limits of an attempt. None of them may be zero in practice: such a call fails before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeoutConfig {
    /// Until the first frame of a stream.
    pub first_frame: Duration,
    /// Between two frames of a stream, while somebody waits for the next one.
    pub gap: Duration,
    /// Until an answer in one piece. Shorter than `total`, it leaves time to ask somebody else.
    pub whole: Duration,
    /// Until the end, of either.
    pub total: Duration,
}

impl Default for TimeoutConfig {
    /// 60 s, 60 s, and 10 minutes for the others.
    fn default() -> Self {
        Self {
            first_frame: Duration::from_secs(60),
            gap: Duration::from_secs(60),
            whole: Duration::from_secs(600),
            total: Duration::from_secs(600),
        }
    }
}

/// The limit that runs out first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    FirstFrame(Duration),
    Gap(Duration),
    Total(Duration),
    Deadline(Duration),
}

/// The limits of one attempt, as points in time.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) gap: Duration,
    /// Until when the future must resolve, and why.
    pub(super) head: (Instant, Limit),
    /// Until when the stream must end, and why.
    pub(super) end: (Instant, Limit),
    deployment: Arc<Deployment>,
}

impl Limits {
    /// The limits of an attempt that begins now.
    pub(super) fn new(
        config: &TimeoutConfig,
        streams: bool,
        ctx: &CallContext,
        deployment: Arc<Deployment>,
    ) -> Self {
        let now = Instant::now();
        let total = match streams {
            true => config.total,
            false => config.total.min(config.whole),
        };
        let mut end = (later(now, total), Limit::Total(total));
        if let Some(deadline) = ctx.deadline
            && deadline < end.0
        {
            let allowed = deadline.saturating_duration_since(ctx.started());
            end = (deadline, Limit::Deadline(allowed));
        }
        let first = later(now, config.first_frame);
        let head = if streams && first < end.0 {
            (first, Limit::FirstFrame(config.first_frame))
        } else {
            end
        };
        Self {
            gap: config.gap,
            head,
            end,
            deployment,
        }
    }

    /// The error of a limit that has run out.
    pub(super) fn error(&self, limit: Limit) -> Error {
        let message = match limit {
            Limit::FirstFrame(limit) => format!("no first frame within {} s", Seconds(limit)),
            Limit::Gap(limit) => format!("no further frame within {} s", Seconds(limit)),
            Limit::Total(limit) => format!("no answer within {} s", Seconds(limit)),
            Limit::Deadline(limit) => {
                format!("the call's deadline of {} s has passed", Seconds(limit))
            }
        };
        let Deployment {
            provider, model, ..
        } = &*self.deployment;
        Error::new(ErrorKind::Timeout, message).asked(Arc::clone(provider), Arc::clone(model))
    }
}

/// `from + by`, or a time that will not come.
pub(super) fn later(from: Instant, by: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 24 * 60 * 60);
    from + by.min(FAR)
}

struct Seconds(Duration);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Rounded: what is left of a deadline is some microseconds short of what was configured.
        let ms = (self.0 + Duration::from_micros(500)).as_millis();
        match (ms / 1000, ms % 1000) {
            (s, 0) => write!(f, "{s}"),
            (s, ms) => write!(f, "{s}.{ms:03}"),
        }
    }
}
