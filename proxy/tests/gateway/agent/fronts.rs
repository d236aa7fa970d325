//! The terminal, HTTP with and without a stream, and what each must be allowed.

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use rungs::{
    catalog::Money,
    testing::{Reply, Upstream},
};
use serde_json::{Value, json};

use super::world::*;
use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_allowed_is_named_with_the_line_that_allows_it() {
    for (allow, line) in [
        ("[]", "allow = [\"write\"]"),
        ("[\"write\"]", "allow = [\"exec\"]"),
    ] {
        let world = World::new(ladder(), &format!("[tools]\nallow = {allow}\n")).await;
        let answer = world.ask(&repair("py-leap").job()).await;
        assert_eq!(answer.status, 403, "{answer:?}");
        let message = answer.error()["message"].as_str().unwrap().to_owned();
        assert!(
            message.contains(line) && message.contains("[tools]"),
            "{message}"
        );
        assert_eq!(world.bill(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_job_is_refused_before_anybody_is_asked() {
    let world = World::new(ladder(), "").await;
    for (job, status, param) in [
        (json!({ "root": "py-leap" }), 400, Value::Null),
        (json!({ "task": " ", "test": "python" }), 400, json!("task")),
        (json!({ "task": "x", "test": "pyton" }), 404, json!("test")),
        (json!({ "task": "x" }), 400, json!("test")),
        (
            json!({ "task": "x", "test": "python", "root": "../" }),
            400,
            json!("root"),
        ),
        (
            json!({ "task": "x", "test": "python", "maxTier": "L9" }),
            403,
            Value::Null,
        ),
        (
            json!({ "task": "x", "test": "python", "quality": "best" }),
            400,
            json!("quality"),
        ),
        (
            json!({ "task": "x", "test": "python", "budget": "much" }),
            400,
            json!("budget"),
        ),
        (
            json!({ "task": "x", "test": "python", "model": "m9" }),
            404,
            json!("model"),
        ),
        (
            json!({ "task": "x", "test": "python", "tests": "true" }),
            400,
            Value::Null,
        ),
    ] {
        for stream in [false, true] {
            let mut job = job.clone();
            job["stream"] = json!(stream);
            let answer = world.ask(&job).await;
            assert_eq!(answer.status, status, "{job}: {answer:?}");
            assert!(
                param.is_null() || answer.error()["param"] == param,
                "{job}: {answer:?}"
            );
        }
    }
    assert_eq!(world.bill(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_tells_what_happens_and_ends_with_the_result() {
    let world = World::new(ladder(), "").await;
    let mut job = repair("py-leap").job();
    job["stream"] = json!(true);
    job["projectId"] = json!("the original's");
    let answer = world.ask(&job).await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    let mut events = answer.events();
    assert_eq!(events.pop(), Some("[DONE]"));
    let events: Vec<Value> = events
        .iter()
        .map(|event| serde_json::from_str(event).unwrap())
        .collect();
    let kinds: Vec<_> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds[..3], ["opened", "tests", "asking"], "{kinds:?}");
    for kind in ["todo", "answered", "set_aside", "climb", "kept", "written"] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    let result = events.last().unwrap();
    assert_eq!(result["type"], "result");
    assert_eq!(result["result"]["outcome"], "solved");
    assert_eq!(result["context"]["conversationId"], "py-leap");
}

#[tokio::test(flavor = "multi_thread")]
async fn t34_a_job_is_in_the_audit_with_what_it_cost() {
    let world = World::new(ladder(), "").await;
    let mut job = repair("py-leap").job();
    world.report(&job).await;
    let spent = world.bill();
    job["stream"] = json!(true);
    world.ask(&job).await;
    assert_eq!(world.ask(&json!({ "tsk": "x" })).await.status, 400);
    let text = world.gateway.rungs(&["audit", "export"]);
    let rows: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |name: &str| rows.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    let events = ["allowed", "ended", "allowed", "ended", "refused"];
    assert_eq!(of("event"), events);
    assert_eq!(of("tool"), ["code_agent"; 5]);
    assert_eq!(rows[1]["cost_nanos"], spent);
    assert!(spent > 0);
    assert_eq!(rows[3]["outcome"], "ok");
    assert_eq!(rows[4]["why"], "arguments");
}

/// What the jobs in the audit have cost, which is what all calls have cost by the ledger.
async fn cost(world: &World) -> i64 {
    let sum = |of: &str| {
        let rows = world.gateway.rungs(&[of, "export"]);
        let rows = rows
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        rows.filter_map(|row| row["cost_nanos"].as_i64())
            .sum::<i64>()
    };
    let audit = sum("audit");
    until("its rows in the ledger", || sum("ledger") == audit).await;
    audit
}

#[tokio::test(flavor = "multi_thread")]
async fn t34_what_nobody_answered_is_on_the_bill_of_a_job_too() {
    for (answers, more) in [
        // The first of two calls for one question comes to nothing.
        (1, "[timeouts]\nwhole_seconds = 1\n"),
        // The job ends in the middle of one.
        (usize::MAX, "[agent]\ndeadline_seconds = 1\n"),
    ] {
        let calls = AtomicUsize::new(0);
        let slow = model_of(0, move |_| match calls.fetch_add(1, Relaxed) < answers {
            true => Reply::hang(),
            false => Reply::text("The code looks fine to me."),
        });
        let world = World::new(vec![slow], more).await;
        let report = world.report(&repair("py-leap").job()).await;
        let dollars = |of: &Value| of["costUsd"].as_str().unwrap().parse::<Money>().unwrap();
        let steps = report["routing"]["steps"].as_array().unwrap();
        let told: Money = steps.iter().map(dollars).sum();
        let cost = cost(&world).await;
        assert!(cost > 0, "{more}");
        assert_eq!(told.nanos(), cost, "{report:#}");
        assert_eq!(dollars(&report["performance"]).nanos(), cost, "{report:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_ends_with_its_client() {
    let slow = model_of(0, |_| Reply::hang());
    let world = World::new(vec![slow], "").await;
    let mut job = repair("py-leap").job();
    job["stream"] = json!(true);
    let request = world.gateway.post("/v1/code-agent", job.to_string());
    let mut response = request.send().await.unwrap();
    while !response
        .chunk()
        .await
        .unwrap()
        .is_some_and(|chunk| String::from_utf8_lossy(&chunk).contains("asking"))
    {}
    until("the question", || world.models[0].open() == 1).await;
    drop(response);
    until("the end of the question", || world.models[0].open() == 0).await;
    // Also of what was cut the audit says how it ended.
    let cancelled = || {
        world
            .gateway
            .rungs(&["audit", "export"])
            .contains("\"outcome\":\"cancelled\"")
    };
    until("the end in the audit", cancelled).await;
    assert!(cost(&world).await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_are_kept_and_read() {
    let world = World::new(ladder(), "[agent]\nnotes = true\n").await;
    assert_eq!(
        world.report(&repair("py-leap").job()).await["result"]["outcome"],
        "solved"
    );
    let docs = world.projects.path().join("py-leap/docs");
    let note = |name: &str| fs::read_to_string(docs.join(name)).unwrap();
    let facts = note("ai-routing-heuristics.md");
    assert!(
        facts.contains("L1 did it after L0 (the tests fail)"),
        "{facts}"
    );
    assert!(
        note("ai-common-bugs-and-fixes.md")
            .contains("fixed in leap.py; the tests `python` guard it")
    );
    assert!(note("ai-orchestrator-notes.md").contains("climbed from L0 to L1"));
    world.report(&repair("py-leap").job()).await;
    let plans = world.models[0]
        .seen()
        .into_iter()
        .map(|request| prompt(&request));
    let last = plans
        .filter(|(system, _)| system.contains("You plan"))
        .last()
        .unwrap();
    assert!(last.1.contains("L1 did it after L0"), "{}", last.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_leaves_no_notes_either() {
    let world = World::new(ladder(), "[agent]\nnotes = true\n").await;
    let before = world.files("py-leap");
    let mut job = repair("py-leap").job();
    job["dryRun"] = json!(true);
    assert_eq!(world.report(&job).await["result"]["outcome"], "solved");
    assert_eq!(world.files("py-leap"), before);
}

/// Runs `rungs code` on a project; status, standard output, standard error.
async fn code(project: &str, more: &str, args: &[&str]) -> (bool, String, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::serve(ladder()).await.unwrap();
    let projects = folder.path().join("projects");
    for repair in repairs() {
        let from = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/agent/");
        copy(
            format!("{from}{}/project", repair.name).as_ref(),
            &projects.join(&repair.name),
        );
    }
    let config = config(&upstream, &projects, 4, &format!("[tools]\n{more}"));
    fs::write(folder.path().join("rungs.toml"), config).unwrap();
    let root = projects.join(project);
    let task = repair(project).task;
    let mut all = vec!["code", &task, "--root", root.to_str().unwrap()];
    all.extend(args);
    let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
    let place = folder.path().to_owned();
    let (status, out, err) = tokio::task::spawn_blocking(move || {
        run(&place, &all.iter().map(String::as_str).collect::<Vec<_>>())
    })
    .await
    .unwrap();
    let leap = fs::read_to_string(root.join("leap.py")).unwrap();
    (status.success(), out, err, leap)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_shows_what_happens_and_needs_no_leave() {
    let (done, out, err, leap) = code("py-leap", "", &["--test", "python"]).await;
    assert!(done, "{err}");
    assert!(
        out.contains("--- a/leap.py\n+++ b/leap.py\n") && out.contains("Done, and the tests pass."),
        "{out}"
    );
    assert!(
        out.contains("climbed from L0 to L1") && out.contains("$0.0"),
        "{out}"
    );
    assert!(leap.contains("year % 400"));
    let lines: Vec<_> = err.lines().collect();
    assert!(
        lines.contains(&"climbing to L1") && lines.contains(&"written: leap.py"),
        "{err}"
    );
    assert!(!err.contains('\x1b'), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_takes_a_command_and_writes_nothing_in_a_dry_run() {
    let tests = [
        "--dry-run",
        "--json",
        "--",
        "/usr/bin/python3",
        "-m",
        "unittest",
    ];
    let (done, out, err, leap) = code("py-leap", "", &tests).await;
    assert!(done, "{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["result"]["outcome"], "solved");
    assert_eq!(report["result"]["written"], false);
    assert_eq!(report["quality"]["test"], "/usr/bin/python3 -m unittest");
    assert!(!leap.contains("400"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_fails_where_the_job_does() {
    let (done, out, _, leap) = code("py-leap", "", &["--test", "python", "--max-tier", "L0"]).await;
    assert!(
        !done && out.contains("Not done, and the project is as it was"),
        "{out}"
    );
    assert!(!leap.contains("400"));
    let (done, _, err, _) = code("py-leap", "", &["--test", "pyton"]).await;
    assert!(!done && err.contains("did you mean `python`?"), "{err}");
}
