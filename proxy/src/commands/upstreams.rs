//! `rungs mcp list`, `call` and `approve`: the MCP servers whose tools are mounted.

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::{output::Output, serve::runtime, world};
use crate::{
    auth::Principal,
    cli::{ConfigArgs, McpVerb},
    config::Config,
    mcp::upstream::{Health, Pins, Server, Upstreams},
    tools::{Caller, Progress},
};

/// Works on servers of its own, beside those of a gateway that runs, and on the same approvals.
pub(crate) fn run(verb: &McpVerb, args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let config = world::load(args)?;
    ensure!(
        !config.upstreams.is_empty(),
        "the configuration has no MCP server; write [[mcp]] with a `name` and a `command` or a `url`"
    );
    if let McpVerb::Approve { server, tool } = verb {
        return approve(&config, server, tool);
    }
    runtime()?.block_on(async {
        let upstreams = Upstreams::new(Pins::of(&config.store));
        upstreams.adopt(&config.upstreams);
        let done = match verb {
            McpVerb::Call {
                tool,
                arguments,
                key,
            } => {
                call(
                    &upstreams,
                    tool,
                    arguments,
                    &caller(&config, key.as_deref())?,
                )
                .await
            }
            McpVerb::List { json, key } => {
                let caller = key.as_deref().map(|key| caller(&config, Some(key)));
                list(&upstreams, *json, caller.transpose()?.as_deref()).await
            }
            McpVerb::Approve { .. } => Ok(ExitCode::SUCCESS),
        };
        upstreams.close().await;
        done
    })
}

/// Who has a key of the configuration; without one, any program on this computer.
fn caller(config: &Config, key: Option<&str>) -> anyhow::Result<Arc<Principal>> {
    let Some(name) = key else {
        return Ok(Principal::local());
    };
    let key = config.keys.iter().find(|key| key.name() == name);
    let key = key.with_context(|| format!("there is no key `{name}` in the file"))?;
    let holder = Principal::of_family(&key.family, config.routing.max_tier, None);
    Ok(Arc::new(holder))
}

fn approve(config: &Config, server: &str, tool: &str) -> anyhow::Result<ExitCode> {
    let pins = Pins::of(&config.store);
    if !pins.are_kept() {
        bail!(
            "approvals in memory end with this command; set `store.url` to a database such as sqlite:rungs.db"
        );
    }
    let approved = pins.approve(server, tool)?;
    writeln!(
        Output::default(),
        "approved `{tool}` of `{server}`, which says:\n{}",
        approved.description
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Prints each server and its tools; fails if one does not answer.
async fn list(
    upstreams: &Upstreams,
    as_json: bool,
    caller: Option<&Principal>,
) -> anyhow::Result<ExitCode> {
    let mut views = Vec::new();
    for server in upstreams.servers() {
        if caller.is_none_or(|caller| server.is_for(caller)) {
            views.push(view(&server).await);
        }
    }
    let is_up = |view: &Value| view["status"] == "up";
    let all_up = views.iter().all(is_up);
    let mut out = Output::default();
    if as_json {
        writeln!(out, "{:#}", Value::Array(views))?;
    } else {
        for view in &views {
            print(&mut out, view)?;
        }
    }
    Ok(match all_up {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

async fn view(server: &Server) -> Value {
    let name = &*server.config.name;
    match server.known_health().await {
        Health::Up(up) => {
            let agreed = server.agreed(&up.listing);
            let tools = up.listing.tools.iter().map(|tool| {
                let is_agreed = agreed.iter().any(|agreed| Arc::ptr_eq(agreed, tool));
                json!({
                    "name": tool.spec.name,
                    "title": tool.spec.title,
                    "description": tool.spec.description,
                    "effect": tool.spec.effect,
                    "digest": tool.digest.to_string(),
                    "state": if is_agreed { "ok" } else { "changed" },
                    "input": *tool.spec.input,
                    "output": tool.spec.output.as_deref(),
                })
            });
            let refused = up.listing.refused.iter();
            let refused = refused.map(|tool| json!({ "name": tool.name, "why": tool.why }));
            json!({
                "server": name,
                "status": "up",
                "about": up.about,
                "tools": tools.collect::<Vec<_>>(),
                "refused": refused.collect::<Vec<_>>(),
            })
        }
        Health::Down { why, .. } => json!({ "server": name, "status": "down", "why": &*why }),
        Health::Starting => json!({ "server": name, "status": "down", "why": "it is starting" }),
    }
}

fn print(out: &mut Output, view: &Value) -> io::Result<()> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = |name: &str| view[name].as_array().cloned().unwrap_or_default();
    let server = text(&view["server"]);
    writeln!(
        out,
        "{server}  {}  {}{}",
        text(&view["status"]),
        text(&view["about"]),
        text(&view["why"])
    )?;
    for tool in all("tools") {
        let (name, effect, state) = (
            text(&tool["name"]),
            text(&tool["effect"]),
            text(&tool["state"]),
        );
        writeln!(out, "  {name}  {effect}  {state}")?;
        if state == "changed" {
            let own = name.split_once("__").map_or(&*name, |(_, own)| own);
            writeln!(
                out,
                "    it says something else than was approved, now {}:",
                text(&tool["digest"])
            )?;
            for line in text(&tool["description"]).lines() {
                writeln!(out, "    | {line}")?;
            }
            writeln!(out, "    `rungs mcp approve {server} {own}` agrees to that")?;
        }
    }
    for tool in all("refused") {
        writeln!(
            out,
            "  {}  not mounted: it {}",
            text(&tool["name"]),
            text(&tool["why"])
        )?;
    }
    Ok(())
}

/// Calls a tool as a client with this key would, and prints what it gives.
async fn call(
    upstreams: &Upstreams,
    name: &str,
    arguments: &str,
    caller: &Arc<Principal>,
) -> anyhow::Result<ExitCode> {
    let arguments: Map<String, Value> =
        serde_json::from_str(arguments).context("the arguments are no JSON object")?;
    for server in upstreams.servers() {
        if name
            .split_once("__")
            .is_some_and(|(prefix, _)| prefix == &*server.config.name)
            && let Health::Down { why, .. } = server.known_health().await
        {
            bail!(
                "the MCP server `{}` does not answer: {why}",
                server.config.name
            );
        }
    }
    let tool = upstreams.tool(name, caller).await;
    let tool = tool.with_context(|| {
        format!("there is no tool `{name}` that may be called; `rungs mcp list` shows all, and why")
    })?;
    let (progress, mut said) = Progress::heard();
    let cancelled = CancellationToken::new();
    let mut caller = Caller::new(Arc::clone(caller));
    (caller.progress, caller.cancelled) = (progress, cancelled.clone());
    let mut result = tool.call(caller, arguments);
    let result = loop {
        tokio::select! {
            result = &mut result => break result,
            Some(said) = said.recv() => match said.total {
                Some(total) => eprintln!("{} of {total} {}", said.done, said.message),
                None => eprintln!("{} {}", said.done, said.message),
            },
            _ = tokio::signal::ctrl_c() => cancelled.cancel(),
        }
    };
    writeln!(Output::default(), "{:#}", result?)?;
    Ok(ExitCode::SUCCESS)
}
