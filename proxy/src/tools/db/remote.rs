//! Tables in a PostgreSQL, behind a role of their own. What the role may do is all that a statement can do: what is checked
//! here is for good messages.

use std::{str::FromStr, time::Duration};

use futures_util::TryStreamExt;
use rungs::{Error, ErrorKind};
use serde_json::Value;
use sqlx::{
    AssertSqlSafe, Executor, PgPool, Postgres, Row as _, SqlSafeStr, Transaction, Type,
    postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgTypeInfo},
    query::Query,
};

use super::{
    BYTES, ROWS, Row, Rows,
    catalog::{Table, list, no_table, quoted},
    too_many, too_slow,
};
use crate::config::ToolUrl;

/// Connections at once, all of the tools'.
const CONNECTIONS: u32 = 4;

/// What a role must not be, or have: with it, it could leave its schema, or do there what no tool does. An owner may do all to what is
/// theirs. Each row is a fault.
const FAULTS: &str = "
SELECT 'is a superuser' FROM pg_roles WHERE rolname = current_user AND rolsuper
UNION ALL SELECT 'may make roles, databases or copies' FROM pg_roles
  WHERE rolname = current_user AND (rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)
UNION ALL SELECT 'is a member of ' || r.rolname FROM pg_roles r
  WHERE r.rolname <> current_user AND pg_has_role(current_user, r.oid, 'MEMBER') AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
UNION ALL SELECT 'may make things in the schema ' || nspname FROM pg_namespace
  WHERE nspname NOT LIKE 'pg\\_%' AND (has_schema_privilege(oid, 'CREATE') OR pg_get_userbyid(nspowner) = current_user)
UNION ALL SELECT 'may do more to the table ' || c.relname || ' than read, insert and update' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg_toast%'
    AND has_schema_privilege(n.oid, 'USAGE')
    AND (has_table_privilege(c.oid, 'DELETE, TRUNCATE, REFERENCES, TRIGGER') OR pg_get_userbyid(c.relowner) = current_user)
UNION ALL SELECT 'reaches tables of more than one schema' FROM (
  SELECT DISTINCT n.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg_toast%'
    AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE')
) AS schemas HAVING count(*) > 1";

pub(crate) struct Remote {
    pool: PgPool,
}

