use std::{sync::Arc, time::Instant};

use rungs::Error;
use serde_json::{Map, Value, json};

use super::{Caller, Effect, Spec};

/// The target of the lines, which are written whatever the log's level is.
pub(crate) const TARGET: &str = "rungs::audit";

/// A call of a tool that does more than read: it leaves a line in the log, however it ends, and also where it is refused.
///
/// Of the arguments the line has a digest alone: enough to show which call it was, nothing to read.
pub(super) struct Audit {
    tool: String,
    effect: Effect,
    tenant: Arc<str>,
    key: Option<Arc<str>>,
    arguments: String,
    outcome: &'static str,
    began: Instant,
}

impl Audit {
    /// `None` for a tool that only reads.
    pub(super) fn begin(
        spec: &Spec,
        caller: &Caller,
        arguments: &Map<String, Value>,
    ) -> Option<Self> {
        spec.effect.is_more_than_reading().then(|| Self {
            tool: spec.name.to_string(),
            effect: spec.effect,
            tenant: Arc::clone(&caller.principal.tenant),
            key: caller.principal.key.clone(),
            arguments: digest(arguments),
            // Of a caller who leaves nothing more is heard.
            outcome: "cut",
            began: Instant::now(),
        })
    }

    pub(super) fn end(mut self, result: &Result<Value, Error>) {
        self.outcome = match result {
            Ok(_) => "ok",
            Err(error) => error.kind().as_str(),
        };
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        tracing::info!(
            target: TARGET,
            tool = self.tool,
            effect = self.effect.as_str(),
            tenant = &*self.tenant,
            key = self.key.as_deref(),
            arguments = self.arguments,
            outcome = self.outcome,
            ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "tool called"
        );
    }
}

/// The same for the same arguments, in whatever order they come.
fn digest(arguments: &Map<String, Value>) -> String {
    let mut sorted: Vec<_> = arguments.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    let mut hasher = blake3::Hasher::new();
    for (name, value) in sorted {
        hasher.update(json!([name, value]).to_string().as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}
