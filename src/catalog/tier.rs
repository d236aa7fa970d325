use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de};

use crate::error::Error;

/// A rung of the ladder, ordered by cost: `L0` is free or local, `L3` premium.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tier(u8);

impl Tier {
    /// The cheapest tier.
    pub const L0: Self = Self(0);
    /// Low cost.
    pub const L1: Self = Self(1);
    /// Mid price.
    pub const L2: Self = Self(2);
    /// Premium.
    pub const L3: Self = Self(3);
    /// The highest tier there can be.
    pub const MAX: Self = Self(9);

    /// The tier `level` rungs above `L0`, at most [`Tier::MAX`].
    #[must_use]
    pub const fn new(level: u8) -> Self {
        Self(if level > Self::MAX.0 {
            Self::MAX.0
        } else {
            level
        })
    }

    /// The number behind the `L`.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.0
    }

    /// One rung up; `None` at the top.
    #[must_use]
    pub fn up(self) -> Option<Self> {
        (self < Self::MAX).then_some(Self(self.0 + 1))
    }

    /// The tier's name, without allocating.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        const NAMES: [&str; 10] = ["L0", "L1", "L2", "L3", "L4", "L5", "L6", "L7", "L8", "L9"];
        NAMES[self.0 as usize]
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Tier {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        match s.as_bytes() {
            [b'L' | b'l', digit @ b'0'..=b'9'] => Ok(Self(digit - b'0')),
            _ => Err(Error::invalid(format!(
                "`{s}` is no tier; tiers are L0 to L9"
            ))),
        }
    }
}

impl Serialize for Tier {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Tier {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(de::Error::custom)
    }
}
