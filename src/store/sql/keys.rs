use sqlx::Error as SqlError;

use super::columns::{Columns, hash_of, named, parsed, unsigned};
use crate::{
    catalog::Tier,
    error::Error,
    store::{KeyRecord, Secret, plain::time},
};

/// The key of a row of `api_keys`.
pub(in crate::store) fn read(row: &impl Columns) -> Result<KeyRecord, Error> {
    record(row).map_err(|e| Error::internal("a stored key cannot be read").with_source(e))
}

fn record(row: &impl Columns) -> Result<KeyRecord, SqlError> {
    let limit = |column| Ok::<_, SqlError>(row.maybe_big(column)?.map(unsigned));
    let moment = |column| Ok::<_, SqlError>(row.maybe_big(column)?.map(time));
    let small = |column| Ok::<_, SqlError>(row.maybe_small(column)?.map(level));
    let owned = |column| Ok::<_, SqlError>(row.maybe_text(column)?.map(str::to_owned));
    let hash = row.maybe_bytes("previous_hash")?;
    let previous = match hash.zip(moment("previous_until_ms")?) {
        Some((hash, until)) => Some(Secret {
            hash: hash_of(hash)?,
            until,
        }),
        None => None,
    };
    Ok(KeyRecord {
        id: row.text("id")?.to_owned(),
        name: row.text("name")?.to_owned(),
        role: named(row.text("role")?)?,
        hash: hash_of(row.bytes("hash")?)?,
        previous,
        tenant: row.text("tenant")?.to_owned(),
        parent: owned("parent")?,
        project: owned("project")?,
        models: parsed(row.text("models")?)?,
        max_tier: small("max_tier")?.map(Tier::new),
        routes: parsed(row.text("routes")?)?,
        budgets: parsed(row.text("budgets")?)?,
        warn_at: small("warn_at")?,
        on_exhaust: named(row.text("on_exhaust")?)?,
        on_store_down: named(row.text("on_store_down")?)?,
        rpm: limit("rpm")?,
        tpm: limit("tpm")?,
        created: time(row.big("created_ms")?),
        expires: moment("expires_ms")?,
        revoked: moment("revoked_ms")?,
        version: row.count("version")?,
    })
}

fn level(number: i16) -> u8 {
    u8::try_from(number).unwrap_or(0)
}
