use crate::{json::Members, model::Usage};

/// A figure of any spelling; `None` if it is missing or no whole number. One that is negative or larger is read as
/// [`Usage::ABSURD`]: the charge of the attempt then finds that it cannot be.
pub(super) fn tokens(usage: &Members<'_>, name: &str) -> Option<u64> {
    let text = usage.get(name)?;
    let whole = text.strip_suffix(".0").unwrap_or(text);
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(whole.parse().unwrap_or(Usage::ABSURD).min(Usage::ABSURD))
}

/// Takes `part` out of `rest`. What is larger than the whole cannot be within it: it comes on top.
pub(super) fn part(rest: &mut u64, part: Option<u64>) -> u64 {
    let part = part.unwrap_or_default();
    *rest = rest.checked_sub(part).unwrap_or(*rest);
    part
}
