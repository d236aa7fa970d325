use std::path::{Path, PathBuf};

use rungs::store::sqlite::SqliteStore;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Row, SqliteConnection,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};

/// A directory of one test.
pub(crate) struct Dir(pub(crate) PathBuf);

impl Dir {
    pub(crate) fn new(test: &str) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a directory");
        Self(dir)
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite:{}", self.file().display())
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("rungs.db")
    }

    pub(crate) async fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.url()).await.expect("it opens")
    }

    /// Another program's connection.
    pub(crate) async fn raw(&self) -> SqliteConnection {
        SqliteConnection::connect(&self.url())
            .await
            .expect("it opens")
    }

    /// The file as a version of rungs left it that knew so many steps of the schema. Rows may refer to what is not there.
    pub(crate) async fn of_version(&self, version: i64) -> SqliteConnection {
        let options = SqliteConnectOptions::new()
            .filename(self.file())
            .create_if_missing(true)
            .foreign_keys(false)
            .journal_mode(SqliteJournalMode::Wal);
        let mut connection = options.connect().await.expect("it opens");
        let made = first_steps("migrations/sqlite", version).await;
        let made = made.run_direct(None, &mut connection, false).await;
        made.expect("the steps are taken");
        connection
    }

    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let mut raw = self.raw().await;
        let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut raw).await;
        // One that is dropped closes later, and takes the log of whatever database has its path by then.
        raw.close().await.expect("it closes");
        row.expect("a row").get(0)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The steps of a schema up to `version`.
pub(crate) async fn first_steps(folder: &str, version: i64) -> Migrator {
    let steps = Migrator::new(Path::new(folder)).await.expect("steps");
    let steps = steps.iter().filter(|step| step.version <= version);
    Migrator::with_migrations(steps.cloned().collect())
}
