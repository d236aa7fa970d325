//! What a server lists, looked at with suspicion.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use rmcp::model::Tool;
use serde_json::{Map, Value};

use super::{
    digest::Digest,
    outcome::Outcome,
    visible::{line, shortened, visible},
};
use crate::{
    config,
    tools::{Origin, Spec},
};

/// The most tools of one server.
pub(super) const MOST_TOOLS: usize = 256;

/// The longest description, in characters.
const LONGEST_DESCRIPTION: usize = 8 << 10;

/// The longest title, in characters.
const LONGEST_TITLE: usize = 100;

/// The largest schema of arguments, in bytes.
const LARGEST_SCHEMA: usize = 64 << 10;

/// The longest name of a tool that clients and providers take.
const LONGEST_NAME: usize = 64;

/// A tool as it may be shown.
#[derive(Debug)]
pub(crate) struct Listed {
    /// What its server calls it.
    pub(crate) name: String,
    /// What our clients see.
    pub(crate) spec: Spec,
    /// What it says of itself.
    pub(crate) digest: Digest,
}

/// A tool that is not mounted, and why.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Its name, fit to be shown.
    pub(crate) name: String,
    /// The rest of a sentence that begins with the tool.
    pub(crate) why: &'static str,
}

/// A server's tools, in its order.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) tools: Vec<Arc<Listed>>,
    pub(crate) refused: Vec<Refused>,
}

impl Listing {
    /// Sorts out what a server lists under this configuration.
    pub(super) fn of(config: &config::Upstream, tools: Vec<Tool>) -> Self {
        let mut listing = Self::default();
        let mut times: HashMap<String, usize> = HashMap::new();
        for tool in &tools {
            *times.entry(tool.name.to_string()).or_default() += 1;
        }
        let wanted = |name: &str| config.tools.is_empty() || config.tools.iter().any(|t| t == name);
        for tool in tools.into_iter().filter(|tool| wanted(&tool.name)) {
            let judged = match times.get(&*tool.name) {
                // Not even the first: nobody knows which of them is meant.
                Some(2..) => Err("is listed more than once"),
                _ => listed(config, &tool),
            };
            match judged {
                Ok(tool) => listing.tools.push(Arc::new(tool)),
                Err(why) => listing.refuse(&tool.name, why),
            }
        }
        for name in &config.tools {
            if !times.contains_key(name) {
                listing.refuse(
                    name,
                    "is in `tools` of the configuration, but not on the server",
                );
            }
        }
        listing
    }

    /// Refuses the tools of these names after all.
    pub(super) fn refuse_all(&mut self, names: &HashSet<String>, why: &'static str) {
        self.tools.retain(|tool| !names.contains(&tool.name));
        names.iter().for_each(|name| self.refuse(name, why));
    }

    fn refuse(&mut self, name: &str, why: &'static str) {
        let name = line(name);
        if !self.refused.iter().any(|other| other.name == name) {
            self.refused.push(Refused { name, why });
        }
    }
}

fn listed(config: &config::Upstream, tool: &Tool) -> Result<Listed, &'static str> {
    let name = format!("{}__{}", config.name, tool.name);
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if tool.name.is_empty() || !name.chars().all(plain) {
        return Err("has a name of other characters than letters, digits, `-` and `_`");
    }
    if name.len() > LONGEST_NAME {
        return Err("has a name of more than 64 characters, counted with its server's");
    }
    let description = visible(tool.description.as_deref().unwrap_or_default());
    let title = tool.title.as_deref().unwrap_or(&tool.name);
    Ok(Listed {
        name: tool.name.to_string(),
        digest: Digest::of(tool),
        spec: Spec {
            name: name.into(),
            title: shortened(&line(title), LONGEST_TITLE).into_owned().into(),
            description: shortened(&description, LONGEST_DESCRIPTION)
                .into_owned()
                .into(),
            effect: config.effect_of(&tool.name),
            origin: Origin::Found,
            input: Arc::new(schema(&tool.input_schema)?),
            output: Some(Outcome::schema()),
        },
    })
}

/// The arguments' schema with all its texts made visible.
fn schema(schema: &Map<String, Value>) -> Result<Map<String, Value>, &'static str> {
    let size = serde_json::to_vec(schema).map_or(usize::MAX, |bytes| bytes.len());
    if size > LARGEST_SCHEMA {
        return Err("has arguments whose schema is larger than 64 KiB");
    }
    let shown = shown(schema)?;
    match shown.get("type").and_then(Value::as_str) {
        Some("object") => Ok(shown),
        _ => Err("has arguments that are no object"),
    }
}

fn shown(map: &Map<String, Value>) -> Result<Map<String, Value>, &'static str> {
    let members = map
        .iter()
        .map(|(name, value)| match visible(name) == *name {
            true => Ok((name.clone(), shown_value(value)?)),
            // Under another name the server would not know it.
            false => Err("has arguments with invisible characters in their names"),
        });
    members.collect()
}

fn shown_value(value: &Value) -> Result<Value, &'static str> {
    Ok(match value {
        Value::String(text) => visible(text).into(),
        Value::Array(items) => items.iter().map(shown_value).collect::<Result<_, _>>()?,
        Value::Object(map) => shown(map)?.into(),
        plain => plain.clone(),
    })
}