impl Remote {
    /// The database at `url`, if its role is one that can be let loose in it.
    pub(super) async fn open(url: &ToolUrl) -> Result<Self, Error> {
        let options = PgConnectOptions::from_str(url.expose())
            .map_err(|error| {
                Error::invalid("`tools.database` is no URL like postgres://role:password@host/name")
                    .with_source(error)
            })?
            .application_name("rungs tools")
            // What models ask for is seldom asked for twice. With none kept, what is prepared would never be closed.
            .statement_cache_capacity(1)
            .options([
                ("statement_timeout", "2000"),
                ("lock_timeout", "500"),
                ("idle_in_transaction_session_timeout", "5000"),
                ("default_transaction_read_only", "on"),
                ("work_mem", "16MB"),
            ]);
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .after_release(|connection, _| {
                // These outlive their transaction.
                let unlocked = sqlx::query("SELECT pg_advisory_unlock_all()").execute(connection);
                Box::pin(async move { Ok(unlocked.await.is_ok()) })
            })
            .acquire_timeout(Duration::from_secs(3))
            .connect_with(options)
            .await
            .map_err(failed)?;
        let fault: Option<String> = sqlx::query_scalar(FAULTS)
            .fetch_optional(&pool)
            .await
            .map_err(failed)?;
        match fault {
            None => Ok(Self { pool }),
            Some(fault) => Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "the role of `tools.database` {fault}; it must have rights on the tables of one schema and no more"
                ),
            )),
        }
    }

    pub(super) async fn query(&self, sql: String, params: Vec<Value>) -> Result<Rows, Error> {
        let mut transaction = self.pool.begin().await.map_err(failed)?;
        // A comment at the end would take the bracket along.
        let sql = sql.trim().trim_end_matches(';');
        // What is a whole statement by itself cannot end the bracket and go on behind it, past what bounds the answer.
        let types: Vec<_> = params.iter().map(kind).collect();
        let alone = transaction.prepare_with(AssertSqlSafe(sql).into_sql_str(), &types);
        alone.await.map_err(wrong)?;
        // A row that is too long for an answer does not leave the database, and none is asked for that would not be shown.
        let whole = format!(
            "SELECT CASE WHEN octet_length(j::text) <= {BYTES} THEN j END FROM \
             (SELECT to_jsonb(answer) AS j FROM (\n{sql}\n) AS answer LIMIT {}) AS bounded",
            ROWS + 1
        );
        let mut rows = Rows::default();
        {
            let mut found = bound(&whole, params.into_iter()).fetch(&mut *transaction);
            while let Some(row) = found.try_next().await.map_err(wrong)? {
                let row: Option<Value> = row.try_get(0).map_err(wrong)?;
                let Some(Value::Object(row)) = row else {
                    rows.more = true;
                    break;
                };
                if !rows.take(row) {
                    break;
                }
            }
        }
        transaction.rollback().await.map_err(failed)?;
        Ok(rows)
    }

    pub(super) async fn insert(&self, table: String, row: Row) -> Result<u64, Error> {
        let (mut transaction, schema, table) = self.find(&table).await?;
        table.has(&row, "row")?;
        let (name, columns) = (
            format!("{}.{}", quoted(&schema), quoted(&table.name)),
            list(row.keys()),
        );
        // The database itself turns JSON into what its columns are.
        let sql = format!(
            "INSERT INTO {name} ({columns}) SELECT {columns} FROM jsonb_populate_record(NULL::{name}, $1::jsonb)"
        );
        let inserted = bound(&sql, [Value::Object(row)].into_iter()).execute(&mut *transaction);
        commit(inserted.await.map_err(wrong)?.rows_affected(), transaction).await
    }

    pub(super) async fn update(&self, table: String, key: Row, set: Row) -> Result<u64, Error> {
        let (mut transaction, schema, table) = self.find(&table).await?;
        table.has(&set, "set")?;
        table.is_key(&key)?;
        let name = format!("{}.{}", quoted(&schema), quoted(&table.name));
        let each = |row: &Row, left: &str, from: &str| {
            let one = |name: &String| format!("{left}{0} = {from}.{0}", quoted(name));
            row.keys().map(one).collect::<Vec<_>>()
        };
        let sets = each(&set, "", "new").join(", ");
        let keys = each(&key, "old.", "key").join(" AND ");
        let sql = format!(
            "UPDATE {name} AS old SET {sets} FROM jsonb_populate_record(NULL::{name}, $1::jsonb) AS new, \
             jsonb_populate_record(NULL::{name}, $2::jsonb) AS key WHERE {keys}"
        );
        let values = [Value::Object(set), Value::Object(key)];
        let updated = bound(&sql, values.into_iter()).execute(&mut *transaction);
        commit(updated.await.map_err(wrong)?.rows_affected(), transaction).await
    }

    /// Begins to write: the table, and the schema that the role reaches.
    async fn find(&self, name: &str) -> Result<(Transaction<'_, Postgres>, String, Table), Error> {
        let mut transaction = self.pool.begin().await.map_err(failed)?;
        sqlx::query("SET TRANSACTION READ WRITE")
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        let tables: Vec<(String, String)> = sqlx::query_as(
            "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') \
             AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND has_schema_privilege(n.oid, 'USAGE') \
             AND has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE') ORDER BY 2",
        )
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
        let names: Vec<String> = tables.iter().map(|(_, name)| name.clone()).collect();
        let (schema, name) = tables
            .into_iter()
            .find(|(_, known)| known == name)
            .ok_or_else(|| no_table(&names))?;
        let columns: Vec<(String, bool)> = sqlx::query_as(
            "SELECT a.attname::text, EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY (i.indkey)) \
             FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        )
        .bind(&schema)
        .bind(&name)
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
        let key = columns
            .iter()
            .filter(|(_, is_key)| *is_key)
            .map(|(name, _)| name.clone())
            .collect();
        let columns = columns.into_iter().map(|(name, _)| name).collect();
        Ok((transaction, schema, Table { name, columns, key }))
    }
}

async fn commit(changed: u64, transaction: Transaction<'_, Postgres>) -> Result<u64, Error> {
    if changed > 1 {
        transaction.rollback().await.map_err(failed)?;
        return Err(too_many(changed));
    }
    transaction.commit().await.map_err(failed)?;
    Ok(changed)
}

/// As what a value is [bound].
fn kind(value: &Value) -> PgTypeInfo {
    let of = match value {
        Value::Null | Value::String(_) => <String as Type<Postgres>>::type_info,
        Value::Bool(_) => <bool as Type<Postgres>>::type_info,
        Value::Number(n) if n.is_i64() => <i64 as Type<Postgres>>::type_info,
        Value::Number(_) => <f64 as Type<Postgres>>::type_info,
        Value::Array(_) | Value::Object(_) => <Value as Type<Postgres>>::type_info,
    };
    of()
}

/// A statement with its values: by the extended protocol, which carries one statement and no more.
fn bound(sql: &str, values: impl Iterator<Item = Value>) -> Query<'_, Postgres, PgArguments> {
    // One that is kept knows its parameters as what they were the first time.
    let query = sqlx::query(AssertSqlSafe(sql.to_owned())).persistent(false);
    values.fold(query, |query, value| match value {
        Value::Null => query.bind(None::<String>),
        Value::Bool(yes) => query.bind(yes),
        Value::Number(n) => match n.as_i64() {
            Some(n) => query.bind(n),
            None => query.bind(n.as_f64()),
        },
        Value::String(text) => query.bind(text),
        other => query.bind(other),
    })
}

fn wrong(error: sqlx::Error) -> Error {
    match error.as_database_error() {
        Some(said) if said.code().as_deref() == Some("57014") => too_slow().with_source(error),
        Some(said) => {
            Error::invalid(format!("the database refuses: {}", said.message())).with_source(error)
        }
        None => failed(error),
    }
}

fn failed(error: sqlx::Error) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the tables of the tools cannot be used",
    )
    .with_source(error)
}
