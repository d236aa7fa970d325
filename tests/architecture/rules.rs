use proc_macro2::TokenTree;

use crate::{paths::paths, source::Source};

/// The longest source file, in lines, tests aside.
const MAX_LINES: usize = 400;

/// Which module may import which others of the crate. What a module may import, its own modules may import too.
const IMPORTS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("json", &["error"]),
    ("sse", &["error"]),
    ("catalog", &["error"]),
    ("model", &["json", "catalog", "error"]),
    (
        "store",
        &[
            "store::audit",
            "store::hot",
            "store::window",
            "store::spool",
            "store::idempotency",
            "model",
            "catalog",
            "error",
        ],
    ),
    ("store::audit", &["store", "catalog"]),
    ("store::hot", &["store", "model", "catalog", "error"]),
    ("store::window", &["error"]),
    (
        "store::memory",
        &["store", "store::audit", "model", "catalog", "error"],
    ),
    (
        "store::journal",
        &["store", "store::survival", "model", "catalog", "error"],
    ),
    ("store::lease", &["store", "catalog", "error"]),
    ("store::spool", &["store", "store::survival", "error"]),
    ("store::survival", &["store", "error"]),
    (
        "store::idempotency",
        &["store", "store::memory", "model", "catalog", "error"],
    ),
    (
        "store::postgres",
        &[
            "store",
            "store::idempotency",
            "store::lease",
            "store::memory",
            "store::sql",
            "model",
            "catalog",
            "error",
        ],
    ),
    (
        "store::redis",
        &[
            "store",
            "store::idempotency",
            "store::memory",
            "model",
            "catalog",
            "error",
        ],
    ),
    // What the databases that speak SQL have in common.
    (
        "store::sql",
        &[
            "store",
            "store::audit",
            "store::idempotency",
            "model",
            "catalog",
            "error",
        ],
    ),
    (
        "store::sqlite",
        &[
            "store",
            "store::idempotency",
            "store::memory",
            "store::sql",
            "model",
            "catalog",
            "error",
        ],
    ),
    ("provider", &["model", "json", "sse", "catalog", "error"]),
    ("layers", &["model", "store", "json", "catalog", "error"]),
    ("route", &["model", "catalog", "error"]),
    ("http", &["model", "json", "sse", "catalog", "error"]),
    ("swap", &["model", "error"]),
    ("builder", &["layers", "model", "store", "catalog"]),
    (
        "testing",
        &["http", "model", "store", "json", "catalog", "error"],
    ),
];

/// Words that say nothing about what a thing is for.
const EMPTY_WORDS: [&str; 4] = ["utils", "helper", "manager", "handler"];

/// The headings of a layer's module docs, in this order; others may stand between them.
const HEADINGS: [&str; 5] = [
    "Example",
    "Where it goes in a stack",
    "Streams",
    "Errors",
    "Cost of the layer",
];

/// The part of the crate that a path leads to: a module of the table above, or one layer.
fn part(path: &[String]) -> Option<String> {
    if let [first, layer, ..] = path
        && first == "layers"
    {
        return Some(format!("layers::{layer}"));
    }
    let depth = path.len().min(2);
    (1..=depth)
        .rev()
        .map(|n| path[..n].join("::"))
        .find(|name| has_rule(name))
}

pub(crate) fn has_rule(module: &str) -> bool {
    IMPORTS.iter().any(|(name, _)| *name == module)
}

/// Imports against the table. The crate's root imports everything to export it again.
pub(crate) fn imports(source: &Source) -> Vec<String> {
    let module = source.module();
    if module.is_empty() {
        return Vec::new();
    }
    let Some(own) = part(&module) else {
        return vec!["has no line in the table of imports".to_owned()];
    };
    let rule = own
        .split_once("::")
        .map_or(own.as_str(), |(top, _)| match top {
            "layers" => top,
            _ => &own,
        });
    let allowed = IMPORTS.iter().find(|(name, _)| *name == rule);
    let allowed = allowed.map_or(&[][..], |(_, allowed)| allowed);
    let mut broken: Vec<_> = paths(source)
        .into_iter()
        .filter(|path| match part(path) {
            Some(to) if to == own => false,
            // One may name a layer only where all layers may be named.
            Some(to) if to.starts_with("layers::") => !allowed.contains(&"layers"),
            Some(to) => !allowed.contains(&to.as_str()),
            // The names that the root exports are for users; inside, a path says where a thing lives.
            None => true,
        })
        .map(|path| format!("names `crate::{}`, which `{own}` may not", path.join("::")))
        .collect();
    broken.sort();
    broken.dedup();
    broken
}

