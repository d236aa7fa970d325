use std::path::PathBuf;

use serde::Deserialize;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use super::{error::Faults, nearest::nearest};

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// A level, or a filter like `info,rungs=debug`.
    pub(crate) level: String,
    /// The form of a line.
    pub(crate) format: LogFormat,
    /// A file that starts anew each day; standard error if unset.
    pub(crate) file: Option<PathBuf>,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".into(),
            format: LogFormat::default(),
            file: None,
        }
    }
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl Log {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        if let Some(why) = fault_in(&self.level) {
            faults.at("log.level", why);
        }
    }
}

/// What is wrong with a filter. A word that is no level would be the name of a part of the program, and nothing else would be told.
pub(super) fn fault_in(filter: &str) -> Option<String> {
    let words = filter.split(',').map(str::trim);
    for word in words.filter(|word| !["=", "[", "::"].iter().any(|mark| word.contains(mark))) {
        if word.is_empty() || word.parse::<LevelFilter>().is_err() {
            let hint = level_like(word)
                .map_or_else(String::new, |level| format!("; did you mean `{level}`?"));
            let levels = LEVELS.join(", ");
            return Some(format!("`{word}` is not one of {levels}{hint}"));
        }
    }
    let error = EnvFilter::try_new(filter).err()?;
    Some(format!("`{filter}`: {error}"))
}

/// The level that other programs call `word`.
pub(super) fn level_like(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    let longer = LEVELS.into_iter().find(|level| word.starts_with(level));
    longer
        .or_else(|| nearest(&word, LEVELS).and_then(|near| LEVELS.into_iter().find(|l| *l == near)))
}
