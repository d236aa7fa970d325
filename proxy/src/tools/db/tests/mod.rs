//! The same for both databases: what tools may do is done; what they may not is refused, also when only the second wall is left.

mod limits;

use rungs::testing::servers::PostgresServer;
use serde_json::json;

use super::*;
use crate::{config::ToolUrl, sandbox::Folder};

fn row(value: Value) -> Row {
    value.as_object().cloned().unwrap()
}

async fn one(tables: &Tables, sql: &str) -> Result<Value, Error> {
    let rows = tables.query(sql.into(), Vec::new()).await?;
    Ok(Value::Array(
        rows.rows.into_iter().map(Value::Object).collect(),
    ))
}

/// What the two have in common.
async fn a_life_of_a_row(tables: &Tables) {
    let note = row(json!({ "id": 1, "topic": "it's; DROP TABLE notes; --", "body": "ü" }));
    assert_eq!(
        tables.insert("notes".into(), note.clone()).await.unwrap(),
        1
    );
    assert!(
        tables.insert("notes".into(), note).await.is_err(),
        "the key is taken"
    );
    let changed = tables.update(
        "notes".into(),
        row(json!({ "id": 1 })),
        row(json!({ "body": "new" })),
    );
    assert_eq!(changed.await.unwrap(), 1);
    let nobody = tables.update(
        "notes".into(),
        row(json!({ "id": 9 })),
        row(json!({ "body": "new" })),
    );
    assert_eq!(nobody.await.unwrap(), 0);
    assert_eq!(
        one(tables, "SELECT id, body FROM notes").await.unwrap(),
        json!([{ "id": 1, "body": "new" }])
    );
    for (table, key, set) in [
        ("notes", json!({}), json!({ "body": "x" })),
        ("notes", json!({ "body": "new" }), json!({ "body": "x" })),
        ("notes", json!({ "id": null }), json!({ "body": "x" })),
        (
            "notes",
            json!({ "id": 1, "body": "new" }),
            json!({ "body": "x" }),
        ),
        ("notes", json!({ "id": 1 }), json!({})),
        ("notes", json!({ "id": 1 }), json!({ "no": "x" })),
        (
            "notes",
            json!({ "id": 1 }),
            json!({ "body\" = 'y', \"topic": "x" }),
        ),
        (
            "notes; DROP TABLE notes",
            json!({ "id": 1 }),
            json!({ "body": "x" }),
        ),
        ("notes\"", json!({ "id": 1 }), json!({ "body": "x" })),
        ("other", json!({ "id": 1 }), json!({ "body": "x" })),
        (
            "sqlite_schema",
            json!({ "name": "notes" }),
            json!({ "sql": "x" }),
        ),
        ("pg_class", json!({ "oid": 1 }), json!({ "relname": "x" })),
    ] {
        assert!(
            tables
                .update(table.into(), row(key.clone()), row(set.clone()))
                .await
                .is_err(),
            "{table} {key} {set}"
        );
    }
    assert_eq!(
        one(tables, "SELECT body FROM notes").await.unwrap(),
        json!([{ "body": "new" }])
    );
}

fn embedded() -> (Folder, local::Local) {
    let folder = Folder::new();
    let local = local::Local::open(&folder.path().join("data"), None).unwrap();
    (folder, local)
}

#[tokio::test]
async fn a_row_in_the_embedded_tables() {
    let (_folder, local) = embedded();
    let tables = Tables::Local(local);
    a_life_of_a_row(&tables).await;
    let found = tables
        .query(
            "SELECT ?1 + ?2 AS sum, ?3 AS text".into(),
            vec![json!(1), json!(2.5), json!("x")],
        )
        .await;
    assert_eq!(
        found.unwrap().rows[0],
        row(json!({ "sum": 3.5, "text": "x" }))
    );
}

#[tokio::test]
async fn each_change_has_time_of_its_own() {
    let (_folder, local) = embedded();
    for n in 0..2 {
        let note = row(json!({ "topic": "t", "body": "b" }));
        let inserted = local.insert("notes".into(), note).await;
        assert_eq!(inserted.unwrap(), 1, "number {n}");
        // The database's clock is that of the machine.
        tokio::time::sleep(PATIENCE).await;
    }
}

