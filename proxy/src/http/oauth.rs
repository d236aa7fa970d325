//! Where MCP clients learn which authorization server gives tokens for `/mcp` (RFC 9728).

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use rungs::{Error, ErrorKind};

use super::error::respond;
use crate::gateway::Gateway;

pub(super) const METADATA: &str = "/.well-known/oauth-protected-resource";
pub(super) const METADATA_OF_MCP: &str = "/.well-known/oauth-protected-resource/mcp";

pub(super) async fn metadata(State(gateway): State<Gateway>) -> Response {
    match &gateway.live().oauth {
        Some(issuer) => Json(issuer.metadata()).into_response(),
        None => respond(&Error::new(
            ErrorKind::NotFound,
            "no authorization server is configured; `/mcp` takes API keys",
        )),
    }
}
