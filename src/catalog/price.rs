use serde::{Deserialize, Serialize};

use super::Money;

/// Prices per million tokens, one per bucket of usage. A bucket without a price of its own costs what it is a kind of:
/// cached and written input what input costs, reasoning what output costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Input that was not in the provider's prompt cache.
    pub input: Money,
    /// Output that is not reasoning.
    pub output: Money,
    /// Input read from the provider's prompt cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<Money>,
    /// Input written to the prompt cache for five minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_5m: Option<Money>,
    /// Input written to the prompt cache for an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<Money>,
    /// Output that is reasoning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Money>,
}

impl Rates {
    fn dearest_input(&self) -> Money {
        [self.cache_read, self.cache_write_5m, self.cache_write_1h]
            .into_iter()
            .flatten()
            .fold(self.input, Money::max)
    }

    fn dearest_output(&self) -> Money {
        self.reasoning.map_or(self.output, |r| r.max(self.output))
    }

    fn is_free(&self) -> bool {
        self.dearest_input().is_zero() && self.dearest_output().is_zero()
    }
}

/// What a deployment charges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Price {
    /// The rates of an ordinary prompt.
    pub rates: Rates,
    /// Rates that hold for the whole call when its prompt is longer than so many tokens.
    pub above: Option<(u64, Rates)>,
    /// A fixed fee per request.
    pub per_request: Money,
}

const PER: i128 = 1_000_000;

/// A factor of one, in billionths.
const ONE: i128 = 1_000_000_000;

impl Price {
    /// A price that is known to be nothing.
    pub const FREE: Self = Self {
        rates: Rates {
            input: Money::ZERO,
            output: Money::ZERO,
            cache_read: None,
            cache_write_5m: None,
            cache_write_1h: None,
            reasoning: None,
        },
        above: None,
        per_request: Money::ZERO,
    };

    /// Plain input and output prices per million tokens.
    #[must_use]
    pub fn per_million(input: Money, output: Money) -> Self {
        Self {
            rates: Rates {
                input,
                output,
                ..Rates::default()
            },
            ..Self::default()
        }
    }

    /// The price with each of its rates multiplied by a factor in billionths, and rounded up.
    #[must_use]
    pub fn times(&self, billionths: i64) -> Self {
        let one = |rate: Money| {
            let product = i128::from(rate.nanos()) * i128::from(billionths);
            Money::from_product_up(product, ONE)
        };
        let all = |rates: &Rates| Rates {
            input: one(rates.input),
            output: one(rates.output),
            cache_read: rates.cache_read.map(one),
            cache_write_5m: rates.cache_write_5m.map(one),
            cache_write_1h: rates.cache_write_1h.map(one),
            reasoning: rates.reasoning.map(one),
        };
        Self {
            rates: all(&self.rates),
            above: self
                .above
                .as_ref()
                .map(|(limit, rates)| (*limit, all(rates))),
            per_request: one(self.per_request),
        }
    }

    /// Whether no call can ever cost anything.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.per_request.is_zero()
            && self.rates.is_free()
            && self.above.is_none_or(|(_, rates)| rates.is_free())
    }

    /// The rates for a prompt of `input` tokens, all kinds of input together.
    #[must_use]
    pub fn rates_for(&self, input: u64) -> &Rates {
        match &self.above {
            Some((limit, rates)) if input > *limit => rates,
            _ => &self.rates,
        }
    }

    /// An upper bound of what `input` and `output` tokens can cost, whatever buckets they fall into.
    #[must_use]
    pub fn worst_case(&self, input: u64, output: u64) -> Money {
        let bound = |rates: &Rates| {
            self.per_request
                + amount([
                    (input, rates.dearest_input()),
                    (output, rates.dearest_output()),
                ])
        };
        match &self.above {
            Some((limit, rates)) if input > *limit => bound(&self.rates).max(bound(rates)),
            _ => bound(&self.rates),
        }
    }
}

/// Σ tokens × rate per million, exact inside, rounded up once.
pub(crate) fn amount<const N: usize>(buckets: [(u64, Money); N]) -> Money {
    let product: i128 = buckets
        .into_iter()
        .map(|(tokens, rate)| i128::from(tokens) * i128::from(rate.nanos()))
        .fold(0, i128::saturating_add);
    Money::from_product_up(product, PER)
}
