/// The candidate that `word` was probably meant to be: the first that goes on where it ends, as `ttl_seconds` does after `ttl`, or
/// the one that is the fewest edits away, and not more than a third of its letters. Very short words are near to anything, and mean
/// only themselves.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let limit = word.chars().count() / 3;
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let goes_on = |candidate: &&&str| {
        let rest = candidate.strip_prefix(word);
        !word.is_empty() && rest.is_some_and(|rest| rest.starts_with('_'))
    };
    if let Some(longer) = candidates.iter().find(goes_on) {
        return Some(longer);
    }
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(edits, _)| *edits <= limit)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// `; did you mean `x`?`, or nothing.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    nearest(word, candidates).map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// Levenshtein's distance, where swapping two neighbours counts as one edit too; case does not count.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_name() {
        let names = ["listen", "auth", "cors_origins", "body_limit"];
        for (word, meant) in [
            ("lissten", Some("listen")),
            ("LISTEN", Some("listen")),
            ("atuh", Some("auth")),
            ("cors_origin", Some("cors_origins")),
            ("auht", Some("auth")),
            ("q", None),
            ("colour", None),
            ("body", Some("body_limit")),
            ("body_", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, names), meant, "{word}");
        }
    }
}
