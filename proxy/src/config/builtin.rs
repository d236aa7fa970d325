//! The catalog that is built in: one file a provider, in the very format of a user's file.

use rungs::catalog::Capability;
use toml::Table;

use super::{
    ConfigError, Ollama, World,
    entries::Entries,
    env::flag,
    error::{Faults, Source},
    model::ModelSpec,
    provider::ProviderSpec,
    read,
    warnings::Elsewhere,
};

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../catalog/", $name, ".toml")))),*]
    };
}

/// Name and text of each file. Within a tier and priority, earlier providers are asked first.
pub(super) const FILES: [(&str, &str); 12] = files![
    "ollama",
    "openai",
    "anthropic",
    "gemini",
    "groq",
    "cerebras",
    "deepseek",
    "mistral",
    "xai",
    "together",
    "fireworks",
    "openrouter",
];

/// Where Ollama listens unless told otherwise.
pub(crate) const OLLAMA: &str = "http://127.0.0.1:11434";

/// Adds those providers that the environment has a key for, and a local Ollama, with their models.
pub(super) fn add(
    entries: &mut Entries,
    world: &World<'_>,
    faults: &mut Faults<'_>,
    warnings: &mut Vec<String>,
) -> Result<(), ConfigError> {
    for (name, text) in FILES {
        let source = Source::new(format!("built-in {name}.toml"), text);
        let (providers, models) = parse(&source)?;
        if name == "ollama" {
            let Some((endpoint, installed)) = ollama(entries, world, faults, warnings) else {
                continue;
            };
            let base_url = format!("{endpoint}/v1");
            let providers = providers.into_iter().map(|p| p.at(base_url.clone()));
            let models = installed.iter().map(|name| describe(name, &models));
            entries.add_builtin(name, providers, models);
        } else {
            entries.add_builtin(name, providers, models);
        }
    }
    Ok(())
}

/// What one file says.
pub(super) fn parse(source: &Source) -> Result<(Vec<ProviderSpec>, Vec<ModelSpec>), ConfigError> {
    let mut faults = Faults::new(Some(source));
    let mut table: Table = read::table(source, &mut faults);
    let providers = read::list(&mut table, "provider", &mut faults);
    let models = read::list(&mut table, "model", &mut faults);
    read::nothing_left(&table, &["provider", "model"], &mut faults);
    faults.check()?;
    Ok((providers, models))
}

/// Address and models of a local server, if there is one or the environment names one.
fn ollama(
    entries: &mut Entries,
    world: &World<'_>,
    faults: &mut Faults<'_>,
    warnings: &mut Vec<String>,
) -> Option<(String, Vec<String>)> {
    let wanted = flag(world, "OSS_MODEL_ENABLED", faults);
    if wanted == Some(false) {
        return None;
    }
    let endpoint = world.var("OSS_MODEL_ENDPOINT").unwrap_or(OLLAMA);
    let root = endpoint.trim_end_matches('/');
    let root = root
        .strip_suffix("/v1")
        .or_else(|| root.strip_suffix("/api"))
        .unwrap_or(root);
    faults.path_is_from(
        "built-in ollama: provider[0].base_url",
        "OSS_MODEL_ENDPOINT",
    );

    if let Some(names) = world.var("OSS_MODEL_NAME") {
        let names = names.split(',').map(|name| name.trim().to_owned());
        return Some((root.to_owned(), names.filter(|n| !n.is_empty()).collect()));
    }
    match (world.ollama)(root) {
        Ollama::Has(installed) => {
            if installed.is_empty() {
                entries.note(Elsewhere::Empty(root.to_owned()));
            }
            return Some((root.to_owned(), installed));
        }
        Ollama::NotAsked => entries.note(Elsewhere::NotAsked),
        Ollama::Silent if wanted == Some(true) || world.var("OSS_MODEL_ENDPOINT").is_some() => {
            warnings.push(format!(
                "no local model: nothing answers at {root}, and OSS_MODEL_NAME is not set"
            ));
        }
        Ollama::Silent => {}
    }
    None
}

/// What is known of an installed model: what the catalog says, or that it is free.
fn describe(installed: &str, known: &[ModelSpec]) -> ModelSpec {
    let id = installed.strip_suffix(":latest").unwrap_or(installed);
    let capability = if id.contains("embed") {
        Capability::Embeddings
    } else {
        Capability::General
    };
    let mut model = known
        .iter()
        .find(|model| model.id == id)
        .cloned()
        .unwrap_or_else(|| ModelSpec::free("ollama", id, capability));
    model.upstream = Some(installed.to_owned());
    model
}
