//! A small structural check of JSON against a schema.
//!
//! Checked: `type` (one or several), `required`, `properties`, `additionalProperties: false`, `items`, `enum`, `const`.
//! Everything else (`$ref`, `anyOf`, formats, ranges) is taken on trust: a judge that cries wolf costs money.

use serde_json::{Map, Value};

/// Where and how `value` breaks `schema`, as a client-safe sentence that quotes the schema only.
pub(super) fn violation(schema: &Value, value: &Value) -> Option<String> {
    at("$", schema, value)
}

fn at(path: &str, schema: &Value, value: &Value) -> Option<String> {
    let schema = schema.as_object()?;
    wrong_type(path, schema, value)
        .or_else(|| not_listed(path, schema, value))
        .or_else(|| in_members(path, schema, value))
        .or_else(|| in_items(path, schema, value))
}

fn wrong_type(path: &str, schema: &Map<String, Value>, value: &Value) -> Option<String> {
    let types = match schema.get("type")? {
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        one => vec![one.as_str()?],
    };
    let fits = types.iter().any(|name| is(value, name));
    (!fits).then(|| format!("`{path}` is not of type {}", types.join(" or ")))
}

fn is(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0)
        }
        _ => true,
    }
}

fn not_listed(path: &str, schema: &Map<String, Value>, value: &Value) -> Option<String> {
    let listed = schema.get("enum").and_then(Value::as_array);
    let wrong = listed.is_some_and(|all| !all.iter().any(|one| same(one, value)))
        || schema.get("const").is_some_and(|one| !same(one, value));
    wrong.then(|| format!("`{path}` is none of the allowed values"))
}

/// `1` and `1.0` are one value to JSON Schema.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

fn in_members(path: &str, schema: &Map<String, Value>, value: &Value) -> Option<String> {
    let members = value.as_object()?;
    let required = schema.get("required").and_then(Value::as_array);
    let mut names = required.into_iter().flatten().filter_map(Value::as_str);
    if let Some(missing) = names.find(|name| !members.contains_key(*name)) {
        return Some(format!("`{path}.{missing}` is missing"));
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    if schema.get("additionalProperties") == Some(&Value::Bool(false))
        && !schema.contains_key("patternProperties")
        && members
            .keys()
            .any(|name| !properties.is_some_and(|all| all.contains_key(name)))
    {
        return Some(format!("`{path}` has a member that is not allowed"));
    }
    properties?
        .iter()
        .find_map(|(name, schema)| at(&format!("{path}.{name}"), schema, members.get(name)?))
}

fn in_items(path: &str, schema: &Map<String, Value>, value: &Value) -> Option<String> {
    let (schema, items) = (schema.get("items")?, value.as_array()?);
    let mut items = items.iter().enumerate();
    items.find_map(|(index, item)| at(&format!("{path}[{index}]"), schema, item))
}
