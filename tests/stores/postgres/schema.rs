use futures_util::future::join_all;
use rungs::{
    ErrorKind,
    store::{KeyStore, postgres::PostgresStore},
    testing::store_contract as contract,
};

use super::Database;

#[tokio::test(flavor = "multi_thread")]
async fn r31_three_that_start_at_once_make_one_schema() {
    let database = Database::new();
    let stores: Vec<_> = (0..3).map(|_| database.store()).collect();
    for done in join_all(stores.iter().map(PostgresStore::connect)).await {
        done.expect("the schema is made");
    }
    let steps = database
        .number("SELECT count(*) FROM _sqlx_migrations WHERE success")
        .await;
    assert_eq!(steps, STEPS);
    let tables = database
        .number(
            "SELECT count(*) FROM information_schema.tables WHERE table_name IN ('conversations', 'messages', \
             'context_summaries', 'llm_calls', 'todo_lists', 'api_keys', 'budgets', 'leases', 'routing_rules', 'analytics')",
        )
        .await;
    assert_eq!(tables, 10);
}

/// How many migrations there are.
const STEPS: i64 = 8;

#[tokio::test]
async fn r31_a_newer_schema_and_a_step_that_fails_are_named() {
    let database = Database::new();
    database
        .store()
        .connect()
        .await
        .expect("the schema is made");
    database
        .run(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (99, 'of tomorrow', true, '\\x00', 0)",
        )
        .await;
    let error = database.store().connect().await.expect_err("too new");
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.message().contains("has schema 99"), "{error}");
    let known = format!("up to {STEPS}:");
    assert!(error.message().contains(&known), "{error}");
    let get = database.store().keys().get("k").await;
    assert!(get.is_err(), "it is never used anyway");

    let other = database.server.database().expect("a database");
    let other = Database {
        url: other,
        ..database
    };
    other.run("CREATE TABLE api_keys (id TEXT)").await;
    let error = other.store().connect().await.expect_err("in the way");
    assert!(error.message().contains("migration 2 (keys)"), "{error}");
    assert!(error.message().contains("api_keys"), "{error}");
    other.run("DROP TABLE api_keys").await;
    let store = other.store();
    store.connect().await.expect("the rest of the steps");
}

#[tokio::test]
async fn keys_keep_their_contract() {
    let database = Database::new();
    contract::key_store(&database.store().keys()).await;
}

#[tokio::test]
async fn conversations_and_todo_lists_keep_their_contract() {
    let database = Database::new();
    contract::conversation_store(&database.store().conversations()).await;
    contract::todo_store(&database.store().todos()).await;
}

#[tokio::test]
async fn a_url_that_is_none_is_refused_without_showing_it() {
    for url in ["sqlite:rungs.db", "postgres://u:hunter2@host:port/name"] {
        let error = PostgresStore::new(url, 1).expect_err("no URL");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
