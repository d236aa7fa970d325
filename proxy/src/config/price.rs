use std::fmt;

use rungs::catalog::{Money, Price, Rates};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

/// A price as a file writes it: `0`, or a table of dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PriceSpec(pub(crate) Price);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sheet {
    input: Money,
    output: Money,
    cache_read: Option<Money>,
    cache_write_5m: Option<Money>,
    cache_write_1h: Option<Money>,
    reasoning: Option<Money>,
    #[serde(default)]
    per_request: Money,
    above: Option<Above>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Above {
    tokens: u64,
    input: Money,
    output: Money,
    cache_read: Option<Money>,
    cache_write_5m: Option<Money>,
    cache_write_1h: Option<Money>,
    reasoning: Option<Money>,
}

impl From<Sheet> for Price {
    fn from(sheet: Sheet) -> Self {
        Self {
            rates: Rates {
                input: sheet.input,
                output: sheet.output,
                cache_read: sheet.cache_read,
                cache_write_5m: sheet.cache_write_5m,
                cache_write_1h: sheet.cache_write_1h,
                reasoning: sheet.reasoning,
            },
            above: sheet.above.map(|above| {
                let rates = Rates {
                    input: above.input,
                    output: above.output,
                    cache_read: above.cache_read,
                    cache_write_5m: above.cache_write_5m,
                    cache_write_1h: above.cache_write_1h,
                    reasoning: above.reasoning,
                };
                (above.tokens, rates)
            }),
            per_request: sheet.per_request,
        }
    }
}

/// Whether any part of the price is below zero.
fn pays_out(price: &Price) -> bool {
    let below_zero = |rates: &Rates| {
        [rates.input, rates.output]
            .into_iter()
            .chain(
                [
                    rates.cache_read,
                    rates.cache_write_5m,
                    rates.cache_write_1h,
                    rates.reasoning,
                ]
                .into_iter()
                .flatten(),
            )
            .any(|amount| amount < Money::ZERO)
    };
    price.per_request < Money::ZERO
        || below_zero(&price.rates)
        || price.above.is_some_and(|(_, rates)| below_zero(&rates))
}

impl<'de> Deserialize<'de> for PriceSpec {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct PriceVisitor;

        impl<'de> Visitor<'de> for PriceVisitor {
            type Value = Price;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a table like { input = \"0.15\", output = \"0.60\" }, or 0 if it is free",
                )
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Price, E> {
                match number {
                    0 => Ok(Price::FREE),
                    _ => Err(E::invalid_type(de::Unexpected::Signed(number), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Price, A::Error> {
                let price = Price::from(Sheet::deserialize(MapAccessDeserializer::new(map))?);
                if pays_out(&price) {
                    return Err(de::Error::custom("a price cannot be negative"));
                }
                Ok(price)
            }
        }

        d.deserialize_any(PriceVisitor).map(Self)
    }
}
