//! Replacing the generated part of a hand-written page.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Replace what stands between `<!-- name:begin -->` and `<!-- name:end -->` in `page`.
pub(crate) fn replace(page: &Path, name: &str, content: &str) -> Result<()> {
    let shown = page.display();
    let text = fs::read_to_string(page).with_context(|| format!("read {shown}"))?;
    let text = spliced(&text, name, content)
        .with_context(|| format!("{shown} has no block `<!-- {name}:begin -->`"))?;
    fs::write(page, text).with_context(|| format!("write {shown}"))
}

fn spliced(text: &str, name: &str, content: &str) -> Option<String> {
    let begin = format!("<!-- {name}:begin -->");
    let end = format!("<!-- {name}:end -->");
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!(
        "{before}{begin}\n{}\n{end}{after}",
        content.trim_end()
    ))
}

#[cfg(test)]
mod tests {
    use super::spliced;

    #[test]
    fn replaces_only_the_block() {
        let page = "# A\n<!-- x:begin -->\nold\n<!-- x:end -->\nrest\n";
        let expected = "# A\n<!-- x:begin -->\nnew\n<!-- x:end -->\nrest\n";
        assert_eq!(spliced(page, "x", "new\n\n").as_deref(), Some(expected));
    }

    #[test]
    fn refuses_a_page_without_the_block() {
        assert_eq!(spliced("<!-- x:begin -->", "x", "new"), None);
    }
}
