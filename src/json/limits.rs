//! Refuses documents that are nested too deep or too wide, before anything works through them.

use memchr::memchr2;

/// The deepest nesting that is accepted; no real request comes close.
pub(super) const MAX_DEPTH: usize = 64;

/// The most top-level members that are accepted; look-ups are linear.
pub(super) const MAX_MEMBERS: usize = 256;

/// Whether brackets nest deeper than [`MAX_DEPTH`]. Looks at brackets outside strings only; the grammar is checked elsewhere.
pub(super) fn too_deep(bytes: &[u8]) -> bool {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => at = after_string(bytes, at),
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// The offset behind the string whose first character stands at `at`. Strings are most of a prompt, so they are skipped with memchr.
fn after_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}
