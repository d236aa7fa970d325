//! Reads a JSON body within the configured limits, as strictly as the OpenAI surface does.

use axum::body::Body;
use http::{Request, request::Parts};
use rungs::{Error, http::read_body, json::RawObject};

use crate::gateway::Live;

pub(super) async fn read_object(
    live: &Live,
    request: Request<Body>,
) -> Result<(Parts, RawObject), Error> {
    let (head, body) = request.into_parts();
    let server = &live.config.server;
    let bytes = read_body(&head.headers, body, server.body_limit, server.read_timeout).await?;
    Ok((head, RawObject::parse(bytes)?))
}
