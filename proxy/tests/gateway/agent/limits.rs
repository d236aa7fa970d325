//! A job ends at its limits, and the project is then what it was.

use std::time::{Duration, Instant};

use rungs::testing::Reply;
use serde_json::{Value, json};

use super::world::*;
use crate::support::*;

/// Does the job that only the top can do, and looks that the project is as it was.
async fn in_vain(world: &World, job: &Value) -> Value {
    let project = job["root"].as_str().unwrap();
    let before = world.files(project);
    let report = world.report(job).await;
    assert_eq!(world.files(project), before);
    assert_eq!(report["result"]["written"], false);
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_do_leaves_the_project_as_it_was() {
    let world = World::new(ladder(), "").await;
    let mut job = repair("py-cycle").job();
    job["maxTier"] = json!("L1");
    let report = in_vain(&world, &job).await;
    assert_eq!(report["result"]["outcome"], "unsolved");
    assert_eq!(report["routing"]["endTier"], "L1");
    assert_eq!(report["result"]["todo"][0]["status"], "failed");
    assert_eq!((world.models[2].calls(), world.models[3].calls()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_stops_when_its_questions_are_asked() {
    let world = World::new(ladder(), "[agent]\nsteps = 3\n").await;
    let report = in_vain(&world, &repair("py-cycle").job()).await;
    assert_eq!(report["result"]["outcome"], "stopped");
    assert!(
        report["result"]["response"]
            .as_str()
            .unwrap()
            .contains("agent.steps"),
        "{report}"
    );
    assert_eq!(report["routing"]["steps"].as_array().unwrap().len(), 3);
    assert_eq!(
        world
            .models
            .iter()
            .map(|model| model.calls())
            .sum::<usize>(),
        3
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_never_costs_more_than_its_budget() {
    let world = World::new(ladder(), "").await;
    for budget in ["0.0000001", "0.004", "0.02", "0.06"] {
        let before = world.bill();
        let mut job = repair("py-cycle").job();
        job["budget"] = json!(budget);
        let answer = world.ask(&job).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let report = answer.json();
        assert_eq!(
            report["result"]["outcome"], "stopped",
            "{budget}: {report:#}"
        );
        assert!(
            report["result"]["response"]
                .as_str()
                .unwrap()
                .contains("budget"),
            "{report}"
        );
        let spent = world.bill() - before;
        let cap = budget.parse::<rungs::catalog::Money>().unwrap().nanos();
        assert!(spent <= cap, "{spent} of {cap}");
    }
    let mut job = repair("py-cycle").job();
    job["budget"] = json!("1000");
    assert_eq!(world.report(&job).await["result"]["outcome"], "solved");
    // More than the configuration allows cannot be asked for.
    let world = World::new(ladder(), "[agent]\nbudget = \"0.004\"\n").await;
    assert_eq!(in_vain(&world, &job).await["result"]["outcome"], "stopped");
    assert!(world.bill() <= 4_000_000, "{}", world.bill());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_ends_at_its_deadline() {
    let slow = model_of(0, |_| Reply::hang());
    let world = World::new(vec![slow], "[agent]\ndeadline_seconds = 1\n").await;
    let start = Instant::now();
    let report = in_vain(&world, &repair("py-leap").job()).await;
    assert_eq!(report["result"]["outcome"], "stopped");
    assert!(
        report["result"]["response"]
            .as_str()
            .unwrap()
            .contains("time of the job"),
        "{report}"
    );
    assert!(start.elapsed() < Duration::from_secs(15));
    // The question was given up, not left open.
    until("the end of the question", || world.models[0].open() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_end_at_the_jobs_deadline_too() {
    let stuck = "[agent]\ndeadline_seconds = 1\n[tools.tests.stuck]\nargv = [\"/bin/sh\", \"-c\", \"sleep 346 & sleep 346\"]\nlimits = { seconds = 30 }\n";
    let world = World::new(ladder(), stuck).await;
    let mut job = repair("py-leap").job();
    job["test"] = json!("stuck");
    let start = Instant::now();
    let report = in_vain(&world, &job).await;
    assert_eq!(report["result"]["outcome"], "stopped", "{report}");
    assert!(start.elapsed() < Duration::from_secs(15));
    assert_eq!(world.bill(), 0);
    until("the end of the tests", || !runs(b"sleep\x00346")).await;
}

/// Whether there is a process of this command.
fn runs(command: &[u8]) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let commands =
        processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    { commands }.any(|line| line.starts_with(command))
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_that_do_not_end_are_ended_with_all_that_they_started() {
    let world = World::new(
        ladder(),
        "[tools.tests.stuck]\nargv = [\"/bin/sh\", \"-c\", \"sleep 345 & sleep 345\"]\nlimits = { seconds = 1 }\n",
    )
    .await;
    let mut job = repair("py-leap").job();
    job["test"] = json!("stuck");
    job["maxTier"] = json!("L0");
    let report = in_vain(&world, &job).await;
    assert_eq!(report["result"]["outcome"], "unsolved");
    assert!(
        report["quality"]["testsAfter"]
            .as_str()
            .unwrap()
            .contains("no end"),
        "{report}"
    );
    assert!(!runs(b"sleep\x00345"));
}

#[tokio::test(flavor = "multi_thread")]
async fn why_the_first_question_has_no_answer_is_told_also_where_it_was_paid() {
    let endless = model_of(0, |_| Reply::text(&"x".repeat(5 << 20)));
    let world = World::new(vec![endless], "").await;
    let answer = world.ask(&repair("py-leap").job()).await;
    assert_eq!(answer.status, 502, "{answer:?}");
    assert!(answer.text.contains("is larger than"), "{answer:?}");
    assert!(world.bill() > 0);
}