#[tokio::test]
async fn hostile_statements_fail_with_the_authorizer_and_without_it() {
    let (folder, mut local) = embedded();
    let other = folder.path().join("other.db");
    rusqlite::Connection::open(&other)
        .unwrap()
        .execute_batch("CREATE TABLE secret(x); INSERT INTO secret VALUES ('outside')")
        .unwrap();
    let other = other.display();
    let outside = folder.path().join("written.db");
    let outside = outside.display();
    let mut statements: Vec<String> = [
        "DELETE FROM notes",
        "UPDATE notes SET body = 'x'",
        "INSERT INTO notes(topic, body) VALUES ('x', 'x')",
        "DROP TABLE notes",
        "CREATE TABLE x(y)",
        "CREATE TRIGGER t AFTER INSERT ON notes BEGIN DELETE FROM notes; END",
        "CREATE INDEX i ON notes(body)",
        "ALTER TABLE notes ADD COLUMN x",
        "REINDEX",
        "VACUUM",
        "PRAGMA journal_mode = WAL",
        "PRAGMA user_version = 7",
        "REPLACE INTO notes(id, topic, body) VALUES (1, 'x', 'x')",
        "SELECT 1; DELETE FROM notes",
        "SELECT load_extension('/tmp/x.so')",
        "BEGIN; DELETE FROM notes; COMMIT",
        "WITH x AS (SELECT 1) DELETE FROM notes",
        "PRAGMA writable_schema = ON; DELETE FROM sqlite_schema",
        "DELETE FROM notes RETURNING *",
        "CREATE VIRTUAL TABLE v USING fts5(x)",
    ]
    .map(String::from)
    .to_vec();
    statements.push(format!("ATTACH '{other}' AS o; SELECT * FROM o.secret"));
    statements.push(format!("ATTACH 'file:{other}?mode=ro' AS o"));
    statements.push(format!("VACUUM INTO '{outside}'"));
    statements.push(format!("ATTACH '{outside}' AS o; CREATE TABLE o.x(y)"));
    local
        .insert(
            "notes".into(),
            row(json!({ "id": 1, "topic": "t", "body": "b" })),
        )
        .await
        .unwrap();
    for guards in [true, false] {
        local.guards = guards;
        for sql in &statements {
            let done = local.query(sql.clone(), Vec::new()).await;
            // Without the authorizer a pragma of the connection, or a look at nothing, may pass; the file may not change.
            let harmless = sql.starts_with("PRAGMA")
                || sql.starts_with("REINDEX")
                || sql.starts_with("VACUUM");
            assert!(
                done.is_err() || !guards && harmless,
                "{guards} {sql}: {done:?}"
            );
        }
    }
    assert!(
        !folder.path().join("written.db").exists(),
        "a file was written outside"
    );
    local.guards = true;
    let tables = Tables::Local(local);
    let (_again, mut fresh) = embedded();
    fresh.guards = false;
    assert!(
        fresh
            .query(format!("ATTACH '{other}' AS o"), Vec::new())
            .await
            .is_err()
    );
    drop(fresh);
    let reread = local::Local::open(&folder.path().join("data"), None).unwrap();
    drop(tables);
    assert_eq!(
        one(&Tables::Local(reread), "SELECT * FROM notes")
            .await
            .unwrap()[0]["body"],
        "b"
    );
}

/// A database with a schema for tools, a role that reaches it alone, and a ledger that is none of its business.
struct World {
    server: PostgresServer,
    database: String,
}

impl World {
    fn new() -> Self {
        let server = PostgresServer::start().unwrap();
        let database = server.database().unwrap();
        let world = Self { server, database };
        for sql in [
            "CREATE TABLE ledger(amount int)",
            "INSERT INTO ledger VALUES (7)",
            "CREATE ROLE tools LOGIN PASSWORD 'word'",
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
            "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM tools",
            "CREATE SCHEMA tools",
            "CREATE TABLE tools.notes(id int PRIMARY KEY, topic text NOT NULL, body text NOT NULL)",
            "GRANT USAGE ON SCHEMA tools TO tools",
            "GRANT SELECT, INSERT, UPDATE ON tools.notes TO tools",
            "ALTER ROLE tools SET search_path = tools",
            "ALTER ROLE tools SET temp_file_limit = '64MB'",
        ] {
            world.server.query(&world.name(), sql).unwrap();
        }
        world
    }

    fn name(&self) -> String {
        self.database
            .rsplit('/')
            .next()
            .unwrap()
            .split('?')
            .next()
            .unwrap()
            .to_owned()
    }

    fn url(&self) -> ToolUrl {
        let after = self.database.rsplit_once('@').unwrap().1;
        ToolUrl::new(format!("postgres://tools:word@{after}"))
    }
}

#[tokio::test]
async fn a_row_in_a_postgresql() {
    let world = World::new();
    let tables = Tables::Remote(remote::Remote::open(&world.url()).await.unwrap());
    a_life_of_a_row(&tables).await;
    let found = tables
        .query(
            "SELECT $1 + 1 AS n, $2 AS text -- done".into(),
            vec![json!(1), json!("x")],
        )
        .await;
    assert_eq!(found.unwrap().rows[0], row(json!({ "n": 2, "text": "x" })));
    // The same statement, with a value of each kind.
    for value in [
        json!(null),
        json!(true),
        json!(1),
        json!(0.5),
        json!("x"),
        json!([1]),
        json!({}),
    ] {
        let found = tables
            .query("SELECT $1 AS it".into(), vec![value.clone()])
            .await;
        assert_eq!(found.unwrap().rows[0], row(json!({ "it": value })));
    }
}

