//! What the design says about the sources, checked in the sources. Each rule has a control that it must report.

mod paths;
mod rules;
mod source;

use source::{Source, folders};

type Rule = fn(&Source) -> Vec<String>;

const LIBRARY: &[&str] = &["src"];
const ALL: &[&str] = &["src", "proxy", "xtask", "benches"];

/// Fails with everything that breaks `rule`.
fn holds(rule: Rule, sources: impl IntoIterator<Item = Source>) {
    let sources = sources.into_iter();
    let broken: Vec<String> = sources
        .flat_map(|s| {
            rule(&s)
                .into_iter()
                .map(move |what| format!("{} {what}", s.path))
        })
        .collect();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

fn layer_docs() -> Vec<Source> {
    let mut sources = Source::under(&["src/layers"]);
    sources.retain(|s| s.path.ends_with("/mod.rs") && s.path.split('/').count() == 4);
    sources.retain(|s| !s.is_test());
    assert_eq!(sources.len(), folders("src/layers").len());
    sources
}

#[test]
fn modules_import_only_what_the_design_allows() {
    let sources = Source::under(LIBRARY).into_iter();
    holds(rules::imports, sources.filter(|s| !s.is_test()));
}

#[test]
fn every_folder_has_its_line_in_the_table_of_imports() {
    for module in folders("src") {
        assert!(rules::has_rule(&module), "{module} has none");
    }
    for store in folders("src/store") {
        assert!(rules::has_rule(&format!("store::{store}")), "{store}");
    }
}

#[test]
fn forbidden_imports_are_reported() {
    for (path, code) in [
        ("src/error.rs", "use crate::json::RawObject;"),
        (
            "src/json/raw_object.rs",
            "use crate::{error::Error, catalog::Money};",
        ),
        ("src/sse/decoder.rs", "fn f() -> crate::model::Frame {}"),
        ("src/catalog/price.rs", "use super::super::model::Usage;"),
        ("src/model/body.rs", "use crate::sse::Decoder;"),
        (
            "src/model/chat/answer.rs",
            "use crate::{json, provider::{self}};",
        ),
        (
            "src/store/ledger.rs",
            "use crate::store::memory::MemoryLedger;",
        ),
        ("src/store/ledger.rs", "use super::memory::MemoryLedger;"),
        (
            "src/store/memory/cache.rs",
            "use crate::store::sqlite::SqliteStore;",
        ),
        ("src/provider/service.rs", "use crate::http::OpenAi;"),
        (
            "src/layers/cache/service.rs",
            "use crate::layers::cost::Cost;",
        ),
        (
            "src/layers/cache/service.rs",
            "use super::super::cost::Cost;",
        ),
        ("src/layers/cache/service.rs", "use super::super::*;"),
        (
            "src/layers/cache/service.rs",
            "use crate::store::{self}; fn f() { store::memory::MemoryCache::new(1) }",
        ),
        (
            "src/layers/cache/service.rs",
            "use crate::store as s; fn f(_: s::memory::MemoryCache) {}",
        ),
        (
            "src/layers/cache/service.rs",
            "fn f() { assert!(matches!(x, crate::route::Task::Code)) }",
        ),
        (
            "src/layers/cache/service.rs",
            "use crate::provider::Dialect;",
        ),
        ("src/layers/cache/service.rs", "use crate::Error;"),
        ("src/layers/cache/service.rs", "use crate::*;"),
        (
            "src/layers/cache/service.rs",
            "#[cfg(not(test))] use crate::testing::Scripted;",
        ),
        (
            "src/route/service.rs",
            "use crate::layers::breaker::BreakerState;",
        ),
        (
            "src/http/service.rs",
            "use crate::layers::trace::TraceLayer;",
        ),
        ("src/swap.rs", "use crate::store::Ledger;"),
        ("src/builder.rs", "use crate::provider::HttpProvider;"),
        ("src/novelty/mod.rs", ""),
    ] {
        let broken = rules::imports(&Source::new(path, code));
        assert_eq!(broken.len(), 1, "{path}: {code}: {broken:?}");
    }
}

#[test]
fn allowed_imports_are_not_reported() {
    for (path, code) in [
        ("src/error.rs", "use std::fmt; use super::error;"),
        (
            "src/layers/cache/service.rs",
            "use super::{flight::Flight, *}; use self::x::Y;",
        ),
        (
            "src/layers/cache/service.rs",
            "use crate::store::{CacheStore, Ledger}; use crate::{error::{Error, ErrorKind}, model};",
        ),
        (
            "src/layers/cache/service.rs",
            "/// [`Cost`](crate::layers::cost)\npub(crate) fn f() {} // crate::layers::cost",
        ),
        (
            "src/layers/cache/service.rs",
            "fn f() -> &str { \"crate::layers::cost\" }",
        ),
        (
            "src/layers/cache/service.rs",
            "#[cfg(test)] mod tests { use crate::layers::cost::Cost; }",
        ),
        ("src/builder.rs", "use crate::layers::cost::CostLayer;"),
        (
            "src/lib.rs",
            "pub use error::Error; pub use crate::route::Route;",
        ),
    ] {
        let broken = rules::imports(&Source::new(path, code));
        assert!(broken.is_empty(), "{path}: {code}: {broken:?}");
    }
}

#[test]
fn the_builder_names_every_layer() {
    let builder = Source::under(LIBRARY).into_iter();
    let builder: Vec<_> = builder.filter(|s| s.path == "src/builder.rs").collect();
    let named: Vec<_> = builder.iter().flat_map(paths::paths).collect();
    for layer in folders("src/layers") {
        let names = |path: &Vec<String>| path.starts_with(&["layers".to_owned(), layer.clone()]);
        assert!(named.iter().any(names), "`{layer}` has no method");
    }
}

#[test]
fn files_are_short() {
    holds(rules::length, Source::under(ALL));
    let long = "//\n".repeat(401);
    assert_eq!(rules::length(&Source::new("src/a.rs", &long)).len(), 1);
    assert!(rules::length(&Source::new("src/a.rs", &long[3..])).is_empty());
    assert!(rules::length(&Source::new("src/a/tests.rs", &long)).is_empty());
}

#[test]
fn layers_have_the_fixed_docs() {
    holds(rules::headings, layer_docs());
}

#[test]
fn missing_docs_of_a_layer_are_reported() {
    let docs = "//! A layer.\n//! # Example\n//! ```\n//! # Errors\n//! ```\n//! # Where it goes in a stack\n//! # Streams\n\
                //! # States\n//! # Errors\n//! # Cost of the layer\nmod layer;";
    let broken = |docs: &str| rules::headings(&Source::new("src/layers/x/mod.rs", docs));
    assert!(broken(docs).is_empty());
    for heading in [
        "Example",
        "Where it goes in a stack",
        "Streams",
        "States\n//! # Errors",
        "Cost of the layer",
    ] {
        let without = docs.replacen(&format!("//! # {heading}\n"), "", 1);
        assert!(!broken(&without).is_empty(), "{heading}");
    }
    assert_eq!(broken(&docs.replacen("```", "```ignore", 1)).len(), 1);
    assert_eq!(broken(&docs.replace("Streams", "Stream")).len(), 1);
}

#[test]
fn layers_have_the_fixed_files() {
    let files: Vec<_> = Source::under(&["src/layers"])
        .into_iter()
        .map(|s| s.path)
        .collect();
    for layer in folders("src/layers") {
        for file in ["layer.rs", "service.rs", "tests"] {
            let path = format!("src/layers/{layer}/{file}");
            assert!(
                files.iter().any(|f| f.starts_with(&path)),
                "{path} is missing"
            );
        }
    }
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    holds(rules::unwraps, Source::under(ALL));
    let broken = |code| rules::unwraps(&Source::new("src/a.rs", code)).len();
    assert_eq!(broken("fn f() { if x { g(a?.b().unwrap()) } }"), 1);
    assert_eq!(broken("fn f() { a.unwrap_or(b) } // .unwrap()"), 0);
    assert_eq!(broken("/// ```\n/// a.unwrap();\n/// ```\nfn f() {}"), 0);
    assert_eq!(
        broken("#[cfg(test)]\nmod tests { fn f() { a.unwrap() } }"),
        0
    );
}

#[test]
fn names_say_what_things_are_for() {
    holds(rules::names, Source::under(ALL));
    for (path, code) in [
        ("src/utils.rs", ""),
        ("src/helpers/mod.rs", ""),
        ("src/a.rs", "pub struct RequestHandler;"),
        ("src/a.rs", "mod b { enum Manager { A } }"),
        ("src/a.rs", "trait HelperTrait {}"),
    ] {
        assert_eq!(
            rules::names(&Source::new(path, code)).len(),
            1,
            "{path} {code}"
        );
    }
}

#[test]
fn no_text_is_read_lossily_from_chunks() {
    holds(rules::lossy_text, Source::under(LIBRARY));
    let broken = |path| {
        let code = "fn f() { g(String::from_utf8_lossy(chunk)) } // from_utf8_lossy";
        rules::lossy_text(&Source::new(path, code)).len()
    };
    assert_eq!(broken("src/sse/decoder.rs"), 1);
    assert_eq!(broken("src/provider/openai/stream.rs"), 1);
    assert_eq!(broken("src/provider/openai/tests.rs"), 0);
    assert_eq!(broken("src/layers/trace/line.rs"), 0);
}

#[test]
fn columns_of_a_database_that_replicas_share_are_named() {
    holds(rules::all_columns, Source::under(LIBRARY));
    let broken = |sql: &str| {
        let source = Source::new("src/store/postgres/a.rs", &format!("f(\"{sql}\")"));
        rules::all_columns(&source).len()
    };
    assert_eq!(broken("SELECT * FROM leases"), 1);
    assert_eq!(broken("SELECT leases.* FROM leases"), 1);
    assert_eq!(broken("DELETE FROM leases RETURNING *"), 1);
    assert_eq!(broken("SELECT DISTINCT * FROM unnest($1::TEXT[])"), 0);
    assert_eq!(broken("SELECT count(*) FROM leases"), 0);
}
