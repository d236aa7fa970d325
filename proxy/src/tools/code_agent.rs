//! `code_agent`: changes a project and tests what it did.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use rungs::Error;

use super::{Caller, Effect, Origin, Typed, Words};
use crate::{
    agent::{self, Event, Report, Wanted, Watch},
    gateway::Gateway,
};

/// How it is presented; it has a route of its own too.
pub(crate) const WORDS: Words = Words {
    name: "code_agent",
    title: "Change a project",
    description: "Carries out a task in a software project: plans, edits a copy, runs the project's tests, asks better models only when \
                  they fail, and writes the change when they pass. Gives the diff, the todo list, who was asked and what it cost.",
    effect: Effect::Write,
    origin: Origin::Found,
};

/// The tool.
pub(super) fn tool(gateway: &Gateway) -> Typed {
    Typed::new(WORDS, gateway, work)
}

async fn work(gateway: Gateway, caller: Caller, wanted: Wanted) -> Result<Report, Error> {
    let total = f64::from(gateway.live().config.agent.steps);
    let done = AtomicU32::new(0);
    let progress = caller.progress.clone();
    let watch = move |event: &Event| {
        if matches!(event, Event::Answered { .. }) {
            done.fetch_add(1, Relaxed);
        }
        let done = f64::from(done.load(Relaxed));
        progress.say(done, Some(total), &event.to_string());
    };
    carry_out(&gateway, &caller, &wanted, &watch).await
}

/// Does what is wanted for the caller, if the configuration admits it, puts the answers of models on their bill, and tells `watch`.
pub(crate) async fn carry_out(
    gateway: &Gateway,
    caller: &Caller,
    wanted: &Wanted,
    watch: Watch<'_>,
) -> Result<Report, Error> {
    let principal = &caller.principal;
    let job = wanted.admitted(gateway, principal).await?;
    agent::run(gateway, principal, &job, caller.bill.clone(), watch).await
}

#[cfg(test)]
mod tests {
    use rungs::{Error, ErrorKind};
    use serde_json::{Map, Value, json};

    use crate::tools::{Caller, Toolbox, all};
    use crate::{
        auth::Principal,
        config::{Config, Source},
        gateway::Gateway,
    };

    async fn toolbox(config: &str) -> Toolbox {
        let text = format!("[store]\nurl = \"memory:\"\n{config}");
        let config = Config::alone(&Source::new("rungs.toml", text)).unwrap();
        all(&Gateway::start(config).await.unwrap())
    }

    async fn call(toolbox: &Toolbox, caller: Caller, arguments: Value) -> Error {
        let arguments: Map<String, Value> = serde_json::from_value(arguments).unwrap();
        let called = toolbox.call("code_agent", caller, arguments).await;
        called.unwrap_err()
    }

    #[tokio::test]
    async fn the_code_agent_is_a_tool_that_writes() {
        let off = toolbox("").await;
        let caller = || Caller::new(Principal::local());
        let error = call(&off, caller(), json!({ "task": "x" })).await;
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
                ErrorKind::NotFound,
                "[tools.tests.unit]",
            ),
            (
                json!({ "task": "x", "rot": "." }),
                ErrorKind::Invalid,
                "did you mean `root`",
            ),
            (
                json!({ "task": "x", "root": "no-folder" }),
                ErrorKind::NotFound,
                "does not exist",
            ),
            (
                json!({ "task": "x" }),
                ErrorKind::Unavailable,
                "there are no models",
            ),
        ] {
            let error = call(&on, caller(), arguments).await;
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.message().contains(why), "{error}");
        }
        let cancelled = caller();
        cancelled.cancelled.cancel();
        let error = call(&on, cancelled, json!({ "task": "x" })).await;
        assert_eq!(error.kind(), ErrorKind::Cut);
    }
}
