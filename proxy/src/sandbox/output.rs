//! What a program says, up to a limit.

use rungs::{Error, ErrorKind};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The beginning of what a program has said. Bytes that are no UTF-8 are shown as `U+FFFD`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Captured {
    /// What was kept.
    pub(crate) text: String,
    /// How many bytes came after it.
    pub(crate) dropped: u64,
}

/// The longest line that is shown while a program runs, in bytes.
const LINE: usize = 4096;

/// Reads to the end and keeps the first `limit` bytes; `said` hears each line when it is complete.
pub(super) async fn capture(
    mut from: impl AsyncRead + Unpin,
    limit: usize,
    mut said: impl FnMut(&str),
) -> Result<Captured, Error> {
    let mut kept = Vec::new();
    let mut dropped = 0;
    let mut line = Vec::new();
    let mut chunk = vec![0; 16 << 10];
    loop {
        let n = from.read(&mut chunk).await.map_err(|error| {
            Error::new(
                ErrorKind::Internal,
                "the output of a program could not be read",
            )
            .with_source(error)
        })?;
        if n == 0 {
            break;
        }
        let room = n.min(limit - kept.len());
        kept.extend_from_slice(&chunk[..room]);
        dropped += (n - room) as u64;
        for byte in &chunk[..n] {
            match byte {
                b'\n' => {
                    said(String::from_utf8_lossy(&line).trim_end());
                    line.clear();
                }
                _ if line.len() < LINE => line.push(*byte),
                _ => {}
            }
        }
    }
    Ok(Captured {
        text: String::from_utf8_lossy(&kept).into_owned(),
        dropped,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keeps_the_beginning_and_counts_the_rest() {
        let mut lines = Vec::new();
        let said = capture(&b"one\ntwo\nthree"[..], 5, |line| {
            lines.push(line.to_owned())
        });
        let said = said.await.unwrap();
        assert_eq!(said.text, "one\nt");
        assert_eq!(said.dropped, 8);
        assert_eq!(lines, ["one", "two"]);
    }

    #[tokio::test]
    async fn a_line_without_an_end_does_not_fill_the_memory() {
        let long = vec![b'x'; 1 << 20];
        let said = capture(&long[..], 10, |_| unreachable!("there is no whole line"));
        assert_eq!(said.await.unwrap().dropped, (1 << 20) - 10);
    }
}
