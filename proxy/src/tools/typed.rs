use futures_util::{FutureExt, future::BoxFuture};
use rmcp::schemars::JsonSchema;
use rungs::Error;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{Caller, Spec, Tool, Words};

type Run =
    dyn Fn(Caller, Map<String, Value>) -> BoxFuture<'static, Result<Value, Error>> + Send + Sync;

/// A tool that is a function from its arguments to its result: both are types of its own, and their schemas are those of the tool.
pub(super) struct Typed {
    spec: Spec,
    run: Box<Run>,
}

impl Typed {
    /// What `run` does, which works with `with`, presented in these words.
    pub(super) fn new<W, I, O, R>(
        words: Words,
        with: &W,
        run: impl Fn(W, Caller, I) -> R + Send + Sync + 'static,
    ) -> Self
    where
        W: Clone + Send + Sync + 'static,
        I: DeserializeOwned + JsonSchema + 'static,
        O: Serialize + JsonSchema + 'static,
        R: Future<Output = Result<O, Error>> + Send + 'static,
    {
        let with = with.clone();
        let run = move |caller, arguments| {
            let running = input(arguments).map(|input| run(with.clone(), caller, input));
            async { to_value(&running?.await?) }.boxed()
        };
        Self {
            spec: words.spec::<I, O>(),
            run: Box::new(run),
        }
    }
}

impl Tool for Typed {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(
        &self,
        caller: Caller,
        arguments: Map<String, Value>,
    ) -> BoxFuture<'_, Result<Value, Error>> {
        (self.run)(caller, arguments)
    }
}

/// The arguments as the tool's own type; an error says which of them does not fit.
fn input<I: DeserializeOwned>(arguments: Map<String, Value>) -> Result<I, Error> {
    serde_path_to_error::deserialize(Value::Object(arguments)).map_err(|error| {
        let path = error.path().to_string();
        let why = error.inner();
        match path.as_str() {
            "." => Error::invalid(format!("the arguments do not fit: {why}")),
            _ => Error::invalid(format!("the argument `{path}` does not fit: {why}")).param(path),
        }
    })
}

fn to_value(output: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(output)
        .map_err(|e| Error::internal("the result of a tool does not serialise").with_source(e))
}
