//! How parts of a record stand in columns that hold only text, numbers and bytes.

use serde::{
    Serialize,
    de::{DeserializeOwned, IntoDeserializer, value::StrDeserializer},
};

use crate::error::Error;

pub(super) fn json<T: Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value)
        .map_err(|e| Error::internal("a part of a key is no JSON").with_source(e))
}

/// The name of a variant, without JSON's quotes.
pub(super) fn name<T: Serialize>(variant: &T) -> Result<String, Error> {
    Ok(json(variant)?.trim_matches('"').to_owned())
}

pub(super) fn parsed<T: DeserializeOwned>(text: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(text).map_err(|e| sqlx::Error::Decode(Box::new(e)))
}

pub(super) fn named<T: DeserializeOwned>(name: &str) -> Result<T, sqlx::Error> {
    let name: StrDeserializer<'_, serde_json::Error> = name.into_deserializer();
    T::deserialize(name).map_err(|e| sqlx::Error::Decode(Box::new(e)))
}

pub(super) fn hash_of(bytes: &[u8]) -> Result<[u8; 32], sqlx::Error> {
    bytes
        .try_into()
        .map_err(|e| sqlx::Error::Decode(Box::new(e)))
}

pub(super) fn clamp(limit: u64) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
