use std::{collections::BTreeMap, fmt, path::Path};

use toml::de::{DeTable, DeValue};

/// A configuration file: its name, for messages, and its text.
#[derive(Clone)]
pub(crate) struct Source {
    /// What people call it, usually its path.
    pub(crate) name: String,
    /// What it says.
    pub(crate) text: String,
}

impl Source {
    /// A source of this name and text.
    pub(crate) fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }

    /// Where it lies; nothing, for one in the working directory.
    pub(super) fn folder(&self) -> &Path {
        Path::new(&self.name).parent().unwrap_or(Path::new(""))
    }

    /// The line, counted from 1, of the byte at `offset`.
    pub(super) fn line_at(&self, offset: usize) -> usize {
        1 + self
            .text
            .bytes()
            .take(offset)
            .filter(|b| *b == b'\n')
            .count()
    }

    /// The line of the deepest part of `path`, such as `model[2].price.input`, that the file has.
    fn line_of(&self, path: &str) -> Option<usize> {
        let root = DeTable::parse(&self.text).ok()?.into_inner();
        let mut here = &DeValue::Table(root);
        let mut found = None;
        for step in path.split(['.', '[']) {
            let (span, next) = match (here, step.strip_suffix(']')) {
                (DeValue::Array(items), Some(index)) => {
                    let Some(item) = index.parse().ok().and_then(|i: usize| items.get(i)) else {
                        break;
                    };
                    (item.span(), item.get_ref())
                }
                (DeValue::Table(table), None) => {
                    let Some((key, value)) = table.get_key_value(step) else {
                        break;
                    };
                    (key.span(), value.get_ref())
                }
                _ => break,
            };
            found = Some(span.start);
            here = next;
        }
        found.map(|offset| self.line_at(offset))
    }
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The file, or the environment variable.
    pub(crate) origin: String,
    /// The line in that file, counted from 1.
    pub(crate) line: Option<usize>,
    /// What is wrong and what to do about it. Never has a secret in it.
    pub(crate) message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.origin, self.message),
            None => write!(f, "{}: {}", self.origin, self.message),
        }
    }
}

/// Everything that is wrong with a configuration, one fault a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigError(pub(crate) Vec<Fault>);

impl ConfigError {
    /// A single fault that belongs to no line of a file.
    pub(super) fn one(origin: impl Into<String>, message: impl Into<String>) -> Self {
        Self(vec![Fault {
            origin: origin.into(),
            line: None,
            message: message.into(),
        }])
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, fault) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Collects faults, so that one run reports all of them.
pub(super) struct Faults<'a> {
    source: Option<&'a Source>,
    from_env: BTreeMap<&'static str, &'static str>,
    found: Vec<Fault>,
}

impl<'a> Faults<'a> {
    pub(super) fn new(source: Option<&'a Source>) -> Self {
        Self {
            source,
            from_env: BTreeMap::new(),
            found: Vec::new(),
        }
    }

    /// Notes that the value at `path` came from an environment variable, so that a fault there names the variable.
    pub(super) fn path_is_from(&mut self, path: &'static str, variable: &'static str) {
        self.from_env.insert(path, variable);
    }

    /// Whether the value at `path` came from an environment variable.
    pub(super) fn is_from_environment(&self, path: &str) -> bool {
        self.from_env.contains_key(path)
    }

    /// Something is wrong at `path`; the message names the path itself.
    pub(super) fn add(&mut self, path: &str, message: impl Into<String>) {
        let variable = self.from_env.get(path).copied();
        self.found.push(match (variable, self.source) {
            (Some(variable), _) => Fault {
                origin: format!("environment variable {variable}"),
                line: None,
                message: message.into(),
            },
            (None, Some(source)) => Fault {
                origin: source.name.clone(),
                line: source.line_of(path),
                message: message.into(),
            },
            (None, None) => Fault {
                origin: "configuration".into(),
                line: None,
                message: message.into(),
            },
        });
    }

    /// The value at `path` is wrong.
    pub(super) fn at(&mut self, path: &str, message: impl fmt::Display) {
        self.add(path, format!("`{path}`: {message}"));
    }

    /// The file itself is no TOML.
    pub(super) fn syntax(&mut self, source: &Source, error: &toml::de::Error) {
        // `Display` of a TOML error quotes the line, which may hold a secret.
        self.found.push(Fault {
            origin: source.name.clone(),
            line: error.span().map(|span| source.line_at(span.start)),
            message: error.message().to_owned(),
        });
    }

    /// An environment variable is wrong.
    pub(super) fn variable(&mut self, name: &str, message: impl Into<String>) {
        self.found.push(Fault {
            origin: format!("environment variable {name}"),
            line: None,
            message: message.into(),
        });
    }

    /// Fails if anything was found, in the order of the file.
    pub(super) fn check(&mut self) -> Result<(), ConfigError> {
        if self.found.is_empty() {
            return Ok(());
        }
        self.found
            .sort_by_key(|fault| fault.line.unwrap_or(usize::MAX));
        Err(ConfigError(std::mem::take(&mut self.found)))
    }
}
