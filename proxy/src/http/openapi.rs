//! `GET /openapi.json`: the document of this API, kept by hand beside this file and compared with the routes by a test.

use axum::response::IntoResponse;
use http::header;

/// The document.
pub(super) const DOCUMENT: &str = include_str!("openapi.json");

pub(super) async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT)
}
