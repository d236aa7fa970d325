use std::borrow::Cow;

use super::{Change, Flaw};

/// How many lines an error shows as the nearest.
const SHOWN: usize = 3;

/// The most lines of a file that are compared for that.
const COMPARED: usize = 4_000;

/// The text of a file after a change; `before` is `None` where there is no file. `number` and `path` are for errors.
///
/// A search text is matched by whole lines and must be there once. Files whose lines end in CRLF, or whose last line has no end,
/// keep that.
///
/// # Errors
/// [`Flaw::Missing`], [`Flaw::Ambiguous`] or [`Flaw::NoFile`].
pub(in crate::agent) fn apply(
    before: Option<&str>,
    change: &Change,
    number: usize,
    path: &str,
) -> Result<String, Flaw> {
    let (search, replace) = match change {
        Change::Whole(text) => {
            let crlf = before.is_some_and(|text| text.contains("\r\n"));
            return Ok(ended(text, crlf).into_owned());
        }
        Change::Replace { search, replace } => (search, replace),
    };
    let path = || path.to_owned();
    let before = before.ok_or_else(|| Flaw::NoFile {
        number,
        path: path(),
    })?;
    let crlf = before.contains("\r\n");
    let (search, replace) = (ended(search, crlf), ended(replace, crlf));
    let lines: Vec<&str> = before.split_inclusive('\n').collect();
    let wanted: Vec<&str> = search.split_inclusive('\n').collect();
    let found = places(&lines, &wanted);
    let [at] = found[..] else {
        return Err(match found.is_empty() {
            true => Flaw::Missing {
                number,
                path: path(),
                nearest: nearest(&lines, &wanted),
            },
            false => Flaw::Ambiguous {
                number,
                path: path(),
                lines: found.iter().map(|at| at + 1).collect(),
            },
        });
    };
    let after = &lines[at + wanted.len()..];
    let mut text = lines[..at].concat();
    text.push_str(&replace);
    text.push_str(&after.concat());
    // The end of the file stays as it was where the change reaches it.
    if after.is_empty() && !before.ends_with('\n') {
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let length = line.strip_suffix('\r').unwrap_or(line).len();
        text.truncate(length);
    }
    Ok(text)
}

/// `text`, whose lines end in LF or in CRLF, with the ends that a file has.
fn ended(text: &str, crlf: bool) -> Cow<'_, str> {
    match crlf {
        true => text.replace("\r\n", "\n").replace('\n', "\r\n").into(),
        false => text.into(),
    }
}

/// Where `wanted` begins in `lines`. The last line of a file may lack its end.
fn places(lines: &[&str], wanted: &[&str]) -> Vec<usize> {
    if wanted.is_empty() || wanted.len() > lines.len() {
        return Vec::new();
    }
    let same = |(line, want): (&&str, &&str)| {
        line == want || (!line.ends_with('\n') && *line == want.trim_end_matches(['\r', '\n']))
    };
    let last = lines.len() - wanted.len();
    (0..=last)
        .filter(|at| lines[*at..].iter().zip(wanted).all(same))
        .collect()
}

/// The lines that are most like the first that is searched for, with their numbers.
fn nearest(lines: &[&str], wanted: &[&str]) -> Vec<(usize, String)> {
    let Some(first) = wanted
        .iter()
        .map(|line| line.trim())
        .find(|l| !l.is_empty())
    else {
        return Vec::new();
    };
    let texts: Vec<&str> = lines
        .iter()
        .take(COMPARED)
        .map(|line| line.trim())
        .collect();
    let mut alike: Vec<_> = similar::get_close_matches(first, &texts, SHOWN, 0.5);
    alike.dedup();
    let numbered = alike.into_iter().filter_map(|text| {
        let at = texts.iter().position(|line| *line == text)?;
        let whole = lines[at].trim_end_matches(['\r', '\n']);
        Some((at + 1, whole.to_owned()))
    });
    numbered.collect()
}
