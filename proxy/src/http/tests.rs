use std::{collections::BTreeSet, io};

use axum::body::Body;
use http::{Method, Request, StatusCode};
use rungs::ErrorKind;
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::config::{Config, Source, Vars, World};

const CONFIG: &str = r#"
store = { url = "memory:" }
[[provider]]
name = "p"
base_url = "https://llm.example/v1"
[[model]]
id = "m"
provider = "p"
tier = "L0"
price = 0
"#;

async fn gateway() -> Gateway {
    let world = World {
        vars: &Vars::new(),
        read: &|_| Err(io::ErrorKind::NotFound.into()),
        ollama: &|_| None,
    };
    let config = Config::load(Some(&Source::new("rungs.toml", CONFIG)), &world).unwrap();
    Gateway::start(config).await.unwrap()
}

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
    let routes = routes(&gateway().await, &recorder);
    let routes: BTreeSet<String> = routes
        .iter()
        .map(|(path, _)| path.replace("{*", "{"))
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
    let router = router(&gateway().await, &metrics::Recorder::install().unwrap());
    for (path, methods) in document()["paths"].as_object().unwrap() {
        for method in [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ] {
            let request = Request::builder()
                .method(&method)
                .uri(path.replace("{id}", "m"))
                .header("host", "localhost")
                .header("content-type", "application/json");
            let answer = router
                .clone()
                .oneshot(request.body(Body::from("{}")).unwrap())
                .await
                .unwrap();
            let known = methods.get(method.as_str().to_ascii_lowercase()).is_some();
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

#[test]
fn the_document_tells_what_is_open_and_which_codes_there_are() {
    let document = document();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().values() {
            let open = method
                .get("security")
                .is_some_and(|security| security == &Value::Array(vec![]));
            assert_eq!(open, OPEN.contains(&&**path), "{path}");
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
