//! What connections are served: calls of models by a short way, all other routes by axum's router.

use std::{any::Any, convert::Infallible, panic::AssertUnwindSafe, sync::Arc, thread};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::Request,
    response::Response,
};
use futures_util::{
    FutureExt,
    future::{CatchUnwind, Either, Map},
};
use http::Method;
use rungs::{
    Error,
    http::{AnswerBody, OpenAi},
    swap::Swap,
};
use tower::{
    BoxError, ServiceExt,
    util::{self, MapResponse, Oneshot},
};
use tower_http::cors::Cors;

use super::{admission::Admission, error, gate::Gate};

pub(super) const CHAT: &str = "/v1/chat/completions";
pub(super) const EMBEDDINGS: &str = "/v1/embeddings";

/// Everything that is served. Clones share it.
#[derive(Clone)]
pub(crate) struct Surface(Arc<Ways>);

/// The router does for every request what only some need; it costs a call of a model a twentieth of its time.
pub(super) struct Ways {
    pub(super) chat: Calls,
    pub(super) embeddings: Calls,
    pub(super) router: Router,
}

/// One operation, under the edge layers.
pub(super) type Calls = util::Either<Cors<Gate<Operation>>, Gate<Operation>>;
pub(super) type Operation =
    MapResponse<OpenAi<Swap, Admission>, fn(http::Response<AnswerBody>) -> Response>;

pub(super) fn operation(openai: OpenAi<Swap, Admission>) -> Operation {
    MapResponse::new(openai, |answer| answer.map(Body::new))
}

type Answering = Either<Oneshot<Calls, Request>, Oneshot<Router, Request>>;
type Caught = thread::Result<Result<Response, Infallible>>;

impl Surface {
    pub(super) fn new(ways: Ways) -> Self {
        Self(Arc::new(ways))
    }
}

impl<B> hyper::service::Service<http::Request<B>> for Surface
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future =
        Map<CatchUnwind<AssertUnwindSafe<Answering>>, fn(Caught) -> Result<Response, Infallible>>;

    fn call(&self, request: http::Request<B>) -> Self::Future {
        let request = request.map(Body::new);
        let Ways {
            chat,
            embeddings,
            router,
        } = &*self.0;
        let answering = match (request.method(), request.uri().path()) {
            (&Method::POST, CHAT) => Either::Left(chat.clone().oneshot(request)),
            (&Method::POST, EMBEDDINGS) => Either::Left(embeddings.clone().oneshot(request)),
            _ => Either::Right(router.clone().oneshot(request)),
        };
        // One request that breaks the gateway must not break the others of its connection.
        AssertUnwindSafe(answering).catch_unwind().map(answer)
    }
}

fn answer(caught: Caught) -> Result<Response, Infallible> {
    caught.unwrap_or_else(|panic| Ok(panicked(&*panic)))
}

fn panicked(panic: &(dyn Any + Send)) -> Response {
    let text = panic.downcast_ref::<&str>().copied();
    let what = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(
        what = what.unwrap_or_default(),
        "a request made the gateway panic"
    );
    error::respond(&Error::internal("the gateway failed on this request"))
}
