//! R9, T3: every route with every role.

use std::time::{Duration, SystemTime};

use axum::body::Body;
use hyper::service::Service as _;
use rungs::store::{KeyRecord, Role};
use serde_json::json;

use super::*;
use crate::keys::{Issued, NewKey};

/// Who may call what. A route that is not here fails the test below.
const TABLE: [(&str, &str); 23] = [
    ("/v1/chat/completions", "users"),
    ("/v1/embeddings", "users"),
    ("/v1/models", "users and admins"),
    ("/v1/models/{*id}", "users and admins"),
    ("/v1/chat", "users"),
    ("/v1/route", "users"),
    ("/v1/route/explain", "users"),
    ("/v1/code-agent", "users"),
    ("/mcp", "users"),
    ("/.well-known/oauth-protected-resource", "anybody"),
    ("/.well-known/oauth-protected-resource/mcp", "anybody"),
    ("/v1/context/{id}", "users"),
    ("/v1/todos/{id}", "users"),
    ("/openapi.json", "users and admins"),
    ("/metrics", "scrapers and admins"),
    ("/admin/v1/keys", "admins"),
    ("/admin/v1/keys/{id}", "admins"),
    ("/admin/v1/keys/{id}/rotate", "admins"),
    ("/admin/v1/keys/{id}/revoke", "admins"),
    ("/admin/v1/budgets", "admins"),
    ("/health", "anybody"),
    ("/live", "anybody"),
    ("/ready", "anybody"),
];

/// A kind of caller, with a credential.
struct Caller {
    name: &'static str,
    credential: Option<String>,
}

/// What a caller meets at a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    In,
    Unauthorized,
    Forbidden,
}

fn expected(who: &str, caller: &str) -> Met {
    match (who, caller) {
        ("anybody", _) => Met::In,
        (_, "none" | "wrong" | "expired" | "revoked" | "below revoked" | "rotated away") => {
            Met::Unauthorized
        }
        ("users", "user" | "child" | "configured") => Met::In,
        ("users and admins", "user" | "child" | "configured" | "admin" | "stored admin") => Met::In,
        ("scrapers and admins", "scraper" | "admin" | "stored admin") => Met::In,
        ("admins", "admin" | "stored admin") => Met::In,
        _ => Met::Forbidden,
    }
}

async fn make(gateway: &Gateway, body: serde_json::Value) -> Issued {
    let new: NewKey = serde_json::from_value(body).unwrap();
    gateway.registry().create(new).await.unwrap()
}

/// One of every kind; `scope` is that of the route, which the key of other routes lacks.
async fn callers(gateway: &Gateway, scope: Option<Scope>) -> Vec<Caller> {
    let user = make(gateway, json!({ "name": "user" })).await;
    let child = make(gateway, json!({ "name": "child", "parent": user.key.id })).await;
    let admin = NewKey {
        role: Role::Admin,
        ..serde_json::from_value(json!({ "name": "admin" })).unwrap()
    };
    let admin = gateway.registry().create(admin).await.unwrap();
    let others = Scope::ALL.into_iter().filter(|other| Some(*other) != scope);
    let others: Vec<_> = others.map(Scope::as_str).collect();
    let unscoped = make(gateway, json!({ "name": "other routes", "routes": others })).await;
    let scraper = make(gateway, json!({ "name": "scraper", "routes": ["metrics"] })).await;

    let expired = make(gateway, json!({ "name": "expired" })).await;
    let past = KeyRecord {
        expires: Some(SystemTime::now() - Duration::from_millis(1)),
        ..expired.key.clone()
    };
    assert!(gateway.state().keys.update(&past).await.unwrap());
    let revoked = make(gateway, json!({ "name": "revoked" })).await;
    let below = make(
        gateway,
        json!({ "name": "below", "parent": revoked.key.id }),
    )
    .await;
    gateway.registry().revoke(&revoked.key.id).await.unwrap();
    let rotated = make(gateway, json!({ "name": "rotated" })).await;
    let id = &rotated.key.id;
    gateway.registry().rotate(id, Duration::ZERO).await.unwrap();
    let mut wrong = user.credential.clone();
    wrong.replace_range(
        wrong.len() - 1..,
        if wrong.ends_with('0') { "1" } else { "0" },
    );

    [
        ("none", None),
        ("wrong", Some(wrong)),
        ("expired", Some(expired.credential)),
        ("revoked", Some(revoked.credential)),
        ("below revoked", Some(below.credential)),
        ("rotated away", Some(rotated.credential)),
        ("other routes", Some(unscoped.credential)),
        ("scraper", Some(scraper.credential)),
        ("user", Some(user.credential)),
        ("child", Some(child.credential)),
        ("configured", Some(USER.to_owned())),
        ("admin", Some(ADMIN.to_owned())),
        ("stored admin", Some(admin.credential)),
    ]
    .map(|(name, credential)| Caller { name, credential })
    .into()
}

