use std::fmt::Write as _;

use super::path::RelPath;

/// Bytes of text that are taken for one token.
pub(super) const BYTES_PER_TOKEN: usize = 4;

/// The most symbols that are shown of one file.
const SYMBOLS: usize = 40;

/// A map of a project in at most `limit` bytes: its files with their sizes, and what each declares at its top.
///
/// Files that `about` names come first, then those nearer to the root. Where not everything fits, symbols are left out before
/// files are, and the last line says how many files are missing.
pub(super) fn draw<'a>(
    texts: impl Iterator<Item = (&'a RelPath, &'a str)>,
    about: &str,
    limit: usize,
) -> String {
    let mut files: Vec<_> = texts.collect();
    let named = |path: &RelPath| {
        let name = path.as_str().rsplit('/').next().unwrap_or_default();
        about.contains(path.as_str()) || about.contains(name)
    };
    files.sort_by_cached_key(|(path, _)| {
        let depth = path.as_str().matches('/').count();
        (!named(path), depth, path.as_str().to_owned())
    });
    const LAST: usize = 40;
    let mut room = limit.saturating_sub(LAST);
    let lines = files
        .iter()
        .map(|(path, text)| format!("{path} ({} bytes)\n", text.len()));
    let lines: Vec<String> = lines
        .take_while(|line| {
            let fits = line.len() <= room;
            room -= line.len().min(room);
            fits
        })
        .collect();
    let mut map = String::new();
    for (line, (path, text)) in lines.iter().zip(&files) {
        map.push_str(line);
        for symbol in symbols(path, text).take(SYMBOLS) {
            if symbol.len() + 3 > room {
                break;
            }
            room -= symbol.len() + 3;
            let _ = writeln!(map, "  {symbol}");
        }
    }
    let missing = files.len() - lines.len();
    if missing > 0 {
        let _ = writeln!(map, "and {missing} more files");
    }
    map.truncate(map.floor_char_boundary(limit));
    map
}

/// The lines of a file that declare something at its top, by the look of them: a map need not be exact.
fn symbols<'a>(path: &RelPath, text: &'a str) -> impl Iterator<Item = &'a str> {
    let words = words(path.as_str().rsplit('.').next().unwrap_or_default());
    text.lines().filter_map(move |line| {
        // What stands at the edge is at the top; members of classes are shown too where they are one step in.
        let depth = line.len() - line.trim_start().len();
        let body = line.trim_start();
        let declares = words.iter().any(|word| {
            let rest = body.strip_prefix(word);
            rest.is_some_and(|rest| rest.starts_with([' ', '(']))
        });
        if depth > 4 || !declares {
            return None;
        }
        let end = body.find(['{', ';']).unwrap_or(body.len());
        let line = body[..end]
            .trim_end()
            .trim_end_matches([':', '='])
            .trim_end();
        const LONGEST: usize = 100;
        Some(&line[..line.floor_char_boundary(LONGEST)])
    })
}

/// The words that begin declarations in files of this kind.
fn words(extension: &str) -> &'static [&'static str] {
    match extension {
        "rs" => &[
            "pub",
            "pub(crate)",
            "pub(super)",
            "fn",
            "async fn",
            "struct",
            "enum",
            "trait",
            "impl",
            "mod",
            "macro_rules!",
        ],
        "ts" | "tsx" | "js" | "jsx" | "mjs" | "cjs" | "mts" | "cts" => &[
            "export",
            "function",
            "async function",
            "class",
            "interface",
            "type",
            "enum",
        ],
        "py" => &["def", "async def", "class"],
        "go" => &["func", "type"],
        "java" | "kt" | "cs" | "scala" | "swift" => &[
            "public",
            "class",
            "interface",
            "enum",
            "record",
            "fun",
            "object",
            "struct",
            "protocol",
            "func",
        ],
        "rb" => &["class", "module", "def"],
        "php" => &["function", "class", "interface", "trait"],
        "c" | "h" | "cpp" | "hpp" | "cc" => {
            &["struct", "enum", "union", "typedef", "class", "namespace"]
        }
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drawn(files: &[(&str, &str)], about: &str, limit: usize) -> String {
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| (RelPath::parse(path).unwrap(), *text))
            .collect();
        draw(files.iter().map(|(path, text)| (path, *text)), about, limit)
    }

    const FILES: [(&str, &str); 4] = [
        (
            "src/cart.rs",
            "use std::fmt;\n\npub(crate) struct Cart {\n    items: u8,\n}\nimpl Cart {\n    pub fn total(&self) -> u8 {\n        0\n    }\n}\n",
        ),
        ("README.md", "# Shop\n"),
        (
            "app/tax.py",
            "import os\nclass Tax:\n    def rate(self):\n        def inner(): pass\ndef main():\n    pass\n",
        ),
        (
            "web/deep/er/x.ts",
            "export function add(a: number): number {\n  return a;\n}\ninterface P { a: number }\n",
        ),
    ];

    #[test]
    fn a_map_shows_files_and_what_they_declare() {
        assert_eq!(
            drawn(&FILES, "Fix the rate in tax.py", 4_000),
            "app/tax.py (88 bytes)\n  class Tax\n  def rate(self)\n  def main()\nREADME.md (7 bytes)\nsrc/cart.rs (119 bytes)\n  \
             pub(crate) struct Cart\n  impl Cart\n  pub fn total(&self) -> u8\nweb/deep/er/x.ts (81 bytes)\n  \
             export function add(a: number): number\n  interface P\n"
        );
    }

    #[test]
    fn symbols_go_before_files_do() {
        let map = drawn(&FILES, "", 150);
        assert!(map.contains("x.ts") && !map.contains("export"), "{map}");
        assert!(drawn(&FILES, "", 90).ends_with("more files\n"));
    }

    proptest! {
        #[test]
        fn a_map_fits(limit in 0_usize..600, count in 0_usize..60) {
            let files: Vec<_> = (0..count)
                .map(|n| (RelPath::parse(&format!("ü{}/f{n}.py", n % 7)).unwrap(), "def ä(): pass\n".repeat(n)))
                .collect();
            let map = draw(files.iter().map(|(path, text)| (path, text.as_str())), "f3", limit);
            prop_assert!(map.len() <= limit);
        }
    }
}
