//! R31: from each schema that there has been to the newest, with rows in it.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use rungs::{
    store::{
        AuditLog, ConversationStore, KeyStore, LedgerLog, LedgerSink, RowStatus, TodoItem,
        TodoStatus, TodoStore, postgres::PostgresStore, sqlite::SqliteStore,
    },
    testing::{
        ledger_contract::row,
        store_contract::{audit_findings, audit_row, conversation, key, turn},
    },
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection};

use crate::{
    dir::{Dir, first_steps},
    postgres::{Database, entries},
};

const KEY: [u8; 32] = [7; 32];

/// The journal that rows come from, where there may be several.
const HOLDER: &str = "gateway-1";

/// What is read and written of a database.
struct Stores {
    sink: Arc<dyn LedgerSink>,
    log: Box<dyn LedgerLog>,
    keys: Box<dyn KeyStore>,
    conversations: Box<dyn ConversationStore>,
    todos: Box<dyn TodoStore>,
    audit: Box<dyn AuditLog>,
}

impl Stores {
    fn of_file(store: &Arc<SqliteStore>) -> Self {
        Self {
            sink: store.clone(),
            log: Box::new(store.log()),
            keys: Box::new(store.keys()),
            conversations: Box::new(store.conversations()),
            todos: Box::new(store.todos()),
            audit: Box::new(store.audit(&KEY)),
        }
    }

    async fn of_database(url: &str) -> Self {
        let store = PostgresStore::new(url, 4).expect("a URL");
        store.connect().await.expect("the newest schema");
        Self {
            sink: Arc::new(store.ledger(HOLDER)),
            log: Box::new(store.log()),
            keys: Box::new(store.keys()),
            conversations: Box::new(store.conversations()),
            todos: Box::new(store.todos()),
            audit: Box::new(store.audit(&KEY)),
        }
    }

    /// Something of each kind, written as this version does: a step only adds, so the rows of an older one are the same.
    async fn fill(&self) {
        let rows = ["req_1", "req_2"].map(|name| row(name, 1, 21, Duration::ZERO));
        let rows = entries(1, rows);
        self.sink.write(rows.into()).await.expect("rows");
        self.keys.insert(&key("k_1", 1)).await.expect("a key");
        let of = conversation("acme", "c");
        let turns = [turn("req_1", "why?", "because")];
        self.conversations
            .append(&of, &turns)
            .await
            .expect("a turn");
        let item = TodoItem {
            id: 1,
            title: "plan".into(),
            description: String::new(),
            status: TodoStatus::InProgress,
        };
        self.todos.put(&of, &[item]).await.expect("a list");
        self.audit
            .append(&audit_row("fs_write"))
            .await
            .expect("audit");
    }

    /// All of it, by the table that it is in.
    async fn read(&self) -> Vec<(&'static str, String)> {
        let of = conversation("acme", "c");
        let journals = self.log.journals().await.expect("journals");
        let mut rows = Vec::new();
        for journal in &journals {
            rows.extend(
                self.log
                    .read(&journal.name, 0, UNIX_EPOCH, 100)
                    .await
                    .expect("rows"),
            );
        }
        let spent = self
            .sink
            .spent("global", UNIX_EPOCH, None)
            .await
            .expect("a sum");
        let keys = self.keys.list().await.expect("keys");
        let said = self.conversations.load(&of).await.expect("an answer");
        let list = self.todos.get(&of).await.expect("an answer");
        let audited = self.audit.read(0, UNIX_EPOCH, 100).await.expect("rows");
        vec![
            ("llm_calls", format!("{rows:?}")),
            ("spending", format!("{spent:?}")),
            ("api_keys", format!("{keys:?}")),
            ("messages", format!("{said:?}")),
            ("todo_lists", format!("{list:?}")),
            ("audit", format!("{audited:?}")),
        ]
    }

