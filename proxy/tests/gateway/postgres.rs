//! Gateways that share a PostgreSQL, which works, is not there, and comes back.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use rungs::testing::{Reply, Scripted, Upstream, servers::PostgresServer};
use rungs::{
    catalog::{Deployment, Price},
    model::Usage,
};

use crate::support::*;

const SECRET: &str = "tW5-oPq81-vw7x-Tk20-zq4-Hn81-vw7x";

struct Shared {
    server: PostgresServer,
    url: String,
    provider_model: Scripted,
    upstream: Upstream,
}

/// A model for a dollar per million tokens either way, that answers at most a thousand.
fn paid() -> String {
    model(
        "paid",
        "p",
        "L1",
        "price = { input = \"1\", output = \"1\" }\nmax_output = 1000",
    )
}

impl Shared {
    async fn start(reply: Reply) -> Self {
        let server = PostgresServer::start().unwrap();
        let price = Price::per_million("1".parse().unwrap(), "1".parse().unwrap());
        let models = ["m", "paid"].map(|name| {
            let deployment = Deployment {
                max_output: Some(1000),
                ..Deployment::new("scripted", name).price(price)
            };
            Scripted::at(deployment, [reply.clone()])
        });
        Self {
            url: server.database().unwrap(),
            upstream: Upstream::serve(models.clone()).await.unwrap(),
            provider_model: models[1].clone(),
            server,
        }
    }

    fn config(&self, store: &str, more: &str) -> String {
        format!(
            "[store]\nurl = \"{}\"\nsecret = \"{SECRET}\"\n{store}\n[cache]\nenabled = false\n{NO_RETRY}{more}\n{}{}{}",
            self.url,
            provider("p", &self.upstream.base_url()),
            free("m", "p", "L0"),
            paid(),
        )
    }

    fn number(&self, sql: &str) -> i64 {
        let name = self.url.rsplit('/').next().unwrap();
        self.server.query(name, sql).unwrap().parse().unwrap()
    }
}

#[tokio::test]
async fn r1_gateways_hold_one_budget_together() {
    let reply = Reply::text("ok")
        .usage(Usage::new(50, 700))
        .after(Duration::from_millis(20));
    let shared = Shared::start(reply).await;
    let config = shared.config("", "");
    let (one, two) = (Gateway::serve(&config), Gateway::serve(&config));
    let made = one.rungs(&[
        "keys", "create", "--name", "k", "--budget", "0.05/day", "--json",
    ]);
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let secret = made["key"].as_str().unwrap();
    let (mut one, mut two) = (one.with_key(secret), two.with_key(secret));
    let mut refused = 0;
    for _ in 0..12 {
        let asks = (0..10).map(|n| {
            let gateway = [&one, &two][n % 2];
            async move { gateway.ask(&chat("paid", "q")).await }
        });
        let answers = join_all(asks).await;
        for answer in answers {
            match answer.status {
                200 => {}
                402 | 429 => refused += 1,
                status => panic!("{status}: {}", answer.text),
            }
        }
    }
    assert!(refused > 0);
    assert!(shared.provider_model.bill().nanos() <= 50_000_000);
    for gateway in [&mut one, &mut two] {
        assert!(gateway.stop().await.success(), "{}", gateway.log());
    }
    let leases = one.rungs(&["leases", "list"]);
    assert_eq!(
        leases.matches("ended in order  $0 out").count(),
        2,
        "{leases}"
    );
    let bill = shared.provider_model.bill().nanos();
    assert_eq!(
        shared.number("SELECT sum(cost_nanos)::BIGINT FROM llm_calls"),
        bill
    );
    let stands = "posted_nanos FROM budgets WHERE account LIKE 'key:%'";
    assert_eq!(shared.number(&format!("SELECT {stands}")), bill);
    assert_eq!(
        shared.number("SELECT granted_nanos FROM budgets WHERE account LIKE 'key:%'"),
        0
    );
    assert!(
        bill > 47_900_000,
        "{bill}: what is left is less than a call can cost"
    );
}

