//! The embedded tables: one SQLite file. Who queries has it open for reading, on a thread that the kernel lets read its folder, write what
//! a query cannot keep in memory, and nothing else; who changes has another.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use rungs::{Error, ErrorKind};
use rusqlite::{
    Connection, ErrorCode, OpenFlags,
    fallible_iterator::FallibleIterator,
    hooks::{AuthAction, AuthContext, Authorization},
    limits::Limit,
    params_from_iter,
    types::{Value as Sql, ValueRef},
};
use serde_json::Value;

use super::{
    PATIENCE, Row, Rows,
    catalog::{Table, list, no_table, quoted},
    too_many, too_slow,
};
use crate::sandbox::{FencedThread, Reach};

/// What is there before anybody has said what shall be.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS notes (
    id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);";

/// Functions that look around, or make large things of small ones.
const REFUSED: [&str; 7] = [
    "load_extension",
    "zeroblob",
    "randomblob",
    "readfile",
    "writefile",
    "edit",
    "fts3_tokenizer",
];

/// How many steps of the database between two looks at the clock: one step may compare each place in a text with another text.
const STEPS: i32 = 10;

/// The longest text, and the longest row, in bytes.
const LONGEST: i32 = 128 << 10;

/// The folder beside the tables for what is sorted or otherwise kept for a while, and does not fit into memory.
const SPILL: &str = "temp";

/// How much of what is sorted is kept in memory, in KiB. SQLite itself keeps 2 MiB of each other thing.
const SORTED: i32 = 4 << 10;

/// The most steps that a statement is made of, and with them how often it can keep so much.
const STATEMENT: i32 = 4096;

pub(crate) struct Local {
    reader: FencedThread<Connection>,
    writer: FencedThread<Connection>,
    /// Tests take them away, to see that the kernel and the file's own mode hold alone.
    #[cfg(test)]
    pub(super) guards: bool,
}

impl Local {
    /// The tables in `folder`, which is made if it is missing, as the statements in the file `schema` make them.
    pub(super) fn open(folder: &Path, schema: Option<&Path>) -> Result<Self, Error> {
        let cannot = |what: &'static str| {
            move |error: std::io::Error| Error::new(ErrorKind::Unavailable, what).with_source(error)
        };
        let schema = match schema {
            None => SCHEMA.to_owned(),
            Some(path) => fs::read_to_string(path)
                .map_err(cannot("the file `tools.schema` cannot be read"))?,
        };
        fs::create_dir_all(folder).map_err(cannot("the folder `tools.data` cannot be made"))?;
        let folder = folder
            .canonicalize()
            .map_err(cannot("the folder `tools.data` cannot be opened"))?;
        let (file, spill) = (folder.join("tables.db"), folder.join(SPILL));
        fs::create_dir_all(&spill).map_err(cannot("the folder `tools.data` cannot be used"))?;
        let make = {
            let (file, spill) = (file.clone(), spill.clone());
            move || writer(file, &spill, &schema)
        };
        let writer = FencedThread::in_folders("tables", &[(&folder, Reach::Change)], make)?
            .map_err(failed)?;
        let folders: [(&Path, _); 2] = [(&folder, Reach::Read), (&spill, Reach::Change)];
        let reader = FencedThread::in_folders("queries", &folders, || reader(file))?;
        let reader = reader.map_err(failed)?;
        Ok(Self {
            reader,
            writer,
            #[cfg(test)]
            guards: true,
        })
    }

    pub(super) async fn query(&self, sql: String, params: Vec<Value>) -> Result<Rows, Error> {
        #[cfg(test)]
        let guards = self.guards;
        self.reader
            .run(move |connection| {
                #[cfg(test)]
                if !guards {
                    connection
                        .authorizer(None::<fn(AuthContext<'_>) -> Authorization>)
                        .map_err(failed)?;
                    return connection
                        .execute_batch(&sql)
                        .map(|()| Rows::default())
                        .map_err(wrong);
                }
                select(connection, &sql, params)
            })
            .await
    }

    pub(super) async fn insert(&self, table: String, row: Row) -> Result<u64, Error> {
        let work = move |connection: &mut Connection| {
            let late = timed(connection)?;
            let table = find(connection, &table)?;
            table.has(&row, "row")?;
            let places = vec!["?"; row.len()].join(", ");
            let sql = format!(
                "INSERT INTO {} ({}) VALUES ({places})",
                quoted(&table.name),
                list(row.keys())
            );
            change(connection, &sql, row.values(), late)
        };
        self.writer.run(work).await
    }

    pub(super) async fn update(&self, table: String, key: Row, set: Row) -> Result<u64, Error> {
        let work = move |connection: &mut Connection| {
            let late = timed(connection)?;
            let table = find(connection, &table)?;
            table.has(&set, "set")?;
            table.is_key(&key)?;
            let each = |row: &Row| {
                row.keys()
                    .map(|name| format!("{} = ?", quoted(name)))
                    .collect::<Vec<_>>()
            };
            let (sets, keys) = (each(&set).join(", "), each(&key).join(" AND "));
            let sql = format!("UPDATE {} SET {sets} WHERE {keys}", quoted(&table.name));
            change(connection, &sql, set.values().chain(key.values()), late)
        };
        self.writer.run(work).await
    }
}

fn writer(file: PathBuf, spill: &Path, schema: &str) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    limited(&connection)?;
    // SQLite has one such folder in a process. What others put there is theirs all the same: it has no name from the moment it is open.
    connection.pragma_update(None, "temp_store_directory", spill.to_string_lossy())?;
    connection.execute_batch(schema)?;
    Ok(connection)
}

