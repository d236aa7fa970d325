use std::{borrow::Cow, sync::Arc};

use rmcp::{
    handler::server::tool::{schema_for_input, schema_for_output},
    schemars::JsonSchema,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a tool does to the world. Only `Read` is on unless the configuration says otherwise.
///
/// Asking a model counts as reading: it changes nothing here, and the caller's budgets are its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Effect {
    /// It looks, and changes nothing.
    Read,
    /// It changes files or data.
    Write,
    /// It runs programs.
    Exec,
    /// It reaches other computers.
    Net,
}

impl Effect {
    /// The name in the configuration.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Exec => "exec",
            Self::Net => "net",
        }
    }

    /// Whether it changes or reaches anything.
    pub(crate) const fn is_more_than_reading(self) -> bool {
        !matches!(self, Self::Read)
    }

    /// The rest of a sentence that begins with the tool.
    pub(crate) const fn verb(self) -> &'static str {
        match self {
            Self::Read => "reads",
            Self::Write => "changes files or data",
            Self::Exec => "runs programs",
            Self::Net => "reaches other computers",
        }
    }
}

/// Whose words are in the result of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The gateway's, or those of a model that the caller has asked.
    Own,
    /// Of files, rows, pages and programs: whoever wrote them may have meant the model that reads them.
    Found,
}

/// What clients are told of a tool.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    /// Unique, of `[A-Za-z0-9_-]`.
    pub(crate) name: Cow<'static, str>,
    /// What people call it.
    pub(crate) title: Cow<'static, str>,
    /// What it is for, to the model that may call it.
    pub(crate) description: Cow<'static, str>,
    /// What it does to the world.
    pub(crate) effect: Effect,
    /// Whose words are in its result.
    pub(crate) origin: Origin,
    /// The JSON Schema of its arguments.
    pub(crate) input: Arc<Map<String, Value>>,
    /// That of its result.
    pub(crate) output: Option<Arc<Map<String, Value>>>,
}

/// How a tool of ours is presented.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    /// Unique, of `[a-z_]`.
    pub(crate) name: &'static str,
    /// What people call it.
    pub(crate) title: &'static str,
    /// What it is for, to the model that may call it.
    pub(crate) description: &'static str,
    /// What it does to the world.
    pub(crate) effect: Effect,
    /// Whose words are in its result.
    pub(crate) origin: Origin,
}

impl Words {
    /// The spec of a tool that takes an `I` and gives an `O`; both are structs.
    pub(super) fn spec<I: JsonSchema + 'static, O: JsonSchema + 'static>(self) -> Spec {
        let input = schema_for_input::<I>().expect("the arguments of a tool are a struct");
        Spec {
            name: self.name.into(),
            title: self.title.into(),
            description: self.description.into(),
            effect: self.effect,
            origin: self.origin,
            input: plain(&input),
            output: Some(plain(&schema_for_output::<O>())),
        }
    }
}

/// A schema without the formats that only Rust knows, which validators of clients complain about.
fn plain(schema: &Map<String, Value>) -> Arc<Map<String, Value>> {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(members) => {
                let format = members.get("format").and_then(Value::as_str);
                if format.is_some_and(|f| f.starts_with("uint") || f == "double") {
                    members.remove("format");
                }
                members.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut schema = schema.clone();
    schema.values_mut().for_each(strip);
    Arc::new(schema)
}
