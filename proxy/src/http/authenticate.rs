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
    mcp::oauth::Issuer,
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
/// A known key is held to what it may do there too. Only who reaches tools needs something even there: a key, or the token in our file.
pub(super) fn caller(
    gateway: &Gateway,
    live: &Live,
    request: &Request,
    grant: Option<Grant>,
) -> Caller {
    let is_open = live.access() == Access::Loopback;
    match credential(request.headers()) {
        Some(credential) => match live.keyring.known(credential) {
            Some(principal) => Caller::Known(principal),
            None if is_open && gateway.is_local_token(credential) => {
                Caller::Known(Principal::local())
            }
            None => Caller::LookUp(credential.to_owned()),
        },
        None if needs_none(live, grant) => Caller::Known(Principal::local()),
        None if is_open => Caller::Refused(Error::new(
            ErrorKind::Unauthorized,
            "what reaches tools needs a token here too: send `Authorization: Bearer <token>` with the one in the file beside the database \
             (rungs.db.mcp-token), or with a key made with `rungs keys create`",
        )),
        None => Caller::Refused(Error::new(
            ErrorKind::Unauthorized,
            "no API key: send `Authorization: Bearer <key>`; keys are made with `rungs keys create`",
        )),
    }
}

/// Whether a request comes in without a credential, as any program on this computer does.
fn needs_none(live: &Live, grant: Option<Grant>) -> bool {
    live.access() == Access::Loopback && !grant.is_some_and(Grant::reaches_tools)
}

/// Looks a key up that was not seen lately.
pub(super) async fn look_up(
    gateway: &Gateway,
    credential: &str,
    grant: Option<Grant>,
) -> Result<Arc<Principal>, Error> {
    let live = gateway.live();
    if let Some(issuer) = &live.oauth
        && grant == Some(Grant::Mcp)
        && Issuer::is_token(credential)
    {
        return issuer.principal(credential).await;
    }
    match gateway.principal(credential).await {
        Err(error)
            if error.kind() == ErrorKind::Unauthorized && needs_none(&gateway.live(), grant) =>
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
pub(super) fn refusal(error: &Error, live: &Live, grant: Option<Grant>) -> Response {
    let mut response = respond(error);
    if error.kind() == ErrorKind::Unauthorized {
        let challenge = match &live.oauth {
            Some(issuer) if grant == Some(Grant::Mcp) => issuer.challenge(),
            _ => HeaderValue::from_static("Bearer"),
        };
        let headers = response.headers_mut();
        headers.insert(header::WWW_AUTHENTICATE, challenge);
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
