use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rungs::{
    ErrorKind,
    catalog::Money,
    store::{LedgerLog, LedgerRow, LedgerSink, RowStatus, postgres::PostgresStore},
    testing::{
        ledger_contract::{self as contract, row},
        servers::Fsync,
    },
};
use sqlx::{Connection, PgConnection, Row};

use super::{Database, entries};

const NOW: Duration = Duration::ZERO;

#[tokio::test]
async fn the_ledger_keeps_its_contract() {
    let database = Database::new();
    contract::ledger_sink(&database.store().ledger("j")).await;
}

#[tokio::test]
async fn every_column_says_what_the_row_said() {
    let database = Database::new();
    let ledger = database.store().ledger("j");
    let rows = [
        LedgerRow {
            user: Some("ann".into()),
            conversation: Some("conv".into()),
            clamped: true,
            ..row("req_1", 2, 42, NOW)
        },
        LedgerRow {
            usage: None,
            key: None,
            price_version: None,
            status: RowStatus::Failed(ErrorKind::RateLimited),
            first_frame_ms: None,
            ..row("req_2", 1, 0, NOW)
        },
        // PostgreSQL's text cannot hold this; no client stops the ledger with it.
        LedgerRow {
            user: Some("a\0b".into()),
            accounts: std::sync::Arc::new(["user:t/a\0b".into()]),
            ..row("req_\0", 1, 1, NOW)
        },
    ];
    ledger
        .write(entries(1, rows).into())
        .await
        .expect("they are written");
    let mut raw = database.raw().await;
    let rows = sqlx::query("SELECT to_jsonb(c)::TEXT FROM llm_calls c ORDER BY seq")
        .fetch_all(&mut raw)
        .await
        .expect("rows");
    let rows: Vec<serde_json::Value> = rows
        .iter()
        .map(|row| serde_json::from_str(row.get(0)).expect("JSON"))
        .collect();
    let (started, journal) = (&rows[0]["started_ms"], &rows[0]["journal"]);
    assert_eq!(
        rows[0],
        serde_json::json!({
            "journal": journal, "seq": 1, "chain": "\\x07070707070707070707070707070707",
            "request_id": "req_1", "attempt": 2, "started_ms": started, "tenant": "acme", "accounts": "[\"global\",\"key:k_1\"]",
            "key_id": "k_1", "user_id": "ann", "conversation_id": "conv", "op": "chat", "deployment": "openai/gpt-4o-mini",
            "tier": 1, "status": "ok", "input_tokens": 1000, "cache_read_tokens": 0, "cache_write_5m_tokens": 0,
            "cache_write_1h_tokens": 0, "output_tokens": 200, "reasoning_tokens": 0, "cost_nanos": 42,
            "cost_source": "computed", "price_version": "2026-11", "clamped": true, "first_frame_ms": 210, "total_ms": 1300,
        })
    );
    for column in [
        "user_id",
        "key_id",
        "input_tokens",
        "price_version",
        "first_frame_ms",
    ] {
        assert!(rows[1][column].is_null(), "{column}");
    }
    assert_eq!(rows[1]["status"], "rate_limit_exceeded");
    assert_eq!(rows[2]["user_id"], "a\u{fffd}b");
    let spent = ledger.spent("user:t/a\0b", UNIX_EPOCH, None).await;
    assert_eq!(spent.expect("a sum"), Money::from_nanos(1));
}

#[tokio::test]
async fn journals_do_not_mix() {
    let database = Database::new();
    let (one, other) = (
        database.store().ledger("one"),
        database.store().ledger("other"),
    );
    for ledger in [&one, &other] {
        ledger
            .write(entries(1, [row("req", 1, 5, NOW)]).into())
            .await
            .expect("written");
    }
    let spent = other.spent("global", UNIX_EPOCH, None).await;
    assert_eq!(spent.expect("a sum"), Money::from_nanos(10));
    one.write(entries(2, [row("req", 1, 5, NOW)]).into())
        .await
        .expect("written");
    assert_eq!(one.last().await.expect("it answers"), Some((2, [7; 16])));
    assert_eq!(other.last().await.expect("it answers"), Some((1, [7; 16])));
}

#[tokio::test]
async fn what_the_table_of_journals_cannot_say_is_no_empty_journal() {
    let database = Database::new();
    let store = database.store();
    let (ledger, log) = (store.ledger("mine"), store.log());
    // Of a month that would go.
    let old = row("req_1", 1, 1, Duration::from_secs(400 * 86_400));
    ledger
        .write(entries(1, [old]).into())
        .await
        .expect("written");
    for damage in [
        "chain = '\\x0707'",
        "chain = NULL",
        "chain = chain || '\\x00'",
        "seq = 0",
        "seq = -1",
    ] {
        database.run(&format!("UPDATE journals SET {damage}")).await;
        let pruned = log.prune(SystemTime::now(), &[7; 32]).await;
        for (what, error) in [
            ("last", ledger.last().await.err()),
            ("journals", log.journals().await.err()),
            ("prune", pruned.err()),
        ] {
            let error = error.unwrap_or_else(|| panic!("{damage}: {what} goes on"));
            assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
            let names = ["table journals", "journal mine"];
            assert!(
                names.iter().all(|name| error.message().contains(name)),
                "{error}"
            );
        }
        database
            .run(&format!(
                "UPDATE journals SET seq = 1, chain = '\\x{}'",
                "07".repeat(16)
            ))
            .await;
        assert_eq!(
            ledger.last().await.expect("it is whole"),
            Some((1, [7; 16]))
        );
    }
    assert_eq!(database.number("SELECT count(*) FROM llm_calls").await, 1);
}

