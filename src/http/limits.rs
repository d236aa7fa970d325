use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::facts::insert;
use crate::model::{CallContext, LimitFacts};

/// The names of the limit, of what remains of it, and of when all of it is there again.
const REQUESTS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
const TOKENS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

/// The names of all headers that [`write_limits`] may write.
pub(super) fn names() -> impl Iterator<Item = HeaderName> {
    REQUESTS.into_iter().chain(TOKENS)
}

/// How the caller's limits stand, in OpenAI's headers; nothing for a caller without limits.
pub(super) fn write_limits(headers: &mut HeaderMap, ctx: &CallContext) {
    let rates = ctx.rates();
    for (names, facts) in [(REQUESTS, rates.requests), (TOKENS, rates.tokens)] {
        if let Some(LimitFacts {
            limit,
            remaining,
            reset,
        }) = facts
        {
            let [limit_name, remaining_name, reset_name] = names;
            headers.insert(limit_name, HeaderValue::from(limit));
            headers.insert(remaining_name, HeaderValue::from(remaining));
            insert(headers, &reset_name, &spelled(reset));
        }
    }
}

/// A span of time as OpenAI spells it: `120ms`, `8.64s`, `6m0s`. Rounded up to the millisecond.
fn spelled(time: Duration) -> String {
    let millis = time.as_nanos().div_ceil(1_000_000);
    let (seconds, rest) = (millis / 1000, millis % 1000);
    if seconds == 0 {
        return format!("{rest}ms");
    }
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = String::new();
    if hours > 0 {
        text.push_str(&format!("{hours}h"));
    }
    if hours > 0 || minutes > 0 {
        text.push_str(&format!("{minutes}m"));
    }
    match rest {
        0 => text.push_str(&format!("{seconds}s")),
        _ => {
            let exact = format!("{seconds}.{rest:03}");
            text.push_str(exact.trim_end_matches('0'));
            text.push('s');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_spelled_as_openai_does() {
        for (nanos, text) in [
            (0, "0ms"),
            (1, "1ms"),
            (120_000_000, "120ms"),
            (1_000_000_000, "1s"),
            (8_640_000_000, "8.64s"),
            (59_999_000_001, "1m0s"),
            (360_000_000_000, "6m0s"),
            (3_661_005_000_000, "1h1m1.005s"),
        ] {
            assert_eq!(spelled(Duration::from_nanos(nanos)), text);
        }
    }
}
