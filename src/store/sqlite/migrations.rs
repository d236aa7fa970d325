use std::path::Path;

use sqlx::{
    SqlSafeStr, SqliteConnection,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use crate::error::Error;

/// In order. A released one never changes: its checksum is in every database.
const MIGRATIONS: [(i64, &str, &str); 1] = [(
    1,
    "spine",
    include_str!("../../../migrations/sqlite/0001_spine.sql"),
)];

pub(super) async fn run(connection: &mut SqliteConnection, path: &Path) -> Result<(), Error> {
    let migrations = MIGRATIONS.map(|(version, name, sql)| {
        Migration::new(
            version,
            name.into(),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    });
    Migrator::with_migrations(migrations.into())
        .run_direct(None, connection, false)
        .await
        .map_err(|e| Error::internal(explain(&e, path)).with_source(e))
}

fn explain(error: &MigrateError, path: &Path) -> String {
    let path = path.display();
    let newest = MIGRATIONS[MIGRATIONS.len() - 1].0;
    match error {
        MigrateError::VersionMissing(version) => format!(
            "the database {path} has schema {version}, this rungs knows schemas up to {newest}: \
             use the version of rungs that wrote it, or another file"
        ),
        MigrateError::VersionMismatch(version) => format!(
            "the database {path} was made with another schema {version} than the one of this rungs: \
             it cannot be used"
        ),
        MigrateError::ExecuteMigration(cause, version) => {
            format!("migration {version} of the database {path} failed: {cause}")
        }
        other => format!("the database {path} cannot be migrated: {other}"),
    }
}
