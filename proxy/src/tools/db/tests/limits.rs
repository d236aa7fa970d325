//! What a query may take, in both databases.

use super::*;

#[tokio::test]
async fn answers_end_somewhere() {
    let (_folder, local) = embedded();
    let tables = Tables::Local(local);
    let count =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000) SELECT ";
    let many = tables
        .query(format!("{count} i FROM n"), Vec::new())
        .await
        .unwrap();
    assert_eq!((many.rows.len(), many.more), (ROWS, true));
    let wide = tables
        .query(
            format!("{count} printf('%.*c', 10000, 'x') AS x FROM n"),
            Vec::new(),
        )
        .await
        .unwrap();
    assert!(wide.more && wide.rows.len() < 110);
    let began = std::time::Instant::now();
    let endless =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let error = tables.query(endless.into(), Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(began.elapsed() < PATIENCE * 3);
}

#[tokio::test]
async fn a_statement_does_not_keep_many_things_at_once() {
    let (_folder, local) = embedded();
    let tables = Tables::Local(local);
    let counts = |times| {
        let count = "(SELECT count(*) FROM (SELECT DISTINCT body FROM notes ORDER BY id))";
        let count = [count; 10].join(" + ");
        format!("SELECT {}", vec![count.as_str(); times].join(", "))
    };
    one(&tables, &counts(1)).await.unwrap();
    let error = one(&tables, &counts(50)).await.unwrap_err();
    assert!(error.message().contains("too much at once"), "{error}");
    // The ledger may have all the memory that there is.
    let ledger = rusqlite::Connection::open_in_memory().unwrap();
    let limit = ledger.query_row("PRAGMA hard_heap_limit", [], |row| row.get::<_, i64>(0));
    assert_eq!(limit.unwrap(), 0);
}

#[tokio::test]
async fn one_step_and_one_row_of_a_query_are_small() {
    let (_folder, local) = embedded();
    let tables = Tables::Local(local);
    let began = std::time::Instant::now();
    // What is longer than a text may be is none.
    let compared =
        "SELECT instr(printf('%.*c', 4000000, 'x'), printf('%.*c', 2000000, 'x') || 'y') AS at";
    assert_eq!(
        one(&tables, compared).await.unwrap(),
        json!([{ "at": null }])
    );
    let columns = format!("SELECT {}", vec!["1"; 200].join(", "));
    one(&tables, &columns).await.unwrap_err();
    let sorted = "WITH RECURSIVE n(x) AS (SELECT printf('%.*c', 120000, 'x') UNION ALL SELECT x FROM n) SELECT * FROM n ORDER BY 1";
    one(&tables, sorted).await.unwrap_err();
    assert!(began.elapsed() < PATIENCE * 3);
    assert_eq!(
        one(&tables, "SELECT 1 AS one").await.unwrap(),
        json!([{ "one": 1 }])
    );
}

#[tokio::test]
async fn nothing_of_a_query_stays_and_no_row_is_longer_than_an_answer() {
    let world = World::new();
    let tables = Tables::Remote(remote::Remote::open(&world.url()).await.unwrap());
    let locks = "SELECT g, pg_advisory_lock(g)::text AS got FROM generate_series(1, 100) g";
    assert_eq!(
        tables
            .query(locks.into(), Vec::new())
            .await
            .unwrap()
            .rows
            .len(),
        100
    );
    let held = "SELECT count(*) AS held FROM pg_locks WHERE locktype = 'advisory'";
    let none = json!([{ "held": 0 }]);
    // They go when the pool has its connection back, which may be after the next one was taken.
    let began = std::time::Instant::now();
    while one(&tables, held).await.unwrap() != none && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(one(&tables, held).await.unwrap(), none);
    // The bound is not left by whoever closes the bracket around a statement.
    let left = "SELECT 1) AS answer) AS x UNION ALL SELECT jsonb_build_object('a', repeat('x', 200000000)) FROM (SELECT 1 FROM (SELECT 1";
    let error = one(&tables, left).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("syntax error"), "{error}");
    let long = "SELECT repeat('x', 50000000) AS a";
    let long = tables.query(long.into(), Vec::new()).await.unwrap();
    assert!(long.rows.is_empty() && long.more);
    let many = "SELECT g, repeat('x', 100) AS a FROM generate_series(1, 100000) g";
    let many = tables.query(many.into(), Vec::new()).await.unwrap();
    assert_eq!((many.rows.len(), many.more), (ROWS, true));
}
