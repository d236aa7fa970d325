//! What every store can keep: times to the millisecond, text without the one character that some cannot hold, and names that
//! cannot be mistaken for others.

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Milliseconds since 1970; times that do not fit become the nearest that do.
pub(crate) fn millis(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// The time of so many milliseconds since 1970.
pub(crate) fn time(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// So long in milliseconds: one at least, for no store keeps what lasts no time.
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
pub(crate) fn lasting(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// PostgreSQL's text holds every character but one; a client that sends it must not stop the ledger.
pub(crate) fn text(text: &str) -> std::borrow::Cow<'_, str> {
    match text.contains('\0') {
        true => text.replace('\0', "\u{fffd}").into(),
        false => text.into(),
    }
}

/// Adds a part to a name, with `%` codes for all but letters, digits and `-_.~`.
pub(crate) fn escape(name: &mut String, part: &str) {
    for byte in part.bytes() {
        match byte {
            b'-' | b'_' | b'.' | b'~' => name.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => name.push(byte.into()),
            // Writing to a string does not fail.
            _ => drop(write!(name, "%{byte:02X}")),
        }
    }
}
