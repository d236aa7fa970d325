use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use http::{HeaderMap, Uri};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{Key, World, error::Faults, nearest::did_you_mean, seconds, secret::SecretSpec, url};
use crate::tools::Effect;

/// Where programs are looked for if our own environment does not say.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The longest name: it stands before the name of each tool, which may have 64 characters in all.
const LONGEST_NAME: usize = 32;

/// `[[mcp]]` as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UpstreamSpec {
    name: String,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, SecretSpec>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, SecretSpec>,
    #[serde(default)]
    allow_private: bool,
    #[serde(default)]
    tools: Vec<String>,
    #[serde(default)]
    keys: Vec<Arc<str>>,
    #[serde(default = "net")]
    effect: Effect,
    #[serde(default)]
    effects: BTreeMap<String, Effect>,
    #[serde(
        default = "a_minute",
        rename = "timeout_seconds",
        deserialize_with = "seconds::some"
    )]
    timeout: Duration,
    #[serde(
        default = "a_minute",
        rename = "start_seconds",
        deserialize_with = "seconds::some"
    )]
    start: Duration,
    #[serde(default = "max_result_bytes")]
    max_result_bytes: usize,
}

/// An MCP server whose tools are mounted. `Debug` shows no secret.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Upstream {
    /// What its tools' names begin with.
    pub(crate) name: Arc<str>,
    /// How it is reached.
    pub(crate) way: Way,
    /// The tools that are mounted, by its own names; empty means all.
    pub(crate) tools: Vec<String>,
    /// The keys that may see them; empty means all.
    pub(crate) keys: Vec<Arc<str>>,
    /// What its tools do to the world,
    effect: Effect,
    /// unless it is said of a tool by name.
    effects: BTreeMap<String, Effect>,
    /// How long a call may take.
    pub(crate) timeout: Duration,
    /// How long it may take to start and to list its tools.
    pub(crate) start: Duration,
    /// How many bytes of a result are passed on.
    pub(crate) max_result_bytes: usize,
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Way {
    /// It is a child process, spoken to over its standard input and output.
    Command {
        /// An absolute path, or a name that is looked for on the child's `PATH`.
        program: String,
        arguments: Vec<String>,
        /// The child's whole environment.
        env: Vec<Variable>,
    },
    /// It is somewhere on the network, over streamable HTTP.
    Url {
        url: Uri,
        /// Sent with each request; all marked sensitive.
        headers: HeaderMap,
        /// Whether its name may resolve to a private, loopback or link-local address.
        allow_private: bool,
    },
}

/// An environment variable of a child.
#[derive(Debug, Clone)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: SecretString,
}

impl PartialEq for Variable {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.value.expose_secret() == other.value.expose_secret()
    }
}

impl Upstream {
    /// What a tool does to the world. What its server says of that is not believed.
    pub(crate) fn effect_of(&self, tool: &str) -> Effect {
        self.effects.get(tool).copied().unwrap_or(self.effect)
    }
}

/// Checks all, and fetches their secrets.
pub(super) fn upstreams(
    specs: &[UpstreamSpec],
    keys: &[Key],
    world: &World<'_>,
    faults: &mut Faults<'_>,
) -> Vec<Upstream> {
    let mut all: Vec<Upstream> = Vec::new();
    for (n, spec) in specs.iter().enumerate() {
        let path = format!("mcp[{n}]");
        if all.iter().any(|other| *other.name == *spec.name) {
            let why = format_args!("there are two servers `{}`", spec.name);
            faults.at(&format!("{path}.name"), why);
        }
        for key in &spec.keys {
            // Keys of the store are not known yet; one that is nearly a key of the file was meant to be it.
            let names = || keys.iter().map(Key::name);
            let hint = did_you_mean(key, names());
            if !names().any(|name| *name == **key) && !hint.is_empty() {
                let why = format_args!("there is no key `{key}` in the file{hint}");
                faults.at(&format!("{path}.keys"), why);
            }
        }
        all.extend(spec.resolve(&path, world, faults));
    }
    all
}

impl UpstreamSpec {
    /// Whether a name begins as those of its tools do.
    pub(super) fn mounts(&self, tool: &str) -> bool {
        let prefix = tool.split_once("__").map(|(prefix, _)| prefix);
        prefix == Some(&*self.name)
    }

