//! The one error of the crate: a kind that decides status and retry class, a message that is safe to show a client, and its cause.

mod kind;

use std::{borrow::Cow, error::Error as StdError, fmt, sync::Arc, time::Duration};

use http::StatusCode;
use tower::{load_shed::error::Overloaded, timeout::error::Elapsed};

pub use kind::ErrorKind;

/// The error type of tower: any error, boxed.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// What a retry may do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same deployment may answer if asked again.
    Same,
    /// This deployment will not, another one may.
    Other,
    /// Nobody will: the request or the caller is at fault.
    Never,
}

/// An error of a call: one word wide, cheap to clone, safe to show.
///
/// `Display` prints this level only; the cause is reached through [`StdError::source`] and is meant for logs.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    param: Option<Box<str>>,
    provider: Option<Arc<str>>,
    model: Option<Arc<str>>,
    upstream_status: Option<StatusCode>,
    may_be_billed: bool,
    elsewhere: bool,
    conclusive: bool,
    retry_after: Option<Duration>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind` whose `message` may be shown to the client.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            param: None,
            provider: None,
            model: None,
            upstream_status: None,
            may_be_billed: false,
            elsewhere: false,
            conclusive: false,
            retry_after: None,
            source: None,
        }))
    }

    /// Shorthand for an [`ErrorKind::Invalid`] error.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// Shorthand for an [`ErrorKind::Internal`] error.
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Names the request member that is at fault.
    #[must_use]
    pub fn param(mut self, param: impl Into<Box<str>>) -> Self {
        self.0.param = Some(param.into());
        self
    }

    /// Names the provider and the model that were asked.
    #[must_use]
    pub fn asked(mut self, provider: Arc<str>, model: Arc<str>) -> Self {
        self.0.provider = Some(provider);
        self.0.model = Some(model);
        self
    }

    /// Records the status that the provider answered with.
    #[must_use]
    pub fn upstream_status(mut self, status: StatusCode) -> Self {
        self.0.upstream_status = Some(status);
        self
    }

    /// Says that a provider may have worked for it, although a status came or nobody knows which provider it was: somebody on the way
    /// gave up, or it had begun to answer.
    #[must_use]
    pub fn may_be_billed(mut self) -> Self {
        self.0.may_be_billed = true;
        self
    }

    /// Says that it is about one deployment: another one may do what this one does not.
    #[must_use]
    pub fn elsewhere(mut self) -> Self {
        self.0.elsewhere = true;
        self
    }

    /// Says that another try would be paid for as well and end alike: the answer came, and was not one that can be taken.
    #[must_use]
    pub fn conclusive(mut self) -> Self {
        self.0.conclusive = true;
        self
    }

    /// Says how long to wait before another try.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Says nothing about when to try again.
    #[must_use]
    pub(crate) fn without_retry_after(mut self) -> Self {
        self.0.retry_after = None;
        self
    }

    /// Says the same in other words, without the cause.
    #[must_use]
    pub(crate) fn reworded(mut self, message: String, param: Option<String>) -> Self {
        self.0.message = message.into();
        self.0.param = param.map(Into::into);
        self.0.source = None;
        self
    }

    /// Attaches the cause. It is logged, never shown.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    /// Why the call failed.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The client-safe message.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The request member at fault, if one is.
    #[must_use]
    pub fn get_param(&self) -> Option<&str> {
        self.0.param.as_deref()
    }

    /// The provider that was asked, if the error came from there.
    #[must_use]
    pub fn provider(&self) -> Option<&str> {
        self.0.provider.as_deref()
    }

    /// The model that was asked, if the error came from a provider.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.0.model.as_deref()
    }

    /// The status that the provider answered with.
    #[must_use]
    pub fn get_upstream_status(&self) -> Option<StatusCode> {
        self.0.upstream_status
    }

    /// How long to wait before another try.
    #[must_use]
    pub fn get_retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether a provider was asked: such an error says something about a deployment's health, others do not. A cut answer, and what
    /// may be billed, is a provider's whoever noticed.
    #[must_use]
    pub fn is_upstream(&self) -> bool {
        self.0.provider.is_some() || self.0.may_be_billed || self.0.kind == ErrorKind::Cut
    }

    /// Whether an attempt that ended with this before its answer began has cost nothing: it was not sent, nobody was there, or the
    /// provider refused with a status that says so. After any other error a provider may have worked, and charged, for it.
    #[must_use]
    pub fn is_unbilled(&self) -> bool {
        let refused = self.0.upstream_status.is_some() || self.0.kind == ErrorKind::Unavailable;
        !self.is_upstream() || refused && !self.0.may_be_billed
    }

    /// Whether it is about one deployment alone.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.0.elsewhere
    }

    /// Whether another try would end alike.
    #[must_use]
    pub fn is_conclusive(&self) -> bool {
        self.0.conclusive
    }

    /// The HTTP status for the client.
    ///
    /// A provider's own status is kept where it tells the client something true: errors of the request (4xx) and of the
    /// provider (5xx). Its 401, 402, 403 and 407 are about *our* account or way there, so the client gets 502, or what the kind
    /// stands for; its 408 tells of a time-out of ours, and is that.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        if let Some(status) = self.0.upstream_status {
            let ours = matches!(status.as_u16(), 401..=403 | 407);
            if (status.is_client_error() && !ours && status != StatusCode::REQUEST_TIMEOUT)
                || status.is_server_error()
            {
                return status;
            }
        }
        match self.0.kind {
            ErrorKind::Invalid | ErrorKind::ContextTooLong | ErrorKind::Refused => {
                StatusCode::BAD_REQUEST
            }
            ErrorKind::Unauthorized => StatusCode::UNAUTHORIZED,
            ErrorKind::Forbidden => StatusCode::FORBIDDEN,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::Slow => StatusCode::REQUEST_TIMEOUT,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::Reused => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::Budget | ErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::Overloaded | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            ErrorKind::Upstream | ErrorKind::Cut => StatusCode::BAD_GATEWAY,
            ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What a retry may do about it. 4xx answers other than 408 and 429 are not tried again on the same deployment.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self.0.kind {
            _ if self.0.conclusive => Retry::Never,
            ErrorKind::RateLimited
            | ErrorKind::Timeout
            | ErrorKind::Unavailable
            | ErrorKind::Cut => Retry::Same,
            ErrorKind::Upstream => match self.0.upstream_status {
                Some(status) if status.is_client_error() => Retry::Other,
                _ => Retry::Same,
            },
            ErrorKind::Budget | ErrorKind::Overloaded | ErrorKind::ContextTooLong => Retry::Other,
            ErrorKind::NotFound if self.is_upstream() => Retry::Other,
            _ if self.0.elsewhere => Retry::Other,
            _ => Retry::Never,
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut s = f.debug_struct("Error");
        s.field("kind", &self.0.kind)
            .field("message", &self.0.message);
        if let Some(param) = &self.0.param {
            s.field("param", param);
        }
        if let (Some(provider), Some(model)) = (&self.0.provider, &self.0.model) {
            s.field("provider", provider).field("model", model);
        }
        if let Some(status) = &self.0.upstream_status {
            s.field("upstream_status", status);
        }
        if let Some(source) = &self.0.source {
            s.field("source", source);
        }
        s.finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|s| s as _)
    }
}

impl Error {
    /// An [`Error`] as it is, and what tower's own layers say: that time is over, with an attempt under way that may be billed, and that
    /// there is no room.
    ///
    /// # Errors
    /// Anything else, as it is.
    pub(crate) fn known(error: BoxError) -> Result<Self, BoxError> {
        let foreign = match error.downcast::<Error>() {
            Ok(ours) => return Ok(*ours),
            Err(foreign) => foreign,
        };
        let error = if foreign.is::<Elapsed>() {
            Error::new(ErrorKind::Timeout, "no answer within the time of a layer").may_be_billed()
        } else if foreign.is::<Overloaded>() {
            Error::new(ErrorKind::Overloaded, "a layer of the gateway has no room")
        } else {
            return Err(foreign);
        };
        Ok(error.with_source(foreign))
    }
}

impl From<BoxError> for Error {
    /// Keeps an [`Error`] as it is, and knows what tower's own layers say: that time is over, with an attempt under way that may be
    /// billed, and that there is no room. Anything else was raised by somebody's layer and becomes [`ErrorKind::Internal`].
    fn from(error: BoxError) -> Self {
        Self::known(error).unwrap_or_else(|foreign| {
            Error::internal("a layer of the gateway failed").with_source(foreign)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_word_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn our_own_error_survives_the_box() {
        let boxed: BoxError = Box::new(Error::invalid("no").param("model"));
        let error = Error::from(boxed);
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert_eq!(error.get_param(), Some("model"));
        let foreign: BoxError = "boom".into();
        let error = Error::from(foreign);
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(StdError::source(&error).is_some());
    }

    #[test]
    fn towers_own_errors_are_known() {
        let late = Error::from(BoxError::from(Elapsed::new()));
        assert_eq!(late.kind(), ErrorKind::Timeout);
        assert!(!late.is_unbilled(), "a provider may have been at work");
        assert_eq!(late.retry(), Retry::Same);
        let shed = Error::from(BoxError::from(Overloaded::new()));
        assert_eq!(shed.kind(), ErrorKind::Overloaded);
        assert!(shed.is_unbilled(), "it was not sent");
    }

    #[test]
    fn what_may_be_billed_was_asked_of_a_provider() {
        for kind in ErrorKind::ALL {
            let error = Error::new(kind, "x");
            let cut = kind == ErrorKind::Cut;
            assert_eq!((error.is_upstream(), error.is_unbilled()), (cut, !cut));
            let error = error.may_be_billed();
            assert!(error.is_upstream() && !error.is_unbilled(), "{kind:?}");
        }
    }

    #[test]
    fn a_providers_complaint_about_our_account_is_not_the_clients_status() {
        for (status, seen) in [
            (400, 400),
            (401, 502),
            (402, 502),
            (403, 502),
            (429, 429),
            (500, 500),
            (529, 529),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let error = Error::new(ErrorKind::Upstream, "x").upstream_status(status);
            assert_eq!(error.status().as_u16(), seen);
        }
    }
}
