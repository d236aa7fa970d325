//! TOML to typed sections, reporting every fault instead of the first.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};
use toml::{Table, Value};

use super::{
    error::{Faults, Source},
    nearest::did_you_mean,
};

/// The file as a table; empty if it is no TOML, which is then a fault.
pub(super) fn table(source: &Source, faults: &mut Faults<'_>) -> Table {
    source.text.parse().unwrap_or_else(|error| {
        faults.syntax(source, &error);
        Table::new()
    })
}

/// Takes the section `name`; its defaults if there is none.
pub(super) fn section<T: DeserializeOwned + Default>(
    table: &mut Table,
    name: &str,
    faults: &mut Faults<'_>,
) -> T {
    table
        .remove(name)
        .and_then(|value| typed(value, name, faults))
        .unwrap_or_default()
}

/// Takes the array of tables `name`. Elements with faults are left out.
pub(super) fn list<T: DeserializeOwned>(
    table: &mut Table,
    name: &str,
    faults: &mut Faults<'_>,
) -> Vec<T> {
    match table.remove(name) {
        None => Vec::new(),
        Some(Value::Array(items)) => items
            .into_iter()
            .enumerate()
            .filter_map(|(n, item)| typed(item, &format!("{name}[{n}]"), faults))
            .collect(),
        Some(_) => {
            faults.at(
                name,
                format_args!("is a list; each entry starts with [[{name}]]"),
            );
            Vec::new()
        }
    }
}

/// Whatever no section has taken is unknown.
pub(super) fn nothing_left(table: &Table, known: &[&str], faults: &mut Faults<'_>) {
    for name in table.keys() {
        unknown(name, name, known, faults);
    }
}

/// There is no key `name` at `path`; `known` are those that there are.
pub(super) fn unknown(name: &str, path: &str, known: &[&str], faults: &mut Faults<'_>) {
    let hint = match did_you_mean(name, known.iter().copied()) {
        hint if hint.is_empty() && !known.is_empty() => format!("; known are {}", known.join(", ")),
        hint => hint,
    };
    faults.add(path, format!("unknown key `{path}`{hint}"));
}

/// Reads one value. A wrong part is reported, taken out, and the rest is read again: so all faults are found.
fn typed<T: DeserializeOwned>(mut value: Value, path: &str, faults: &mut Faults<'_>) -> Option<T> {
    // serde would take a list for the fields in their order.
    if value.is_array() {
        faults.at(path, "is a table, with a name before each value");
        return None;
    }
    let mut removed: Vec<String> = Vec::new();
    loop {
        match serde_path_to_error::deserialize(value.clone()) {
            Ok(typed) => return Some(typed),
            Err(error) if take_out(&mut value, &error, path, &mut removed, faults) => {}
            Err(_) => return None,
        }
    }
}

/// Reports what is wrong with `value` and takes it out; whether the rest is worth reading.
fn take_out(
    value: &mut Value,
    error: &serde_path_to_error::Error<toml::de::Error>,
    path: &str,
    removed: &mut Vec<String>,
    faults: &mut Faults<'_>,
) -> bool {
    let message = error.inner().message();
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let inside = below(path, error.path());

    if let (true, [missing]) = (message.starts_with("missing field"), &*quoted) {
        let missing_path = format!("{inside}.{missing}");
        if !removed.contains(&missing_path) {
            faults.add(&inside, format!("`{inside}` has no `{missing}`"));
        }
        return false;
    }
    let wrong = if let (true, [unknown, known @ ..]) =
        (message.starts_with("unknown field"), &*quoted)
    {
        let wrong = with_key(error.path(), unknown);
        let inside = joined(path, &wrong);
        self::unknown(unknown, &inside, known, faults);
        wrong
    } else if let (true, [unknown, known @ ..]) = (message.starts_with("unknown variant"), &*quoted)
    {
        let hint = did_you_mean(unknown, known.iter().copied());
        let known = known.join(", ");
        faults.at(
            &inside,
            format_args!("`{unknown}` is not one of {known}{hint}"),
        );
        keys(error.path())
    } else {
        faults.at(&inside, without_text(message));
        keys(error.path())
    };
    removed.push(joined(path, &wrong));
    remove(value, &wrong)
}

/// serde quotes a text where it expects something else, and whoever puts a secret in the wrong place would find it in a log.
fn without_text(message: &str) -> Cow<'_, str> {
    const TEXTS: [&str; 2] = ["invalid type: string ", "invalid value: string "];
    let Some((start, quoted)) = TEXTS
        .iter()
        .find_map(|start| Some((start, message.strip_prefix(start)?)))
    else {
        return message.into();
    };
    let kind = start.trim_end_matches("string ");
    // It is quoted as Rust does: the first quote that is not escaped is its end, whatever is in it.
    let mut escaped = false;
    let mut end = quoted.char_indices().skip(1).filter(|(_, c)| {
        let ends = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    let expected = end.next().map_or("", |(at, _)| &quoted[at + 1..]);
    format!("{kind}a string{expected}").into()
}

fn below(path: &str, inner: &Path) -> String {
    match inner.iter().next() {
        Some(Segment::Unknown) | None => path.to_owned(),
        _ => format!("{path}.{inner}"),
    }
}

fn joined(path: &str, keys: &[String]) -> String {
    format!("{path}.{}", keys.join("."))
}

/// The table keys of a path up to its first list: a list is taken out whole, so that later indices stay true.
fn keys(path: &Path) -> Vec<String> {
    path.iter()
        .map_while(|segment| match segment {
            Segment::Map { key } => Some(key.clone()),
            _ => None,
        })
        .collect()
}

fn with_key(path: &Path, key: &str) -> Vec<String> {
    let mut keys = keys(path);
    if keys.last().is_none_or(|last| last != key) {
        keys.push(key.to_owned());
    }
    keys
}

fn remove(value: &mut Value, path: &[String]) -> bool {
    let Some((last, parents)) = path.split_last() else {
        return false;
    };
    let parent = parents
        .iter()
        .try_fold(value, |value, key| value.get_mut(key));
    parent
        .and_then(Value::as_table_mut)
        .is_some_and(|table| table.remove(last).is_some())
}
