//! What a child says on standard error: line by line, without what its environment keeps secret.

use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

use super::visible::visible;

/// The most that is taken at once, in bytes. A line that is longer comes in pieces.
const LONGEST: u64 = 1024;

/// The words of a child.
pub(super) struct Words<R> {
    from: BufReader<R>,
    secrets: Vec<SecretString>,
    bytes: Vec<u8>,
    /// The end of the piece before, if it may be the beginning of a secret.
    held: String,
}

impl<R: AsyncRead + Unpin> Words<R> {
    pub(super) fn new(from: R, secrets: Vec<SecretString>) -> Self {
        Self {
            from: BufReader::new(from),
            secrets,
            bytes: Vec::new(),
            held: String::new(),
        }
    }

    /// The next line, or piece of one; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<String> {
        let mut piece = (&mut self.from).take(LONGEST);
        if !matches!(piece.read_until(b'\n', &mut self.bytes).await, Ok(1..)) {
            return None;
        }
        let is_cut = piece.limit() == 0 && !self.bytes.ends_with(b"\n");
        // A character may be cut as well.
        let last = self.bytes.utf8_chunks().last();
        let begun = last.map_or(0, |chunk| chunk.invalid().len());
        let rest = match is_cut {
            true => self.bytes.split_off(self.bytes.len() - begun),
            false => Vec::new(),
        };
        let mut text = std::mem::take(&mut self.held);
        text.push_str(&visible(&String::from_utf8_lossy(&self.bytes)));
        self.bytes = rest;
        for secret in &self.secrets {
            text = text.replace(secret.expose_secret(), "[secret]");
        }
        if is_cut {
            self.held = text.split_off(self.secret_from(&text));
        }
        Some(text.trim().to_owned())
    }

    /// Where the end of `text` begins that may be the beginning of a secret.
    fn secret_from(&self, text: &str) -> usize {
        let begins = |end: &str| {
            let mut secrets = self.secrets.iter();
            secrets.any(|secret| secret.expose_secret().starts_with(end))
        };
        let mut starts = text.char_indices().map(|(at, _)| at);
        starts.find(|&at| begins(&text[at..])).unwrap_or(text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "canary-ü3J9x7Qm";

    async fn said(text: &str) -> Vec<String> {
        let mut words = Words::new(text.as_bytes(), vec![SECRET.into(), "canary-7".into()]);
        let mut said = Vec::new();
        while let Some(piece) = words.next().await {
            said.push(piece);
        }
        said
    }

    #[tokio::test]
    async fn a_secret_that_a_long_line_is_cut_in_is_not_said_in_halves() {
        for before in 1000..1030 {
            let text = format!("{}{SECRET} and {SECRET}\nend", "x".repeat(before));
            let said = said(&text).await;
            let line = said[..said.len() - 1].concat();
            let masked = format!("{}[secret] and [secret]", "x".repeat(before));
            assert_eq!(line.replace(' ', ""), masked.replace(' ', ""), "{before}");
            assert_eq!(said.last().unwrap(), "end");
        }
    }

    #[tokio::test]
    async fn what_only_begins_like_a_secret_is_said() {
        let line = format!("{}canary bird\n", "x".repeat(1020));
        assert_eq!(said(&line).await.concat(), line.trim());
    }
}
