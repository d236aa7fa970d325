use sqlx::PgConnection;

use crate::{
    error::Error,
    store::sql::schema::{Schema, Step},
};

/// In order. A released one never changes: its checksum is in every database.
const SCHEMA: Schema = Schema(&[
    Step {
        version: 1,
        name: "ledger",
        sql: include_str!("../../../migrations/postgres/0001_ledger.sql"),
    },
    Step {
        version: 2,
        name: "keys",
        sql: include_str!("../../../migrations/postgres/0002_keys.sql"),
    },
    Step {
        version: 3,
        name: "budgets",
        sql: include_str!("../../../migrations/postgres/0003_budgets.sql"),
    },
    Step {
        version: 4,
        name: "memory",
        sql: include_str!("../../../migrations/postgres/0004_memory.sql"),
    },
    Step {
        version: 5,
        name: "pruned",
        sql: include_str!("../../../migrations/postgres/0005_pruned.sql"),
    },
    Step {
        version: 6,
        name: "call names",
        sql: include_str!("../../../migrations/postgres/0006_call_names.sql"),
    },
    Step {
        version: 7,
        name: "audit",
        sql: include_str!("../../../migrations/postgres/0007_audit.sql"),
    },
    Step {
        version: 8,
        name: "beyond",
        sql: include_str!("../../../migrations/postgres/0008_beyond.sql"),
    },
]);

/// The lock is the database's own, which it frees when the connection ends.
pub(super) async fn apply(connection: &mut PgConnection, database: &str) -> Result<(), Error> {
    SCHEMA.apply(connection, database, "another database").await
}
