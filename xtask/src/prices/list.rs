//! The collected list: what it has of each model.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::decimal::Decimal;

#[derive(Deserialize)]
pub(super) struct List {
    note: String,
    pub(super) models: BTreeMap<String, Model>,
}

#[derive(Deserialize)]
pub(super) struct Model {
    pub(super) provider: String,
    mode: String,
    /// By bucket, with a suffix for long prompts and another for a class of service: `input_above_200k_batches`.
    pub(super) usd_per_million: BTreeMap<String, Decimal>,
    pub(super) context_window: Option<u64>,
    pub(super) max_output: Option<u64>,
    /// The day it is switched off.
    deprecated: Option<String>,
}

impl List {
    /// Where the list is from, in its own words: the first sentence of its note.
    pub(super) fn source(&self) -> &str {
        self.note.split(". ").next().unwrap_or(&self.note)
    }

    /// When it was collected, like `2026-11`: what stands in brackets in its note.
    pub(super) fn date(&self) -> Result<&str> {
        let rest = self.note.split_once('(').map(|(_, rest)| rest);
        let date = rest.and_then(|rest| Some(rest.split_once(')')?.0));
        date.context("the note of the list has no date in brackets")
    }
}

impl Model {
    /// Whether it is one that is paid by the token.
    pub(super) fn counts_tokens(&self) -> bool {
        ["chat", "responses", "embedding"].contains(&&*self.mode)
    }

    /// Whether it embeds, so that nothing is charged for output.
    pub(super) fn embeds(&self) -> bool {
        self.mode == "embedding"
    }

    /// Whether it was switched off before the list was made.
    pub(super) fn is_gone(&self, date: &str) -> bool {
        self.deprecated.as_deref().is_some_and(|day| day < date)
    }
}
