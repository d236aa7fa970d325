//! `/admin/v1`: the routes for those who look after keys.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use rungs::Error;
use serde::Serialize;

use super::error::respond;

pub(super) mod budgets;
pub(super) mod keys;

fn answer(status: StatusCode, result: Result<impl Serialize, Error>) -> Response {
    match result {
        Ok(value) => (status, Json(value)).into_response(),
        Err(error) => respond(&error),
    }
}
