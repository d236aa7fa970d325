use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{StatusCode, response};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::{Dialect, Endpoint, retry_after::retry_after};
use crate::{
    catalog::Deployment,
    error::{BoxError, Error, ErrorKind},
};

/// How much of an error body is read, in bytes.
const MAX_ERROR_BODY: usize = 64 * 1024;

/// How long it is read: the status says most, and who waits for words can neither retry nor go elsewhere.
const ERROR_BODY_TIME: Duration = Duration::from_secs(3);

/// What a provider service asks, where, and in which dialect.
pub(super) struct Target {
    pub(super) deployment: Arc<Deployment>,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) dialect: Arc<dyn Dialect>,
}

impl Target {
    /// Names the provider in an error that it caused, and makes the text fit to be shown. Where a layer around the transport has no
    /// room, the provider was not asked.
    pub(super) fn blame(&self, error: Error) -> Error {
        let Deployment {
            provider, model, ..
        } = &*self.deployment;
        match error.kind() {
            ErrorKind::Overloaded => error,
            _ => self.cleaned(error).asked(provider.clone(), model.clone()),
        }
    }

    fn cleaned(&self, error: Error) -> Error {
        let message = self.endpoint.clean(error.message());
        let param = error.get_param().map(|param| self.endpoint.clean(param));
        let unchanged = *message == *error.message() && param.as_deref() == error.get_param();
        if unchanged {
            return error;
        }
        let (message, param) = (message.into_owned(), param.map(Cow::into_owned));
        error.reworded(message, param)
    }

    /// The error that a response without success means.
    pub(super) async fn refusal<B>(&self, head: response::Parts, body: B) -> Error
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let status = head.status;
        let error = if status.is_client_error() || status.is_server_error() {
            self.dialect
                .error(status, &head.headers, &beginning(body).await)
        } else {
            unexpected(status)
        };
        let error = error.upstream_status(status);
        match (
            error.get_retry_after(),
            retry_after(&head.headers, SystemTime::now()),
        ) {
            (None, Some(after)) => error.retry_after(after),
            _ => error,
        }
    }
}

fn unexpected(status: StatusCode) -> Error {
    let message = if status.is_redirection() {
        format!("the provider answered with a redirect ({status}), and redirects are not followed")
    } else {
        format!("the provider answered with the unexpected status {status}")
    };
    Error::new(ErrorKind::Upstream, message)
}

/// The first bytes of a body; a body that breaks, or stalls, says what it said until then.
async fn beginning<B: Body<Data = Bytes>>(body: B) -> Vec<u8> {
    let mut body = std::pin::pin!(body);
    let mut bytes = Vec::new();
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(data) = frame.into_data() {
                let room = MAX_ERROR_BODY - bytes.len();
                bytes.extend_from_slice(&data[..data.len().min(room)]);
            }
            if bytes.len() == MAX_ERROR_BODY {
                break;
            }
        }
    };
    let _late = tokio::time::timeout(ERROR_BODY_TIME, reading).await;
    bytes
}

/// Reads a body of at most `limit` bytes.
pub(super) async fn read<B>(body: B, limit: usize) -> Result<bytes::Bytes, Error>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Error::new(
            ErrorKind::Upstream,
            format!("the provider's answer is larger than {limit} bytes"),
        )
        .conclusive()),
        Err(error) => Err(broken(error)),
    }
}

/// The error of a connection that was never made, unless the transport knows better.
pub(super) fn unreachable(error: impl Into<BoxError>) -> Error {
    ours_or(
        error,
        ErrorKind::Unavailable,
        "the provider cannot be reached",
    )
}

/// The error of a connection that broke within an answer, unless the transport knows better.
pub(super) fn broken(error: impl Into<BoxError>) -> Error {
    ours_or(
        error,
        ErrorKind::Cut,
        "the connection to the provider broke before the end of its answer",
    )
}

fn ours_or(error: impl Into<BoxError>, kind: ErrorKind, message: &'static str) -> Error {
    Error::known(error.into())
        .unwrap_or_else(|foreign| Error::new(kind, message).with_source(foreign))
}