    /// A database with these tables, filled and then brought to the newest schema, has what `filled` has of them, what `empty` has of
    /// all others, and goes on.
    async fn came_along(&self, tables: &BTreeSet<String>, filled: &Self, empty: &Self) {
        let (filled, empty) = (filled.read().await, empty.read().await);
        for ((read, full), none) in self.read().await.into_iter().zip(filled).zip(empty) {
            assert_ne!(full.1, none.1, "{} was not filled", read.0);
            let expected = if tables.contains(read.0) { full } else { none };
            assert_eq!(read, expected, "{tables:?}");
        }
        let next = entries(3, [row("req_3", 1, 21, Duration::ZERO)]);
        self.sink.write(next.into()).await.expect("the next row");
        let spent = self
            .sink
            .spent("global", UNIX_EPOCH, None)
            .await
            .expect("a sum");
        assert_eq!(spent.nanos(), 63);
        self.audit
            .append(&audit_row("fs_write"))
            .await
            .expect("a row");
        assert!(audit_findings(&*self.audit, &KEY).await.is_empty());
    }
}

/// How many steps there are.
fn steps(folder: &str) -> i64 {
    let steps = std::fs::read_dir(folder).expect("steps").count();
    i64::try_from(steps).expect("few")
}

const SQLITE: &str = "migrations/sqlite";
const POSTGRES: &str = "migrations/postgres";

#[tokio::test]
async fn r31_a_file_of_every_earlier_version_comes_along_with_its_rows() {
    let (head, none) = (Dir::new("upgrade_head"), Dir::new("upgrade_none"));
    let open = async |dir: &Dir| Stores::of_file(&Arc::new(dir.open().await));
    let (filled, empty) = (open(&head).await, open(&none).await);
    filled.fill().await;
    for version in 1..steps(SQLITE) {
        let dir = Dir::new(&format!("upgrade_{version}"));
        let mut old = dir.of_version(version).await;
        let tables = copy_file(&mut old, &head).await;
        old.close().await.expect("it closes");
        open(&dir).await.came_along(&tables, &filled, &empty).await;
    }
}

