use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::RawObject;
use crate::error::ErrorKind;

fn parse(text: &str) -> RawObject {
    RawObject::parse(text.to_owned().into()).unwrap()
}

fn refuse(text: &str) -> String {
    let error = RawObject::parse(text.to_owned().into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    error.to_string()
}

#[test]
fn what_nobody_touches_stays_byte_for_byte() {
    let text = "{ \"n\" : 1.10 ,\n \"model\":\"a\", \"x\\u0041\" : [ 1e3, {} ] }";
    let mut body = parse(text);
    assert_eq!(body.as_bytes(), text);
    body.set("model", &"longer-name").unwrap();
    assert_eq!(
        body.as_bytes(),
        "{ \"n\" : 1.10 ,\n \"model\":\"longer-name\", \"x\\u0041\" : [ 1e3, {} ] }"
    );
    assert_eq!(body.get("xA"), Some("[ 1e3, {} ]"));
}

#[test]
fn members_are_added_and_removed() {
    let mut body = parse("{}");
    body.set("a", &1).unwrap();
    body.set("b", "x\"y").unwrap();
    assert_eq!(body.as_bytes(), r#"{"a":1,"b":"x\"y"}"#);
    assert!(body.remove("a"));
    assert!(!body.remove("a"));
    assert_eq!(body.as_bytes(), r#"{"b":"x\"y"}"#);
    assert!(body.remove("b"));
    assert_eq!(body.as_bytes(), "{}");
    let mut empty = RawObject::default();
    empty.set("a", &true).unwrap();
    assert_eq!(empty.as_bytes(), r#"{"a":true}"#);
}

#[test]
fn duplicates_depth_and_other_documents_are_refused() {
    assert!(refuse(r#"{"model":"cheap","model":"dear"}"#).contains("`model` occurs twice"));
    assert!(refuse(r#"{"model":"cheap","m\u006fdel":"dear"}"#).contains("twice"));
    for text in [
        "",
        "[]",
        "1",
        "{",
        "{\"a\":1}x",
        "{\"a\":}",
        "{\"a\":01}",
        "nul",
    ] {
        refuse(text);
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(64), "]".repeat(64));
    assert!(refuse(&deep).contains("nested"));
    let fine = format!("{{\"a\":{}{}}}", "[".repeat(63), "]".repeat(63));
    parse(&fine);
    // Brackets inside strings do not count.
    parse(&format!("{{\"a\":\"\\\"{}\"}}", "[".repeat(500)));
    assert!(RawObject::parse(b"{\"a\":\"\xff\"}".as_slice().into()).is_err());
}

/// Numbers, escapes, literals and brackets that are right, or almost: each is judged as serde_json judges it.
#[test]
#[rustfmt::skip]
fn every_value_is_judged_as_serde_json_judges_it() {
    for value in [
        "0", "-0", "-", "01", "1.", "1.5", ".5", "1e", "1e5", "1E+5", "1e-", "-1.0e-10", "+1", "1_0", "0x1", "Infinity", "NaN",
        "true", "tru", "truex", "false", "falsy", "null", "nul", "nulll", "True",
        r#""""#, r#""a"#, r#""\"""#, r#""\\""#, r#""\/\b\f\n\r\t""#, r#""\x""#, r#""\u12""#, r#""\u00e9""#, r#""\ud800""#, r#""\uZZZZ""#,
        "\"\t\"", "\"\0\"", "\"\u{1f}\"", "\"\u{7f}\"", "\"é\"", "\"0123456789012345678901234567890123456789\u{1}\"",
        "[]", "[ ]", "[1,]", "[,1]", "[1 2]", "[1", "]", "[[[]]]", "[[]", "[}", "[{]}", "[{}]", "{}", "{ }", r#"{"a"}"#, r#"{"a":}"#,
        r#"{"a":1,}"#, "{,}", r#"{"a":1 "b":2}"#, "{1:2}", r#"{"a":{"b":[{"c":null}]}}"#, r#"{"a":[}"#, "", " ", "1 1", "//", "'a'",
    ] {
        let text = format!("{{\"m\" : {value} }}");
        let theirs = serde_json::from_str::<BTreeMap<String, IgnoredAny>>(&text).is_ok();
        assert_eq!(RawObject::parse(text.into()).is_ok(), theirs, "{value}");
    }
}

#[test]
fn a_wrong_type_names_the_member() {
    let body = parse(r#"{"stream":"yes","n":null}"#);
    let error = body.get_as::<bool>("stream").unwrap_err();
    assert_eq!(error.get_param(), Some("stream"));
    assert_eq!(body.get_as::<u32>("n").unwrap(), None);
    assert_eq!(body.get_as::<u32>("absent").unwrap(), None);
}

#[test]
fn members_are_sorted_by_name_without_the_exceptions() {
    let body = parse(r#"{"b":2,"stream":true,"\u0061":1}"#);
    let sorted: Vec<_> = body.sorted_except(&["stream"]).collect();
    assert_eq!(sorted, [("a", "1"), ("b", "2")]);
    assert_eq!(body.sorted_except(&[]).count(), 3);
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,6}", inner, 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map(".{0,6}", value(), 0..6).prop_map(|m| m.into_iter().collect())
}

proptest! {
    /// Any sequence of edits leaves the same object that a typed tree would have.
    #[test]
    fn edits_agree_with_a_tree(
        start in object(),
        pretty in any::<bool>(),
        edits in prop::collection::vec((".{0,6}", prop::option::of(value())), 0..8),
    ) {
        let mut tree = start.clone();
        let text = if pretty { serde_json::to_string_pretty(&start) } else { serde_json::to_string(&start) };
        let mut body = parse(&text.unwrap());
        for (name, edit) in edits {
            match edit {
                Some(new) => { body.set(&name, &new).unwrap(); tree.insert(name, new); }
                None => prop_assert_eq!(body.remove(&name), tree.remove(&name).is_some()),
            }
            // The index must agree with a fresh parse after each edit.
            let fresh = RawObject::parse(body.as_bytes().clone()).unwrap();
            prop_assert!(fresh.iter().eq(body.iter()));
        }
        let read: Value = serde_json::from_slice(body.as_bytes()).unwrap();
        prop_assert_eq!(read, Value::Object(tree));
    }

    /// A document with one byte changed, added or taken away is refused where serde_json refuses it, and nowhere else.
    #[test]
    fn a_flaw_is_found_where_serde_json_finds_it(
        start in object(),
        at in any::<prop::sample::Index>(),
        flaw in prop::option::of(prop::sample::select(b"{}[]\",:\\\x01\n 0123456789-+.eEutrfnals\xc3".as_slice())),
        replace in any::<bool>(),
    ) {
        let mut bytes = serde_json::to_vec(&start).unwrap();
        let at = at.index(bytes.len());
        match (flaw, replace) {
            (Some(flaw), true) => bytes[at] = flaw,
            (Some(flaw), false) => bytes.insert(at, flaw),
            (None, _) => { bytes.remove(at); }
        }
        let read = |text| serde_json::from_str::<BTreeMap<String, IgnoredAny>>(text).is_ok();
        let theirs = std::str::from_utf8(&bytes).is_ok_and(read);
        let ours = RawObject::parse(bytes.into());
        let twice = ours.as_ref().is_err_and(|e| e.message().contains("twice"));
        prop_assert!(twice || ours.is_ok() == theirs, "{:?}", ours);
    }

    /// No input makes the parser panic, and what it accepts serde_json accepts too.
    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if RawObject::parse(bytes.clone().into()).is_ok() {
            prop_assert!(serde_json::from_slice::<Value>(&bytes).unwrap().is_object());
        }
    }
}

#[test]
fn debug_shows_names_and_no_prompt() {
    let body = RawObject::from_serialize(&json!({"messages": "secret"})).unwrap();
    assert!(!format!("{body:?}").contains("secret"));
}
