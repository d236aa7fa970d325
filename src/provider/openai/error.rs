use http::StatusCode;
use serde_json::Value;

use crate::error::{Error, ErrorKind};

/// What a provider complains about, in whichever envelope it came.
#[derive(Default)]
struct Complaint {
    message: Option<String>,
    kind: String,
    code: String,
    param: Option<String>,
}

/// Reads the body of a failed response.
pub(super) fn read(status: StatusCode, body: &[u8]) -> Error {
    Complaint::from_body(body).into_error(Some(status))
}

/// Reads the data of an error event.
pub(super) fn in_stream(data: &[u8]) -> Error {
    let complaint = Complaint::from_body(data);
    let status = complaint.status();
    complaint.into_error(status)
}

/// Reads the `error` member of an answer that came with a success status.
pub(super) fn in_answer(error: &str) -> Error {
    let mut complaint = Complaint::default();
    if let Ok(error) = serde_json::from_str(error) {
        complaint.read_error(error);
    }
    let status = complaint.status();
    complaint.into_error(status)
}

impl Complaint {
    fn from_body(body: &[u8]) -> Self {
        let mut complaint = Self::default();
        match serde_json::from_slice(body) {
            // Google's compatible endpoint wraps its envelope in a list.
            Ok(Value::Array(mut list)) if !list.is_empty() => {
                complaint.read_envelope(list.swap_remove(0));
            }
            Ok(value) => complaint.read_envelope(value),
            Err(_) => {
                // The body may be cut within a character.
                let text: String = body.utf8_chunks().map(|c| c.valid()).collect();
                let text = text.trim();
                // A page of a proxy on the way says nothing to a client.
                if !text.is_empty() && !text.starts_with('<') {
                    complaint.message = Some(text.to_owned());
                }
            }
        }
        complaint
    }

    fn read_envelope(&mut self, value: Value) {
        match value {
            Value::Object(mut envelope) => {
                match (envelope.remove("error"), envelope.remove("detail")) {
                    (Some(error), _) if !error.is_null() && !error.is_boolean() => {
                        self.read_error(error);
                        // `{"error":"Bad Request","message":"what is bad"}`
                        if let Some(Value::String(message)) = envelope.remove("message") {
                            self.message = Some(message);
                        }
                    }
                    (_, Some(detail)) => self.read_detail(detail),
                    _ => self.read_error(Value::Object(envelope)),
                }
            }
            Value::String(_) => self.read_error(value),
            _ => {}
        }
    }

    fn read_error(&mut self, error: Value) {
        match error {
            Value::String(message) => self.message = Some(message),
            Value::Object(mut error) => {
                let mut text = |name: &str| match error.remove(name) {
                    Some(Value::String(text)) => Some(text),
                    Some(Value::Number(number)) => Some(number.to_string()),
                    _ => None,
                };
                self.message = text("message");
                self.param = text("param");
                self.kind = text("type").unwrap_or_default();
                self.code = text("code").unwrap_or_default();
                // OpenRouter's, with status 403: https://openrouter.ai/docs/api/reference/errors-and-debugging
                let flagged = |name: &str| !error["metadata"][name].is_null();
                if error.contains_key("metadata")
                    && (flagged("reasons") || flagged("flagged_input"))
                {
                    "moderation_blocked".clone_into(&mut self.kind);
                }
                let inner = error
                    .get("innererror")
                    .and_then(|inner| inner["code"].as_str());
                if let Some(inner) = inner {
                    inner.clone_into(&mut self.code);
                }
            }
            _ => {}
        }
    }

    /// FastAPI's: a text, or a list with the place and the reason of each mistake.
    fn read_detail(&mut self, detail: Value) {
        match detail {
            Value::Array(mistakes) => {
                let Some(first) = mistakes.first() else {
                    return;
                };
                let place = first["loc"].as_array().and_then(|loc| loc.last());
                self.param = place.and_then(Value::as_str).map(str::to_owned);
                self.message = first["msg"].as_str().map(str::to_owned);
            }
            detail => self.read_error(detail),
        }
    }

    /// Aggregators put the status into `code` when their own was sent long ago.
    fn status(&self) -> Option<StatusCode> {
        let status: StatusCode = self.code.parse().ok()?;
        (status.is_client_error() || status.is_server_error()).then_some(status)
    }

