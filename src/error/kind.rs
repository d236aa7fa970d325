//! Why a call can fail, and the names that clients know it by.

/// Why a call failed. The kind decides the HTTP status a client sees and whether another try can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request itself is wrong; the same request will always fail.
    Invalid,
    /// No key, or one that is not known.
    Unauthorized,
    /// The key is known but may not do this.
    Forbidden,
    /// The model, route or object does not exist (or is not yours).
    NotFound,
    /// The body is larger than the gateway accepts.
    TooLarge,
    /// The client did not send its request in time.
    Slow,
    /// A call of the same name is still being carried out.
    Conflict,
    /// The name of the call belongs to another request.
    Reused,
    /// A budget has no room for the worst case of this call.
    Budget,
    /// A rate limit of ours or of the provider.
    RateLimited,
    /// No capacity right now; shed instead of queued.
    Overloaded,
    /// A time limit ran out: first frame, gap between frames, or total.
    Timeout,
    /// The deployment cannot be reached, or its breaker is open.
    Unavailable,
    /// The provider answered with an error, or with something that is no answer.
    Upstream,
    /// The prompt does not fit the context window.
    ContextTooLong,
    /// The provider's content policy refused the request.
    Refused,
    /// The stream ended without its dialect's terminal signal.
    Cut,
    /// A defect or failure of the gateway itself.
    Internal,
}

impl ErrorKind {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Invalid,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::TooLarge,
        Self::Slow,
        Self::Conflict,
        Self::Reused,
        Self::Budget,
        Self::RateLimited,
        Self::Overloaded,
        Self::Timeout,
        Self::Unavailable,
        Self::Upstream,
        Self::ContextTooLong,
        Self::Refused,
        Self::Cut,
        Self::Internal,
    ];

    /// The `type` and `code` of OpenAI's error envelope.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid_request_error",
            Self::Unauthorized => "invalid_api_key",
            Self::Forbidden => "permission_denied",
            Self::NotFound => "not_found",
            Self::TooLarge => "request_too_large",
            Self::Slow => "request_timeout",
            Self::Conflict => "idempotency_conflict",
            Self::Reused => "idempotency_key_reused",
            Self::Budget => "insufficient_quota",
            Self::RateLimited => "rate_limit_exceeded",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
            Self::Unavailable => "service_unavailable",
            Self::Upstream => "upstream_error",
            Self::ContextTooLong => "context_length_exceeded",
            Self::Refused => "content_policy_violation",
            Self::Cut => "stream_cut",
            Self::Internal => "internal_error",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_each_kind_is_its_own() {
        for (n, kind) in ErrorKind::ALL.into_iter().enumerate() {
            let same = |other: &ErrorKind| other.as_str() == kind.as_str();
            assert_eq!(ErrorKind::ALL.iter().position(same), Some(n), "{kind:?}");
        }
    }
}
