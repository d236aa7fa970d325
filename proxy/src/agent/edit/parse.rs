use super::{Answer, Change, Edit, Flaw};

const SEARCH: &str = "<<<<<<< SEARCH";
const DIVIDER: &str = "=======";
const REPLACE: &str = ">>>>>>> REPLACE";
const WHOLE: &str = "<<<<<<< WHOLE";
const END: &str = ">>>>>>> END";

/// Reads an answer. What stands between blocks is talk, fences of Markdown included; a name holds for the blocks that follow it.
///
/// # Errors
/// The first block that cannot be told.
pub(in crate::agent) fn parse(text: &str) -> Result<Answer, Flaw> {
    let mut answer = Answer::default();
    let mut lines = text.lines();
    let mut path: Option<String> = None;
    let mut number = 0;
    while let Some(line) = lines.next() {
        let line = line.trim_end();
        if let Some(name) = named(line, "FILE:") {
            path = Some(name);
        } else if let Some(name) = named(line, "READ:") {
            answer.reads.push(name);
        } else if line == SEARCH || line == WHOLE {
            number += 1;
            let open = || Flaw::Open { number };
            let path = path.clone().ok_or(Flaw::Nameless { number })?;
            let change = if line == WHOLE {
                Change::Whole(until(&mut lines, END).ok_or_else(open)?)
            } else {
                let search = until(&mut lines, DIVIDER).ok_or_else(open)?;
                let replace = until(&mut lines, REPLACE).ok_or_else(open)?;
                if search.trim().is_empty() {
                    return Err(Flaw::Nothing { number });
                }
                Change::Replace { search, replace }
            };
            answer.edits.push(Edit { path, change });
        }
    }
    Ok(answer)
}

/// The name on a line of this kind, without what Markdown puts around it.
fn named(line: &str, kind: &str) -> Option<String> {
    const MARKS: [char; 4] = ['`', '*', '#', ' '];
    let line = line.trim_start_matches(MARKS);
    let name = line.strip_prefix(kind)?.trim_matches(MARKS);
    (!name.is_empty()).then(|| name.to_owned())
}

/// The lines up to the one that reads `end`, each with its end; `None` if that never comes.
fn until<'a>(lines: &mut impl Iterator<Item = &'a str>, end: &str) -> Option<String> {
    let mut text = String::new();
    for line in lines {
        if line.trim_end() == end {
            return Some(text);
        }
        text.push_str(line);
        text.push('\n');
    }
    None
}
