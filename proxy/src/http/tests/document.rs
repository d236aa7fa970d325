use std::collections::BTreeSet;

use axum::body::Body;
use http::StatusCode;
use hyper::service::Service as _;
use rungs::ErrorKind;
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

fn document() -> Value {
    serde_json::from_str(openapi::DOCUMENT).unwrap()
}

/// Everything that a `$ref` below `value` names.
fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_document_has_every_route_and_no_other() {
    let recorder = metrics::Recorder::install().unwrap();
    let routes = routes(&served().await.0, &recorder);
    let routes: BTreeSet<String> = routes
        .iter()
        .map(|route| route.path.replace("{*", "{"))
        .collect();
    let document = document();
    let documented: BTreeSet<String> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(routes, documented);
}

#[tokio::test]
async fn each_route_answers_the_documented_methods_and_no_other() {
    let (gateway, surface) = served().await;
    for route in routes(&gateway, &metrics::Recorder::install().unwrap()) {
        let path = route.path.replace("{*", "{");
        let key = match route.grant {
            Grant::Admin | Grant::Any(_) => ADMIN,
            _ => USER,
        };
        for method in METHODS {
            let request = request(&method, &path, Some(key)).body(Body::from("{}"));
            let answer = surface.call(request.unwrap()).await.unwrap();
            let known = document()["paths"][&path]
                .get(method.as_str().to_ascii_lowercase())
                .is_some();
            assert_eq!(
                answer.status() != StatusCode::METHOD_NOT_ALLOWED,
                known,
                "{method} {path}"
            );
        }
    }
}

#[test]
fn what_the_document_refers_to_is_there_and_is_used() {
    let document = document();
    let mut used = BTreeSet::new();
    references(&document, &mut used);
    for name in &used {
        assert!(document.pointer(&name[1..]).is_some(), "{name}");
    }
    for (kind, all) in document["components"].as_object().unwrap() {
        for name in all
            .as_object()
            .unwrap()
            .keys()
            .filter(|_| kind != "securitySchemes")
        {
            assert!(
                used.contains(&*format!("#/components/{kind}/{name}")),
                "{kind} {name}"
            );
        }
    }
}

#[tokio::test]
async fn the_document_tells_what_is_open_and_which_codes_there_are() {
    let document = document();
    let grants = routes(&served().await.0, &metrics::Recorder::install().unwrap());
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().values() {
            let open = method
                .get("security")
                .is_some_and(|security| security == &Value::Array(vec![]));
            let granted = grants
                .iter()
                .find(|route| route.path.replace("{*", "{") == *path);
            assert_eq!(open, granted.unwrap().grant == Grant::Open, "{path}");
        }
    }
    let codes = &document["components"]["schemas"]["Error"]["properties"]["error"]["properties"]["code"]
        ["enum"];
    let codes: Vec<&str> = codes
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    for kind in ErrorKind::ALL {
        assert!(codes.contains(&kind.as_str()), "{kind:?}");
    }
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

/// The members that a type takes: serde names them all when it meets one that it does not know.
fn members<'de, T: Deserialize<'de> + std::fmt::Debug>() -> BTreeSet<String> {
    let error = T::deserialize(json!({ "?": 1 })).unwrap_err().to_string();
    let members = error.split('`').skip(3).step_by(2);
    members.map(str::to_owned).collect()
}

#[test]
fn t3_what_may_be_written_is_what_the_document_says() {
    let document = document();
    let documented = |schema: &str| -> BTreeSet<String> {
        let schema = &document["components"]["schemas"][schema]["properties"];
        schema.as_object().unwrap().keys().cloned().collect()
    };
    let terms = members::<crate::keys::Terms>();
    assert!(terms.len() > 10, "{terms:?}");
    assert_eq!(documented("KeyTerms"), terms);
    // A key's role, secret, state and family are not among them.
    for fixed in [
        "role", "hash", "id", "parent", "tenant", "revoked", "version", "previous",
    ] {
        assert!(!terms.contains(fixed), "{fixed}");
    }
    assert_eq!(
        documented("NewKey"),
        ["parent", "tenant"].map(String::from).into()
    );
}
