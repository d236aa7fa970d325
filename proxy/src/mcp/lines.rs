//! Messages in lines. One that is wrong is an item like others: tokio-util's own codec stops at errors, with what is buffered
//! behind them.

use std::io;

use tokio_util::{bytes::BytesMut, codec::Decoder};

/// The longest message, in bytes.
const LONGEST: usize = 32 << 20;

/// A line without its end; or why it is none.
pub(super) type Line = Result<String, NoLine>;

/// Why bytes are no line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoLine {
    TooLong,
    NotText,
}

/// Takes a stream apart.
#[derive(Default)]
pub(super) struct Lines {
    /// How far the buffer was searched.
    searched: usize,
    /// Whether the rest of a line that is too long is thrown away.
    skipping: bool,
}

impl Decoder for Lines {
    type Item = Line;
    type Error = io::Error;

    fn decode(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Line>> {
        loop {
            let end = bytes[self.searched..]
                .iter()
                .position(|byte| *byte == b'\n');
            let Some(end) = end.map(|end| self.searched + end) else {
                self.searched = bytes.len();
                if bytes.len() <= LONGEST {
                    return Ok(None);
                }
                bytes.clear();
                self.searched = 0;
                let first = !std::mem::replace(&mut self.skipping, true);
                return Ok(first.then_some(Err(NoLine::TooLong)));
            };
            let line = bytes.split_to(end + 1);
            self.searched = 0;
            if !std::mem::take(&mut self.skipping) {
                return Ok(Some(text(&line[..end])));
            }
        }
    }

    fn decode_eof(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Line>> {
        if let Some(line) = self.decode(bytes)? {
            return Ok(Some(line));
        }
        let rest = bytes.split();
        self.searched = 0;
        Ok((!rest.is_empty() && !self.skipping).then(|| text(&rest)))
    }
}

fn text(line: &[u8]) -> Line {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|_| NoLine::NotText)?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(chunks: &[&[u8]]) -> Vec<Line> {
        let (mut lines, mut buffer, mut found) = (Lines::default(), BytesMut::new(), Vec::new());
        for chunk in chunks {
            buffer.extend_from_slice(chunk);
            while let Some(line) = lines.decode(&mut buffer).unwrap() {
                found.push(line);
            }
        }
        while let Some(line) = lines.decode_eof(&mut buffer).unwrap() {
            found.push(line);
        }
        found
    }

    #[test]
    fn what_is_wrong_does_not_hide_what_follows() {
        let ok = |line: &str| Ok(line.to_owned());
        assert_eq!(
            all(&[b"a\r\n\xff\nb\n\nc"]),
            [ok("a"), Err(NoLine::NotText), ok("b"), ok(""), ok("c")]
        );
        let long = vec![b'x'; LONGEST + 1];
        assert_eq!(
            all(&[&long, &long, b"y\nz\n"]),
            [Err(NoLine::TooLong), ok("z")]
        );
    }

    proptest! {
        #[test]
        fn lines_are_the_same_however_they_arrive(text in "[a\u{e9}\n\r]{0,60}", cuts in prop::collection::vec(0..60_usize, 0..6)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            cuts.push(bytes.len());
            let mut from = 0;
            let chunks: Vec<&[u8]> = cuts.iter().map(|to| &bytes[std::mem::replace(&mut from, *to)..*to]).collect();
            prop_assert_eq!(all(&chunks), all(&[bytes]));
        }
    }
}