#[tokio::test]
async fn a_role_that_may_do_more_is_not_used() {
    let world = World::new();
    let owner = remote::Remote::open(&ToolUrl::new(&world.database))
        .await
        .err()
        .unwrap();
    assert!(owner.message().contains("superuser"), "{owner}");
    let in_schema = "may make things in the schema tools";
    let to_table = "may do more to the table notes";
    for (more, less, fault) in [
        (
            "GRANT SELECT ON ledger TO tools",
            "REVOKE SELECT ON ledger FROM tools",
            "more than one schema",
        ),
        (
            "GRANT CREATE ON SCHEMA tools TO tools",
            "REVOKE CREATE ON SCHEMA tools FROM tools",
            in_schema,
        ),
        (
            "ALTER SCHEMA tools OWNER TO tools",
            "ALTER SCHEMA tools OWNER TO CURRENT_USER; GRANT USAGE ON SCHEMA tools TO tools",
            in_schema,
        ),
        (
            "GRANT DELETE ON tools.notes TO tools",
            "REVOKE DELETE ON tools.notes FROM tools",
            to_table,
        ),
        (
            "GRANT TRUNCATE ON tools.notes TO PUBLIC",
            "REVOKE TRUNCATE ON tools.notes FROM PUBLIC",
            to_table,
        ),
        ("ALTER TABLE tools.notes OWNER TO tools", "", to_table),
    ] {
        world.server.query(&world.name(), more).unwrap();
        let wide = remote::Remote::open(&world.url()).await.err();
        let wide = wide.unwrap_or_else(|| panic!("it is used: {more}"));
        assert!(wide.message().contains(fault), "{more}: {wide}");
        world.server.query(&world.name(), less).unwrap();
    }
}

#[tokio::test]
async fn hostile_statements_fail_in_the_database_itself() {
    let world = World::new();
    let tables = Tables::Remote(remote::Remote::open(&world.url()).await.unwrap());
    tables
        .insert(
            "notes".into(),
            row(json!({ "id": 1, "topic": "t", "body": "b" })),
        )
        .await
        .unwrap();
    // Past all our checks: as the role, in a session of its own.
    let role = sqlx::PgPool::connect(world.url().expose()).await.unwrap();
    let statements = [
        "SELECT * FROM public.ledger",
        "UPDATE public.ledger SET amount = 0",
        "DELETE FROM tools.notes",
        "TRUNCATE tools.notes",
        "DROP TABLE tools.notes",
        "ALTER TABLE tools.notes ADD x int",
        "CREATE TABLE tools.x(y int)",
        "CREATE TABLE public.x(y int)",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_ls_dir('/')",
        "COPY (SELECT 1) TO '/tmp/x'",
        "COPY tools.notes FROM '/etc/passwd'",
        "COPY (SELECT 1) TO PROGRAM 'id'",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_export(1, '/tmp/x')",
        "SET ROLE postgres",
        "SET SESSION AUTHORIZATION postgres",
        "CREATE EXTENSION dblink",
        "CREATE EXTENSION file_fdw",
        "SELECT * FROM pg_authid",
        "SELECT pg_reload_conf()",
        "ALTER SYSTEM SET fsync = off",
        "ALTER ROLE tools SUPERUSER",
        "GRANT ALL ON public.ledger TO tools",
        "CREATE FUNCTION tools.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "DO LANGUAGE plpython3u 'import os'",
        "SELECT pg_stat_file('/etc/passwd')",
        "CREATE ROLE x",
        "CREATE DATABASE x",
        "LOAD '/tmp/x.so'",
        "SELECT setval('x', 1)",
        "VACUUM public.ledger",
        "REINDEX TABLE public.ledger",
        "LOCK TABLE public.ledger",
        "SELECT pg_rotate_logfile()",
    ];
    for sql in statements {
        let done = sqlx::raw_sql(sql).execute(&role).await;
        // Where it only warns, as for what is not the role's to vacuum, nothing may have changed.
        assert!(done.is_err() || sql.starts_with("VACUUM"), "{sql}");
        assert!(one(&tables, sql).await.is_err(), "{sql}");
    }
    for sql in [
        "SELECT 1; DELETE FROM notes",
        "SELECT 1) AS a; COMMIT; DELETE FROM tools.notes; SELECT (1",
        "INSERT INTO notes VALUES (2, 'x', 'x') RETURNING *",
        "SELECT set_config('default_transaction_read_only', 'off', false)) AS x; UPDATE tools.notes SET body = 'x' WHERE (true",
        "WITH x AS (UPDATE notes SET body = 'x' RETURNING *) SELECT * FROM x",
        "SELECT 1 /*",
        "SELECT nextval('x')",
        "UPDATE notes SET body = 'x'",
        "SELECT pg_sleep(60)",
    ] {
        assert!(one(&tables, sql).await.is_err(), "{sql}");
    }
    assert_eq!(
        one(&tables, "SELECT id, body FROM notes").await.unwrap(),
        json!([{ "id": 1, "body": "b" }])
    );
    assert_eq!(
        world
            .server
            .query(&world.name(), "SELECT amount FROM ledger")
            .unwrap()
            .trim(),
        "7"
    );
}
