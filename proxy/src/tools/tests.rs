use rungs::ErrorKind;
use serde_json::json;

use super::*;
use crate::{
    auth::Principal,
    config::{Config, Source},
};

const CONFIG: &str = r#"
store = { url = "memory:" }
[[provider]]
name = "p"
base_url = "http://127.0.0.1:9/v1"
allow_private = true
[[model]]
id = "small"
provider = "p"
tier = "L0"
price = { input = "0.15", output = "0.60" }
max_output = 1000
[[model]]
id = "large"
provider = "p"
tier = "L2"
price = { input = 3, output = 15 }
max_output = 1000
"#;

async fn toolbox(more: &str) -> Toolbox {
    all(&Gateway::start(config(more)).await.unwrap())
}

fn config(more: &str) -> Config {
    let source = Source::new("rungs.toml", format!("{CONFIG}{more}"));
    Config::alone(&source).unwrap()
}

async fn call(toolbox: &Toolbox, name: &str, arguments: Value) -> Result<Value, Error> {
    let Value::Object(arguments) = arguments else {
        panic!("arguments are an object");
    };
    let caller = Caller::new(Principal::local());
    toolbox.call(name, caller, arguments).await
}

/// The tool's line in docs/MCP.md.
fn row(spec: &Spec) -> String {
    let on = match spec.effect {
        Effect::Read => "on",
        _ => "off",
    };
    let effect = spec.effect.as_str();
    format!("| `{}` | {effect} | {on} | {} |", spec.name, spec.title)
}

#[tokio::test]
async fn the_names_and_the_documented_table_are_those_of_the_toolbox() {
    let toolbox = toolbox("").await;
    let names: Vec<&str> = toolbox.list().map(|spec| &*spec.name).collect();
    assert_eq!(names, NAMES);
    let page = include_str!("../../../docs/MCP.md");
    let (_, table) = page.split_once("|---|---|---|---|\n").unwrap();
    let documented: Vec<&str> = table
        .lines()
        .take_while(|line| line.starts_with('|'))
        .collect();
    let rows: Vec<String> = toolbox.list().map(row).collect();
    assert_eq!(documented, rows, "the table of tools in docs/MCP.md");
}

#[tokio::test]
async fn r21_schemas_say_what_is_taken_and_given() {
    for spec in toolbox("").await.list() {
        let name = &spec.name;
        assert!(
            name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
            "{name}"
        );
        assert_eq!(spec.input["type"], "object", "{name}");
        assert_eq!(spec.input["additionalProperties"], false, "{name}");
        assert_eq!(spec.output.as_ref().unwrap()["type"], "object", "{name}");
        // Formats that only Rust knows are noise to validators.
        for schema in [&spec.input, spec.output.as_ref().unwrap()] {
            let text = Value::Object((**schema).clone()).to_string();
            assert!(!text.contains("\"format\":\"uint"), "{name}: {text}");
        }
    }
}

#[tokio::test]
async fn r21_the_fingerprint_changes_with_the_list_alone() {
    let digest = toolbox("").await.digest();
    assert_eq!(toolbox("[tools]\nchat = false").await.digest(), digest);
    let whole = toolbox("").await;
    let first = whole.get(NAMES[0], &Principal::local()).await.unwrap();
    let less = Toolbox::new(whole.gateway.clone(), vec![first]);
    assert_ne!(less.digest(), digest);
}

#[tokio::test]
async fn a_cancelled_call_does_nothing_more() {
    let toolbox = toolbox("").await;
    let arguments = json!({ "message": "hello" }).as_object().unwrap().clone();
    let caller = Caller::new(Principal::local());
    caller.cancelled.cancel();
    let called = toolbox.call("route", caller, arguments).await;
    let error = called.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cut);
}

#[tokio::test]
async fn switches_hold_and_their_refusals_say_which_line_it_is() {
    let toolbox = toolbox("[tools]\nroute = false").await;
    let error = call(&toolbox, "route", json!({ "message": "q" }))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert!(
        error.message().contains("`route = false` in [tools]"),
        "{error}"
    );
    let error = call(&toolbox, "rout", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().contains("did you mean `route`?"), "{error}");
}

