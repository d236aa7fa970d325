//! Each project is repaired by the lowest tier that can, for less than the top tier takes.

use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::world::*;

/// How many jobs run at once: their tests compile.
const AT_ONCE: usize = 3;

/// Does all repairs; their reports.
async fn all(world: &World) -> Vec<(Repair, Value)> {
    let jobs = stream::iter(repairs()).map(|repair| async {
        let report = world.report(&repair.job()).await;
        (repair, report)
    });
    jobs.buffer_unordered(AT_ONCE).collect().await
}

fn texts<'a>(list: &'a Value, member: &str) -> Vec<&'a str> {
    let items = list.as_array().unwrap().iter();
    items
        .map(|item| item[member].as_str().unwrap_or_default())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_project_is_repaired_by_the_lowest_tier_that_can() {
    let world = World::new(ladder(), "[budget]\n").await;
    let done = all(&world).await;
    assert!(done.len() >= 12, "{}", done.len());
    for (repair, report) in &done {
        let Repair { name, skill, .. } = repair;
        let (routing, quality) = (&report["routing"], &report["quality"]);
        assert_eq!(report["result"]["outcome"], "solved", "{name}: {report:#}");
        assert_eq!(report["result"]["written"], true, "{name}");
        assert_eq!(routing["startTier"], "L0", "{name}");
        assert_eq!(
            routing["endTier"],
            format!("L{skill}"),
            "{name}: {report:#}"
        );
        assert_ne!(quality["testsBefore"], "passed", "{name}");
        assert_eq!(quality["testsAfter"], "passed", "{name}");
        assert_eq!(
            texts(&report["result"]["todo"], "status"),
            ["done"],
            "{name}"
        );
        // Nobody above was asked, and each set-aside answer has its reason.
        let steps = routing["steps"].as_array().unwrap();
        let (kept, set_aside) = steps[1..].split_last().unwrap();
        assert!(
            set_aside.iter().all(|step| step["evidence"].is_string()),
            "{name}: {report:#}"
        );
        assert!(kept["evidence"].is_null(), "{name}");
        // The ledger shows the climb, to the nano-dollar.
        let rows = world.rows(report);
        let climb: Vec<_> = rows
            .iter()
            .map(|row| row["tier"].as_str().unwrap())
            .collect();
        assert_eq!(climb, texts(&routing["steps"], "tier"), "{name}");
        assert!(climb.is_sorted(), "{name}: {climb:?}");
        let cost: i64 = rows
            .iter()
            .map(|row| row["cost_nanos"].as_i64().unwrap())
            .sum();
        let told = report["performance"]["costUsd"].as_str().unwrap();
        assert_eq!(
            told.parse::<rungs::catalog::Money>().unwrap().nanos(),
            cost,
            "{name}"
        );
        let todos = world.gateway.get(&format!("/v1/todos/{name}")).await;
        assert!(todos.text.contains("\"completed\""), "{todos:?}");
        // What was written is what the report says, and its tests pass there too: a second job finds nothing to mend.
        let after = world.files(name);
        let diff = report["result"]["diff"].as_str().unwrap();
        for added in diff
            .lines()
            .filter_map(|l| l.strip_prefix('+'))
            .filter(|l| !l.starts_with("++"))
        {
            let there = |bytes: &Vec<u8>| {
                String::from_utf8_lossy(bytes)
                    .lines()
                    .any(|line| line == added)
            };
            assert!(after.values().any(there), "{name}: {added}");
        }
    }

    let top = "[routing]\ndefault_tier = \"L3\"\nmax_tier = \"L3\"\n";
    let dear = World::new(ladder(), top).await;
    for (repair, report) in all(&dear).await {
        assert_eq!(report["routing"]["startTier"], "L3", "{}", repair.name);
        assert_eq!(
            report["result"]["outcome"], "solved",
            "{}: {report:#}",
            repair.name
        );
    }
    let (ours, theirs) = (world.bill(), dear.bill());
    println!(
        "climbing {ours}, always the top tier {theirs} nano-dollars: a factor of {:.1}",
        theirs as f64 / ours as f64
    );
    // Seven of the twelve need a tenth of the top price at most, two need the top itself; drafts that fail are paid too.
    assert!(theirs > 3 * ours, "{theirs} is not three times {ours}");
}