#[tokio::test]
async fn r17_a_gateway_starts_and_serves_without_its_database_and_finds_it_again() {
    let mut shared = Shared::start(Reply::text("ok").usage(Usage::new(5, 5))).await;
    let keys = key("known", KEY, "budget = \"1/day\"");
    let config = shared.config("", &keys);
    shared.server.stop().unwrap();
    let mut gateway = Gateway::serve(&config).with_key(KEY);
    assert_eq!(gateway.get("/ready").await.status, 200);
    let ready = gateway.get("/ready").await.json();
    assert_eq!(
        (&ready["status"], &ready["database"]),
        (&"degraded".into(), &"away".into())
    );
    let start = Instant::now();
    let refused = gateway.ask(&chat("paid", "q")).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert!(!refused.header("retry-after").is_empty());
    assert!(start.elapsed() < Duration::from_secs(5));
    let free = gateway.ask(&chat("m", "q")).await;
    assert_eq!(free.status, 200, "what is free goes on: {}", free.text);
    let unknown = format!("Bearer sk-rungs-abc-{}", "0".repeat(64));
    let unknown = HeaderMap::from_iter([(AUTHORIZATION, unknown.parse().unwrap())]);
    let unknown = gateway
        .post("/v1/chat/completions", chat("m", "q").to_string())
        .headers(unknown)
        .send()
        .await
        .unwrap();
    assert_eq!(
        unknown.status(),
        503,
        "never 401 for what cannot be looked up"
    );

    shared.server.restart().unwrap();
    let start = Instant::now();
    while gateway.ask(&chat("paid", "q")).await.status != 200 {
        assert!(start.elapsed() < PATIENCE, "{}", gateway.log());
    }
    assert_eq!(gateway.get("/ready").await.json()["database"], "up");

    // A lease goes on while the database is away, and rows wait.
    for _ in 0..20 {
        gateway.ask(&chat("paid", "q")).await;
    }
    shared.server.stop().unwrap();
    assert_eq!(gateway.ask(&chat("paid", "q")).await.status, 200);
    shared.server.restart().unwrap();
    let bill = shared.provider_model.bill().nanos();
    assert!(gateway.stop().await.success());
    assert_eq!(
        shared.number("SELECT sum(cost_nanos)::BIGINT FROM llm_calls"),
        bill
    );
}

/// The database knows them, and they are looked up again after half a minute.
#[tokio::test]
async fn keys_that_were_known_are_served_while_the_database_is_away() {
    let mut shared = Shared::start(Reply::text("ok").usage(Usage::new(5, 5))).await;
    let gateway = Gateway::serve(&shared.config("", ""));
    let made = [(), ()].map(|()| {
        let made = gateway.rungs(&[
            "keys", "create", "--name", "k", "--budget", "1/day", "--json",
        ]);
        let made: serde_json::Value = serde_json::from_str(&made).unwrap();
        made["key"].as_str().unwrap().to_owned()
    });
    let [known, unknown] = made;
    let gateway = gateway.with_key(&known);
    for _ in 0..20 {
        assert_eq!(gateway.ask(&chat("paid", "q")).await.status, 200);
    }
    shared.server.stop().unwrap();
    tokio::time::sleep(Duration::from_secs(31)).await;
    for model in ["paid", "m"] {
        let begun = Instant::now();
        let answer = gateway.ask(&chat(model, "q")).await;
        assert_eq!(answer.status, 200, "{model}: {}", answer.text);
        assert!(begun.elapsed() < Duration::from_secs(1), "nobody waits");
    }
    let gateway = gateway.with_key(&unknown);
    assert_eq!(gateway.ask(&chat("m", "q")).await.status, 503);
    shared.server.restart().unwrap();
    let begun = Instant::now();
    while gateway.ask(&chat("paid", "q")).await.status != 200 {
        assert!(begun.elapsed() < PATIENCE, "{}", gateway.log());
    }
}

#[tokio::test]
async fn r17_two_connections_serve_hundreds_of_streams() {
    let reply = Reply::text("a b c d")
        .usage(Usage::new(5, 5))
        .gap(Duration::from_millis(300));
    let shared = Shared::start(reply).await;
    let keys = key("known", KEY, "budget = \"100/day\"");
    let config = shared.config("connections = 2", &keys);
    let gateway = Gateway::serve(&config).with_key(KEY);
    gateway.ask(&chat("paid", "q")).await;
    let body = chat_stream("paid", "q");
    let asks = (0..500).map(|_| gateway.ask(&body));
    let answers = join_all(asks).await;
    let failed = answers.iter().filter(|answer| answer.status != 200);
    let failed: Vec<_> = failed.map(|a| (a.status, &a.text)).collect();
    assert!(failed.is_empty(), "{}: {:?}", failed.len(), failed[0]);
}

#[tokio::test]
async fn a_secret_is_needed_and_the_url_is_never_shown() {
    let store = "[store]\nurl = \"postgres://u:hunter2@127.0.0.1:1/x\"\n";
    let refused = Refused::by(store, &[]);
    assert!(refused.text.contains("store.secret"), "{}", refused.text);
    assert!(!refused.text.contains("hunter2"));
    let short = Refused::by(&format!("{store}secret = \"short\"\n"), &[]);
    assert!(short.text.contains("32 characters"), "{}", short.text);
}

