//! Reads a JSON body within the configured limits, as strictly as the OpenAI surface does.

use axum::body::Body;
use http::{Request, request::Parts};
use rungs::{Error, http::read_body, json::RawObject};
use serde::de::DeserializeOwned;

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

/// A body that fits a type; what does not is named by its path.
pub(super) async fn read_as<T: DeserializeOwned>(
    live: &Live,
    request: Request<Body>,
) -> Result<T, Error> {
    let (_, body) = read_object(live, request).await?;
    fitting(&body, "the body does not fit")
}

/// The same for a body that has been read.
pub(super) fn fitting<T: DeserializeOwned>(body: &RawObject, wrong: &str) -> Result<T, Error> {
    let mut json = serde_json::Deserializer::from_slice(body.as_bytes());
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let wrong = Error::invalid(format!("{wrong}: {}", error.inner()));
        match path.as_str() {
            "." => wrong,
            _ => wrong.param(path),
        }
    })
}
