//! Answers that look right and are set aside, and models that only ask.

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
};

use rungs::testing::{Reply, Scripted};
use serde_json::{Value, json};

use super::world::*;

/// A model that plans these parts and says to each question for a change what `change` says to the so-manieth.
fn planner(
    strength: u8,
    parts: &[&str],
    change: impl Fn(usize) -> Reply + Send + Sync + 'static,
) -> Scripted {
    let plan = json!({ "todos": parts }).to_string();
    let asked = AtomicUsize::new(0);
    model_of(strength, move |request| {
        match prompt(request).0.contains("You plan") {
            true => Reply::text(&plan),
            false => change(asked.fetch_add(1, Ordering::Relaxed)),
        }
    })
}

/// An answer that makes this text the whole of a file.
fn whole(path: &str, text: &str) -> Reply {
    Reply::text(&format!("FILE: {path}\n<<<<<<< WHOLE\n{text}>>>>>>> END\n"))
}

/// What was found wrong with each answer that was to change something.
fn evidence(report: &Value) -> Vec<&str> {
    let steps = report["routing"]["steps"].as_array().unwrap().iter();
    let changes = steps.filter(|step| step["purpose"] == "change");
    changes
        .map(|step| step["evidence"].as_str().unwrap_or_default())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_cut_off_is_not_taken_however_good_it_is() {
    let fix = |finish: &'static str| move |_| repair("py-leap").answer(1).finish(finish);
    let parts = ["Mend it"];
    let models = vec![
        planner(0, &parts, fix("length")),
        planner(1, &parts, fix("stop")),
    ];
    let world = World::new(models, "[agent]\ntries = 1\n").await;
    let report = world.report(&repair("py-leap").job()).await;
    assert_eq!(report["result"]["outcome"], "solved", "{report:#}");
    assert_eq!(report["routing"]["endTier"], "L1");
    assert!(evidence(&report)[0].contains("cut off"), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_may_not_break_tests_that_pass() {
    let right =
        "def is_leap(year):\n    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)\n";
    let change = move |n| match n {
        0 => whole("leap.py", "def is_leap(year):\n    return True\n"),
        _ => whole("leap.py", right),
    };
    let models = vec![planner(0, &["First", "Then"], change)];
    let world = World::new(models, "[agent]\ntries = 1\n").await;
    fs::write(world.projects.path().join("py-leap/leap.py"), right).unwrap();
    let report = world.report(&repair("py-leap").job()).await;
    assert_eq!(report["quality"]["testsBefore"], "passed");
    assert_eq!(report["result"]["outcome"], "unsolved", "{report:#}");
    assert!(
        evidence(&report)[0].contains("the tests fail"),
        "{report:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_wants_to_see_more_files_is_asked_three_times() {
    let read = |n| Reply::text(&format!("READ: more{n}.py"));
    let models = vec![planner(0, &["Mend it"], read)];
    let world = World::new(models, "[agent]\ntries = 2\n").await;
    for n in 0..12 {
        let file = format!("py-leap/more{n}.py");
        fs::write(world.projects.path().join(file), "x = 1\n").unwrap();
    }
    let report = world.report(&repair("py-leap").job()).await;
    assert_eq!(report["result"]["outcome"], "unsolved", "{report:#}");
    let none = "the answer has no change that can be read";
    assert_eq!(evidence(&report), ["", "", "", none, none]);
}
