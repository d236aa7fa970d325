//! Counting server-sent events in a body that arrives in arbitrary pieces.

use memchr::memchr_iter;

/// Longest line start worth keeping.
const START: usize = b"data: [DONE]".len();

/// Counts `data:` events and notices the end signal; comments and other fields do not count.
#[derive(Default)]
pub(crate) struct Events {
    line: Vec<u8>,
    count: u64,
    done: bool,
}

impl Events {
    /// Take the next piece of the body.
    pub(crate) fn feed(&mut self, piece: &[u8]) {
        let mut start = 0;
        for end in memchr_iter(b'\n', piece) {
            self.keep(&piece[start..end]);
            self.end_line();
            start = end + 1;
        }
        self.keep(&piece[start..]);
    }

    /// Events so far, without the end signal.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Whether `data: [DONE]` has come.
    pub(crate) fn done(&self) -> bool {
        self.done
    }

    fn keep(&mut self, part: &[u8]) {
        let room = START - self.line.len();
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }

    fn end_line(&mut self) {
        if self.line == b"data: [DONE]" {
            self.done = true;
        } else if self.line.starts_with(b"data:") {
            self.count += 1;
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::Events;

    #[test]
    fn counts_alike_however_the_body_is_cut() {
        let body = b": ping\n\ndata: {\"a\":1}\n\ndata: {\"b\":2}\n\nevent: x\n\ndata: [DONE]\n\n";
        for size in 1..=body.len() {
            let mut events = Events::default();
            body.chunks(size).for_each(|piece| events.feed(piece));
            assert_eq!(
                (events.count(), events.done()),
                (2, true),
                "pieces of {size}"
            );
        }
    }

    #[test]
    fn an_unfinished_body_is_not_done() {
        let mut events = Events::default();
        events.feed(b"data: {\"a\":1}\n\ndata: [DO");
        assert_eq!((events.count(), events.done()), (1, false));
    }
}