#[tokio::test]
async fn the_rows_of_all_processes_are_exported_and_checked_in_one_database() {
    let shared = Shared::start(Reply::text("ok").usage(Usage::new(5, 5))).await;
    let config = shared.config("", &key("k", KEY, ""));
    let start = || Gateway::serve(&config).with_key(KEY);
    let (mut one, mut two) = (start(), start());
    for _ in 0..3 {
        assert_eq!(one.ask(&chat("paid", "q")).await.status, 200);
    }
    assert_eq!(two.ask(&chat("paid", "q")).await.status, 200);
    for gateway in [&one, &two] {
        let off = gateway
            .post("/v1/code-agent", r#"{"task":"x"}"#)
            .send()
            .await;
        assert_eq!(off.unwrap().status(), 403);
    }
    assert!(one.stop().await.success() && two.stop().await.success());
    let export = one.rungs(&["ledger", "export", "--since", "1d"]);
    let rows: Vec<serde_json::Value> = export
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut journals: Vec<_> = rows.iter().map(|row| row["journal"].to_string()).collect();
    assert_eq!(journals.len(), 4);
    journals.dedup();
    assert_eq!(journals.len(), 2, "one after the other: {journals:?}");
    assert!(
        rows.iter().all(|row| row["cost_nanos"] == 10_000),
        "{rows:?}"
    );
    assert_eq!(
        one.rungs(&["ledger", "verify"]),
        "4 rows, none altered, none missing\n2 audit rows, none altered, none missing\n"
    );
    for (sql, finding) in [
        (
            "UPDATE llm_calls SET cost_nanos = 1 WHERE seq = 2",
            "row 2 was altered",
        ),
        ("DELETE FROM llm_calls WHERE seq = 2", "row 2 is missing"),
        // Also where nothing stands behind it.
        (
            "DELETE FROM llm_calls WHERE seq >= 2",
            "rows 2 to 3 are missing",
        ),
        (
            "UPDATE audit SET effect = 'read' WHERE seq = 1",
            "audit row 1 was altered",
        ),
        ("DELETE FROM audit WHERE seq = 2", "audit row 2 is missing"),
    ] {
        shared.server.query("db1", sql).unwrap();
        let (status, out, _) = run(&one.folder, &["ledger", "verify"]);
        assert!(!status.success() && out.contains(finding), "{sql}: {out}");
    }
    let pruned = one.rungs(&["ledger", "prune", "--before", "400d"]);
    assert_eq!(pruned, "the rows of 0 months are gone\n");
}

#[tokio::test]
async fn an_altered_row_that_goes_is_named_also_behind_rows_that_stay() {
    let shared = Shared::start(Reply::text("ok").usage(Usage::new(5, 5))).await;
    let mut gateway = Gateway::serve(&shared.config("", ""));
    for _ in 0..5 {
        assert_eq!(gateway.ask(&chat("paid", "q")).await.status, 200);
    }
    assert!(gateway.stop().await.success());
    // Rows that somebody moves into an old month would go with it.
    let year = "started_ms - 86400000::BIGINT * 500";
    for sql in [
        format!("SELECT llm_calls_month({year}) FROM llm_calls"),
        format!("UPDATE llm_calls SET started_ms = {year} WHERE seq IN (2, 4)"),
    ] {
        shared.server.query("db1", &sql).unwrap();
    }
    let (status, out, err) = run(&gateway.folder, &["ledger", "prune", "--before", "400d"]);
    assert!(!status.success(), "{out}");
    for row in [2, 4] {
        assert!(out.contains(&format!("row {row} was altered")), "{out}");
    }
    assert!(out.contains("the rows of 1 months are gone"), "{out}");
    assert!(err.contains("2 findings in what is gone"), "{err}");
    assert_eq!(
        gateway.rungs(&["ledger", "verify"]),
        "3 rows, none altered, none missing\n0 audit rows, none altered, none missing\n"
    );
    let again = gateway.rungs(&["ledger", "prune", "--before", "400d"]);
    assert_eq!(again, "the rows of 0 months are gone\n");
}

#[tokio::test]
async fn t34_what_the_audit_cannot_hold_is_not_done_while_the_database_is_away() {
    let mut shared = Shared::start(Reply::text("ok")).await;
    let tools = "[tools]\nroots = [\".\"]\nallow = [\"write\"]\n".to_owned() + &key("k", KEY, "");
    let gateway = Gateway::serve(&shared.config("", &tools)).with_key(KEY);
    let job = async || {
        let request = gateway.post("/v1/code-agent", r#"{"task":"x","root":"no/folder"}"#);
        Answer::read(request.send().await.unwrap()).await
    };
    assert_eq!(job().await.status, 404, "it is begun, and fails");
    shared.server.stop().unwrap();
    let refused = job().await;
    assert_eq!(refused.status, 503, "{refused:?}");
    let why = refused.error()["message"].to_string();
    assert!(why.contains("nothing was done"), "{why}");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    shared.server.restart().unwrap();
    let rows = shared.number("SELECT count(*) FROM audit");
    assert_eq!(rows, 2, "those of the first alone");
}

#[tokio::test]
async fn r17_a_key_chooses_what_becomes_of_its_calls_while_the_database_is_away() {
    let mut shared = Shared::start(Reply::text("ok").usage(Usage::new(5, 5))).await;
    const OPEN: &str = "Lp0-w2Vd-c9Rt-41Xm";
    // Its parent is open, but it is not.
    const BELOW: &str = "Vq7-n5Ks-e8Yt-92Zc";
    let keys = [
        key("closed", KEY, "budget = \"1/day\""),
        key("open", OPEN, "budget = \"1/day\"\non_store_down = \"open\""),
        key("below", BELOW, "parent = \"open\""),
    ];
    let config = shared.config("", &keys.concat());
    let (mut closed, mut store_open) = (Gateway::serve(&config).with_key(KEY), None);
    let made = closed.rungs(&[
        "keys",
        "create",
        "--name",
        "k",
        "--budget",
        "1/day",
        "--on-store-down",
        "open",
        "--json",
    ]);
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    store_open.replace(made["key"].as_str().unwrap().to_owned());
    let ask = async |gateway: &Gateway, secret: &str| {
        let request = gateway
            .request("POST", "/v1/chat/completions")
            .bearer_auth(secret);
        let request = request.header("content-type", "application/json");
        let answer = request.body(chat("paid", "q").to_string()).send().await;
        answer.unwrap().status().as_u16()
    };
    let gateway = Gateway::serve(&config);
    let stored = store_open.unwrap();
    for secret in [KEY, OPEN, &stored, BELOW] {
        assert_eq!(ask(&gateway, secret).await, 200);
    }
    assert!(closed.stop().await.success());

    // Stopped under load: leases are used up, and then each key does as it chose.
    shared.server.stop().unwrap();
    let started = Instant::now();
    let mut statuses = Vec::new();
    while started.elapsed() < PATIENCE {
        let asks = (0..40).map(|_| ask(&gateway, KEY));
        statuses = join_all(asks).await;
        if statuses.contains(&503) {
            break;
        }
    }
    assert!(
        statuses.iter().all(|status| [200, 503].contains(status)),
        "{statuses:?}"
    );
    let mut refused = 0;
    while refused < 3 && started.elapsed() < PATIENCE {
        refused += u32::from(ask(&gateway, KEY).await == 503);
    }
    assert_eq!(refused, 3);
    let free = gateway
        .request("POST", "/v1/chat/completions")
        .bearer_auth(KEY);
    let free = free.header("content-type", "application/json");
    let free = free.body(chat("m", "q").to_string()).send().await.unwrap();
    assert_eq!(free.status(), 200, "what is free goes on");
    for secret in [OPEN, &stored] {
        let asks = (0..200).map(|_| ask(&gateway, secret));
        let statuses = join_all(asks).await;
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    }
    assert_eq!(ask(&gateway, BELOW).await, 503, "the stricter rule wins");

    // Counted afterwards, to the last.
    shared.server.restart().unwrap();
    let mut gateway = gateway;
    assert!(gateway.stop().await.success(), "{}", gateway.log());
    let rows = |key: &str| format!("SELECT count(*) FROM llm_calls WHERE key_id = '{key}'");
    for id in ["open", made["id"].as_str().unwrap()] {
        assert_eq!(shared.number(&rows(id)), 201, "{id}");
        let counted = "(posted_nanos + excess_nanos)";
        let budget = format!("SELECT {counted} FROM budgets WHERE account = 'key:{id}'");
        // The key below paid from it once.
        let calls = 201 + i64::from(id == "open");
        assert_eq!(shared.number(&budget), calls * 10_000, "{id}");
    }
    assert_eq!(
        shared.number("SELECT sum(cost_nanos)::BIGINT FROM llm_calls"),
        shared.provider_model.bill().nanos()
    );
}

#[tokio::test]
async fn r31_a_newer_database_stops_the_start_by_name() {
    let shared = Shared::start(Reply::text("ok")).await;
    let config = shared.config("", "");
    let mut gateway = Gateway::serve(&config);
    gateway.stop().await;
    shared
        .server
        .query(
            "db1",
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (99, 'of tomorrow', true, '\\x00', 0)",
        )
        .unwrap();
    let refused = Refused::by(&config, &[]);
    assert!(!refused.status.success());
    assert!(refused.text.contains("has schema 99"), "{}", refused.text);
}
