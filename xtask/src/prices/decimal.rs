//! Exact decimals.

use std::fmt;

use serde::{Deserialize, Deserializer, de::Error};

/// A number with at most nine decimal places, as whole billionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decimal(i128);

const UNIT: i128 = 1_000_000_000;

impl Decimal {
    pub(super) const ZERO: Self = Self(0);

    pub(super) fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// `self / other`, if that has at most nine places.
    pub(super) fn over(self, other: Self) -> Option<Self> {
        let product = self.0 * UNIT;
        (!other.is_zero() && product % other.0 == 0).then(|| Self(product / other.0))
    }

    fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = [whole, fraction].concat();
        let all_digits = !whole.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if !all_digits || fraction.len() > 9 {
            return None;
        }
        format!("{whole}{fraction:0<9}").parse().ok().map(Self)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:09}", self.0 / UNIT, self.0 % UNIT);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is no price")))
    }
}
