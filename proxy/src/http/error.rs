//! The envelope for routes outside of the library's surface.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode, Uri};
use rungs::{Error, ErrorKind, http::error_response, model::Call};

use super::elsewhere::instead_of;

/// An error as a response.
pub(crate) fn respond(error: &Error) -> Response {
    respond_as(error, &Call::new("").id)
}

/// The same for a call that has an id.
pub(super) fn respond_as(error: &Error, request_id: &str) -> Response {
    error_response(error, request_id).map(Body::new)
}

/// The same with a status that no kind of error stands for.
pub(super) fn respond_with(status: StatusCode, error: &Error) -> Response {
    (status, respond(error)).into_response()
}

pub(super) async fn not_found(uri: Uri) -> Response {
    let path = uri.path();
    let instead = instead_of(path).map_or_else(String::new, |instead| format!("; {instead}"));
    let what = format!("there is nothing at `{path}`{instead}");
    respond(&Error::new(ErrorKind::NotFound, what))
}

pub(super) async fn wrong_method(method: Method, uri: Uri) -> Response {
    let error = Error::invalid(format!("`{}` does not answer {method}", uri.path()));
    respond_with(StatusCode::METHOD_NOT_ALLOWED, &error)
}
