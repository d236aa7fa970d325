use sqlx::{
    SqlSafeStr,
    migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator},
};

use crate::error::Error;

/// The steps to a database's newest schema, in order.
pub(in crate::store) struct Schema(pub(in crate::store) &'static [Step]);

pub(in crate::store) struct Step {
    pub(in crate::store) version: i64,
    pub(in crate::store) name: &'static str,
    pub(in crate::store) sql: &'static str,
}

impl Schema {
    /// Takes the steps that `database` lacks, each in a transaction, under a lock where the database has one: several processes may
    /// start at once. `instead` is what to use in place of a database that cannot be used.
    pub(in crate::store) async fn apply(
        &self,
        connection: &mut impl Migrate,
        database: &str,
        instead: &str,
    ) -> Result<(), Error> {
        let steps = self.0.iter().map(|step| {
            Migration::new(
                step.version,
                step.name.into(),
                MigrationType::Simple,
                step.sql.into_sql_str(),
                false,
            )
        });
        Migrator::with_migrations(steps.collect())
            .run_direct(None, connection, false)
            .await
            .map_err(|e| Error::internal(self.explain(&e, database, instead)).with_source(e))
    }

    /// The version that the last step leads to.
    pub(in crate::store) fn newest(&self) -> i64 {
        self.0.last().map_or(0, |step| step.version)
    }

    fn explain(&self, error: &MigrateError, database: &str, instead: &str) -> String {
        let newest = self.newest();
        match error {
            MigrateError::VersionMissing(version) => format!(
                "the database {database} has schema {version}, this rungs knows schemas up to {newest}: \
                 use the version of rungs that wrote it, or {instead}"
            ),
            MigrateError::VersionMismatch(version) => format!(
                "the database {database} was made with another schema {version} than the one of this rungs: \
                 it cannot be used"
            ),
            MigrateError::ExecuteMigration(cause, version) => {
                let name = self.0.iter().find(|s| s.version == *version);
                let name = name.map_or("unknown", |step| step.name);
                format!("migration {version} ({name}) of the database {database} failed: {cause}")
            }
            other => format!("the database {database} cannot be migrated: {other}"),
        }
    }
}