#[tokio::test]
async fn ten_thousand_rows_a_second_arrive_once_each_and_small() {
    const ROWS: u32 = 50_000;
    let database = Database::with(Fsync::On, &[]);
    let ledger = database.store().ledger("j");
    let name = |n: u32| format!("req_{:032x}", u128::from(n) * 7919);
    let minute = Duration::from_secs(60);
    let rows = (0..ROWS).map(|n| row(&name(n), 1, i64::from(n), minute));
    let all = entries(1, rows);
    ledger
        .write(all[..1].into())
        .await
        .expect("the month is made");
    let start = Instant::now();
    ledger
        .write(all.as_slice().into())
        .await
        .expect("they are written");
    let rate = f64::from(ROWS) / start.elapsed().as_secs_f64();
    println!("{rate:.0} rows a second");
    ledger.write(all[..2_000].into()).await.expect("again");
    let rows = i64::from(ROWS);
    assert_eq!(
        database.number("SELECT count(*) FROM llm_calls").await,
        rows
    );
    let spent = ledger.spent("key:k_1", UNIX_EPOCH, None).await;
    assert_eq!(
        spent.expect("a sum"),
        Money::from_nanos(rows * (rows - 1) / 2)
    );
    let size = "SELECT sum(pg_total_relation_size(inhrelid))::BIGINT FROM pg_inherits WHERE inhparent = 'llm_calls'::regclass";
    let bytes = database.number(size).await / rows;
    println!("{bytes} bytes a row");
    assert!(bytes <= 400, "{bytes} bytes a row");
    // Far below what it does on a free computer: tests share one.
    assert!(rate > 2_000.0, "{rate}");
}

#[tokio::test]
async fn a_database_that_is_away_is_unavailable_and_comes_back() {
    let mut database = Database::new();
    let ledger = database.store().ledger("j");
    let write = async |seq| {
        ledger
            .write(entries(seq, [row("req", 1, 1, NOW)]).into())
            .await
    };
    write(1).await.expect("it is there");
    database.server.stop().expect("it stops");
    let error = write(2).await.expect_err("it is gone");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.get_retry_after().is_some());
    database.server.restart().expect("it starts");
    write(2).await.expect("it is back");

    database.server.freeze().expect("it freezes");
    let start = Instant::now();
    let error = write(3).await.expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    database.server.thaw().expect("it goes on");
    write(3).await.expect("it is back");
    assert_eq!(database.number("SELECT count(*) FROM llm_calls").await, 3);
}

#[tokio::test]
async fn locks_and_connections_are_waited_for_a_bounded_time() {
    let database = Database::new();
    let store = PostgresStore::new(&database.url, 1).expect("a URL");
    let ledger = store.ledger("j");
    let rows = entries(1, [row("req_1", 1, 1, NOW), row("req_2", 1, 1, NOW)]);
    ledger.write(rows[..1].into()).await.expect("it is there");
    let other = PgConnection::connect(&database.url).await;
    let mut other = other.expect("it answers");
    let mut held = other.begin().await.expect("a transaction");
    let lock = sqlx::query("LOCK TABLE llm_calls, spending")
        .execute(&mut *held)
        .await;
    lock.expect("a lock");
    let start = Instant::now();
    let (blocked, reader, queued) = tokio::join!(
        ledger.write(rows[1..].into()),
        ledger.spent("global", UNIX_EPOCH, None),
        async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let start = Instant::now();
            let spent = ledger.spent("global", UNIX_EPOCH, None).await;
            (spent, start.elapsed())
        }
    );
    for error in [blocked.err(), reader.err()] {
        assert_eq!(error.expect("locked").kind(), ErrorKind::Unavailable);
    }
    assert!(start.elapsed() < Duration::from_secs(2));
    let error = queued.0.expect_err("the connection is in use");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(queued.1 < Duration::from_millis(300), "{:?}", queued.1);
}

#[tokio::test]
async fn rows_that_do_not_go_on_where_the_table_ends_are_refused_by_name() {
    let database = Database::new();
    let ledger = database.store().ledger("mine");
    let mut rows = entries(1, (1..=6).map(|n| row(&format!("req_{n}"), 1, n, NOW)));
    ledger.write(rows[..4].into()).await.expect("written");
    // Others of the same numbers, as a copy of the journal's folder goes on with.
    let other = |seq, chain| {
        let mut entry = rows[0].clone();
        (entry.seq, entry.chain) = (seq, chain);
        entry
    };
    for (what, came, entries) in [
        ("a gap", "row 6 came next", vec![other(6, [7; 16])]),
        (
            "another last row",
            "another row 4 came",
            vec![other(4, [9; 16]), other(5, [9; 16])],
        ),
        (
            "another row before",
            "another row 3 came",
            vec![other(2, [9; 16]), other(3, [9; 16])],
        ),
    ] {
        let error = ledger.write(entries.into()).await.expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
        for name in [
            "journal mine",
            "at row 4",
            came,
            "older copy",
            "copy of the journal's folder",
        ] {
            assert!(error.message().contains(name), "{what}: {error}");
        }
    }
    assert_eq!(ledger.last().await.expect("it answers"), Some((4, [7; 16])));
    assert_eq!(database.number("SELECT count(*) FROM llm_calls").await, 4);
    ledger
        .write(rows.split_off(2).into())
        .await
        .expect("it goes on");
    assert_eq!(database.number("SELECT count(*) FROM llm_calls").await, 6);
}
