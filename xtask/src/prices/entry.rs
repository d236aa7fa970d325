//! One model as one line of TOML, in the words of a configuration.

use anyhow::{Context, Result};

use super::{decimal::Decimal, list::Model};

/// Buckets of tokens in the order they are written.
const BUCKETS: [&str; 6] = [
    "input",
    "output",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "reasoning",
];

/// Classes of service, by their suffix in the list and their name here.
const CLASSES: [(&str, &str); 3] = [
    ("_batches", "batch"),
    ("_flex", "flex"),
    ("_priority", "priority"),
];

/// The line's value, or `None` if it would say nothing; of a model at a host without the longest answer.
pub(super) fn row(model: &Model, is_hosted: bool) -> Result<Option<String>> {
    let mut members = Vec::new();
    // A zero is also how lists write what is not paid by the token, so it is no price here: what is free, a catalog says itself.
    if let Some(usual) = Price::read(model, "")?.filter(|price| !price.is_zero()) {
        let mut price = usual.members();
        for (suffix, name) in CLASSES {
            if let Some(mut class) = Price::read(model, suffix)? {
                if name != "priority" {
                    class.fill(&usual);
                }
                // Where the list has no rates of the class for long prompts, these are served as usual.
                class.above = class.above.or_else(|| usual.above.clone());
                price.push(format!("{name} = {}", class.relative_to(&usual)));
            }
        }
        members.push(format!("price = {}", table(&price)));
    }
    let windows = [
        ("context_window", model.context_window),
        ("max_output", model.max_output.filter(|_| !is_hosted)),
    ];
    for (name, tokens) in windows {
        let known = tokens.filter(|tokens| *tokens > 0);
        members.extend(known.map(|tokens| format!("{name} = {tokens}")));
    }
    Ok((!members.is_empty()).then(|| table(&members)))
}

/// The rates of one class of service, and those above a length of the prompt.
struct Price {
    rates: Rates,
    above: Option<(u64, Rates)>,
}

impl Price {
    fn read(model: &Model, class: &str) -> Result<Option<Self>> {
        let Some(rates) = Rates::read(model, class) else {
            return Ok(None);
        };
        let names = model.usd_per_million.keys();
        let lengths = names.filter_map(|name| name.split_once("_above_")?.1.strip_suffix(class));
        let length = lengths.into_iter().find(|length| length.ends_with('k'));
        let above = match length {
            Some(length) => {
                let thousands: u64 = length.trim_end_matches('k').parse().context("a length")?;
                let rates = Rates::read(model, &format!("_above_{length}{class}"));
                rates.map(|rates| (thousands * 1000, rates))
            }
            None => None,
        };
        Ok(Some(Self { rates, above }))
    }

    /// Takes from `usual` what the list leaves out: who waits pays no more for any bucket.
    fn fill(&mut self, usual: &Self) {
        self.rates.fill(&usual.rates);
        if let (Some((_, own)), Some((_, usual))) = (&mut self.above, &usual.above) {
            own.fill(usual);
        }
    }

    fn is_zero(&self) -> bool {
        self.rates.0.iter().all(|(_, rate)| rate.is_zero())
    }

    fn members(&self) -> Vec<String> {
        let mut members = self.rates.members();
        if let Some((tokens, rates)) = &self.above {
            let mut long = vec![format!("tokens = {tokens}")];
            long.extend(rates.members());
            members.push(format!("above = {}", table(&long)));
        }
        members
    }

    /// As a factor on all rates of `usual` if it is one, else in full.
    fn relative_to(&self, usual: &Self) -> String {
        let factor =
            self.rates
                .factor(&usual.rates)
                .filter(|factor| match (&self.above, &usual.above) {
                    (Some((tokens, own)), Some((limit, other))) => {
                        tokens == limit && own.factor(other) == Some(*factor)
                    }
                    (None, None) => true,
                    _ => false,
                });
        factor.map_or_else(|| table(&self.members()), |factor| format!("\"{factor}\""))
    }
}

/// Prices by bucket, in the order of [`BUCKETS`].
#[derive(Clone)]
struct Rates(Vec<(&'static str, Decimal)>);

impl Rates {
    /// The rates under names with `suffix`; `None` if they are not complete.
    fn read(model: &Model, suffix: &str) -> Option<Self> {
        let rate = |bucket| {
            model
                .usd_per_million
                .get(&format!("{bucket}{suffix}"))
                .copied()
        };
        let free = model.embeds().then_some(Decimal::ZERO);
        let input = rate("input")?;
        let output = rate("output").or(free)?;
        let rates = BUCKETS.into_iter().filter_map(|bucket| match bucket {
            "input" => Some((bucket, input)),
            "output" => Some((bucket, output)),
            // Reasoning costs what output costs unless it is told otherwise.
            "reasoning" => Some((bucket, rate(bucket).filter(|rate| *rate != output)?)),
            _ => Some((bucket, rate(bucket)?)),
        });
        Some(Self(rates.collect()))
    }

    fn fill(&mut self, usual: &Self) {
        let missing: Vec<_> = usual
            .0
            .iter()
            .filter(|(bucket, _)| self.of(bucket).is_none())
            .copied()
            .collect();
        self.0.extend(missing);
        self.0
            .sort_by_key(|(bucket, _)| BUCKETS.iter().position(|name| name == bucket));
    }

    fn of(&self, bucket: &str) -> Option<Decimal> {
        let found = self.0.iter().find(|(name, _)| *name == bucket);
        found.map(|(_, rate)| *rate)
    }

    fn members(&self) -> Vec<String> {
        let rates = self.0.iter();
        rates
            .map(|(bucket, rate)| format!("{bucket} = \"{rate}\""))
            .collect()
    }

    /// What all of `usual` must be multiplied by; `None` if there is no such number.
    fn factor(&self, usual: &Self) -> Option<Decimal> {
        let mut found = None;
        if self.0.len() != usual.0.len() {
            return None;
        }
        for ((bucket, own), (other, rate)) in self.0.iter().zip(&usual.0) {
            if bucket != other {
                return None;
            }
            if own.is_zero() && rate.is_zero() {
                continue;
            }
            let factor = own.over(*rate)?;
            if found.is_some_and(|found| found != factor) {
                return None;
            }
            found = Some(factor);
        }
        found
    }
}

fn table(members: &[String]) -> String {
    format!("{{ {} }}", members.join(", "))
}