/// Copies what an older schema has room for from another file; the tables.
async fn copy_file(old: &mut SqliteConnection, from: &Dir) -> BTreeSet<String> {
    let run = async |old: &mut SqliteConnection, sql: String| {
        sqlx::query(AssertSqlSafe(sql))
            .execute(old)
            .await
            .expect("it is done")
    };
    run(old, format!("ATTACH '{}' AS head", from.file().display())).await;
    let tables =
        "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE '_sqlx%'";
    let tables: Vec<String> = sqlx::query_scalar(tables)
        .fetch_all(&mut *old)
        .await
        .expect("tables");
    for table in &tables {
        let columns =
            format!("SELECT group_concat(name) FROM pragma_table_info('{table}', 'main')");
        let columns = sqlx::query_scalar(AssertSqlSafe(columns));
        let columns: String = columns.fetch_one(&mut *old).await.expect("columns");
        let copy = format!(
            "INSERT OR REPLACE INTO main.{table} ({columns}) SELECT {columns} FROM head.{table}"
        );
        run(old, copy).await;
    }
    tables.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn r31_a_database_of_every_earlier_version_comes_along_with_its_rows() {
    let head = Database::new();
    let another = || head.server.database().expect("a database");
    let filled = Stores::of_database(&head.url).await;
    let empty = Stores::of_database(&another()).await;
    filled.fill().await;
    head.run(LEASE).await;
    for version in 1..steps(POSTGRES) {
        let url = another();
        let mut old = PgConnection::connect(&url).await.expect("it answers");
        let made = first_steps(POSTGRES, version).await;
        let made = made.run_direct(None, &mut old, false).await;
        made.expect("the steps are taken");
        let tables = copy_database(&mut old, &head).await;
        let stores = Stores::of_database(&url).await;
        stores.came_along(&tables, &filled, &empty).await;
        if tables.contains("leases") {
            let lease = "SELECT granted_nanos, spent_nanos, beyond_nanos FROM leases";
            let lease = sqlx::query(lease).fetch_one(&mut old).await;
            let lease = lease.expect("the lease");
            let lease: [i64; 3] = [0, 1, 2].map(|column| lease.get(column));
            assert_eq!(lease, [70, 30, 0]);
        }
        old.close().await.expect("it closes");
    }
}

/// A budget that somebody has a lease on.
const LEASE: &str = "WITH budget AS (INSERT INTO budgets (account, span, start_ms, end_ms, limit_nanos, granted_nanos) \
     VALUES ('key:k_1', 'total', 0, 1, 100, 70)), \
     holder AS (INSERT INTO holders (holder, epoch, seen_ms, ttl_ms) VALUES ('gateway-1', 1, 0, 1)) \
     INSERT INTO leases (account, span, start_ms, holder, epoch, granted_nanos, spent_nanos, opened_ms) \
     VALUES ('key:k_1', 'total', 0, 'gateway-1', 1, 70, 30, 0)";

/// Copies what an older schema has room for from another database; the tables.
async fn copy_database(old: &mut PgConnection, from: &Database) -> BTreeSet<String> {
    let mut head = from.raw().await;
    // Whatever refers to whatever, and without the months of the ledger.
    let run = async |old: &mut PgConnection, sql: &str| {
        let done = sqlx::query(AssertSqlSafe(sql)).execute(old).await;
        done.expect(sql)
    };
    run(old, "SET session_replication_role = replica").await;
    let tables = "SELECT relname::TEXT FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition \
                  AND relnamespace = 'public'::regnamespace AND relname NOT LIKE '\\_sqlx%'";
    let tables: Vec<String> = sqlx::query_scalar(tables)
        .fetch_all(&mut *old)
        .await
        .expect("tables");
    let months = "SELECT started_ms FROM llm_calls";
    let months: Vec<i64> = sqlx::query_scalar(months)
        .fetch_all(&mut head)
        .await
        .expect("rows");
    for at in months {
        run(old, &format!("SELECT llm_calls_month({at})")).await;
    }
    for table in &tables {
        let rows = format!("SELECT COALESCE(json_agg(t), '[]')::TEXT FROM {table} t");
        let rows: String = sqlx::query_scalar(AssertSqlSafe(rows))
            .fetch_one(&mut head)
            .await
            .expect("rows");
        run(old, &format!("DELETE FROM {table}")).await;
        let copy = format!(
            "INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM json_populate_recordset(NULL::{table}, $1::JSON)"
        );
        let copied = sqlx::query(AssertSqlSafe(copy))
            .bind(rows)
            .execute(&mut *old)
            .await;
        copied.expect(table);
    }
    run(
        old,
        "SELECT setval(pg_get_serial_sequence('journals', 'id'), 10)",
    )
    .await;
    tables.into_iter().collect()
}

/// Day, deployment, attempts, failures and dollars.
type Shown = (String, String, i64, i64, f64);

/// The question that docs/MONEY.md has for operators.
fn documented() -> String {
    let text = include_str!("../../docs/MONEY.md");
    let (_, query) = text.split_once("```sql\n").expect("a query");
    let (query, _) = query.split_once("\n```").expect("its end");
    let query = query.trim_end_matches(';');
    format!(
        "SELECT CAST(day AS TEXT), deployment, CAST(attempts AS BIGINT), CAST(failures AS BIGINT), CAST(dollars AS DOUBLE PRECISION) \
         FROM ({query}) AS shown"
    )
}

#[tokio::test]
async fn the_documented_question_about_analytics_is_answered_by_both() {
    let mut rows = ["req_1", "req_2"].map(|name| row(name, 1, 2_500_000_000, Duration::ZERO));
    rows[0].started = UNIX_EPOCH + Duration::from_secs(1_764_000_000);
    rows[1].started = rows[0].started;
    rows[1].key = None;
    rows[1].status = RowStatus::Truncated;
    let rows = entries(1, rows);
    let expected = (
        "2025-11-24".to_owned(),
        "openai/gpt-4o-mini".to_owned(),
        2_i64,
        1_i64,
        5.0_f64,
    );

    let dir = Dir::new("analytics");
    let file = dir.open().await;
    file.write(rows.as_slice().into()).await.expect("rows");
    let mut raw = dir.raw().await;
    let shown = sqlx::query_as(AssertSqlSafe(documented()));
    let shown: Vec<Shown> = shown.fetch_all(&mut raw).await.expect("an answer");
    assert_eq!(shown, std::slice::from_ref(&expected));
    raw.close().await.expect("it closes");

    let database = Database::new();
    let sink = database.store().ledger(HOLDER);
    sink.write(rows.into()).await.expect("rows");
    let mut raw = database.raw().await;
    let shown = sqlx::query_as(AssertSqlSafe(documented()));
    let shown: Vec<Shown> = shown.fetch_all(&mut raw).await.expect("an answer");
    assert_eq!(shown, [expected]);
}
