use std::collections::HashMap;

use proc_macro2::{Delimiter, TokenTree};

use crate::source::Source;

type Path = Vec<String>;

/// All paths into the crate that a file names, from the crate's root: in imports, and in code through what it imports.
pub(crate) fn paths(source: &Source) -> Vec<Path> {
    let module = source.module();
    let mut named = Vec::new();
    read(&source.code(), &mut named);

    let mut imported: HashMap<String, Path> = HashMap::new();
    for Named { path, alias, .. } in named.iter().filter(|n| n.import) {
        let name = alias.as_ref().or(path.last());
        if let (Some(name), Some(path)) = (name, absolute(path, &module, &HashMap::new())) {
            imported.insert(name.clone(), path);
        }
    }
    let absolute = |n: &Named| absolute(&n.path, &module, &imported);
    named.iter().filter_map(absolute).collect()
}

/// A path as it stands in the file.
struct Named {
    path: Path,
    alias: Option<String>,
    import: bool,
}

fn absolute(path: &[String], module: &[String], imported: &HashMap<String, Path>) -> Option<Path> {
    let (first, mut rest) = path.split_first()?;
    let mut base = match first.as_str() {
        "crate" => Path::new(),
        "self" => module.to_vec(),
        "super" => {
            let mut base = module.to_vec();
            base.pop();
            while let Some(("super", further)) = rest.split_first().map(|(f, r)| (f.as_str(), r)) {
                base.pop();
                rest = further;
            }
            base
        }
        name => imported.get(name)?.clone(),
    };
    base.extend_from_slice(rest);
    Some(base)
}

fn read(code: &[TokenTree], into: &mut Vec<Named>) {
    let mut at = 0;
    let mut import = false;
    while at < code.len() {
        match &code[at] {
            TokenTree::Ident(word) if word == "use" => import = true,
            TokenTree::Ident(_) => {
                let (read, mut paths) = tree(&code[at..], &[]);
                // A single word is a path only if it is imported; `pub(crate)` and the like name nothing.
                paths.retain(|named| named.path.len() > 1);
                for mut named in paths {
                    named.import = import;
                    into.push(named);
                }
                at += read;
                continue;
            }
            TokenTree::Punct(p) if p.as_char() == ';' => import = false,
            TokenTree::Group(group) => {
                let inner: Vec<_> = group.stream().into_iter().collect();
                read(&inner, into);
            }
            _ => {}
        }
        at += 1;
    }
}

/// Reads `a::b::{c, d as e}` behind `prefix`: how many tokens that is, and the paths.
fn tree(code: &[TokenTree], prefix: &[String]) -> (usize, Vec<Named>) {
    let mut path = prefix.to_vec();
    let mut at = 0;
    loop {
        match code.get(at) {
            Some(TokenTree::Ident(word)) => path.push(word.to_string()),
            Some(TokenTree::Punct(p)) if p.as_char() == '*' => path.push("*".to_owned()),
            Some(TokenTree::Group(g)) if g.delimiter() == Delimiter::Brace => {
                let inner: Vec<_> = g.stream().into_iter().collect();
                let comma = |t: &TokenTree| matches!(t, TokenTree::Punct(p) if p.as_char() == ',');
                let each = inner.split(comma).filter(|entry| !entry.is_empty());
                return (
                    at + 1,
                    each.flat_map(|entry| tree(entry, &path).1).collect(),
                );
            }
            _ => break,
        }
        at += 1;
        if !is_colons(&code[at..]) {
            break;
        }
        at += 2;
    }
    // `use a::b::{self}` names `a::b`.
    if path.len() > 1 {
        path.pop_if(|last| last == "self");
    }
    let alias = match &code[at..] {
        [TokenTree::Ident(r#as), TokenTree::Ident(name), ..] if r#as == "as" => {
            Some(name.to_string())
        }
        _ => None,
    };
    let named = Named {
        path,
        alias,
        import: false,
    };
    (at.max(1), vec![named])
}

fn is_colons(code: &[TokenTree]) -> bool {
    matches!(code, [TokenTree::Punct(a), TokenTree::Punct(b), ..] if a.as_char() == ':' && b.as_char() == ':')
}
