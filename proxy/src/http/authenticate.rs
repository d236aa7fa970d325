//! Finds out who calls.

use std::sync::Arc;

use axum::{extract::Request, response::Response};
use http::{HeaderMap, HeaderValue, header};
use rungs::{Error, ErrorKind};

use super::{error::respond, grant::Grant};
use crate::{
    auth::Principal,
    config::Access,
    gateway::{Gateway, Live},
};

/// Who a request comes from, as far as can be told without waiting.
pub(super) enum Caller {
    /// Somebody.
    Known(Arc<Principal>),
    /// Somebody whose key must be looked up.
    LookUp(String),
    /// Nobody who may come in.
    Refused(Error),
}

/// Looks at a request's key.
///
/// On an open loopback a request needs no key, and one that is not known does no harm: many clients insist on sending something.
/// A known key is held to what it may do there too.
pub(super) fn caller(live: &Live, request: &Request) -> Caller {
    match credential(request.headers()) {
        Some(credential) => match live.keyring.known(credential) {
            Some(principal) => Caller::Known(principal),
            None => Caller::LookUp(credential.to_owned()),
        },
        None if live.access == Access::Loopback => Caller::Known(Principal::local()),
        None => Caller::Refused(Error::new(
            ErrorKind::Unauthorized,
            "no API key: send `Authorization: Bearer <key>`; keys are made with `rungs keys create`",
        )),
    }
}

/// Looks a key up that was not seen lately.
pub(super) async fn look_up(gateway: &Gateway, credential: &str) -> Result<Arc<Principal>, Error> {
    match gateway.principal(credential).await {
        Err(error)
            if error.kind() == ErrorKind::Unauthorized
                && gateway.live().access == Access::Loopback =>
        {
            Ok(Principal::local())
        }
        found => found,
    }
}

/// Everything below may rely on a [`Principal`] in the request, and on what its route grants them.
pub(super) fn let_in(
    request: &mut Request,
    principal: Arc<Principal>,
    grant: Option<Grant>,
) -> Result<(), Error> {
    if let Some(grant) = grant {
        grant.admits(&principal)?;
    }
    request.extensions_mut().insert(principal);
    Ok(())
}

/// The answer of a route that nobody was given access to.
pub(super) fn ungranted() -> Response {
    respond(&Error::new(ErrorKind::Forbidden, "this route is closed"))
}

/// The answer to who may not come in.
pub(super) fn refusal(error: &Error) -> Response {
    let mut response = respond(error);
    if error.kind() == ErrorKind::Unauthorized {
        let headers = response.headers_mut();
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn credential(headers: &HeaderMap) -> Option<&str> {
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
    bearer.or_else(plain)
}
