//! Addresses that the gateway sends requests to, and what it sends with each.

use std::{collections::BTreeMap, net::IpAddr};

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use secrecy::ExposeSecret;

use super::{World, error::Faults, secret::SecretSpec};

/// A URL that the gateway may send requests to, without credentials; or what is wrong with it, in words that do not show it.
pub(super) fn checked(text: &str, allow_private: bool) -> Result<Uri, String> {
    // Not echoed: a URL may hold a password.
    let wrong = || "is no URL like https://api.openai.com/v1".to_owned();
    let uri: Uri = text.trim_end_matches('/').parse().map_err(|_| wrong())?;
    let (Some("http" | "https"), Some(host)) = (uri.scheme_str(), uri.host()) else {
        return Err(wrong());
    };
    if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
        return Err("credentials do not belong in a URL; use api_key or headers".into());
    }
    if text.contains('#') {
        return Err("a fragment does not belong in it".into());
    }
    if uri.query().is_some_and(has_secret) {
        return Err(
            "a key does not belong in a URL, which is logged; use api_key or headers".into(),
        );
    }
    if is_private(host) && !allow_private {
        return Err(format!(
            "`{host}` is a private address; add allow_private = true if it is meant"
        ));
    }
    Ok(uri)
}

/// Headers to send there, all marked sensitive.
pub(super) fn headers(
    written: &BTreeMap<String, SecretSpec>,
    path: &str,
    world: &World<'_>,
    faults: &mut Faults<'_>,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in written {
        let path = format!("{path}.headers.{name}");
        let value = value.resolve(world).and_then(|value| {
            HeaderValue::from_str(value.expose_secret())
                .map_err(|_| "the value has characters that no header can have".into())
        });
        match (HeaderName::try_from(name), value) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
            (Err(_), _) => faults.at(&path, "is no name of a header"),
            (_, Err(why)) => faults.at(&path, why),
        }
    }
    headers
}

/// Whether a parameter is called like a secret.
fn has_secret(query: &str) -> bool {
    query
        .split('&')
        .map(|pair| {
            pair.split('=')
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase()
        })
        .any(|name| {
            ["key", "token", "secret", "password", "sig"]
                .iter()
                .any(|word| name.contains(word))
        })
}

/// Whether a host is written as an address of this computer or network. Names are checked again once they are resolved.
pub(super) fn is_private(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse() {
        Ok(IpAddr::V4(ip)) => {
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified()
        }
        Ok(IpAddr::V6(ip)) => {
            ip.is_loopback()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
                || ip.is_unspecified()
        }
        Err(_) => bare.eq_ignore_ascii_case("localhost"),
    }
}
