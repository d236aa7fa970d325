use std::sync::Arc;

use futures_util::future::BoxFuture;
use rungs::Error;
use serde_json::{Map, Value};

use super::{Listed, Server};
use crate::tools::{Caller, Spec, Tool};

/// A tool of another server among ours.
pub(super) struct Mounted {
    server: Arc<Server>,
    tool: Arc<Listed>,
}

impl Mounted {
    pub(super) fn new(server: &Arc<Server>, tool: Arc<Listed>) -> Self {
        let server = Arc::clone(server);
        Self { server, tool }
    }
}

impl Tool for Mounted {
    fn spec(&self) -> &Spec {
        &self.tool.spec
    }

    fn call(
        &self,
        caller: Caller,
        arguments: Map<String, Value>,
    ) -> BoxFuture<'_, Result<Value, Error>> {
        Box::pin(self.server.call(&self.tool, caller, arguments))
    }
}