fn reader(file: PathBuf) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    limited(&connection)?;
    connection.set_limit(Limit::SQLITE_LIMIT_VDBE_OP, STATEMENT)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.authorizer(Some(allowed))?;
    Ok(connection)
}

fn limited(connection: &Connection) -> rusqlite::Result<()> {
    for (limit, most) in [
        (Limit::SQLITE_LIMIT_LENGTH, LONGEST),
        (Limit::SQLITE_LIMIT_COLUMN, 100),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, 64 << 10),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 100),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 20),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 200),
    ] {
        connection.set_limit(limit, most)?;
    }
    connection.pragma_update(None, "trusted_schema", false)?;
    // A limit of memory would be one of all that SQLite does in this process: a query that comes close to it would take from the ledger what
    // that needs.
    connection.pragma_update(None, "temp_store", "FILE")?;
    connection.pragma_update(None, "cache_size", -SORTED)
}

/// What a query may do, asked by the database for each thing in it.
fn allowed(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => {
            Authorization::Allow
        }
        AuthAction::Function { function_name }
            if !REFUSED.contains(&&*function_name.to_ascii_lowercase()) =>
        {
            Authorization::Allow
        }
        _ => Authorization::Deny,
    }
}

fn select(connection: &mut Connection, sql: &str, params: Vec<Value>) -> Result<Rows, Error> {
    let late = timed(connection)?;
    let mut batch = rusqlite::Batch::new(connection, sql);
    let mut statement = batch
        .next()
        .map_err(wrong)?
        .ok_or_else(|| Error::invalid("there is no statement").param("sql"))?;
    // The authorizer is asked for what a statement does, and some do nothing that it is asked for.
    if !statement.readonly() || statement.column_count() == 0 {
        return Err(Error::invalid("this is no SELECT").param("sql"));
    }
    if batch.next().map_err(wrong)?.is_some() {
        return Err(Error::invalid("there are two statements; one is run").param("sql"));
    }
    let names: Vec<String> = statement
        .column_names()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let params = params.iter().map(sql_value);
    let mut found = statement.query(params_from_iter(params)).map_err(wrong)?;
    let mut rows = Rows::default();
    loop {
        let row = match found.next() {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(rows),
            Err(_) if late() => return Err(too_slow()),
            Err(error) => return Err(wrong(error)),
        };
        let value = |(n, name): (usize, &String)| Ok((name.clone(), json_value(row.get_ref(n)?)));
        let row: rusqlite::Result<Row> = names.iter().enumerate().map(value).collect();
        if !rows.take(row.map_err(wrong)?) {
            return Ok(rows);
        }
    }
}

/// Has the database look at the clock from now on, for one job; gives whether it is late.
fn timed(connection: &Connection) -> Result<impl Fn() -> bool + use<>, Error> {
    let end = Instant::now() + PATIENCE;
    let late = move || Instant::now() > end;
    connection
        .progress_handler(STEPS, Some(late))
        .map_err(failed)?;
    Ok(late)
}

fn find(connection: &Connection, name: &str) -> Result<Table, Error> {
    let mut tables = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name").map_err(failed)?;
    let names = tables.query_map([], |row| row.get(0)).map_err(failed)?;
    let names: Vec<String> = names.collect::<Result<_, _>>().map_err(failed)?;
    let name = names
        .iter()
        .find(|known| *known == name)
        .ok_or_else(|| no_table(&names))?;
    let mut columns = connection
        .prepare("SELECT name, pk FROM pragma_table_info(?)")
        .map_err(failed)?;
    let columns = columns
        .query_map([name], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(failed)?;
    let columns: Vec<(String, i64)> = columns.collect::<Result<_, _>>().map_err(failed)?;
    let key = columns
        .iter()
        .filter(|(_, position)| *position > 0)
        .map(|(name, _)| name.clone())
        .collect();
    Ok(Table {
        name: name.clone(),
        columns: columns.into_iter().map(|(name, _)| name).collect(),
        key,
    })
}

fn change<'a>(
    connection: &mut Connection,
    sql: &str,
    values: impl Iterator<Item = &'a Value>,
    late: impl Fn() -> bool,
) -> Result<u64, Error> {
    let transaction = connection.transaction().map_err(failed)?;
    let changed = transaction.execute(sql, params_from_iter(values.map(sql_value)));
    let changed = changed.map_err(|error| if late() { too_slow() } else { wrong(error) })? as u64;
    if changed > 1 {
        return Err(too_many(changed));
    }
    transaction.commit().map_err(failed)?;
    Ok(changed)
}

fn sql_value(value: &Value) -> Sql {
    match value {
        Value::Null => Sql::Null,
        Value::Bool(yes) => Sql::Integer((*yes).into()),
        Value::Number(n) => n
            .as_i64()
            .map_or_else(|| Sql::Real(n.as_f64().unwrap_or(f64::NAN)), Sql::Integer),
        Value::String(text) => Sql::Text(text.clone()),
        other => Sql::Text(other.to_string()),
    }
}

fn json_value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(n) => n.into(),
        ValueRef::Real(n) => n.into(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned().into(),
        ValueRef::Blob(bytes) => format!("{} bytes", bytes.len()).into(),
    }
}

/// What is wrong with a statement is for who wrote it.
fn wrong(error: rusqlite::Error) -> Error {
    let what = match error.sqlite_error_code() {
        // What is said of a statement of too many steps.
        Some(ErrorCode::OutOfMemory) => {
            "the statement does too much at once; ask in several".into()
        }
        _ => format!("the database refuses: {error}"),
    };
    Error::invalid(what).with_source(error)
}

fn failed(error: rusqlite::Error) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the tables of the tools cannot be used",
    )
    .with_source(error)
}