#[tokio::test]
async fn t24_after_words_of_others_a_change_wants_a_persons_consent() {
    let careful = toolbox("[tools]\nredis_set = true").await;
    let trusting = toolbox("[tools]\nallow = [\"write\"]\nuntrusted = \"allow\"").await;
    let says = async |toolbox: &Toolbox, trail: &Trail, consent, name: &str, arguments: Value| {
        let caller = Caller {
            trail: trail.clone(),
            consent,
            ..Caller::new(Principal::local())
        };
        let arguments = arguments.as_object().unwrap().clone();
        match toolbox.call(name, caller, arguments).await {
            Ok(_) => "done".to_owned(),
            Err(error) => error.message().to_owned(),
        }
    };
    let set = || json!({ "key": "k", "value": "v" });
    let get = || json!({ "key": "k" });
    use Consent::{Given, Nobody, Refused};

    let trail = Trail::default();
    for (name, arguments) in [
        ("redis_set", set()),
        // Nobody else's words, none at all, or none that came back.
        ("remaining_budget", json!({})),
        ("redis_set", set()),
    ] {
        assert_eq!(
            says(&careful, &trail, Nobody, name, arguments).await,
            "done"
        );
    }
    for (name, arguments) in [("redis_del", get()), ("redis_get", json!({ "kee": "k" }))] {
        assert_ne!(
            says(&careful, &trail, Nobody, name, arguments).await,
            "done"
        );
    }
    assert_eq!(
        says(&careful, &trail, Nobody, "redis_set", set()).await,
        "done"
    );

    assert_eq!(
        says(&careful, &trail, Nobody, "redis_get", get()).await,
        "done"
    );
    let stopped = says(&careful, &trail, Nobody, "redis_set", set()).await;
    for part in [
        "(with `redis_get`)",
        "can ask none",
        "`untrusted = \"allow\"` in [tools]",
    ] {
        assert!(stopped.contains(part), "{stopped}");
    }
    let stopped = says(&careful, &trail, Refused, "redis_set", set()).await;
    assert!(stopped.ends_with("did not agree"), "{stopped}");
    assert_eq!(
        says(&careful, &trail, Given, "redis_set", set()).await,
        "done"
    );
    assert_eq!(
        says(&careful, &trail, Nobody, "redis_get", get()).await,
        "done"
    );
    assert_ne!(
        says(&careful, &trail, Nobody, "redis_set", set()).await,
        "done"
    );
    // What is off stays so, whoever agrees.
    assert_ne!(
        says(&careful, &trail, Given, "redis_del", get()).await,
        "done"
    );

    assert_eq!(
        says(&careful, &Trail::default(), Nobody, "redis_set", set()).await,
        "done"
    );
    assert_eq!(
        says(&trusting, &trail, Nobody, "redis_set", set()).await,
        "done"
    );
}

#[tokio::test]
async fn estimates_are_what_budgets_would_reserve() {
    let toolbox = toolbox("").await;
    let arguments = json!({ "prompt": "x".repeat(4000), "model": "small", "max_tokens": 100 });
    let told = call(&toolbox, "estimate_cost", arguments).await.unwrap();
    assert_eq!(
        (&told["input_tokens"], &told["output_tokens"]),
        (&json!(1000), &json!(100))
    );
    let estimate = &told["candidates"][0];
    assert_eq!(estimate["deployment"], "p/small");
    // 1000 tokens at 0.15 and 100 at 0.60 a million.
    assert_eq!(estimate["likely_usd"], "0.00021");
    let most: f64 = estimate["most_usd"].as_str().unwrap().parse().unwrap();
    assert!((0.0008..0.00085).contains(&most), "{most}");
}

#[tokio::test]
async fn a_route_is_explained_without_asking() {
    let toolbox = toolbox("").await;
    let arguments = json!({ "message": "What is the capital of France?", "max_tier": "L1" });
    let told = call(&toolbox, "explain_route", arguments).await.unwrap();
    assert_eq!(told["candidates"][0]["deployment"], "p/small", "{told}");
    assert_eq!(
        told["skipped"][0]["why"], "its tier is out of range",
        "{told}"
    );
}

#[tokio::test]
async fn budgets_are_told_as_they_stand() {
    let toolbox = toolbox("[budget]\nglobal = \"5/day\"").await;
    let told = call(&toolbox, "remaining_budget", json!({})).await.unwrap();
    let line = &told["budgets"][0];
    assert_eq!(
        (&line["account"], &line["remaining_usd"]),
        (&json!("global"), &json!("5"))
    );
    assert!(
        line["resets"].as_str().unwrap().ends_with("T00:00:00Z"),
        "{line}"
    );
}

#[test]
fn progress_never_blocks_and_silence_costs_nothing() {
    let silent = Progress::default();
    silent.say(1.0, None, "to nobody");
    assert!(!silent.is_heard());
    let (progress, mut said) = Progress::heard();
    for done in 0..100 {
        progress.say(f64::from(done), Some(100.0), "on");
    }
    let first = said.try_recv().unwrap();
    assert_eq!(
        (first.done, first.total, &*first.message),
        (0.0, Some(100.0), "on")
    );
    drop(said);
    progress.say(100.0, None, "to nobody");
}

#[tokio::test]
async fn a_file_that_a_reload_has_secrets_from_is_the_gateways_own_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("provider.key");
    std::fs::write(&secret, "canary").unwrap();
    let roots = format!("[tools]\nroots = [{:?}]\n", folder.path());
    let gateway = Gateway::start(config(&roots)).await.unwrap();
    let toolbox = all(&gateway);
    let read = async || call(&toolbox, "fs_read", json!({ "path": "provider.key" })).await;
    assert!(read().await.is_ok());
    let mut next = config(&roots);
    next.files.push(secret);
    gateway.reload(next).await.unwrap();
    assert_eq!(read().await.unwrap_err().kind(), ErrorKind::Forbidden);
}
