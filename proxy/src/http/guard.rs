//! Keeps web pages out of a gateway that is open to local programs.
//!
//! A page in the operator's browser can send requests to loopback, by name through DNS rebinding or blindly by form. So without
//! keys only local names are accepted as `Host`, no foreign `Origin` is, and bodies must be declared as JSON, which a page can
//! only do after a preflight that is never answered. Requests to `/mcp` are looked at like that with keys too.

use axum::{extract::Request, response::Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use rungs::{Error, ErrorKind};

use super::error::{respond, respond_with};
use crate::{config::Access, gateway::Live};

/// The answer to a request that may be a web page's; `None` lets it through.
pub(super) fn refuse(live: &Live, request: &Request, is_mcp: bool) -> Option<Response> {
    if [Method::POST, Method::PUT, Method::PATCH].contains(request.method())
        && !is_json(request.headers())
    {
        let error = Error::invalid("the body must be JSON: send `Content-Type: application/json`");
        return Some(respond_with(StatusCode::UNSUPPORTED_MEDIA_TYPE, &error));
    }
    let checked = match (is_mcp, live.access()) {
        (true, _) => is_mcp_client(live, request.headers(), request.uri()),
        (false, Access::Loopback) => is_local(request.headers(), request.uri()),
        (false, Access::Keys) => Ok(()),
    };
    checked.err().map(|error| respond(&error))
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok());
    let essence = value.map(|v| v.split(';').next().unwrap_or(v).trim());
    essence.is_some_and(|e| e.eq_ignore_ascii_case("application/json"))
}

fn is_local(headers: &HeaderMap, uri: &Uri) -> Result<(), Error> {
    if !asked_host(headers, uri).is_some_and(is_local_host) {
        return Err(forbidden(
            "without keys the gateway answers to local names only, such as 127.0.0.1 and localhost",
        ));
    }
    match foreign_origin(headers) {
        Some(_) => Err(forbidden(
            "without keys the gateway does not answer to web pages",
        )),
        None => Ok(()),
    }
}

/// Whether a request comes to a name that is ours, and from no page but those that are listed.
fn is_mcp_client(live: &Live, headers: &HeaderMap, uri: &Uri) -> Result<(), Error> {
    let config = &live.config;
    let listed = |host: &str| {
        let mut hosts = config.mcp.hosts.iter();
        hosts.any(|own| name_of(own).eq_ignore_ascii_case(name_of(host)))
    };
    if !asked_host(headers, uri).is_some_and(|host| is_local_host(host) || listed(host)) {
        return Err(forbidden(
            "MCP clients reach the gateway by local names only, and by those that `mcp_server.hosts` lists",
        ));
    }
    let mut pages = config.server.cors_origins.iter();
    match foreign_origin(headers) {
        Some(origin) if !pages.any(|page| page == origin) => Err(forbidden(
            "MCP answers to no web pages but those that `server.cors_origins` lists",
        )),
        _ => Ok(()),
    }
}

fn forbidden(what: &'static str) -> Error {
    Error::new(ErrorKind::Forbidden, what)
}

/// The host that a request asks for.
fn asked_host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let authority = uri.authority().map(http::uri::Authority::as_str);
    authority.or_else(|| text(headers.get(header::HOST)))
}

/// The page that a request comes from, unless it is one of the host that it goes to. `null` (a file, a sandboxed frame) is foreign.
fn foreign_origin(headers: &HeaderMap) -> Option<&HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let host = text(Some(origin)).and_then(|origin| Some(origin.split_once("://")?.1));
    let same = host.is_some() && host == text(headers.get(header::HOST));
    (!same).then_some(origin)
}

fn text(value: Option<&HeaderValue>) -> Option<&str> {
    value.map(|value| value.to_str().unwrap_or("?"))
}

/// A host without its port.
fn name_of(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    }
}

fn is_local_host(host: &str) -> bool {
    let name = name_of(host);
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
