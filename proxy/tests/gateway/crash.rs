//! R18, the other part: a gateway that is killed, whenever and wherever, loses no row that a client was told of, writes none twice,
//! and has charged at least what the provider has.

use std::time::{Duration, Instant};

use crate::support::*;

/// As often as the suite kills; `cargo xtask crash --runs` says another number.
const CRASHES: usize = 50;

/// Where it stops, waiting to be killed, beside anywhere else.
const PLACES: [&str; 4] = [
    "journal.before_write",
    "journal.after_write",
    "journal.after_sync",
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
        let place = format!(
            "{}={}*off->pause",
            fastrand::choice(PLACES).unwrap(),
            fastrand::u8(2..40)
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
