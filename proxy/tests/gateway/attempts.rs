//! R13: attempts are bounded, over everything that asks again.

use rungs::{
    Error, ErrorKind,
    testing::{Reply, Upstream},
};

use crate::support::*;

fn answer(status: u16) -> String {
    let body = r#"{"error":{"message":"no"}}"#;
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Four tiers at one provider; `l0` may fall to `l1`.
fn ladder(base_url: &str, more: &str) -> String {
    let tiers = (0..4).map(|n| free(&format!("l{n}"), "p", &format!("L{n}")));
    let spare = model(
        "main",
        "p",
        "L0",
        "price = 0\nfallback = [\"l0\", \"l1\", \"l2\", \"l3\"]",
    );
    format!(
        "{more}[routing]\nmax_tier = \"L3\"\n{}{}{spare}",
        provider("p", base_url),
        tiers.collect::<String>()
    )
}

const THREE_TRIES: &str = "[retry]\nmax_tries = 3\nbase_seconds = 0.001\n";

#[tokio::test]
async fn r13_retries_fallbacks_and_climbs_share_one_bound() {
    let wire = Wire::answer(|_| answer(500)).await;
    let limits = |max: u32| format!("[limits]\nmax_attempts = {max}\n{THREE_TRIES}");
    for max in [1, 2, 4, 6] {
        let gateway = Gateway::serve(&ladder(&wire.base_url, &limits(max)));
        for body in [
            chat("auto", "q"),
            chat("main", "q"),
            chat_stream("auto", "q"),
            chat_stream("main", "q"),
        ] {
            let before = wire.heard().len();
            let answer = gateway.ask(&body).await;
            assert_eq!(answer.status, 500, "{answer:?}");
            let asked = wire.heard().len() - before;
            assert_eq!(
                answer.header("x-rungs-attempts"),
                asked.to_string(),
                "{answer:?}"
            );
            assert!(asked <= max as usize, "{asked} attempts of {max}");
        }
        let rows = gateway.rows_after(1).await;
        assert!(
            rows.iter().all(|(status, _)| status == "upstream_error"),
            "{rows:?}"
        );
    }
}

#[tokio::test]
async fn r13_climbing_counts_as_well() {
    let refuses = || Reply::text("I'm sorry, but I can't help with that.");
    let tiers = [
        scripted("l0", refuses()),
        scripted("l1", refuses()),
        scripted("l2", refuses()),
        scripted("l3", Reply::text("Yes.")),
    ];
    let upstream = Upstream::serve(tiers.clone()).await.unwrap();
    let asked = || {
        tiers
            .iter()
            .map(rungs::testing::Scripted::calls)
            .sum::<usize>()
    };
    for (max, last) in [(9, "L3"), (4, "L3"), (3, "L2"), (2, "L1"), (1, "L0")] {
        let attempts = max.min(4);
        let more = format!("[limits]\nmax_attempts = {max}\n{THREE_TRIES}");
        let gateway = Gateway::serve(&ladder(&upstream.base_url(), &more));
        for body in [chat("auto", "q"), chat_stream("auto", "another q")] {
            let before = asked();
            let answer = gateway.ask(&body).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(
                answer.header("x-rungs-attempts"),
                attempts.to_string(),
                "{answer:?}"
            );
            assert_eq!(asked() - before, attempts);
            assert_eq!(answer.header("x-rungs-tier"), last);
        }
    }
}

#[tokio::test]
async fn r13_a_wrong_request_is_not_tried_again() {
    let wire = Wire::answer(|heard| answer(heard.json()["n"].as_u64().unwrap() as u16)).await;
    let more = format!("{THREE_TRIES}[breaker]\nfailures = 1000000\npercent = 101\n");
    let gateway = Gateway::serve(&ladder(&wire.base_url, &more));
    for (status, attempts) in [
        (400, 1),
        (409, 1),
        (413, 1),
        (422, 1),
        (500, 3),
        (503, 3),
        (408, 3),
    ] {
        let before = wire.heard().len();
        let mut body = chat("l3", "q");
        body["n"] = status.into();
        let answer = gateway.ask(&body).await;
        assert_eq!(wire.heard().len() - before, attempts, "{status}");
        assert_eq!(
            answer.header("x-rungs-attempts"),
            attempts.to_string(),
            "{status}"
        );
    }
}

#[tokio::test]
async fn r13_one_deadline_for_all_attempts() {
    let slow = Reply::error(Error::new(ErrorKind::Upstream, "broken"))
        .after(std::time::Duration::from_millis(300));
    let upstream = Upstream::serve((0..4).map(|n| scripted(&format!("l{n}"), slow.clone())))
        .await
        .unwrap();
    let gateway = Gateway::serve(&ladder(
        &upstream.base_url(),
        &format!("[timeouts]\ntotal_seconds = 0.5\n{THREE_TRIES}"),
    ));
    let start = std::time::Instant::now();
    let answer = gateway.ask(&chat("auto", "q")).await;
    assert!(answer.status == 500 || answer.status == 504, "{answer:?}");
    assert!(
        start.elapsed() < std::time::Duration::from_millis(900),
        "{:?}",
        start.elapsed()
    );
    assert!(answer.header("x-rungs-attempts").parse::<u32>().unwrap() <= 2);
}
