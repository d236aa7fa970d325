//! What a holder says of windows that are over, against a server of its own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{
    PostgresStore, epochs,
    leases::{self, Holder},
};
use crate::{
    store::lease::{Ask, BudgetId, Questions},
    testing::servers::{Fsync, PostgresServer},
};

const DAY: Duration = Duration::from_secs(86_400);

/// A server with the budgets of the first day of 1970, and a holder.
struct Past {
    connection: PgConnection,
    holder: Holder,
    url: String,
    _server: PostgresServer,
}

impl Past {
    async fn of(accounts: &[&str]) -> Self {
        let server = PostgresServer::with(Fsync::Off, &[]).expect("PostgreSQL starts");
        let url = server.database().expect("a database");
        let store = PostgresStore::new(&url, 1).expect("a URL");
        store.connect().await.expect("it answers");
        let mut connection = PgConnection::connect(&url).await.expect("it answers");
        let begun = epochs::begin(&mut connection, &"h".into(), DAY, |_, _| None).await;
        let mut past = Self {
            connection,
            holder: begun.expect("it begins"),
            url,
            _server: server,
        };
        for account in accounts {
            let budget =
                "INSERT INTO budgets (account, span, start_ms, end_ms, limit_nanos) VALUES";
            past.run(format!("{budget} ('{account}', 'day', 0, 86400000, 1000)"))
                .await;
        }
        past
    }

    async fn run(&mut self, sql: String) {
        let done = sqlx::query(AssertSqlSafe(sql)).execute(&mut self.connection);
        done.await.expect("it is done");
    }

    async fn ask(&mut self, account: &str, used: i64) -> leases::Answers {
        let ask = Ask {
            id: id(account),
            end: Some(UNIX_EPOCH + DAY),
            began: UNIX_EPOCH + DAY / 2,
            keep: 0,
            used,
            slice: 0,
            limit: 1_000,
            announce: false,
        };
        let questions = Questions {
            asks: vec![ask],
            needs: Vec::new(),
        };
        let answers = leases::adjust(&mut self.connection, &self.holder, &questions, 1).await;
        answers.expect("it answers").expect("the holder has a say")
    }
}

fn id(account: &str) -> BudgetId {
    BudgetId {
        account: account.into(),
        span: "day".into(),
        start: SystemTime::UNIX_EPOCH,
    }
}

#[tokio::test]
async fn of_a_window_that_is_over_nothing_is_looked_for_in_the_ledger() {
    let mut past = Past::of(&["key:k"]).await;
    let mut other = PgConnection::connect(&past.url).await.expect("it answers");
    let mut transaction = other.begin().await.expect("it answers");
    // Who reads it waits in vain.
    let lock = sqlx::query("LOCK TABLE llm_calls IN ACCESS EXCLUSIVE MODE");
    lock.execute(&mut *transaction).await.expect("it is locked");
    past.run("SET statement_timeout = '1s'".to_owned()).await;
    let answers = past.ask("key:k", 300).await;
    let answer = answers[0].1.expect("the budget is there");
    assert_eq!((answer.size, answer.shipped, answer.beyond), (0, 0, 300));
}

#[tokio::test]
async fn a_sweep_leaves_the_leases_that_the_holder_has() {
    let mut past = Past::of(&["key:k", "key:forgotten"]).await;
    for account in ["key:k", "key:forgotten"] {
        past.ask(account, 0).await;
    }
    let Past {
        connection, holder, ..
    } = &mut past;
    let has = |of: &BudgetId| *of == id("key:k");
    let swept = leases::sweep(connection, holder, has).await;
    swept.expect("it is done");
    let left = sqlx::query_scalar("SELECT account FROM leases");
    let left: Vec<String> = left.fetch_all(connection).await.expect("it answers");
    assert_eq!(left, ["key:k"]);
}
