use std::{fs, io, iter::Peekable, path::Path};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// One source file, by its path from the root of the repository.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let (path, text) = (path.to_owned(), text.to_owned());
        Self { path, text }
    }

    /// All Rust files under these folders.
    pub(crate) fn under(folders: &[&str]) -> Vec<Self> {
        let mut found = Vec::new();
        for folder in folders {
            collect(&root().join(folder), &mut found).expect("the sources can be read");
        }
        assert!(!found.is_empty(), "no sources under {folders:?}");
        found
    }

    pub(crate) fn is_test(&self) -> bool {
        self.path.ends_with("tests.rs") || self.path.split('/').any(|part| part == "tests")
    }

    /// The module that the file is, as a path from the crate's root.
    pub(crate) fn module(&self) -> Vec<String> {
        let path = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let path = path.strip_suffix(".rs").unwrap_or(path);
        let mut module: Vec<_> = path.split('/').map(str::to_owned).collect();
        module.pop_if(|last| matches!(last.as_str(), "mod" | "lib" | "main"));
        module
    }

    /// What the file says without comments, docs, attributes and items for tests.
    pub(crate) fn code(&self) -> Vec<TokenTree> {
        match self.text.parse() {
            Ok(tokens) => without_tests(tokens),
            Err(error) => unreachable!("{}: {error}", self.path),
        }
    }
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of the folders in `folder`, sorted.
pub(crate) fn folders(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).into_iter().flatten();
    let paths = entries.flatten().map(|entry| entry.path());
    let mut names: Vec<_> = paths
        .filter(|path| path.is_dir())
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect();
    assert!(!names.is_empty(), "no folders in {folder}");
    names.sort();
    names
}

fn collect(folder: &Path, into: &mut Vec<Source>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, into)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path)?;
            let parts = path.strip_prefix(root()).unwrap_or(&path).iter();
            let parts: Vec<_> = parts.map(|part| part.to_string_lossy()).collect();
            into.push(Source::new(&parts.join("/"), &text));
        }
    }
    Ok(())
}

fn without_tests(tokens: TokenStream) -> Vec<TokenTree> {
    let mut code = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(p) if p.as_char() == '#' => {
                if attribute(&mut tokens).is_some_and(|a| a == "cfg(test)") {
                    skip_item(&mut tokens);
                }
            }
            TokenTree::Group(group) => {
                let inner = without_tests(group.stream()).into_iter().collect();
                code.push(Group::new(group.delimiter(), inner).into());
            }
            other => code.push(other),
        }
    }
    code
}

/// What stands in the brackets of an attribute whose `#` has just been read, without spaces.
fn attribute(tokens: &mut Peekable<impl Iterator<Item = TokenTree>>) -> Option<String> {
    tokens.next_if(|t| matches!(t, TokenTree::Punct(p) if p.as_char() == '!'));
    match tokens
        .next_if(|t| matches!(t, TokenTree::Group(g) if g.delimiter() == Delimiter::Bracket))
    {
        Some(TokenTree::Group(group)) => Some(group.stream().to_string().replace(' ', "")),
        _ => None,
    }
}

fn skip_item(tokens: &mut impl Iterator<Item = TokenTree>) {
    for token in tokens {
        match token {
            TokenTree::Punct(p) if p.as_char() == ';' => return,
            TokenTree::Group(g) if g.delimiter() == Delimiter::Brace => return,
            _ => {}
        }
    }
}
