//! `code_agent`: changes a project and tests what it did.

use std::sync::{
    LazyLock,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use futures_util::future::BoxFuture;
use rungs::Error;
use serde_json::Value;

use super::{Effect, Spec, Tool, ToolCall, to_value};
use crate::{
    agent::{self, Event, Report, Wanted},
    gateway::Gateway,
};

/// What clients are told of it.
pub(super) fn spec() -> &'static Spec {
    static SPEC: LazyLock<Spec> = LazyLock::new(|| {
        Spec::of::<Wanted, Report>(
            "code_agent",
            "Change a project",
            "Carries out a task in a software project: plans, edits a copy, runs the project's tests, asks better models only when they \
             fail, and writes the change when they pass. Gives the diff, the todo list, who was asked and what it cost.",
            Effect::Write,
        )
    });
    &SPEC
}

pub(super) struct CodeAgent {
    gateway: Gateway,
}

impl CodeAgent {
    pub(super) fn new(gateway: Gateway) -> Self {
        Self { gateway }
    }
}

impl Tool for CodeAgent {
    fn spec(&self) -> &Spec {
        spec()
    }

    fn call(&self, mut call: ToolCall) -> BoxFuture<'_, Result<Value, Error>> {
        Box::pin(async move {
            let wanted: Wanted = call.input()?;
            let job = wanted.admitted(&self.gateway.live().config, &call.principal)?;
            let total = f64::from(job.steps);
            let progress = call.progress;
            let done = AtomicU32::new(0);
            let watch = move |event: &Event| {
                if matches!(event, Event::Answered { .. }) {
                    done.fetch_add(1, Relaxed);
                }
                progress.say(
                    f64::from(done.load(Relaxed)),
                    Some(total),
                    &event.to_string(),
                );
            };
            let report = agent::run(&self.gateway, &call.principal, &job, &watch).await?;
            to_value(&report)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Gateway;
    use rungs::ErrorKind;
    use serde_json::{Map, Value, json};

    use crate::tools::{ToolCall, Toolbox, all};
    use crate::{
        auth::Principal,
        config::{Config, Source, Vars, World},
    };

    async fn toolbox(config: &str) -> Toolbox {
        let world = World {
            vars: &Vars::new(),
            read: &|_| Err(std::io::ErrorKind::NotFound.into()),
            ollama: &|_| None,
        };
        let text = format!("[store]\nurl = \"memory:\"\n{config}");
        let config = Config::load(Some(&Source::new("rungs.toml", text)), &world).unwrap();
        all(&Gateway::start(config).await.unwrap())
    }

    fn call(arguments: Value) -> ToolCall {
        let arguments: Map<String, Value> = serde_json::from_value(arguments).unwrap();
        ToolCall::new(Principal::local(), arguments)
    }

    #[tokio::test]
    async fn the_code_agent_is_a_tool_that_writes() {
        let off = toolbox("").await;
        let error = off
            .call("code_agent", call(json!({ "task": "x" })))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Forbidden);
        assert!(
            error.message().contains("`code_agent = true` in [tools]"),
            "{error}"
        );

        let on = toolbox("[tools]\nallow = [\"write\"]\n").await;
        for (arguments, kind, why) in [
            (json!({}), ErrorKind::Invalid, "needs `task`"),
            (
                json!({ "task": "x", "test": "unit" }),
                ErrorKind::Invalid,
                "[agent.tests.unit]",
            ),
            (
                json!({ "task": "x", "rot": "." }),
                ErrorKind::Invalid,
                "did you mean `root`",
            ),
            (
                json!({ "task": "x", "root": "/etc" }),
                ErrorKind::NotFound,
                "tools.roots",
            ),
            (
                json!({ "task": "x" }),
                ErrorKind::NotFound,
                "no model `auto`",
            ),
        ] {
            let error = on.call("code_agent", call(arguments)).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.message().contains(why), "{error}");
        }
        let cancelled = call(json!({ "task": "x" }));
        cancelled.cancelled.cancel();
        let error = on.call("code_agent", cancelled).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cut);
    }
}
