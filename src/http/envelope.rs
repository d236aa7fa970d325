use bytes::Bytes;
use http::{HeaderValue, Response, header};
use serde_json::{Value, json};

use super::{AnswerBody, facts};
use crate::error::Error;

/// An error in OpenAI's envelope, with what a user needs to act or to ask: the request id, who was asked, and what they said.
#[must_use]
pub fn error_value(error: &Error, request_id: &str) -> Value {
    let mut inner = json!({
        "message": error.message(),
        "type": error.kind().as_str(),
        "param": error.get_param(),
        "code": error.kind().as_str(),
        "request_id": request_id,
    });
    if let (Some(provider), Some(model)) = (error.provider(), error.model()) {
        inner["provider"] = json!(provider);
        inner["model"] = json!(model);
    }
    if let Some(status) = error.get_upstream_status() {
        inner["upstream_status"] = json!(status.as_u16());
    }
    json!({ "error": inner })
}

/// The error as a whole HTTP response, with its status and `retry-after`.
#[must_use]
pub fn error_response(error: &Error, request_id: &str) -> Response<AnswerBody> {
    let body = Bytes::from(error_value(error, request_id).to_string());
    let mut response = Response::new(AnswerBody::full(body));
    *response.status_mut() = error.status();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    facts::insert(headers, &facts::REQUEST_ID, request_id);
    if let Some(after) = error.get_retry_after() {
        // Whole seconds, rounded up: an early retry would only be refused again.
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
