use std::{collections::BTreeMap, fmt, path::PathBuf};

use rungs::{Error, ErrorKind};
use serde::{Deserialize, Deserializer, de};
use toml::{Table, Value};

use super::{
    error::Faults,
    read,
    runner::{Runner, Runners},
    upstream::UpstreamSpec,
};
use crate::{
    sandbox::Walls,
    tools::{Effect, NAMES},
};

/// `[tools]`: what models and MCP clients may use.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tools {
    /// The folders that tools may see; if none are said, the working directory, and for who has no key alone.
    pub(crate) roots: Option<Vec<PathBuf>>,
    /// What to do on a kernel that cannot isolate programs.
    pub(crate) sandbox: Walls,
    /// How tests are run, by name.
    pub(crate) tests: Runners,
    /// Where the embedded tables lie.
    pub(crate) data: PathBuf,
    /// The statements that make the embedded tables, if they are not the usual ones.
    pub(crate) schema: Option<PathBuf>,
    /// A PostgreSQL in their place.
    pub(crate) database: Option<ToolUrl>,
    /// Where `redis_*` keep values; this process's memory if nowhere.
    pub(crate) redis: Option<ToolUrl>,
    /// What becomes of calls that do more than read, after a conversation has read what others wrote.
    pub(crate) untrusted: Untrusted,
    /// Effects that are on beside `read`.
    allow: Vec<Effect>,
    /// What is said of single tools, by name.
    switches: BTreeMap<String, bool>,
}

/// What becomes of calls that do more than read, after a conversation has read what others wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Untrusted {
    /// A person must agree to each.
    #[default]
    Confirm,
    /// They are made.
    Allow,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ToolsSpec {
    roots: Option<Vec<PathBuf>>,
    allow: Vec<Effect>,
    untrusted: Untrusted,
    sandbox: Walls,
    tests: BTreeMap<String, Runner>,
    data: PathBuf,
    schema: Option<PathBuf>,
    #[serde(deserialize_with = "postgres")]
    database: Option<ToolUrl>,
    #[serde(deserialize_with = "redis")]
    redis: Option<ToolUrl>,
}

/// The keys of the section that are no tools.
const OWN: [&str; 9] = [
    "roots",
    "allow",
    "untrusted",
    "sandbox",
    "tests",
    "data",
    "schema",
    "database",
    "redis",
];

/// Where a store of the tools is. It may hold a password, and is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ToolUrl(String);

impl ToolUrl {
    #[cfg(test)]
    pub(crate) fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The URL, for who connects.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ToolUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ToolUrl")
    }
}

fn url<'de, D: Deserializer<'de>>(
    d: D,
    schemes: [&str; 2],
    example: &str,
) -> Result<Option<ToolUrl>, D::Error> {
    let url = String::deserialize(d)?;
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    match scheme.is_some_and(|scheme| schemes.contains(&scheme)) {
        true => Ok(Some(ToolUrl(url))),
        false => Err(de::Error::custom(format!("is no URL like {example}"))),
    }
}

fn postgres<'de, D: Deserializer<'de>>(d: D) -> Result<Option<ToolUrl>, D::Error> {
    url(
        d,
        ["postgres", "postgresql"],
        "postgres://role:password@host/name",
    )
}

fn redis<'de, D: Deserializer<'de>>(d: D) -> Result<Option<ToolUrl>, D::Error> {
    url(d, ["redis", "rediss"], "redis://user:password@host/0")
}

impl Default for ToolsSpec {
    fn default() -> Self {
        Self {
            roots: None,
            allow: Vec::new(),
            untrusted: Untrusted::default(),
            sandbox: Walls::default(),
            tests: BTreeMap::new(),
            data: "rungs.tools".into(),
            schema: None,
            database: None,
            redis: None,
        }
    }
}

impl Tools {
    /// Takes the section out of the file's table.
    pub(super) fn read(
        table: &mut Table,
        upstreams: &[UpstreamSpec],
        faults: &mut Faults<'_>,
    ) -> Self {
        let mut switches = BTreeMap::new();
        if let Some(section) = table.get_mut("tools").and_then(Value::as_table_mut) {
            let own = |key: &str| OWN.contains(&key);
            let keys: Vec<String> = section.keys().filter(|key| !own(key)).cloned().collect();
            for key in keys {
                let path = format!("tools.{key}");
                match section.remove(&key) {
                    _ if !NAMES.contains(&&*key) && !upstreams.iter().any(|u| u.mounts(&key)) => {
                        read::unknown(&key, &path, &[&OWN[..], &NAMES].concat(), faults);
                    }
                    Some(Value::Boolean(on)) => {
                        switches.insert(key, on);
                    }
                    _ => faults.at(&path, "is true or false"),
                }
            }
        }
        let spec: ToolsSpec = read::section(table, "tools", faults);
        if spec.roots.as_ref().is_some_and(Vec::is_empty) {
            faults.at(
                "tools.roots",
                "is empty; leave it out for the working directory",
            );
        }
        if spec.schema.is_some() && spec.database.is_some() {
            faults.at(
                "tools.schema",
                "is for the embedded tables; those of `tools.database` are its owner's",
            );
        }
        Self {
            roots: spec.roots,
            sandbox: spec.sandbox,
            tests: Runners::new(spec.tests, faults),
            data: spec.data,
            schema: spec.schema,
            database: spec.database,
            redis: spec.redis,
            untrusted: spec.untrusted,
            allow: spec.allow,
            switches,
        }
    }

    /// What `running` has, switched on and off as here: that is looked at with each call, all else when the process starts.
    pub(super) fn switched(&self, running: &Self) -> Self {
        Self {
            allow: self.allow.clone(),
            switches: self.switches.clone(),
            untrusted: self.untrusted,
            ..running.clone()
        }
    }

    /// Whether any tool may change files.
    pub(crate) fn changes_files(&self) -> bool {
        let said = self.switches.get("fs_write").copied();
        said.unwrap_or_else(|| self.allow.contains(&Effect::Write))
    }

    /// Whether this effect is on; or the line that would turn it on. `what` needs it.
    pub(crate) fn has(&self, effect: Effect, what: &str) -> Result<(), Error> {
        if effect == Effect::Read || self.allow.contains(&effect) {
            return Ok(());
        }
        let (verb, name) = (effect.verb(), effect.as_str());
        Err(Error::new(
            ErrorKind::Forbidden,
            format!(
                "{what} {verb}, which is off; `allow = [\"{name}\"]` in [tools] of the configuration turns it on"
            ),
        ))
    }

    /// Whether a tool may be called; or the line that would allow it.
    pub(crate) fn allows(&self, name: &str, effect: Effect) -> Result<(), Error> {
        let said = self.switches.get(name).copied();
        if said.unwrap_or_else(|| self.has(effect, name).is_ok()) {
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
