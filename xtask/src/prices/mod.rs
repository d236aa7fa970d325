//! `cargo xtask prices --from <prices.json>`: the price lists in `proxy/prices`, one file a provider, from a collected list.

mod decimal;
mod entry;
mod list;

use std::{collections::BTreeMap, fs, path::Path, process::ExitCode};

use anyhow::{Context, Result};

use crate::workspace;
use list::List;

/// Where the lists lie, under the workspace's root.
const FOLDER: &str = "proxy/prices";

/// Provider by provider: its name in the collected list, and here. Left out are those whose prices depend on more than the model
/// and the tokens: on regions (Azure, Bedrock, Vertex), or on a fee per search (Perplexity).
const PROVIDERS: [(&str, &str); 18] = [
    ("anthropic", "anthropic"),
    ("cerebras", "cerebras"),
    ("cohere", "cohere"),
    ("cohere_chat", "cohere"),
    ("dashscope", "dashscope"),
    ("deepinfra", "deepinfra"),
    ("deepseek", "deepseek"),
    ("fireworks_ai", "fireworks"),
    ("gemini", "gemini"),
    ("groq", "groq"),
    ("mistral", "mistral"),
    ("moonshot", "moonshot"),
    ("ollama", "ollama"),
    ("openai", "openai"),
    ("together_ai", "together"),
    ("voyage", "voyage"),
    ("xai", "xai"),
    ("zai", "zai"),
];

/// In the names of models that are paid for more than text: speech, searches, music.
const PAID_OTHERWISE: [&str; 5] = ["audio", "-search", "deep-research", "-tts", "lyria"];

/// Those that run models of others: the longest answer in the list is a setting of theirs there, not a limit of the model.
const HOSTS: [&str; 2] = ["fireworks", "together"];

/// Writes all files anew.
pub(crate) fn run(from: &str) -> Result<ExitCode> {
    let text = fs::read_to_string(from).with_context(|| format!("read {from}"))?;
    let list: List = serde_json::from_str(&text).with_context(|| format!("understand {from}"))?;
    let date = list.date()?;
    let providers = rows(&list, date)?;

    let version = version(date, &providers);
    let folder = workspace::root()?.join(FOLDER);
    fs::create_dir_all(&folder)?;
    for (provider, rows) in &providers {
        write(&folder, provider, &version, list.source(), rows)?;
    }
    let models: usize = providers.values().map(BTreeMap::len).sum();
    println!(
        "{models} models of {} providers, version {version}",
        providers.len()
    );
    Ok(ExitCode::SUCCESS)
}

/// Line by model by provider.
type Rows = BTreeMap<&'static str, BTreeMap<String, String>>;

fn rows(list: &List, date: &str) -> Result<Rows> {
    let mut rows = Rows::new();
    for (name, model) in &list.models {
        let found = PROVIDERS
            .iter()
            .find(|(theirs, _)| *theirs == model.provider);
        let Some((theirs, ours)) = found else {
            continue;
        };
        let is_paid_otherwise = PAID_OTHERWISE.iter().any(|part| name.contains(part));
        if !model.counts_tokens() || model.is_gone(date) || is_paid_otherwise {
            continue;
        }
        let prefix = format!("{theirs}/");
        let own = name.strip_prefix(&prefix);
        let upstream = own.unwrap_or(name).to_owned();
        let row = entry::row(model, HOSTS.contains(ours))
            .with_context(|| format!("the prices of `{name}`"))?;
        let Some(row) = row else { continue };
        let rows = rows.entry(*ours).or_default();
        // Where a model is listed with and without its provider, the former is the one that somebody looked after.
        if own.is_some() || !rows.contains_key(&upstream) {
            rows.insert(upstream, row);
        }
    }
    Ok(rows)
}

/// The date, and a digest that changes with any price.
fn version(date: &str, rows: &Rows) -> String {
    let mut hasher = blake3::Hasher::new();
    for (provider, rows) in rows {
        for (model, row) in rows {
            hasher.update(format!("{provider}/{model} = {row}\n").as_bytes());
        }
    }
    format!("{date}-{}", &hasher.finalize().to_hex()[..8])
}

fn write(
    folder: &Path,
    provider: &str,
    version: &str,
    source: &str,
    rows: &BTreeMap<String, String>,
) -> Result<()> {
    let mut text = format!(
        "# Made by `cargo xtask prices`; to differ from it, set `price` in a configuration.\n\
         # Dollars per million tokens. A number at `batch`, `flex` or `priority` is a factor on all of them.\n\
         version = \"{version}\"\n\
         source = \"{source}\"\n\n[models]\n"
    );
    for (model, row) in rows {
        text += &format!("\"{model}\" = {row}\n");
    }
    let path = folder.join(format!("{provider}.toml"));
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests;
