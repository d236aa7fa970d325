//! Spans of time, written as a number of seconds.

use std::{fmt, time::Duration};

use serde::{
    Deserializer,
    de::{self, Visitor},
};

/// Ten years: longer than anything waits or is kept, and short enough to be added to any moment.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Seconds, whole or not; 0 is allowed and stands for "off".
pub(super) fn or_off<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    struct Seconds;

    impl Visitor<'_> for Seconds {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number of seconds like 30 or 0.5")
        }

        fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Duration, E> {
            u64::try_from(seconds)
                .map(Duration::from_secs)
                .map_err(|_| E::custom("a time cannot be negative"))
        }

        fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Duration, E> {
            Duration::try_from_secs_f64(seconds).map_err(E::custom)
        }
    }

    let time = d.deserialize_any(Seconds)?;
    if time > LONGEST {
        let longest = LONGEST.as_secs();
        let why = format!("must be at most {longest} seconds, which are ten years");
        return Err(de::Error::custom(why));
    }
    Ok(time)
}

/// Seconds, whole or not, more than 0.
pub(super) fn some<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    let time = or_off(d)?;
    if time.is_zero() {
        return Err(de::Error::custom("must be more than 0 seconds"));
    }
    Ok(time)
}