fn met(status: http::StatusCode) -> Met {
    match status.as_u16() {
        401 => Met::Unauthorized,
        403 => Met::Forbidden,
        _ => Met::In,
    }
}

#[tokio::test]
async fn r9_t3_every_route_admits_every_role_as_the_table_says() {
    let (gateway, surface) = served().await;
    let routes = routes(&gateway, &metrics::Recorder::install().unwrap());
    assert_eq!(
        routes.len(),
        TABLE.len(),
        "the table has rows of routes that are gone"
    );
    let mut seen = 0;
    for route in routes {
        let row = TABLE.iter().find(|(path, _)| *path == route.path);
        let (_, who) = row.unwrap_or_else(|| panic!("`{}` has no row in the table", route.path));
        let scope = match route.grant {
            Grant::User(scope) | Grant::Any(scope) => Some(scope),
            Grant::Mcp => Some(Scope::Mcp),
            Grant::Open | Grant::Admin => None,
        };
        for caller in callers(&gateway, scope).await {
            for method in METHODS.iter().chain(&[Method::HEAD, Method::OPTIONS]) {
                let request = request(method, route.path, caller.credential.as_deref());
                let request = request.body(Body::from("{}")).unwrap();
                let answer = surface.call(request).await.unwrap();
                let place = format!("{method} {} as {}", route.path, caller.name);
                let status = answer.status();
                assert_eq!(met(status), expected(who, caller.name), "{place}: {status}");
                assert_ne!(status.as_u16(), 500, "{place}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, TABLE.len() * 13 * 7);
}

#[tokio::test]
async fn r9_what_does_not_exist_is_told_to_those_only_who_may_come_in() {
    let (_, surface) = served().await;
    for path in [
        "/admin/v1/whatever",
        "/admin/v1/keys/m/whatever",
        "/admin",
        "/v1/x",
    ] {
        for (key, status) in [(None, 401), (Some("wrong"), 401), (Some(USER), 404)] {
            let request = request(&Method::GET, path, key)
                .body(Body::empty())
                .unwrap();
            let answer = surface.call(request).await.unwrap();
            assert_eq!(answer.status(), status, "{path} {key:?}");
        }
    }
}

#[tokio::test]
async fn r9_an_open_loopback_opens_what_reaches_no_tools() {
    let open = CONFIG.replace("[[key]]", "[server]\nauth = \"none\"\n[[key]]");
    let (gateway, surface) = served_with(&open).await;
    for route in routes(&gateway, &metrics::Recorder::install().unwrap()) {
        let (_, who) = TABLE.iter().find(|(path, _)| *path == route.path).unwrap();
        let reaches_tools = ["/mcp", "/v1/code-agent"].contains(&route.path);
        let expected = match *who == "admins" || reaches_tools {
            true => Met::Unauthorized,
            false => Met::In,
        };
        for key in [None, Some("whatever")] {
            for method in METHODS {
                let request = request(&method, route.path, key).body(Body::from("{}"));
                let status = surface.call(request.unwrap()).await.unwrap().status();
                assert_eq!(
                    met(status),
                    expected,
                    "{method} {} {key:?}: {status}",
                    route.path
                );
            }
        }
    }
}

#[tokio::test]
async fn r9_an_open_loopback_has_closed_admin_routes() {
    let open = CONFIG.lines().filter(|line| !line.contains("Adm-"));
    let open: Vec<_> = open.collect();
    let open = open
        .join("\n")
        .replace("[[key]]", "[server]\nauth = \"none\"\n[[key]]");
    let with_admin = format!("admin = {{ key = \"{ADMIN}\" }}\n{open}");
    for (config, admin) in [(&open, 401), (&with_admin, 200)] {
        let (_, surface) = served_with(config).await;
        for (path, key, status) in [
            ("/v1/models", None, 200),
            ("/v1/models", Some("whatever"), 200),
            ("/admin/v1/keys", None, 401),
            ("/admin/v1/keys", Some("whatever"), 401),
            ("/admin/v1/keys", Some(""), 401),
            ("/admin/v1/keys", Some(USER), 403),
            ("/admin/v1/keys", Some(ADMIN), admin),
        ] {
            let request = request(&Method::GET, path, key)
                .body(Body::empty())
                .unwrap();
            let answer = surface.call(request).await.unwrap();
            assert_eq!(answer.status(), status, "{path} {key:?}");
        }
    }
}
