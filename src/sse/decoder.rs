use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr2;

use crate::error::{Error, ErrorKind};

/// The largest event that is assembled; a provider that never ends a line must not fill the memory.
const DEFAULT_MAX_EVENT: usize = 1024 * 1024;

/// One event: the data lines joined with `\n`, and the event's name if it has one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// The `event:` field; `None` for the default, `message`.
    pub name: Option<Bytes>,
    /// The `data:` lines, joined with `\n`.
    pub data: Bytes,
}

/// An incremental decoder. [`push`](Self::push) chunks as they arrive, then drain [`next_event`](Self::next_event);
/// at the end of the body ask [`finish`](Self::finish).
#[derive(Debug)]
pub struct Decoder {
    chunk: Bytes,
    /// A line whose end has not arrived.
    line: BytesMut,
    event: Partial,
    /// The last line ended with `\r` as the chunk's last byte: a `\n` that follows belongs to it.
    skip_newline: bool,
    /// Bytes of the byte order mark still to skip, if the body starts with one.
    bom: &'static [u8],
    max_event: usize,
}

#[derive(Debug, Default)]
struct Partial {
    name: Option<Bytes>,
    data: Data,
}

#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            chunk: Bytes::new(),
            line: BytesMut::new(),
            event: Partial::default(),
            skip_newline: false,
            bom: b"\xef\xbb\xbf",
            max_event: DEFAULT_MAX_EVENT,
        }
    }
}

impl Decoder {
    /// A decoder for one body, with events of at most 1 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the largest event, in bytes: as much may be in each of its lines, and in its data.
    #[must_use]
    pub fn max_event(mut self, bytes: usize) -> Self {
        self.max_event = bytes;
        self
    }

    /// Adds the next chunk of the body. Drain [`next_event`](Self::next_event) before the next push.
    pub fn push(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else {
            let mut joined = BytesMut::from(std::mem::take(&mut self.chunk));
            joined.extend_from_slice(&chunk);
            self.chunk = joined.freeze();
        }
    }

    /// The next complete event; `None` until more chunks arrive.
    ///
    /// # Errors
    /// [`ErrorKind::Upstream`] if a line, or the data of an event, grows past the limit. The decoder is of no use afterwards.
    pub fn next_event(&mut self) -> Result<Option<Event>, Error> {
        self.skip_bom();
        while let Some(line) = self.next_line()? {
            if line.is_empty() {
                if let Some(event) = self.event.take() {
                    return Ok(Some(event));
                }
                continue;
            }
            self.event.field(&line);
            self.check(self.event.len())?;
        }
        Ok(None)
    }

    /// The event that the end of the body completes: one whose last data line has ended but whose blank line never came.
    ///
    /// # Errors
    /// As [`next_event`](Self::next_event).
    pub fn finish(&mut self) -> Result<Option<Event>, Error> {
        if let Some(event) = self.next_event()? {
            return Ok(Some(event));
        }
        self.line.clear();
        Ok(self.event.take())
    }

    /// The last line so far, if its end has not arrived. It may be a part of a longer one.
    #[must_use]
    pub fn unended(&self) -> &[u8] {
        &self.line
    }

    fn check(&self, len: usize) -> Result<(), Error> {
        if len > self.max_event {
            return Err(Error::new(
                ErrorKind::Upstream,
                format!(
                    "the provider sent an event of more than {} bytes",
                    self.max_event
                ),
            )
            .conclusive());
        }
        Ok(())
    }

    fn skip_bom(&mut self) {
        while let Some((&want, rest)) = self.bom.split_first() {
            let Some(&byte) = self.chunk.first() else {
                return;
            };
            if byte != want {
                // Not a mark after all: what was taken for one belongs to the first line.
                let taken = 3 - self.bom.len();
                self.line.extend_from_slice(&b"\xef\xbb\xbf"[..taken]);
                self.bom = b"";
                return;
            }
            self.chunk.advance(1);
            self.bom = rest;
        }
    }

    fn next_line(&mut self) -> Result<Option<Bytes>, Error> {
        if self.skip_newline && !self.chunk.is_empty() {
            self.skip_newline = false;
            if self.chunk[0] == b'\n' {
                self.chunk.advance(1);
            }
        }
        let Some(end) = memchr2(b'\n', b'\r', &self.chunk) else {
            self.check(self.line.len() + self.chunk.len())?;
            self.line.extend_from_slice(&self.chunk);
            self.chunk.clear();
            return Ok(None);
        };
        // Also of a line that came at once, so that no cut makes a difference.
        self.check(self.line.len() + end)?;
        let head = self.chunk.split_to(end);
        let ending = self.chunk.get_u8();
        if ending == b'\r' {
            match self.chunk.first() {
                Some(b'\n') => self.chunk.advance(1),
                Some(_) => {}
                None => self.skip_newline = true,
            }
        }
        if self.line.is_empty() {
            return Ok(Some(head));
        }
        self.line.extend_from_slice(&head);
        Ok(Some(self.line.split().freeze()))
    }
}

impl Partial {
    fn field(&mut self, line: &Bytes) {
        let (name, value) = match memchr::memchr(b':', line) {
            Some(0) => return, // a comment
            Some(colon) => {
                let space = usize::from(line.get(colon + 1) == Some(&b' '));
                (&line[..colon], line.slice(colon + 1 + space..))
            }
            None => (&line[..], Bytes::new()),
        };
        match name {
            b"data" => self.data.push(value),
            b"event" => self.name = Some(value).filter(|name| !name.is_empty()),
            _ => {} // `id` and `retry` are for reconnecting browsers
        }
    }

    fn len(&self) -> usize {
        match &self.data {
            Data::None => 0,
            Data::One(line) => line.len(),
            Data::Many(lines) => lines.len(),
        }
    }

    /// The event, if it has data; an event without data is none.
    fn take(&mut self) -> Option<Event> {
        let Partial { name, data } = std::mem::take(self);
        let data = match data {
            Data::None => return None,
            Data::One(line) => line,
            Data::Many(lines) => lines.freeze(),
        };
        Some(Event { name, data })
    }
}

impl Data {
    fn push(&mut self, line: Bytes) {
        match self {
            Data::None => *self = Data::One(line),
            Data::One(first) => {
                let mut lines = BytesMut::with_capacity(first.len() + 1 + line.len());
                lines.extend_from_slice(first);
                lines.extend_from_slice(b"\n");
                lines.extend_from_slice(&line);
                *self = Data::Many(lines);
            }
            Data::Many(lines) => {
                lines.extend_from_slice(b"\n");
                lines.extend_from_slice(&line);
            }
        }
    }
}
