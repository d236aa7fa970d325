use std::{
    convert::Infallible,
    fmt,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::{BoxFuture, Either, select};
use http::{HeaderValue, Method, Request, Response, header, request::Parts};
use http_body::Body;
use tower::ServiceExt;
use tower_service::Service;

use super::{
    AnswerBody, error_response,
    facts::{REQUEST_ID, insert, write_facts},
    limits::write_limits,
    read::read_body,
    sse_body::{Answering, SseBody},
    validate::validate,
};
use crate::{
    error::{Error, ErrorKind},
    json::RawObject,
    model::{
        CacheUse, Call, CallContext, ModelRequest, ModelResponse, ModelService, Operation,
        RouteHint,
    },
};

/// A request that was let in.
#[derive(Debug, Clone)]
pub struct Admitted {
    /// Who calls, and what the call may do.
    pub ctx: CallContext,
    /// Where it may go.
    pub route: RouteHint,
    /// What the cache may do for it.
    pub cache: CacheUse,
}

impl From<(CallContext, RouteHint)> for Admitted {
    fn from((ctx, route): (CallContext, RouteHint)) -> Self {
        Self {
            ctx,
            route,
            cache: CacheUse::default(),
        }
    }
}

/// Says who calls and where the call may go. A closure will do; it may return the context and the route alone.
pub trait Admit: Clone + Send + Sync + 'static {
    /// Admits a request by its head and its body.
    ///
    /// # Errors
    /// Why it is not admitted; the client gets it as it is.
    fn admit(&self, head: &Parts, op: Operation, body: &RawObject) -> Result<Admitted, Error>;
}

impl<F, R> Admit for F
where
    F: Fn(&Parts, Operation, &RawObject) -> Result<R, Error> + Clone + Send + Sync + 'static,
    R: Into<Admitted>,
{
    fn admit(&self, head: &Parts, op: Operation, body: &RawObject) -> Result<Admitted, Error> {
        self(head, op, body).map(Into::into)
    }
}

/// The OpenAI surface over a call ring. See the [module](super).
#[derive(Clone)]
pub struct OpenAi<S, A> {
    ring: S,
    admit: A,
    options: Options,
}

#[derive(Debug, Clone, Copy)]
struct Options {
    body_limit: usize,
    body_time: Duration,
    answer_limit: usize,
    ping: Duration,
}

impl<S, A> OpenAi<S, A> {
    /// Serves `ring` to whom `admit` admits: bodies of at most 16 MiB within 30 s, a ping every 15 s.
    pub fn new(ring: S, admit: A) -> Self {
        let options = Options {
            body_limit: 16 * 1024 * 1024,
            body_time: Duration::from_secs(30),
            answer_limit: 64 * 1024 * 1024,
            ping: Duration::from_secs(15),
        };
        Self {
            ring,
            admit,
            options,
        }
    }

    /// Sets the largest request body, in bytes.
    #[must_use]
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.options.body_limit = bytes;
        self
    }

    /// Sets how long a request body may take to arrive.
    #[must_use]
    pub fn body_time(mut self, time: Duration) -> Self {
        self.options.body_time = time;
        self
    }

    /// Sets how long a stream stays silent before a comment is sent; zero for never.
    #[must_use]
    pub fn ping(mut self, every: Duration) -> Self {
        self.options.ping = every;
        self
    }
}

impl<S, A, B> Service<Request<B>> for OpenAi<S, A>
where
    S: ModelService,
    A: Admit,
    B: Body + Send + 'static,
    B::Data: Send,
{
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    /// Always ready: the ring is asked when the request has been read.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Self {
            ring,
            admit,
            options,
        } = self.clone();
        Box::pin(async move {
            let request = match options.take(request, &admit).await {
                Ok(request) => request,
                // A refused request has an id as well, so that its user can ask about it.
                Err(error) => return Ok(error_response(&error, &Call::new("").id)),
            };
            let ctx = request.ctx.clone();
            let answer = if request.wants_stream() {
                options.streamed(ring, request).await
            } else {
                options.whole(ring, request).await
            };
            Ok(answer.unwrap_or_else(|error| {
                let mut response = error_response(&error, &ctx.id);
                write_facts(
                    response.headers_mut(),
                    &ctx,
                    &crate::model::ResponseMeta::default(),
                    true,
                );
                response
            }))
        })
    }
}

impl Options {
    async fn take<B: Body>(
        &self,
        request: Request<B>,
        admit: &impl Admit,
    ) -> Result<ModelRequest, Error> {
        let (head, body) = request.into_parts();
        let op = operation(&head)?;
        let bytes = read_body(&head.headers, body, self.body_limit, self.body_time).await?;
        let body = RawObject::parse(bytes)?;
        validate(op, &body)?;
        let Admitted { ctx, route, cache } = admit.admit(&head, op, &body)?;
        let request = ModelRequest::new(op, body, ctx).route(route);
        Ok(ModelRequest { cache, ..request })
    }

    async fn whole<S: ModelService>(
        &self,
        ring: S,
        request: ModelRequest,
    ) -> Result<Response<AnswerBody>, Error> {
        let ctx = request.ctx.clone();
        let ModelResponse { meta, body } = ring.oneshot(request).await?;
        let document = body.collect(self.answer_limit).await?.to_whole()?;
        let mut response = respond("application/json", AnswerBody::full(document));
        write_facts(response.headers_mut(), &ctx, &meta, true);
        Ok(response)
    }

    async fn streamed<S: ModelService>(
        &self,
        ring: S,
        request: ModelRequest,
    ) -> Result<Response<AnswerBody>, Error> {
        let ctx = request.ctx.clone();
        let wants_usage = wants_usage(&request.body)?;
        let call: Answering = Box::pin(ring.oneshot(request));
        let patience = std::pin::pin!(async {
            match self.ping.is_zero() {
                true => std::future::pending().await,
                false => tokio::time::sleep(self.ping).await,
            }
        });
        match select(call, patience).await {
            Either::Left((answer, _)) => {
                let answer = answer?;
                let meta = answer.meta.clone();
                let events = SseBody::new(answer, ctx.clone(), wants_usage, self.ping);
                let mut response = respond("text/event-stream", AnswerBody::sse(events));
                write_facts(response.headers_mut(), &ctx, &meta, false);
                Ok(response)
            }
            Either::Right(((), call)) => {
                let events = SseBody::waiting(call, ctx.clone(), wants_usage, self.ping);
                let mut response = respond("text/event-stream", AnswerBody::sse(events));
                let headers = response.headers_mut();
                insert(headers, &REQUEST_ID, &ctx.id);
                write_limits(headers, &ctx);
                Ok(response)
            }
        }
    }
}

fn respond(content_type: &'static str, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.reserve(10);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn operation(head: &Parts) -> Result<Operation, Error> {
    let path = head.uri.path();
    let op = if path.ends_with("/chat/completions") {
        Operation::Chat
    } else if path.ends_with("/embeddings") {
        Operation::Embeddings
    } else {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("there is nothing at `{path}`"),
        ));
    };
    if head.method != Method::POST {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("`{path}` answers POST only"),
        ));
    }
    Ok(op)
}

fn wants_usage(body: &RawObject) -> Result<bool, Error> {
    #[derive(serde::Deserialize)]
    struct StreamOptions {
        #[serde(default)]
        include_usage: Option<bool>,
    }
    let options: Option<StreamOptions> = body.get_as("stream_options")?;
    Ok(options.and_then(|o| o.include_usage).unwrap_or(false))
}

impl<S, A> fmt::Debug for OpenAi<S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAi")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
