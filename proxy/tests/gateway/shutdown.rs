//! R18, as far as one process goes: what runs may finish, and everything is written down.

use std::time::{Duration, Instant};

use rungs::testing::{Reply, Upstream};
use sqlx::{Connection, sqlite::SqliteConnection};
use tokio::net::TcpStream;

use crate::support::*;

async fn paced(drain: &str) -> (rungs::testing::Scripted, Upstream, Gateway) {
    let provider_model = scripted(
        "m",
        Reply::text("one two three four five six seven eight nine ten")
            .gap(Duration::from_millis(100)),
    );
    let upstream = Upstream::serve([provider_model.clone()]).await.unwrap();
    let settings =
        format!("server = {{ drain_seconds = {drain} }}\nrouting = {{ on_stream = \"pass\" }}\n");
    let gateway = Gateway::serve(&format!(
        "{settings}{}{}",
        provider("p", &upstream.base_url()),
        free("m", "p", "L0")
    ));
    (provider_model, upstream, gateway)
}

#[tokio::test]
async fn r18_a_running_stream_finishes_after_sigterm() {
    let (provider_model, _upstream, mut gateway) = paced("30").await;
    // An idle connection does not keep the process.
    let _idle = TcpStream::connect(gateway.address()).await.unwrap();
    gateway.get("/live").await;
    let stream = gateway.begun("m").await;
    gateway.signal("TERM");
    gateway.logs("running answers may finish").await;
    assert_eq!(provider_model.open(), 1, "the stream should still run");
    assert!(
        TcpStream::connect(gateway.address()).await.is_err(),
        "no new work is taken"
    );
    let rest = Answer::read(stream).await;
    assert!(
        rest.text.contains("ten") && rest.text.ends_with("data: [DONE]\n\n"),
        "{rest:?}"
    );
    assert!(gateway.ended().await.success());
    assert_eq!(gateway.rows().await, [("ok".to_owned(), 0)]);
    assert_eq!(provider_model.cut(), 0);
}

#[tokio::test]
async fn r18_what_does_not_finish_in_time_is_cut_and_written_down() {
    for http2 in [false, true] {
        let (provider_model, _upstream, mut gateway) = paced("0.2").await;
        if http2 {
            gateway = gateway.over_http2();
        }
        let _stream = gateway.begun("m").await;
        let start = Instant::now();
        assert!(gateway.stop().await.success());
        assert!(
            start.elapsed() < Duration::from_millis(900),
            "{:?}",
            start.elapsed()
        );
        until("the provider to see it", || provider_model.open() == 0).await;
        assert_eq!(gateway.rows().await.len(), 1, "{}", gateway.log());
    }
}

#[tokio::test]
async fn a_second_signal_waits_for_nobody() {
    let (provider_model, _upstream, mut gateway) = paced("30").await;
    let stream = gateway.begun("m").await;
    gateway.signal("INT");
    gateway.logs("unless another signal comes").await;
    assert_eq!(provider_model.open(), 1, "the stream should still run");
    gateway.signal("INT");
    assert!(gateway.ended().await.success());
    assert!(stream.text().await.is_err(), "it is cut");
    assert_eq!(gateway.rows().await.len(), 1, "{}", gateway.log());
}

/// As often as the suite ends a gateway under load; `cargo xtask sigterm --runs` says another number.
const RUNS: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn r18_a_gateway_that_ends_under_load_has_written_all_it_told() {
    let runs = std::env::var("RUNGS_SIGTERMS").map_or(RUNS, |runs| runs.parse().unwrap());
    let load = Load::new().await;
    let mut gateway = Gateway::serve(&load.config());
    let mut slowest = Duration::ZERO;
    for run in 0..runs {
        let clients = load.begin(&gateway, run);
        tokio::time::sleep(Duration::from_millis(fastrand::u64(50..300))).await;
        let began = Instant::now();
        gateway = gateway.restart().await;
        slowest = slowest.max(began.elapsed());
        for client in clients {
            client.await.unwrap();
        }
    }
    assert!(gateway.stop().await.success());
    let Record {
        rows,
        charged,
        billed,
        told,
    } = load.check(&gateway);
    println!(
        "{runs} ends under load, {told} answers told, {} rows, charged {charged}, billed {billed}, slowest end and start {slowest:?}",
        rows.len(),
    );
    let status = |row: &&serde_json::Value| row["status"] == "interrupted";
    assert_eq!(rows.iter().filter(status).count(), 0, "nothing is cut off");
    assert!(charged >= billed, "charged {charged}, billed {billed}");
    assert!(told > runs * 8, "the load was too small to show anything");
}

/// Rows that wait when the suite starts a gateway again; `cargo xtask restart` has a hundred thousand, and a time limit.
const SPOOLED: usize = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_wait_do_not_delay_a_start() {
    let spooled = std::env::var("RUNGS_SPOOLED").map_or(SPOOLED, |rows| rows.parse().unwrap());
    let load = Load::new().await;
    // A budget is opened with what was spent: also with what waits.
    let budget = "[budget]\nglobal = \"1000/day\"\n";
    let gateway = Gateway::serve(&format!("{budget}{}", load.config())).with_key(KEY);
    let url = format!("sqlite:{}", gateway.folder.join("rungs.db").display());
    // As long as another holds the file, rows wait in the journal.
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let asks = (0..64).map(|_| async {
        use std::sync::atomic::Ordering::Relaxed;
        loop {
            let number = asked.fetch_add(1, Relaxed);
            if number >= spooled {
                return;
            }
            let answer = gateway.ask(&chat("m", &number.to_string())).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    });
    futures_util::future::join_all(asks).await;
    assert_eq!(gateway.rows().await.len(), 0);
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    let began = Instant::now();
    let mut gateway = gateway.killed(&[]);
    let answer = gateway.ask(&chat("m", "the first")).await;
    let took = began.elapsed();
    assert_eq!(answer.status, 200, "{answer:?}");
    println!("from the kill to the first answer with {spooled} rows that wait: {took:?}");
    if std::env::var_os("RUNGS_SPOOLED").is_some() {
        assert!(took < Duration::from_millis(300), "{took:?}");
    }
    assert!(gateway.stop().await.success());
    assert_eq!(gateway.rows().await.len(), spooled + 1);
}
