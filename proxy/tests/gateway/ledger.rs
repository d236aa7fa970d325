//! `rungs ledger`: what was written down comes out again, and what somebody changed is named.

use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, sqlite::SqliteConnection};

use crate::support::*;

async fn asked() -> (Wire, Gateway) {
    let wire = Wire::answer(|_| whole("yes")).await;
    let gateway = Gateway::serve(&format!(
        "{}{}",
        provider("p", &wire.base_url),
        model("m", "p", "L0", "price = { input = \"1\", output = \"2\" }")
    ));
    for question in ["a", "b", "b", "c"] {
        assert_eq!(gateway.ask(&chat("m", question)).await.status, 200);
    }
    gateway.rows_after(4).await;
    (wire, gateway)
}

fn whole(text: &str) -> String {
    let body = serde_json::json!({
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 9, "completion_tokens": 2 },
    })
    .to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

/// What another program does to the gateway's database.
pub(crate) async fn change(gateway: &Gateway, sql: &str) {
    let url = format!("sqlite:{}", gateway.folder.join("rungs.db").display());
    let mut database = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query(AssertSqlSafe(sql))
        .execute(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
}

#[tokio::test]
async fn r3_a_row_is_there_within_a_second_of_the_end_of_its_attempt() {
    let (_wire, gateway) = asked().await;
    let questions = [
        chat("m", "whole"),
        // From the cache.
        chat("m", "a"),
        chat_stream("m", "streamed"),
        // A stream that is no stream, and one that the cache has.
        chat_stream("m", "b"),
        chat("m", "whole again"),
    ];
    for (n, question) in questions.iter().enumerate() {
        gateway.ask(question).await;
        let end = Instant::now();
        while gateway.rows().await.len() < 5 + n {
            let waited = end.elapsed();
            assert!(waited < Duration::from_secs(1), "{waited:?} for row {n}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn rows_are_exported_as_they_were_written() {
    let (_wire, gateway) = asked().await;
    let text = gateway.rungs(&["ledger", "export", "--since", "1d", "--format", "jsonl"]);
    let rows: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |name: &str| rows.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("seq"), [1, 2, 3, 4]);
    assert_eq!(of("status"), ["ok", "ok", "cache_hit", "ok"]);
    assert_eq!(of("cost_nanos"), [13_000, 13_000, 0, 13_000]);
    assert_eq!(rows[0]["cost_usd"], "0.000013");
    assert_eq!(rows[0]["deployment"], "p/m");
    assert_eq!(rows[0]["price_version"], "config");
    assert_eq!(rows[0]["usage"]["input"], 9);
    assert_eq!(rows[0]["accounts"], serde_json::json!(["global"]));
    assert!(rows[0]["started"].as_str().unwrap().ends_with('Z'));
    // Of the last second there is nothing after a while.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    assert_eq!(gateway.rungs(&["ledger", "export", "--since", "1s"]), "");
}

#[tokio::test]
async fn what_somebody_changed_is_named() {
    let (_wire, gateway) = asked().await;
    let good = gateway.rungs(&["ledger", "verify"]);
    assert_eq!(
        good,
        "4 rows, none altered, none missing\n0 audit rows, none altered, none missing\n"
    );
    for (sql, finding) in [
        (
            "UPDATE llm_calls SET cost_nanos = 1 WHERE seq = 2",
            "row 2 was altered",
        ),
        (
            "UPDATE llm_calls SET user_id = 'bob' WHERE seq = 4",
            "row 4 was altered",
        ),
        ("DELETE FROM llm_calls WHERE seq = 3", "row 3 is missing"),
        ("DELETE FROM llm_calls WHERE seq = 1", "row 1 is missing"),
        // Behind the last one there is no row to miss it.
        (
            "DELETE FROM llm_calls WHERE seq = 4",
            "rows 3 to 4 are in the journal alone",
        ),
        (
            "DELETE FROM llm_calls",
            "rows 1 to 4 are in the journal alone",
        ),
    ] {
        change(&gateway, sql).await;
        let (status, out, _) = run(&gateway.folder, &["ledger", "verify"]);
        assert!(!status.success() && out.contains(finding), "{sql}: {out}");
    }
}

#[tokio::test]
async fn rows_that_the_journal_has_alone_are_named_until_a_start_ships_them() {
    let (_wire, mut gateway) = asked().await;
    assert!(gateway.stop().await.success());
    change(&gateway, "DELETE FROM llm_calls WHERE seq >= 3").await;
    let (status, out, err) = run(&gateway.folder, &["ledger", "verify"]);
    assert_eq!(
        out,
        "rows 3 to 4 are in the journal alone: taken out of the database, or not brought there yet\n"
    );
    assert!(
        !status.success() && err.contains("1 findings in 2 rows"),
        "{err}"
    );
    let gateway = gateway.killed(&[]);
    assert_eq!(gateway.rows_after(4).await.len(), 4);
    gateway.rungs(&["ledger", "verify"]);
}

/// Makes rows old: they are sealed with their age, so it is written anew what a process with the secret would have written.
async fn age(gateway: &Gateway, rows: i64) {
    // The chain would not hold; what is shown here is what goes, and what is said of it.
    let days = "started_ms = started_ms - 86400000 * 500";
    change(
        gateway,
        &format!("UPDATE llm_calls SET {days} WHERE seq <= {rows}"),
    )
    .await;
}

#[tokio::test]
async fn r30_old_rows_go_by_command_and_by_themselves() {
    let (_wire, gateway) = asked().await;
    let kept = gateway.rungs(&["ledger", "prune", "--before", "400d"]);
    assert_eq!(kept, "0 rows are gone\n");
    age(&gateway, 2).await;
    let (status, out, err) = run(&gateway.folder, &["ledger", "prune", "--before", "400d"]);
    assert!(!status.success(), "{out}");
    assert!(
        out.contains("row 1 was altered") && out.contains("2 rows are gone"),
        "{out}"
    );
    assert!(err.contains("2 findings in what is gone"), "{err}");
    // What is left is as it was written.
    let good = gateway.rungs(&["ledger", "verify"]);
    assert_eq!(
        good,
        "2 rows, none altered, none missing\n0 audit rows, none altered, none missing\n"
    );
    // What comes in their place is printed by an export, and is none of ours.
    change(
        &gateway,
        "CREATE TEMP TABLE copy AS SELECT * FROM llm_calls WHERE seq = 3; \
         UPDATE copy SET seq = 1; INSERT INTO llm_calls SELECT * FROM copy",
    )
    .await;
    change(&gateway, "DELETE FROM llm_calls WHERE seq = 3").await;
    let (status, out, _) = run(&gateway.folder, &["ledger", "verify"]);
    let named = ["row 1 was added", "row 3 is missing"];
    assert!(
        !status.success() && named.iter().all(|finding| out.contains(finding)),
        "{out}"
    );

    // A gateway with `keep` lets them go when it starts, and each hour.
    age(&gateway, 4).await;
    for question in ["d", "e"] {
        assert_eq!(gateway.ask(&chat("m", question)).await.status, 200);
    }
    let config = gateway.folder.join("rungs.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("[store]\nkeep = \"400d\"\n{text}")).unwrap();
    let gateway = gateway.restart().await;
    gateway.logs("old ledger rows are gone").await;
    gateway.logs("was not as it was written").await;
    assert_eq!(gateway.rows().await.len(), 2);
    assert_eq!(
        gateway.rungs(&["ledger", "verify"]),
        "2 rows, none altered, none missing\n0 audit rows, none altered, none missing\n"
    );
}

/// A gateway with a model that costs nothing and one that does.
async fn free_and_paid() -> (Wire, Gateway) {
    let wire = Wire::answer(|_| whole("yes")).await;
    let gateway = Gateway::serve(&format!(
        "[budget]\nper_user = \"1/day\"\n{}{}{}",
        provider("p", &wire.base_url),
        free("free", "p", "L0"),
        model("m", "p", "L0", "price = { input = \"1\", output = \"2\" }")
    ));
    (wire, gateway)
}

#[tokio::test]
async fn what_is_free_is_served_while_the_journal_cannot_be_written() {
    let (_wire, gateway) = free_and_paid().await;
    assert_eq!(gateway.ask(&chat("m", "kept")).await.status, 200);
    gateway.rows_after(1).await;
    // Each try of the journal fails for some seconds.
    let mut gateway = gateway.killed(&[("FAILPOINTS", "journal.before_write=12*return->off")]);
    for question in ["a", "b"] {
        assert_eq!(gateway.ask(&chat("free", question)).await.status, 200);
        let stream = gateway
            .ask(&chat_stream("free", &format!("{question}s")))
            .await;
        assert!(stream.text.ends_with("data: [DONE]\n\n"), "{stream:?}");
        let paid = gateway.ask(&chat("m", question)).await;
        assert_eq!(paid.status, 503, "{paid:?}");
        // Nobody has seen this user before.
        for (model, status) in [("free", 200), ("m", 503)] {
            let mut body = chat(model, &format!("{question} of a user"));
            body["user"] = format!("user_{question}").into();
            body["max_tokens"] = 8.into();
            assert_eq!(gateway.ask(&body).await.status, status, "{}", gateway.log());
        }
    }
    // A kept answer costs nothing either.
    let hit = gateway.ask(&chat("free", "a")).await;
    assert_eq!((hit.status, hit.header("x-rungs-cache")), (200, "hit"));
    // What was asked before the first failure was known is written down all the same, as is what was free.
    let mut question = 0;
    while gateway
        .ask(&chat("m", &format!("later {question}")))
        .await
        .status
        != 200
    {
        question += 1;
        assert!(question < 1_000, "it does not recover: {}", gateway.log());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(gateway.stop().await.success());
    let rows = gateway.rows().await;
    let free = rows.iter().filter(|(_, cost)| *cost == 0).count();
    assert!(free >= 5, "{rows:?}");
    gateway.rungs(&["ledger", "verify"]);
}

#[tokio::test]
async fn what_a_disk_failed_to_sync_is_not_believed_until_a_restart() {
    let (_wire, gateway) = free_and_paid().await;
    let places = "journal.direct=return;journal.sync=1*return->off";
    let mut gateway = gateway.killed(&[("FAILPOINTS", places)]);
    let unsynced = gateway.ask(&chat("m", "a")).await;
    assert_eq!(unsynced.status, 503, "{unsynced:?}");
    // What is free goes on, and what costs money does not, though the disk would sync again.
    for question in ["b", "c"] {
        assert_eq!(gateway.ask(&chat("free", question)).await.status, 200);
        assert_eq!(gateway.ask(&chat("m", question)).await.status, 503);
        let mut body = chat("free", &format!("{question} of a user"));
        body["user"] = "ann".into();
        assert_eq!(gateway.ask(&body).await.status, 200);
    }
    // Whoever spreads calls over several processes is told.
    let ready = gateway.get("/ready").await;
    assert_eq!(ready.status, 503, "{ready:?}");
    assert_eq!(gateway.get("/health").await.json()["status"], "degraded");
    assert_eq!(gateway.get("/live").await.status, 200);
    assert!(gateway.stop().await.success());
    assert_eq!(
        gateway.rows().await.len(),
        0,
        "the store is ahead of the disk"
    );
    let gateway = gateway.killed(&[]);
    let rows = gateway.rows_after(5).await;
    assert_eq!(rows.iter().filter(|(_, cost)| *cost > 0).count(), 1);
    gateway.rungs(&["ledger", "verify"]);
}
