use std::path::Path;

use sqlx::{SqliteConnection, SqlitePool};

use super::failed;
use crate::{
    error::Error,
    store::sql::schema::{Schema, Step},
};

/// In order. A released one never changes: its checksum is in every database.
const SCHEMA: Schema = Schema(&[
    Step {
        version: 1,
        name: "spine",
        sql: include_str!("../../../migrations/sqlite/0001_spine.sql"),
    },
    Step {
        version: 2,
        name: "memory",
        sql: include_str!("../../../migrations/sqlite/0002_memory.sql"),
    },
    Step {
        version: 3,
        name: "pruned",
        sql: include_str!("../../../migrations/sqlite/0003_pruned.sql"),
    },
    Step {
        version: 4,
        name: "call names",
        sql: include_str!("../../../migrations/sqlite/0004_call_names.sql"),
    },
    Step {
        version: 5,
        name: "audit",
        sql: include_str!("../../../migrations/sqlite/0005_audit.sql"),
    },
]);

pub(super) async fn run(connection: &mut SqliteConnection, path: &Path) -> Result<(), Error> {
    SCHEMA
        .apply(connection, &path.display().to_string(), "another file")
        .await
}

/// Whether the file is as new as this version: one that an older process uses stays as it is.
pub(super) async fn check(pool: &SqlitePool, path: &Path) -> Result<(), Error> {
    let version: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations")
        .fetch_one(pool)
        .await
        .map_err(failed("the schema of the database cannot be read"))?;
    let newest = SCHEMA.newest();
    match version < newest {
        true => Err(Error::internal(format!(
            "the database {} has schema {version}, this rungs needs schema {newest}: restart the process that uses it with this \
             version, or stop it",
            path.display()
        ))),
        false => Ok(()),
    }
}