pub(crate) fn length(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    if source.is_test() || lines <= MAX_LINES {
        return Vec::new();
    }
    vec![format!("has {lines} lines; {MAX_LINES} are the most")]
}

pub(crate) fn unwraps(source: &Source) -> Vec<String> {
    let unwrap = |code: &[TokenTree]| matches!(code, [TokenTree::Punct(dot), TokenTree::Ident(name), TokenTree::Group(_)] if dot.as_char() == '.' && name == "unwrap");
    match source.is_test() || !anywhere(&source.code(), 3, &unwrap) {
        true => Vec::new(),
        false => vec!["calls `.unwrap()`: name the invariant, or return an error".to_owned()],
    }
}

/// A chunk may end within a character: reading it lossily loses the character.
pub(crate) fn lossy_text(source: &Source) -> Vec<String> {
    let reads = ["src/sse/", "src/model/", "src/provider/"];
    let lossy =
        |code: &[TokenTree]| matches!(code, [TokenTree::Ident(name)] if name == "from_utf8_lossy");
    let reads = reads.iter().any(|folder| source.path.starts_with(folder));
    match reads && !source.is_test() && anywhere(&source.code(), 1, &lossy) {
        true => vec!["calls `from_utf8_lossy` where bytes come in chunks".to_owned()],
        false => Vec::new(),
    }
}

/// A process whose statements are prepared for all columns of a table fails when a later one adds a column.
pub(crate) fn all_columns(source: &Source) -> Vec<String> {
    let text: String = source.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let selects = text.split("SELECT * FROM ").skip(1);
    let of_table = selects.filter(|from| !from.starts_with("unnest(")).count();
    let all = of_table + text.matches(".* FROM ").count() + text.matches("RETURNING *").count();
    match source.path.starts_with("src/store/postgres/") && all > 0 {
        true => vec!["reads all columns of a table: name those that it needs".to_owned()],
        false => Vec::new(),
    }
}

pub(crate) fn names(source: &Source) -> Vec<String> {
    let mut names = Vec::new();
    declared(&source.code(), &mut names);
    let parts = source.path.trim_end_matches(".rs").split('/');
    parts
        .map(str::to_owned)
        .chain(names)
        .filter(|name| {
            let name = name.to_lowercase();
            EMPTY_WORDS.iter().any(|word| name.contains(word))
        })
        .map(|name| format!("has a name that says nothing: `{name}`"))
        .collect()
}

/// The fixed headings, and an example that runs, in a layer's `mod.rs`.
pub(crate) fn headings(source: &Source) -> Vec<String> {
    let mut fenced = false;
    let mut example_runs = false;
    let mut found = Vec::new();
    let docs = source.text.lines().map_while(|l| l.strip_prefix("//!"));
    for line in docs.map(str::trim_start) {
        if let Some(language) = line.strip_prefix("```") {
            example_runs |= !fenced && found == ["Example"] && language.is_empty();
            fenced = !fenced;
        } else if let (false, Some(heading)) = (fenced, line.strip_prefix("# ")) {
            found.push(heading);
        }
    }
    let mut rest = found.iter();
    let missing = HEADINGS.iter().find(|h| !rest.any(|f| f == *h));
    let missing = missing.map(|heading| format!("lacks `# {heading}`, or has it out of order"));
    let idle = (!example_runs).then(|| "has no example that runs".to_owned());
    missing.into_iter().chain(idle).collect()
}

/// The names of the types and modules that `code` declares.
fn declared(code: &[TokenTree], names: &mut Vec<String>) {
    const KEYWORDS: [&str; 5] = ["struct", "enum", "trait", "type", "mod"];
    for pair in code.windows(2) {
        if let [TokenTree::Ident(keyword), TokenTree::Ident(name)] = pair
            && KEYWORDS.iter().any(|k| keyword == k)
        {
            names.push(name.to_string());
        }
    }
    for inner in groups(code) {
        declared(&inner, names);
    }
}

/// Whether `found` holds for `width` tokens in a row.
fn anywhere(code: &[TokenTree], width: usize, found: &dyn Fn(&[TokenTree]) -> bool) -> bool {
    code.windows(width).any(found) || groups(code).any(|inner| anywhere(&inner, width, found))
}

fn groups(code: &[TokenTree]) -> impl Iterator<Item = Vec<TokenTree>> {
    code.iter().filter_map(|token| match token {
        TokenTree::Group(group) => Some(group.stream().into_iter().collect()),
        _ => None,
    })
}
