//! The price lists that are built in, one file a provider. They are never fetched: a price changes with a release, or by
//! configuration.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use serde::Deserialize;

use super::price::{PriceSpec, Prices};

macro_rules! lists {
    ($($name:literal),* $(,)?) => {
        [$(List {
            provider: $name,
            text: include_str!(concat!("../../prices/", $name, ".toml")),
            read: OnceLock::new(),
        }),*]
    };
}

static LISTS: [List; 17] = lists![
    "anthropic",
    "cerebras",
    "cohere",
    "dashscope",
    "deepinfra",
    "deepseek",
    "fireworks",
    "gemini",
    "groq",
    "mistral",
    "moonshot",
    "ollama",
    "openai",
    "together",
    "voyage",
    "xai",
    "zai",
];

/// The list of one provider, read when it is asked for first.
struct List {
    provider: &'static str,
    text: &'static str,
    read: OnceLock<Rows>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rows {
    version: Arc<str>,
    #[serde(rename = "source")]
    _source: String,
    models: BTreeMap<String, Row>,
}

/// What is known of one model at one provider.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub(super) price: Option<PriceSpec>,
    pub(super) context_window: Option<u64>,
    pub(super) max_output: Option<u64>,
}

/// The row of what `provider` calls `upstream`, and the version of its list.
pub(super) fn find(provider: &str, upstream: &str) -> Option<(&'static Row, &'static Arc<str>)> {
    let list = LISTS.iter().find(|list| list.provider == provider)?;
    let rows = list.rows();
    // Ollama calls the newest of a model so; the list has no tag there.
    let model = upstream.strip_suffix(":latest").unwrap_or(upstream);
    Some((rows.models.get(model)?, &rows.version))
}

/// The same by its name in a `price`, `provider/upstream`.
pub(super) fn named(name: &str) -> Option<(&'static Row, &'static Arc<str>)> {
    let (provider, upstream) = name.split_once('/')?;
    find(provider, upstream)
}

/// The names of all rows of the provider that `name` begins with.
pub(super) fn names_like(name: &str) -> Vec<String> {
    let provider = name.split('/').next();
    let list = LISTS.iter().find(|list| Some(list.provider) == provider);
    let models = list.into_iter().flat_map(|list| list.rows().models.keys());
    models
        .map(|model| format!("{}/{model}", provider.unwrap_or_default()))
        .collect()
}

impl Row {
    /// Its prices, if it has some.
    pub(super) fn prices(&self) -> Option<&Prices> {
        match &self.price {
            Some(PriceSpec::Own(prices)) => Some(prices),
            _ => None,
        }
    }
}

impl List {
    fn rows(&self) -> &Rows {
        self.read.get_or_init(|| {
            toml::from_str(self.text).expect("each built-in list is read by a test")
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn r15_every_list_is_read_and_has_one_version() {
        let versions: BTreeSet<_> = LISTS.iter().map(|list| &list.rows().version).collect();
        assert_eq!(versions.len(), 1);
        let rows = LISTS.iter().flat_map(|list| list.rows().models.values());
        assert!(rows.clone().count() > 800);
        for row in rows {
            match &row.price {
                None => {}
                Some(PriceSpec::Own(prices)) => assert!(!prices.usual.is_free(), "{row:?}"),
                Some(PriceSpec::Like(_)) => unreachable!("a list refers to nothing else"),
            }
        }
    }
}
