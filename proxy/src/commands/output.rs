//! Standard output of the commands.

use std::io::{self, ErrorKind, Write};

/// Standard output. Whoever has read enough closes it, as `head` does: what comes then is for nobody, and no failure.
#[derive(Default)]
pub(super) struct Output {
    closed: bool,
}

impl Output {
    /// Whether nobody reads any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    fn unless_closed<T>(&mut self, written: io::Result<T>, enough: T) -> io::Result<T> {
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(enough)
            }
            written => written,
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.closed {
            return Ok(bytes.len());
        }
        let written = io::stdout().write(bytes);
        self.unless_closed(written, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        let flushed = io::stdout().flush();
        self.unless_closed(flushed, ())
    }
}
