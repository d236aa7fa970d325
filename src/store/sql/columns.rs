//! How parts of a record stand in columns that hold only text, numbers and bytes.

use serde::{
    Serialize,
    de::{DeserializeOwned, IntoDeserializer, value::StrDeserializer},
};

use sqlx::{ColumnIndex, Decode, Row, Type};

use crate::{error::Error, store::Chain};

/// A row of any of the databases, read by the names of its columns.
pub(in crate::store) trait Columns {
    fn text(&self, column: &'static str) -> Result<&str, sqlx::Error>;
    fn maybe_text(&self, column: &'static str) -> Result<Option<&str>, sqlx::Error>;
    fn bytes(&self, column: &'static str) -> Result<&[u8], sqlx::Error>;
    fn maybe_bytes(&self, column: &'static str) -> Result<Option<&[u8]>, sqlx::Error>;
    fn big(&self, column: &'static str) -> Result<i64, sqlx::Error>;
    fn maybe_big(&self, column: &'static str) -> Result<Option<i64>, sqlx::Error>;
    fn int(&self, column: &'static str) -> Result<i32, sqlx::Error>;
    fn maybe_int(&self, column: &'static str) -> Result<Option<i32>, sqlx::Error>;
    fn small(&self, column: &'static str) -> Result<i16, sqlx::Error>;
    fn maybe_small(&self, column: &'static str) -> Result<Option<i16>, sqlx::Error>;
    fn flag(&self, column: &'static str) -> Result<bool, sqlx::Error>;

    /// A number that counts something.
    fn count(&self, column: &'static str) -> Result<u64, sqlx::Error> {
        self.big(column).map(unsigned)
    }

    /// A chain, or a seal. One of another length, which somebody altered, continues nothing and is not genuine.
    fn chain(&self, column: &'static str) -> Result<Chain, sqlx::Error> {
        let bytes = self.bytes(column)?;
        Ok(Chain::try_from(bytes).unwrap_or_default())
    }
}

impl<R: Row> Columns for R
where
    &'static str: ColumnIndex<R>,
    for<'r> &'r str: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> &'r [u8]: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> i64: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> i32: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> i16: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> bool: Decode<'r, R::Database> + Type<R::Database>,
{
    fn text(&self, column: &'static str) -> Result<&str, sqlx::Error> {
        self.try_get(column)
    }

    fn maybe_text(&self, column: &'static str) -> Result<Option<&str>, sqlx::Error> {
        self.try_get(column)
    }

    fn bytes(&self, column: &'static str) -> Result<&[u8], sqlx::Error> {
        self.try_get(column)
    }

    fn maybe_bytes(&self, column: &'static str) -> Result<Option<&[u8]>, sqlx::Error> {
        self.try_get(column)
    }

    fn big(&self, column: &'static str) -> Result<i64, sqlx::Error> {
        self.try_get(column)
    }

    fn maybe_big(&self, column: &'static str) -> Result<Option<i64>, sqlx::Error> {
        self.try_get(column)
    }

    fn int(&self, column: &'static str) -> Result<i32, sqlx::Error> {
        self.try_get(column)
    }

    fn maybe_int(&self, column: &'static str) -> Result<Option<i32>, sqlx::Error> {
        self.try_get(column)
    }

    fn small(&self, column: &'static str) -> Result<i16, sqlx::Error> {
        self.try_get(column)
    }

    fn maybe_small(&self, column: &'static str) -> Result<Option<i16>, sqlx::Error> {
        self.try_get(column)
    }

    fn flag(&self, column: &'static str) -> Result<bool, sqlx::Error> {
        self.try_get(column)
    }
}

pub(in crate::store) fn json<T: Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value)
        .map_err(|e| Error::internal("a part of a record is no JSON").with_source(e))
}

/// The name of a variant, without JSON's quotes.
pub(in crate::store) fn name<T: Serialize>(variant: &T) -> Result<String, Error> {
    Ok(json(variant)?.trim_matches('"').to_owned())
}

pub(in crate::store) fn parsed<T: DeserializeOwned>(text: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(text).map_err(|e| sqlx::Error::Decode(Box::new(e)))
}

pub(in crate::store) fn named<T: DeserializeOwned>(name: &str) -> Result<T, sqlx::Error> {
    let name: StrDeserializer<'_, serde_json::Error> = name.into_deserializer();
    T::deserialize(name).map_err(|e| sqlx::Error::Decode(Box::new(e)))
}

pub(in crate::store) fn hash_of(bytes: &[u8]) -> Result<[u8; 32], sqlx::Error> {
    bytes
        .try_into()
        .map_err(|e| sqlx::Error::Decode(Box::new(e)))
}

/// What [`clamp`] made a column of; there is none below zero.
pub(in crate::store) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// A number for a column; one that does not fit becomes the largest that does.
pub(in crate::store) fn clamp(limit: u64) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