    fn into_error(self, status: Option<StatusCode>) -> Error {
        let unaffordable = self.is_unaffordable(status);
        let kind = self
            .kind_by_code(status)
            .unwrap_or_else(|| status.map_or(ErrorKind::Upstream, kind_of));
        let said = self.message.is_some();
        let mut error = match (status.map(|status| status.as_u16()), self.message) {
            // What the provider says here is about our account with it.
            (Some(401), _) => Error::new(kind, "the provider refused the gateway's API key"),
            (Some(402), _) if unaffordable => Error::new(
                kind,
                "the gateway's credit at the provider does not reach for an answer of that length",
            ),
            (Some(402), _) => {
                Error::new(kind, "the gateway's account at the provider has no credit")
            }
            (_, Some(message)) if !message.trim().is_empty() => Error::new(kind, message),
            (Some(status), _) => {
                Error::new(kind, format!("the provider answered with status {status}"))
            }
            (None, _) => Error::new(kind, "the provider reported an error without a message"),
        };
        if unaffordable {
            // It may not be too much for another account, or at another price.
            error = error.param("max_tokens").elsewhere();
        }
        if let Some(param) = self.param {
            error = error.param(param);
        }
        if status.is_some_and(|status| leaves_open(status, said)) {
            error = error.may_be_billed();
        }
        match status {
            Some(status) => error.upstream_status(status),
            None => error,
        }
    }

    fn kind_by_code(&self, status: Option<StatusCode>) -> Option<ErrorKind> {
        let is = |name: &str| self.code == name || self.kind == name;
        let any = |names: &[&str]| names.iter().any(|name| is(name));
        let about_request = status.is_none_or(|s| matches!(s.as_u16(), 400 | 413 | 422));
        if any(&["context_length_exceeded", "context_window_exceeded"])
            || about_request && self.says_too_long()
        {
            return Some(ErrorKind::ContextTooLong);
        }
        if any(&[
            "content_filter",
            "content_policy_violation",
            "moderation_blocked",
            "ResponsibleAIPolicyViolation",
        ]) {
            return Some(ErrorKind::Refused);
        }
        if any(&["insufficient_quota", "billing_hard_limit_reached"]) {
            return Some(ErrorKind::Upstream);
        }
        if self.is_unaffordable(status) {
            return Some(ErrorKind::Invalid);
        }
        if any(&["model_not_found", "DeploymentNotFound"]) {
            return Some(ErrorKind::NotFound);
        }
        if status.is_some() {
            return None;
        }
        // Under status 200 the words are all there is.
        if any(&["rate_limit_exceeded", "rate_limit_error"]) {
            Some(ErrorKind::RateLimited)
        } else if any(&["overloaded_error", "overloaded", "service_unavailable"]) {
            Some(ErrorKind::Unavailable)
        } else if any(&["timeout", "timeout_error"]) {
            Some(ErrorKind::Timeout)
        } else if is("invalid_request_error") {
            Some(ErrorKind::Invalid)
        } else {
            None
        }
    }

    /// Whether our credit reaches for requests, and not for one that may be answered at such length. OpenRouter holds the most that a
    /// request can cost, as a budget does, and says so in words.
    fn is_unaffordable(&self, status: Option<StatusCode>) -> bool {
        status == Some(StatusCode::PAYMENT_REQUIRED)
            && self.says(&["max_tokens", "can only afford"])
    }

    /// Many servers have no code for it, only words.
    fn says_too_long(&self) -> bool {
        self.says(&[
            "maximum context length",
            "context length exceeded",
            "context window",
            "prompt is too long",
            "exceeds the available context size",
        ])
    }

    fn says(&self, any: &[&str]) -> bool {
        let message = self.message.as_deref().unwrap_or_default();
        let message = message.to_ascii_lowercase();
        any.iter().any(|words| message.contains(words))
    }
}

/// Whether a status leaves open what became of the request: whoever stands before the provider gave up waiting, and says so, or has
/// lost sight of it and says nothing.
fn leaves_open(status: StatusCode, said: bool) -> bool {
    match status.as_u16() {
        408 | 499 | 504 | 520 | 524 => true,
        502 => !said,
        _ => false,
    }
}

fn kind_of(status: StatusCode) -> ErrorKind {
    match status.as_u16() {
        400 | 409 | 422 => ErrorKind::Invalid,
        404 => ErrorKind::NotFound,
        408 | 504 | 524 => ErrorKind::Timeout,
        413 => ErrorKind::TooLarge,
        429 => ErrorKind::RateLimited,
        503 | 521..=523 | 529 => ErrorKind::Unavailable,
        _ => ErrorKind::Upstream,
    }
}
