use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response, header::CONTENT_TYPE};
use http_body::Body;
use tower_service::Service;

use super::{
    Dialect, Endpoint,
    frames::Frames,
    target::{Target, read, unreachable},
};
use crate::{
    catalog::Deployment,
    error::{BoxError, Error},
    model::{Collected, ModelBody, ModelRequest, ModelResponse, ResponseMeta},
};

/// The largest answer that is read into memory, in bytes.
const MAX_ANSWER: usize = 32 * 1024 * 1024;

/// One deployment, asked over HTTP through the transport `T`.
///
/// `T` is any clonable HTTP client that is a tower service. Its own errors, if they are [`Error`]s, are kept, and those of tower's
/// layers around it are known: time that is over, and room that there is not. Others mean that the provider cannot be reached.
#[derive(Clone)]
pub struct HttpProvider<T> {
    transport: T,
    target: Arc<Target>,
    max_answer: usize,
}

impl<T> HttpProvider<T> {
    /// Asks `deployment` at `endpoint` in `dialect`.
    pub fn new(
        transport: T,
        deployment: impl Into<Arc<Deployment>>,
        endpoint: impl Into<Arc<Endpoint>>,
        dialect: Arc<dyn Dialect>,
    ) -> Self {
        Self {
            transport,
            target: Arc::new(Target {
                deployment: deployment.into(),
                endpoint: endpoint.into(),
                dialect,
            }),
            max_answer: MAX_ANSWER,
        }
    }

    /// Sets the largest answer that is read into memory, in bytes; 32 MiB by default. Of a stream it is the largest event.
    #[must_use]
    pub fn max_answer(mut self, bytes: usize) -> Self {
        self.max_answer = bytes;
        self
    }
}

impl<T, B> Service<ModelRequest> for HttpProvider<T>
where
    T: Service<Request<Bytes>, Response = Response<B>> + Clone + Send + 'static,
    T::Future: Send,
    T::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = ModelResponse;
    type Error = Error;
    type Future = BoxFuture<'static, Result<ModelResponse, Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let ready = self.transport.poll_ready(cx);
        ready.map_err(|error| self.target.blame(unreachable(error)))
    }

    fn call(&mut self, req: ModelRequest) -> Self::Future {
        let clone = self.transport.clone();
        let mut transport = std::mem::replace(&mut self.transport, clone);
        let target = Arc::clone(&self.target);
        let max_answer = self.max_answer;
        Box::pin(async move {
            let request = target
                .dialect
                .request(&req, &target.deployment, &target.endpoint)?;
            let answer = async {
                let response = transport.call(request).await.map_err(unreachable)?;
                answer(&target, &req, response, max_answer).await
            };
            let body = answer.await.map_err(|error| target.blame(error))?;
            let meta = ResponseMeta {
                deployment: Some(Arc::clone(&target.deployment)),
                ..ResponseMeta::default()
            };
            Ok(ModelResponse { meta, body })
        })
    }
}

/// Reads a response in the form it has, and gives it the form that was asked for.
async fn answer<B>(
    target: &Arc<Target>,
    req: &ModelRequest,
    response: Response<B>,
    max: usize,
) -> Result<ModelBody, Error>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (head, body) = response.into_parts();
    if !head.status.is_success() {
        return Err(target.refusal(head, body).await);
    }
    let stream_wanted = req.wants_stream();
    if is_event_stream(&head.headers).unwrap_or(stream_wanted) {
        let decode = target.dialect.stream(req, max);
        let frames = Frames::new(body, decode, Arc::clone(target));
        let body = ModelBody::stream(frames);
        if stream_wanted {
            return body.peek().await;
        }
        let whole = body.collect(max).await?.into_form(true)?;
        return Ok(whole.into_body());
    }
    let (data, end) = target.dialect.whole(req, read(body, max).await?)?;
    if !stream_wanted {
        return Ok(ModelBody::whole(data, end));
    }
    let answer = Collected {
        whole: true,
        data: vec![data],
        end,
    };
    Ok(answer.into_form(false)?.into_body())
}

/// Whether the content type says that the body is an event stream; `None` if it says neither that nor a document.
fn is_event_stream(headers: &HeaderMap) -> Option<bool> {
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let essence = content_type.split(';').next()?.trim().to_ascii_lowercase();
    match essence.as_str() {
        "text/event-stream" => Some(true),
        "application/json" | "text/html" => Some(false),
        other if other.ends_with("+json") => Some(false),
        _ => None,
    }
}

impl<T> fmt::Debug for HttpProvider<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpProvider")
            .field("deployment", &self.target.deployment.id)
            .field("endpoint", &self.target.endpoint)
            .finish_non_exhaustive()
    }
}
