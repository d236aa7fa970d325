//! R18, the other part: a gateway that is killed, whenever and wherever, loses no row that a client was told of, writes none twice,
//! and has charged at least what the provider has.

use std::time::{Duration, Instant};

use crate::support::*;

/// As often as the suite kills; `cargo xtask crash --runs` says another number.
const CRASHES: usize = 50;

/// As often as it kills conversations.
const TALKS: usize = 25;

/// Where it stops, waiting to be killed, beside anywhere else.
const PLACES: [&str; 7] = [
    "spool.before_write",
    "spool.after_write",
    "journal.before_write",
    "journal.after_write",
    "journal.after_sync",
    "journal.before_head",
    "journal.after_turn",
];

#[tokio::test(flavor = "multi_thread")]
async fn r18_a_crash_loses_no_row_and_writes_none_twice() {
    let crashes = std::env::var("RUNGS_CRASHES").map_or(CRASHES, |runs| runs.parse().unwrap());
    let load = Load::new().await;
    let mut gateway = Gateway::serve(&load.config());
    let mut slowest = Duration::ZERO;
    for run in 0..crashes {
        let clients = load.begin(&gateway, run);
        tokio::time::sleep(Duration::from_millis(fastrand::u64(5..120))).await;
        let place = fastrand::choice(PLACES).unwrap();
        let passed = match place {
            "journal.before_head" | "journal.after_turn" => 0..2,
            _ => 2..40,
        };
        let place = format!(
            "{place}={}*off->pause;journal.direct={}",
            fastrand::u8(passed),
            // Half of them write through the page cache.
            fastrand::choice(["off", "return"]).unwrap(),
        );
        let environment: &[(&str, &str)] = match run % 2 {
            0 => &[],
            _ => &[("FAILPOINTS", &place)],
        };
        let began = Instant::now();
        gateway = gateway.killed(environment);
        slowest = slowest.max(began.elapsed());
        for client in clients {
            client.await.unwrap();
        }
    }
    // The last one ends in order, so that all its rows are in the database.
    gateway = gateway.killed(&[]).restart().await;
    let Record {
        rows,
        charged,
        billed,
        told,
    } = load.check(&gateway);
    assert!(charged >= billed, "charged {charged}, billed {billed}");
    let interrupted = rows
        .iter()
        .filter(|row| row["status"] == "interrupted")
        .count();
    println!(
        "{crashes} kills, {told} answers told, {} rows, {interrupted} interrupted, charged {charged}, billed {billed}, slowest start {slowest:?}",
        rows.len(),
    );
    assert!(told > crashes, "the load was too small to show anything");
}

/// What a client was told of, in the order in which it was told.
struct Talk {
    conversation: String,
    told: Vec<String>,
}

/// Says one thing after the other in a conversation of its own, until nobody answers.
fn talk(gateway: &Gateway, mut talk: Talk) -> tokio::task::JoinHandle<Talk> {
    let whole = talk.conversation.len().is_multiple_of(2);
    let url = format!("{}/v1/chat/completions", gateway.url);
    let http = client(Duration::from_millis(300));
    tokio::spawn(async move {
        loop {
            let said = format!("{} {}", talk.conversation, fastrand::u64(..));
            let body = match whole {
                true => chat("m", &said),
                false => chat_stream("m", &said),
            };
            let request = http
                .post(&url)
                .header("content-type", "application/json")
                .header("x-rungs-conversation", &talk.conversation);
            let Ok(answer) = request.body(body.to_string()).send().await else {
                return talk;
            };
            let status = answer.status();
            let Ok(text) = answer.text().await else {
                return talk;
            };
            if status == 200 && (whole || text.ends_with("data: [DONE]\n\n")) {
                talk.told.push(said);
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn r18_a_crash_loses_no_turn_and_writes_none_twice() {
    let load = Load::new().await;
    let mut gateway = Gateway::serve(&load.config());
    let mut turns = 0;
    for run in 0..TALKS {
        let conversations = (0..8).map(|n| format!("c{}-{run}", "x".repeat(n)));
        let talks: Vec<_> = conversations
            .map(|conversation| {
                let told = Vec::new();
                talk(&gateway, Talk { conversation, told })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(fastrand::u64(5..120))).await;
        let place = format!(
            "{}={}*off->pause",
            fastrand::choice(&PLACES[..4]).unwrap(),
            fastrand::u8(2..40)
        );
        let environment: &[(&str, &str)] = match run % 2 {
            0 => &[],
            _ => &[("FAILPOINTS", &place)],
        };
        gateway = gateway.killed(environment);
        for talk in talks {
            let Talk { conversation, told } = talk.await.unwrap();
            if told.is_empty() {
                continue;
            }
            let mut asked = said_in(&gateway, &conversation).await;
            let newest = asked.len() == NEWEST;
            // The last one may have been answered, and not told of.
            if asked.last() != told.last() {
                asked.pop();
            }
            assert!(
                told.ends_with(&asked) && (newest || asked.len() == told.len()),
                "{conversation}: told {told:?}, kept {asked:?}"
            );
            turns += told.len();
        }
    }
    println!("{TALKS} kills, {turns} turns told, none lost, none twice");
    assert!(turns > TALKS, "the load was too small to show anything");
}

/// So many turns are shown.
const NEWEST: usize = 25;

/// What was asked in a conversation, of the newest turns.
async fn said_in(gateway: &Gateway, conversation: &str) -> Vec<String> {
    let answer = gateway.get(&format!("/v1/context/{conversation}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let messages = answer.json()["recentMessages"].clone();
    let messages = messages.as_array().unwrap().iter();
    let asked = messages.filter(|message| message["role"] == "user");
    asked
        .map(|message| message["content"].as_str().unwrap().to_owned())
        .collect()
}
