use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

use crate::catalog::{Money, Price, amount};

/// Tokens of one attempt in disjoint buckets: each token is counted, and priced, once.
///
/// Providers overlap their figures (OpenAI's `prompt_tokens` contains the cached ones, its `completion_tokens` the reasoning);
/// dialects take them apart. An explicit zero is a figure, a missing usage is `None` where this type is optional.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Input that no prompt cache held.
    pub input: u64,
    /// Input read from the provider's prompt cache.
    pub cache_read: u64,
    /// Input written to the prompt cache for five minutes.
    pub cache_write_5m: u64,
    /// Input written to the prompt cache for an hour.
    pub cache_write_1h: u64,
    /// Output without reasoning.
    pub output: u64,
    /// Reasoning.
    pub reasoning: u64,
}

impl Usage {
    /// Beyond every bound of a request that a gateway accepts, and small enough to be added up. What a provider tells beyond it, or
    /// below zero, dialects read as this.
    pub const ABSURD: u64 = 100_000_000;

    /// Whether it holds a figure that cannot be.
    #[must_use]
    pub fn is_absurd(&self) -> bool {
        self.total_input() >= Self::ABSURD || self.total_output() >= Self::ABSURD
    }

    /// Plain input and output tokens.
    #[must_use]
    pub const fn new(input: u64, output: u64) -> Self {
        Self {
            input,
            output,
            cache_read: 0,
            cache_write_5m: 0,
            cache_write_1h: 0,
            reasoning: 0,
        }
    }

    /// The buckets in the order of their members.
    #[must_use]
    pub const fn buckets(&self) -> [u64; 6] {
        [
            self.input,
            self.cache_read,
            self.cache_write_5m,
            self.cache_write_1h,
            self.output,
            self.reasoning,
        ]
    }

    /// The usage of these [`buckets`](Self::buckets).
    #[must_use]
    pub const fn from_buckets(buckets: [u64; 6]) -> Self {
        let [
            input,
            cache_read,
            cache_write_5m,
            cache_write_1h,
            output,
            reasoning,
        ] = buckets;
        Self {
            input,
            cache_read,
            cache_write_5m,
            cache_write_1h,
            output,
            reasoning,
        }
    }

    /// All input tokens, cached or not.
    #[must_use]
    pub fn total_input(&self) -> u64 {
        self.input
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write_5m)
            .saturating_add(self.cache_write_1h)
    }

    /// All output tokens, reasoning included.
    #[must_use]
    pub fn total_output(&self) -> u64 {
        self.output.saturating_add(self.reasoning)
    }

    /// All tokens, input and output together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total_input().saturating_add(self.total_output())
    }

    /// What these tokens cost at `price`, rounded up once.
    #[must_use]
    pub fn cost(&self, price: &Price) -> Money {
        let rates = price.rates_for(self.total_input());
        price.per_request
            + amount([
                (self.input, rates.input),
                (self.cache_read, rates.cache_read.unwrap_or(rates.input)),
                (
                    self.cache_write_5m,
                    rates.cache_write_5m.unwrap_or(rates.input),
                ),
                (
                    self.cache_write_1h,
                    rates.cache_write_1h.unwrap_or(rates.input),
                ),
                (self.output, rates.output),
                (self.reasoning, rates.reasoning.unwrap_or(rates.output)),
            ])
    }
}

impl Add for Usage {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            cache_write_5m: self.cache_write_5m.saturating_add(other.cache_write_5m),
            cache_write_1h: self.cache_write_1h.saturating_add(other.cache_write_1h),
            output: self.output.saturating_add(other.output),
            reasoning: self.reasoning.saturating_add(other.reasoning),
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}
