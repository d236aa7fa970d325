//! Finds out who calls.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderValue, header};
use rungs::{Error, ErrorKind};

use super::{OPEN, error::respond};
use crate::{auth::Principal, config::Access, gateway::Gateway};

/// Puts the [`Principal`] into the request, or answers 401.
///
/// On an open loopback a request needs no key, and one that is not known does no harm: many clients insist on sending something.
/// A known key is held to what it may do there too.
pub(super) async fn authenticate(
    State(gateway): State<Gateway>,
    mut request: Request,
    next: Next,
) -> Response {
    // Whoever probes must not depend on a store, not even with a key at hand.
    if OPEN.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let open = gateway.live().access == Access::Loopback;
    let principal = match credential(request.headers()) {
        Some(credential) => match gateway.principal(&credential).await {
            Err(error) if open && error.kind() == ErrorKind::Unauthorized => {
                Ok(Arc::new(Principal::local()))
            }
            principal => principal,
        },
        None if open => Ok(Arc::new(Principal::local())),
        None => Err(Error::new(
            ErrorKind::Unauthorized,
            "no API key: send `Authorization: Bearer <key>`; keys are made with `rungs keys create`",
        )),
    };
    match principal {
        Ok(principal) => {
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Err(error) => {
            let mut response = respond(&error);
            if error.kind() == ErrorKind::Unauthorized {
                response
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            response
        }
    }
}

fn credential(headers: &HeaderMap) -> Option<String> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, credential) = value.to_str().ok()?.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| credential.trim())
    });
    // Anthropic's clients and some others send their key here.
    let plain = || {
        headers
            .get("x-api-key")
            .and_then(|value| value.to_str().ok())
    };
    bearer.or_else(plain).map(str::to_owned)
}