    fn resolve(&self, path: &str, world: &World<'_>, faults: &mut Faults<'_>) -> Option<Upstream> {
        if let Err(why) = is_prefix(&self.name) {
            faults.at(&format!("{path}.name"), why);
        }
        if self.max_result_bytes < 1024 {
            faults.at(&format!("{path}.max_result_bytes"), "is less than 1024");
        }
        let tools = &self.tools;
        for name in self.effects.keys().filter(|_| !tools.is_empty()) {
            if !tools.contains(name) {
                let hint = did_you_mean(name, tools.iter().map(String::as_str));
                let why = format_args!("`{name}` is not in `tools`{hint}");
                faults.at(&format!("{path}.effects"), why);
            }
        }
        let way = match (self.command.split_first(), &self.url) {
            (Some((program, arguments)), None) => {
                self.command(program, arguments, path, world, faults)
            }
            (None, Some(url)) => self.url(url, path, world, faults),
            _ => {
                let why = "has to have either a `command` or a `url`";
                faults.at(path, why);
                None
            }
        };
        Some(Upstream {
            name: self.name.as_str().into(),
            way: way?,
            tools: self.tools.clone(),
            keys: self.keys.clone(),
            effect: self.effect,
            effects: self.effects.clone(),
            timeout: self.timeout,
            start: self.start,
            max_result_bytes: self.max_result_bytes,
        })
    }

    fn command(
        &self,
        program: &str,
        arguments: &[String],
        path: &str,
        world: &World<'_>,
        faults: &mut Faults<'_>,
    ) -> Option<Way> {
        for (name, unused) in [
            ("headers", !self.headers.is_empty()),
            ("allow_private", self.allow_private),
        ] {
            if unused {
                faults.at(&format!("{path}.{name}"), "is for servers with a `url`");
            }
        }
        if program.is_empty() || program.contains('/') && !Path::new(program).is_absolute() {
            let why = "begins with an absolute path, or with the name of a program on PATH";
            faults.at(&format!("{path}.command"), why);
        }
        let given = self.env.iter().filter_map(|(name, value)| {
            let path = format!("{path}.env.{name}");
            let is_name = |name: &str| !name.is_empty() && !name.contains(['=', '\0']);
            if !is_name(name) {
                faults.at(&path, "is no name of an environment variable");
            }
            match value.resolve(world) {
                Ok(value) => Some(Variable {
                    name: name.clone(),
                    value,
                }),
                Err(why) => {
                    faults.at(&path, why);
                    None
                }
            }
        });
        let mut env: Vec<Variable> = given.collect();
        for (name, usual) in [("PATH", Some(USUAL_PATH)), ("HOME", None)] {
            let value = world.var(name).or(usual);
            if let Some(value) = value.filter(|_| !self.env.contains_key(name)) {
                env.push(Variable {
                    name: name.into(),
                    value: value.into(),
                });
            }
        }
        Some(Way::Command {
            program: program.into(),
            arguments: arguments.to_vec(),
            env,
        })
    }

    fn url(
        &self,
        url: &str,
        path: &str,
        world: &World<'_>,
        faults: &mut Faults<'_>,
    ) -> Option<Way> {
        if !self.env.is_empty() {
            faults.at(&format!("{path}.env"), "is for servers with a `command`");
        }
        let headers = url::headers(&self.headers, path, world, faults);
        let allow_private = self.allow_private;
        let encrypted = |uri: Uri| match uri.scheme_str() {
            Some("http") if !allow_private => Err(
                "is not encrypted; write https, or allow_private = true for a server of your own"
                    .into(),
            ),
            _ => Ok(uri),
        };
        let url = url::checked(url, allow_private)
            .and_then(encrypted)
            .map_err(|why| faults.at(&format!("{path}.url"), why))
            .ok()?;
        Some(Way::Url {
            url,
            headers,
            allow_private,
        })
    }
}

/// Whether tools' names may begin with this and `__`, so that two servers never share a name.
fn is_prefix(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(plain) {
        return Err(format!(
            "has 1 to {LONGEST_NAME} letters, digits, `-` and `_`"
        ));
    }
    if name.contains("__") || name.ends_with('_') {
        return Err(
            "has no `__` in it and no `_` at its end: `__` ends it in a tool's name".into(),
        );
    }
    Ok(())
}

fn net() -> Effect {
    Effect::Net
}

fn a_minute() -> Duration {
    Duration::from_secs(60)
}

fn max_result_bytes() -> usize {
    256 << 10
}
