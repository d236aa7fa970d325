use std::{str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, de};

use crate::{
    error::Error,
    model::{CallContext, Quality},
};

/// Which calls are cross-checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum When {
    /// None.
    #[default]
    Never,
    /// Those of this quality and above.
    Quality(Quality),
    /// All.
    Always,
}

impl When {
    /// Whether the call of `ctx` is cross-checked.
    #[must_use]
    pub fn applies(self, ctx: &CallContext) -> bool {
        match self {
            Self::Never => false,
            Self::Quality(least) => ctx.quality >= least,
            Self::Always => true,
        }
    }
}

impl FromStr for When {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "off" | "never" => Ok(Self::Never),
            "normal" => Ok(Self::Quality(Quality::Normal)),
            "high" => Ok(Self::Quality(Quality::High)),
            "critical" => Ok(Self::Quality(Quality::Critical)),
            "always" => Ok(Self::Always),
            _ => Err(Error::invalid(format!(
                "`{text}` is none of off, normal, high, critical, always"
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// The options of [`CrossCheckLayer`](super::CrossCheckLayer).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrossCheckConfig {
    /// Which calls are cross-checked. Default none.
    pub when: When,
    /// How many other deployments review an answer. Default 1.
    pub reviewers: usize,
    /// How many usable reviews are enough, at least one: the others are then cancelled, and with fewer the answer counts as unchecked.
    /// By default all are waited for and one is enough.
    pub min_responses: Option<usize>,
    /// The most tokens of one review, with what the model thinks, where the model can give so many: a budget holds what they cost, and a
    /// reviewer who is not waited for is charged it. Default 16,384.
    pub review_tokens: u32,
    /// The longest time that reviews and arbitration take together. Default 60 seconds.
    pub max_time: Duration,
    /// The largest streamed answer that is collected for a check, in bytes. Default 8 MiB.
    pub answer_limit: usize,
}

impl Default for CrossCheckConfig {
    fn default() -> Self {
        Self {
            when: When::Never,
            reviewers: 1,
            min_responses: None,
            review_tokens: 16_384,
            max_time: Duration::from_secs(60),
            answer_limit: 8 << 20,
        }
    }
}
