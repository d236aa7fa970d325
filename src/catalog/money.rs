use std::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign, Sub},
    str::FromStr,
};

use serde::{Deserialize, Serialize, de};

use crate::error::Error;

/// An amount in nano-dollars (10⁻⁹ USD). Integers only: sums are exact in any order.
///
/// Arithmetic saturates at ±9.2 billion dollars instead of wrapping.
///
/// ```
/// use rungs::catalog::Money;
///
/// let price: Money = "0.15".parse()?;
/// assert_eq!(price.nanos(), 150_000_000);
/// assert_eq!((price + Money::from_nanos(1)).to_string(), "0.150000001");
/// # Ok::<(), rungs::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Money(i64);

const NANOS_PER_DOLLAR: i64 = 1_000_000_000;

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount.
    pub const MAX: Self = Self(i64::MAX);

    /// An amount of nano-dollars.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// The amount in nano-dollars.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Whether this is exactly nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The amount of a product in nano-dollars × `divisor`, rounded up and clamped.
    #[must_use]
    pub(crate) fn from_product_up(product: i128, divisor: i128) -> Self {
        let rounded = product.div_euclid(divisor) + i128::from(product.rem_euclid(divisor) != 0);
        let clamped = rounded.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
        Self(i64::try_from(clamped).unwrap_or(i64::MAX))
    }

    /// Reads dollars as a JSON number, `1.4e-5` too, and rounds up to the next nano-dollar; what is out of range becomes the nearest
    /// amount. `None` if it is no number.
    pub(crate) fn from_json_up(number: &str) -> Option<Self> {
        let (negative, rest) = match number.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, number),
        };
        let (decimal, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
        let digits = format!("{whole}{fraction}");
        if whole.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        // The digits with the point moved nine places on are nano-dollars.
        let places = i64::try_from(whole.len()).ok()? + 9;
        let point = exponent.parse::<i64>().ok()?.saturating_add(places).max(0);
        let point = usize::try_from(point).ok()?;
        let (kept, rest) = digits.split_at(point.min(digits.len()));
        let nanos = match kept.trim_start_matches('0') {
            "" => 0,
            kept => {
                let zeros = "0".repeat((point - point.min(digits.len())).min(20));
                format!("{kept}{zeros}").parse().unwrap_or(i64::MAX)
            }
        };
        let more = !negative && rest.bytes().any(|digit| digit != b'0');
        let nanos = nanos.saturating_add(i64::from(more));
        Some(Self(if negative { -nanos } else { nanos }))
    }

    /// The amount in dollars, for figures that are looked at and not added (metrics, the original's JSON).
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a display value; never fed back into money"
    )]
    pub fn to_f64_lossy(self) -> f64 {
        self.0 as f64 / NANOS_PER_DOLLAR as f64
    }
}

impl Add for Money {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Money {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Money {
    /// Dollars as an exact decimal without trailing zeros: `0.00042`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let nanos = self.0.unsigned_abs();
        let unit = NANOS_PER_DOLLAR.unsigned_abs();
        write!(f, "{}", nanos / unit)?;
        let mut fraction = nanos % unit;
        if fraction == 0 {
            return Ok(());
        }
        let mut digits = 9;
        while fraction.is_multiple_of(10) {
            fraction /= 10;
            digits -= 1;
        }
        write!(f, ".{fraction:0digits$}")
    }
}

impl FromStr for Money {
    type Err = Error;

    /// Reads dollars as a decimal with at most nine places. More places, or an amount out of range, is an error: nothing is rounded.
    fn from_str(s: &str) -> Result<Self, Error> {
        let wrong = || Error::invalid(format!("`{s}` is no amount of dollars like 0.15"));
        let (negative, digits) = match s.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, s),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction)
        {
            return Err(wrong());
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > 9 {
            return Err(Error::invalid(format!(
                "`{s}` has more than nine decimal places"
            )));
        }
        let nanos = format!("{whole}{fraction:0<9}")
            .parse::<i64>()
            .map_err(|_| wrong())?;
        Ok(Self(if negative { -nanos } else { nanos }))
    }
}

impl Serialize for Money {
    /// As a decimal string of dollars.
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Money {
    /// From a decimal string or a number of dollars.
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Dollars;
        impl de::Visitor<'_> for Dollars {
            type Value = Money;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an amount of dollars, as a decimal string or a number")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Money, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, dollars: i64) -> Result<Money, E> {
                self.visit_str(&dollars.to_string())
            }
            fn visit_u64<E: de::Error>(self, dollars: u64) -> Result<Money, E> {
                self.visit_str(&dollars.to_string())
            }
            fn visit_f64<E: de::Error>(self, dollars: f64) -> Result<Money, E> {
                // The shortest text that reads back as this float is what was written.
                self.visit_str(&dollars.to_string())
            }
        }
        d.deserialize_any(Dollars)
    }
}
