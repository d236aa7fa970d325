//! `price`, of a `[[model]]` and of a row of the price lists.

use std::fmt;

use rungs::catalog::{ClassPrices, Money, Price, Rates};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

/// A price as a file writes it: `0`, a table of dollars per million tokens, or whose price it shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PriceSpec {
    /// Said here.
    Own(Box<Prices>),
    /// That of a row of the price lists, `provider/upstream`.
    Like(String),
}

impl PriceSpec {
    /// Nothing.
    pub(super) fn free() -> Self {
        let free = Prices {
            usual: Price::FREE,
            ..Prices::default()
        };
        Self::Own(free.into())
    }
}

/// The usual price and those of other classes of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Prices {
    pub(crate) usual: Price,
    pub(crate) classes: ClassPrices,
}

/// A table of rates, with what else may stand in it.
macro_rules! table {
    ($name:ident { $($(#[$attribute:meta])* $extra:ident: $kind:ty),* $(,)? }) => {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $name {
            input: Money,
            output: Money,
            cache_read: Option<Money>,
            cache_write_5m: Option<Money>,
            cache_write_1h: Option<Money>,
            reasoning: Option<Money>,
            $($(#[$attribute])* $extra: $kind,)*
        }

        impl $name {
            fn rates(&self) -> Rates {
                Rates {
                    input: self.input,
                    output: self.output,
                    cache_read: self.cache_read,
                    cache_write_5m: self.cache_write_5m,
                    cache_write_1h: self.cache_write_1h,
                    reasoning: self.reasoning,
                }
            }
        }
    };
}

table!(Sheet {
    #[serde(default)]
    per_request: Money,
    above: Option<Above>,
    batch: Option<Class>,
    flex: Option<Class>,
    priority: Option<Class>,
});

table!(ClassSheet {
    per_request: Option<Money>,
    above: Option<Above>,
});

table!(Above { tokens: u64 });

/// The price of a class of service: a table, or a factor on the usual one.
enum Class {
    Sheet(Box<ClassSheet>),
    /// In billionths.
    Factor(i64),
}

impl Above {
    fn pair(&self) -> (u64, Rates) {
        (self.tokens, self.rates())
    }
}

impl ClassSheet {
    /// What it does not say is as usual.
    fn price(&self, usual: &Price) -> Price {
        Price {
            rates: self.rates(),
            above: self.above.as_ref().map(Above::pair).or(usual.above),
            per_request: self.per_request.unwrap_or(usual.per_request),
        }
    }
}

impl Class {
    fn price(self, usual: &Price) -> Price {
        match self {
            Self::Sheet(sheet) => sheet.price(usual),
            Self::Factor(factor) => usual.times(factor),
        }
    }
}

impl From<Sheet> for Prices {
    fn from(sheet: Sheet) -> Self {
        let usual = Price {
            rates: sheet.rates(),
            above: sheet.above.as_ref().map(Above::pair),
            per_request: sheet.per_request,
        };
        let class = |class: Option<Class>| class.map(|class| class.price(&usual));
        let classes = ClassPrices {
            batch: class(sheet.batch),
            flex: class(sheet.flex),
            priority: class(sheet.priority),
        };
        Self { usual, classes }
    }
}

impl Prices {
    /// Whether any part of any price is below zero.
    fn pays_out(&self) -> bool {
        let ClassPrices {
            batch,
            flex,
            priority,
        } = self.classes;
        [Some(self.usual), batch, flex, priority]
            .into_iter()
            .flatten()
            .any(|price| {
                let long = price.above.map(|(_, rates)| rates);
                price.per_request < Money::ZERO
                    || below_zero(&price.rates)
                    || long.as_ref().is_some_and(below_zero)
            })
    }
}

fn below_zero(rates: &Rates) -> bool {
    let Rates {
        input,
        output,
        cache_read,
        cache_write_5m,
        cache_write_1h,
        reasoning,
    } = *rates;
    [cache_read, cache_write_5m, cache_write_1h, reasoning]
        .into_iter()
        .flatten()
        .chain([input, output])
        .any(|amount| amount < Money::ZERO)
}

impl<'de> Deserialize<'de> for PriceSpec {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct PriceVisitor;

        impl<'de> Visitor<'de> for PriceVisitor {
            type Value = PriceSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a table like { input = \"0.15\", output = \"0.60\" }, whose price it shares like \"openai/gpt-4o-mini\", or 0 if it is free",
                )
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<PriceSpec, E> {
                match number {
                    0 => Ok(PriceSpec::free()),
                    _ => Err(E::invalid_type(de::Unexpected::Signed(number), &self)),
                }
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<PriceSpec, E> {
                match name.contains('/') {
                    true => Ok(PriceSpec::Like(name.to_owned())),
                    false => Err(E::invalid_type(de::Unexpected::Str(name), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PriceSpec, A::Error> {
                let prices = Prices::from(Sheet::deserialize(MapAccessDeserializer::new(map))?);
                if prices.pays_out() {
                    return Err(de::Error::custom("a price cannot be negative"));
                }
                Ok(PriceSpec::Own(prices.into()))
            }
        }

        d.deserialize_any(PriceVisitor)
    }
}

impl<'de> Deserialize<'de> for Class {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct ClassVisitor;

        impl<'de> Visitor<'de> for ClassVisitor {
            type Value = Class;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a factor like \"0.5\", or a table like that of `price`")
            }

            fn visit_str<E: de::Error>(self, factor: &str) -> Result<Class, E> {
                // Dollars are decimals with the same places.
                let decimal: Result<Money, _> = factor.parse();
                decimal
                    .map(|decimal| Class::Factor(decimal.nanos()))
                    .map_err(|_| E::invalid_value(de::Unexpected::Str(factor), &self))
            }

            fn visit_i64<E: de::Error>(self, factor: i64) -> Result<Class, E> {
                self.visit_str(&factor.to_string())
            }

            fn visit_f64<E: de::Error>(self, factor: f64) -> Result<Class, E> {
                self.visit_str(&factor.to_string())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Class, A::Error> {
                let sheet = ClassSheet::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Class::Sheet(sheet.into()))
            }
        }

        d.deserialize_any(ClassVisitor)
    }
}
