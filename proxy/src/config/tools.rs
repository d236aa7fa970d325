use std::{collections::BTreeMap, path::PathBuf};

use rungs::{Error, ErrorKind};
use serde::Deserialize;
use toml::{Table, Value};

use super::{error::Faults, nearest::did_you_mean, read};
use crate::tools::{Effect, NAMES, Spec};

/// `[tools]`: what models and MCP clients may use.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    /// The folders that tools may see.
    pub(crate) roots: Vec<PathBuf>,
    /// Effects that are on beside `read`.
    allow: Vec<Effect>,
    /// What is said of single tools, by name.
    switches: BTreeMap<String, bool>,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ToolsSpec {
    roots: Vec<PathBuf>,
    allow: Vec<Effect>,
}

impl Default for ToolsSpec {
    fn default() -> Self {
        Self {
            roots: vec![".".into()],
            allow: Vec::new(),
        }
    }
}

impl Tools {
    /// Takes the section out of the file's table.
    pub(super) fn read(table: &mut Table, faults: &mut Faults<'_>) -> Self {
        let mut switches = BTreeMap::new();
        if let Some(section) = table.get_mut("tools").and_then(Value::as_table_mut) {
            let own = |key: &str| ["roots", "allow"].contains(&key);
            let keys: Vec<String> = section.keys().filter(|key| !own(key)).cloned().collect();
            for key in keys {
                let path = format!("tools.{key}");
                match section.remove(&key) {
                    _ if !NAMES.contains(&&*key) => {
                        let known = NAMES.into_iter().chain(["roots", "allow"]);
                        let hint = did_you_mean(&key, known);
                        faults.add(&path, format!("unknown key `{path}`{hint}"));
                    }
                    Some(Value::Boolean(on)) => {
                        switches.insert(key, on);
                    }
                    _ => faults.at(&path, "is true or false"),
                }
            }
        }
        let ToolsSpec { roots, allow } = read::section(table, "tools", faults);
        Self {
            roots,
            allow,
            switches,
        }
    }

    /// Whether a tool may be called; or the line that would allow it.
    pub(crate) fn allows(&self, spec: &Spec) -> Result<(), Error> {
        let Spec { name, effect, .. } = spec;
        let said = self.switches.get(&**name).copied();
        let by_effect = *effect == Effect::Read || self.allow.contains(effect);
        if said.unwrap_or(by_effect) {
            return Ok(());
        }
        let why = match said {
            Some(false) => format!(
                "the tool `{name}` is off: the configuration says `{name} = false` in [tools]"
            ),
            _ => format!(
                "the tool `{name}` {}, which is off; `{name} = true` in [tools] of the configuration turns it on, `allow = [\"{}\"]` \
                 all of its kind",
                effect.verb(),
                effect.as_str()
            ),
        };
        Err(Error::new(ErrorKind::Forbidden, why))
    }
}
