use std::sync::Arc;

use rungs::Error;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::auth::Principal;

/// One call of a tool.
pub(crate) struct ToolCall {
    /// Who calls, and pays.
    pub(crate) principal: Arc<Principal>,
    /// What they say.
    pub(crate) arguments: Map<String, Value>,
    /// Where the tool says how far it is.
    pub(crate) progress: Progress,
    /// Told when the caller has lost interest. The toolbox drops the tool's future then; who starts work of its own watches this.
    pub(crate) cancelled: CancellationToken,
}

impl ToolCall {
    /// A call of `principal` that nobody watches.
    pub(crate) fn new(principal: Arc<Principal>, arguments: Map<String, Value>) -> Self {
        Self {
            principal,
            arguments,
            progress: Progress::default(),
            cancelled: CancellationToken::new(),
        }
    }

    /// The arguments as the tool's own type; takes them out.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](rungs::ErrorKind::Invalid), with the path of what is wrong.
    pub(crate) fn input<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        let arguments = Value::Object(std::mem::take(&mut self.arguments));
        serde_path_to_error::deserialize(arguments).map_err(|error| {
            let path = error.path().to_string();
            let why = error.inner();
            match path.as_str() {
                "." => Error::invalid(format!("the arguments do not fit: {why}")),
                _ => {
                    Error::invalid(format!("the argument `{path}` does not fit: {why}")).param(path)
                }
            }
        })
    }
}

/// Where a tool says how far it is. Best effort: it never blocks, and what nobody has heard yet may be dropped.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Option<mpsc::Sender<Said>>);

/// What a tool has said of its progress.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Said {
    /// How much is done; it only grows.
    pub(crate) done: f64,
    /// Of how much, if that is known.
    pub(crate) total: Option<f64>,
    /// In words.
    pub(crate) message: String,
}

impl Progress {
    /// One that somebody listens to.
    pub(crate) fn heard() -> (Self, mpsc::Receiver<Said>) {
        const BACKLOG: usize = 16;
        let (sender, receiver) = mpsc::channel(BACKLOG);
        (Self(Some(sender)), receiver)
    }

    /// Says that `done` of `total` is done.
    pub(crate) fn say(&self, done: f64, total: Option<f64>, message: &str) {
        if let Some(sender) = &self.0 {
            let message = message.to_owned();
            let _ = sender.try_send(Said {
                done,
                total,
                message,
            });
        }
    }

    /// Whether anybody listens.
    pub(crate) fn is_heard(&self) -> bool {
        self.0.is_some()
    }
}

/// A tool's result as its `output` schema has it.
pub(crate) fn to_value<T: Serialize>(output: &T) -> Result<Value, Error> {
    serde_json::to_value(output)
        .map_err(|e| Error::internal("the result of a tool does not serialise").with_source(e))
}
