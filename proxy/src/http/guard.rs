//! Keeps web pages out of a gateway that is open to local programs.
//!
//! A page in the operator's browser can send requests to loopback, by name through DNS rebinding or blindly by form. So without
//! keys only local names are accepted as `Host`, no foreign `Origin` is, and bodies must be declared as JSON, which a page can
//! only do after a preflight that is never answered.

use axum::{extract::Request, response::Response};
use http::{HeaderMap, Method, StatusCode, Uri, header};
use rungs::{Error, ErrorKind};

use super::error::{respond, respond_with};
use crate::{config::Access, gateway::Live};

/// The answer to a request that may be a web page's; `None` lets it through.
pub(super) fn refuse(live: &Live, request: &Request) -> Option<Response> {
    if [Method::POST, Method::PATCH].contains(request.method()) && !is_json(request.headers()) {
        let error = Error::invalid("the body must be JSON: send `Content-Type: application/json`");
        return Some(respond_with(StatusCode::UNSUPPORTED_MEDIA_TYPE, &error));
    }
    match live.access {
        Access::Keys => None,
        Access::Loopback => is_local(request.headers(), request.uri())
            .err()
            .map(|error| respond(&error)),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok());
    let essence = value.map(|v| v.split(';').next().unwrap_or(v).trim());
    essence.is_some_and(|e| e.eq_ignore_ascii_case("application/json"))
}

fn is_local(headers: &HeaderMap, uri: &Uri) -> Result<(), Error> {
    let forbidden = |what: &'static str| Error::new(ErrorKind::Forbidden, what);
    let text = |name| {
        headers
            .get(&name)
            .map(|value| value.to_str().unwrap_or("?"))
    };
    let host = uri
        .authority()
        .map(http::uri::Authority::as_str)
        .or_else(|| text(header::HOST));
    if !host.is_some_and(is_local_host) {
        return Err(forbidden(
            "without keys the gateway answers to local names only, such as 127.0.0.1 and localhost",
        ));
    }
    // An origin of `null` (a file, a sandboxed frame) is foreign as well.
    let origin_host = |origin: &str| origin.split_once("://").map(|(_, host)| host.to_owned());
    match text(header::ORIGIN) {
        Some(origin)
            if origin_host(origin).is_none_or(|host| Some(&*host) != text(header::HOST)) =>
        {
            Err(forbidden(
                "without keys the gateway does not answer to web pages",
            ))
        }
        _ => Ok(()),
    }
}

fn is_local_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_local_host;

    #[test]
    fn local_names_and_nothing_that_looks_like_them() {
        for host in [
            "localhost",
            "LOCALHOST:3000",
            "127.0.0.1",
            "127.0.0.1:80",
            "127.9.9.9:1",
            "[::1]:3000",
            "[::1]",
        ] {
            assert!(is_local_host(host), "{host}");
        }
        for host in [
            "",
            "evil.com",
            "localhost.evil.com:3000",
            "127.0.0.1.evil.com",
            "192.168.1.1",
            "[::2]:1",
            "0.0.0.0:1",
            "xlocalhost",
        ] {
            assert!(!is_local_host(host), "{host}");
        }
    }
}
