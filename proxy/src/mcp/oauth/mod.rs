//! Tokens of an authorization server: signed, for us, from it, and in time. Everything else is refused, and there is no second way in.
//!
//! A token stands for a key of the configuration and has its rights and budgets; its subject is the end user. It is looked at here
//! and goes nowhere else: providers get the gateway's own keys.

mod keys;

use std::sync::Arc;

use axum::body::Bytes;
use http::{HeaderValue, Request, Uri};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{Jwk, JwkSet},
};
use rungs::{Error, ErrorKind, http::read_body, provider::HyperTransport};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::ServiceExt;

use self::keys::{Keys, PATIENCE};
use crate::{auth::Principal, config::OAuth};

/// The most that is read of the issuer's keys.
const LIMIT: usize = 256 << 10;

/// Public-key signatures. None that a holder of the public key could make, and never `none`.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::EdDSA,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// Whose tokens open `/mcp`.
pub(crate) struct Issuer {
    config: OAuth,
    /// Whose rights they have.
    principal: Arc<Principal>,
    transport: HyperTransport,
    keys: Keys,
}

#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
}

impl Issuer {
    /// Tokens of `config`'s issuer, with the rights of `principal`.
    pub(crate) fn new(config: OAuth, principal: Arc<Principal>, transport: HyperTransport) -> Self {
        Self {
            config,
            principal,
            transport,
            keys: Keys::default(),
        }
    }

    /// Whether a credential has the form of a token.
    pub(crate) fn is_token(credential: &str) -> bool {
        credential.split('.').count() == 3
    }

    /// Who stands behind a token.
    ///
    /// # Errors
    /// [`ErrorKind::Unauthorized`], whatever is wrong.
    pub(crate) async fn principal(&self, token: &str) -> Result<Arc<Principal>, Error> {
        let header =
            decode_header(token).map_err(|e| refused("it cannot be read").with_source(e))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(refused("its signature is of no accepted kind"));
        }
        let key = self.key(header.kid.as_deref()).await?;
        let own = key
            .common
            .key_algorithm
            .map(|algorithm| algorithm.to_string());
        if own.is_some_and(|own| own != format!("{:?}", header.alg)) {
            return Err(refused("its key is for another kind of signature"));
        }
        let key = DecodingKey::from_jwk(&key)
            .map_err(|e| refused("the issuer's key cannot be used").with_source(e))?;
        let mut rules = Validation::new(header.alg);
        rules.set_audience(&[&self.config.audience]);
        rules.set_issuer(&[&self.config.issuer]);
        rules.set_required_spec_claims(&["exp", "aud", "iss"]);
        rules.validate_nbf = true;
        rules.leeway = 30;
        let claims = decode::<Claims>(token, &key, &rules).map_err(|e| {
            refused("it is not for this server, not from its issuer, or not in time").with_source(e)
        })?;
        if self.principal.has_ended() {
            return Err(refused("the key whose rights it has is over"));
        }
        Ok(Arc::new(self.principal.for_user(claims.claims.sub)))
    }

    /// The issuer's key of this name.
    async fn key(&self, name: Option<&str>) -> Result<Jwk, Error> {
        let fetch = || fetch(self.transport.clone(), self.config.jwks.clone());
        self.keys.find(name, fetch).await
    }

    /// What RFC 9728 tells clients: where to get a token for us.
    pub(crate) fn metadata(&self) -> Value {
        json!({
            "resource": self.config.audience,
            "authorization_servers": [self.config.issuer],
            "bearer_methods_supported": ["header"],
            "resource_name": "rungs",
        })
    }

    /// The `WWW-Authenticate` of a refusal: where that is told.
    pub(crate) fn challenge(&self) -> HeaderValue {
        let url = metadata_url(&self.config.audience);
        let text = format!("Bearer resource_metadata=\"{url}\"");
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Bearer"))
    }
}

async fn fetch(transport: HyperTransport, url: String) -> Result<Vec<Jwk>, Error> {
    let no_keys = || Error::new(ErrorKind::Upstream, "the issuer's answer is no set of keys");
    let request = Request::get(url)
        .header(http::header::ACCEPT, "application/json")
        .body(Bytes::new())
        .map_err(|e| no_keys().with_source(e))?;
    let response = transport.oneshot(request).await?;
    if !response.status().is_success() {
        return Err(no_keys().upstream_status(response.status()));
    }
    let (head, body) = response.into_parts();
    let bytes = read_body(&head.headers, body, LIMIT, PATIENCE).await?;
    let set: JwkSet = serde_json::from_slice(&bytes).map_err(|e| no_keys().with_source(e))?;
    Ok(set.keys)
}

fn metadata_url(audience: &str) -> String {
    let uri: Uri = audience.parse().unwrap_or_default();
    let scheme = uri.scheme_str().unwrap_or("https");
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let path = uri.path().trim_end_matches('/');
    format!("{scheme}://{host}/.well-known/oauth-protected-resource{path}")
}

fn refused(why: &'static str) -> Error {
    Error::new(
        ErrorKind::Unauthorized,
        format!("the token opens nothing: {why}"),
    )
}

#[cfg(test)]
mod tests {
    use super::metadata_url;

    #[test]
    fn metadata_stands_before_the_path() {
        for (audience, url) in [
            (
                "https://g.example/mcp",
                "https://g.example/.well-known/oauth-protected-resource/mcp",
            ),
            (
                "https://g.example:8443/",
                "https://g.example:8443/.well-known/oauth-protected-resource",
            ),
            (
                "http://127.0.0.1:3000/mcp/",
                "http://127.0.0.1:3000/.well-known/oauth-protected-resource/mcp",
            ),
        ] {
            assert_eq!(metadata_url(audience), url);
        }
    }
}
