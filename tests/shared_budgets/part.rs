use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

/// What one process is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Of a PostgreSQL, or of an SQLite file.
    pub(crate) url: String,
    /// Of this process alone, and of the next one in its place.
    pub(crate) folder: PathBuf,
    /// What the provider bills, for all processes.
    pub(crate) bill: PathBuf,
    pub(crate) book: Book,
    pub(crate) calls: Calls,
    pub(crate) count: usize,
    /// Of the key; that of everything is ten times as much.
    pub(crate) limit: i64,
    pub(crate) seed: u64,
    /// How long a provider may take until an answer begins.
    pub(crate) timeout: Duration,
    /// A Redis beside the database, for the cache and the rates.
    pub(crate) redis: Option<String>,
}

/// How budgets are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Book {
    /// As the gateway keeps them: in memory where the database belongs to one process, by leases where several share it.
    Right,
    /// Wrong: looks whether there is room, and adds what it cost when it is known.
    CheckThenAdd,
    /// Wrong: an attempt that was cut costs nothing.
    ReleaseOnCut,
    /// Wrong: a counter in Redis, which forgets.
    RedisCounter,
}

/// How calls come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Calls {
    /// All at once, and none ends before all are decided.
    AtOnce,
    /// A few at a time, with all kinds of ends, until one is refused again and again.
    Random,
}

/// How it went.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) served: u64,
    pub(crate) refused: u64,
    pub(crate) unavailable: u64,
    /// How a book in memory stands in the end.
    pub(crate) stands: Vec<Stands>,
}

/// How an account stands, in nano-dollars.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stands {
    pub(crate) account: String,
    pub(crate) limit: i64,
    pub(crate) posted: i64,
    /// Held, or granted to a process.
    pub(crate) reserved: i64,
    pub(crate) excess: i64,
    pub(crate) unexplained: i64,
}

const VARIABLE: &str = "RUNGS_TEST_PART";

impl Part {
    pub(crate) fn of_environment() -> Option<Self> {
        let part = std::env::var(VARIABLE).ok()?;
        Some(serde_json::from_str(&part).expect("a part"))
    }

    pub(crate) fn to_environment(&self) -> (&'static str, String) {
        (VARIABLE, serde_json::to_string(self).expect("JSON"))
    }
}
