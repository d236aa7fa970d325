use std::collections::VecDeque;

use bytes::Bytes;
use smallvec::{SmallVec, smallvec};

/// The payloads of an answer with several readers, each at its own place.
///
/// Up to `limit` bytes all payloads stay, so that a reader who comes later can begin at the first. Beyond it nobody may come any
/// more and what everybody has read goes. Then a follower who is slower than the rest by more than `limit` loses its place, and
/// one who is that much faster than the leader has to wait: whoever pays for the answer gets it.
pub(super) struct Buffer {
    data: VecDeque<Bytes>,
    /// How many payloads have gone.
    gone: usize,
    bytes: usize,
    limit: usize,
    full: bool,
    places: SmallVec<[Place; 2]>,
    next: u64,
}

struct Place {
    reader: u64,
    at: usize,
}

/// The first reader.
pub(super) const LEADER: u64 = 0;

/// What a reader finds at its place.
pub(super) enum Found {
    Data(Bytes),
    /// It has read everything so far.
    Nothing,
    /// What it has not read has gone.
    Lost,
}

impl Buffer {
    /// A buffer with one reader, the leader.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            data: VecDeque::new(),
            gone: 0,
            bytes: 0,
            limit,
            full: false,
            places: smallvec![Place {
                reader: LEADER,
                at: 0
            }],
            next: LEADER + 1,
        }
    }

    /// A place at the first payload; only while the buffer [may be joined](Self::is_full).
    pub(super) fn join(&mut self) -> u64 {
        let reader = self.next;
        self.next += 1;
        self.places.push(Place { reader, at: 0 });
        reader
    }

    pub(super) fn leave(&mut self, reader: u64) {
        self.places.retain(|place| place.reader != reader);
        self.forget();
    }

    pub(super) fn is_deserted(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether the limit was passed.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    pub(super) fn read(&mut self, reader: u64) -> Found {
        let Some(place) = self.places.iter_mut().find(|p| p.reader == reader) else {
            return Found::Lost;
        };
        let Some(index) = place.at.checked_sub(self.gone) else {
            return Found::Lost;
        };
        let Some(data) = self.data.get(index).cloned() else {
            return Found::Nothing;
        };
        place.at += 1;
        self.forget();
        Found::Data(data)
    }

    pub(super) fn push(&mut self, data: Bytes) {
        self.bytes += data.len();
        self.data.push_back(data);
        self.full |= self.bytes > self.limit;
        self.forget();
        while self.bytes > self.limit && self.data.len() > 1 && !self.leader_is_last() {
            self.pop();
        }
    }

    /// Whether `reader` must let the leader catch up before there can be more.
    pub(super) fn holds(&self, reader: u64) -> bool {
        reader != LEADER && self.bytes > self.limit && self.leader_is_last()
    }

    fn leader_is_last(&self) -> bool {
        let mut places = self.places.iter();
        places.any(|p| p.reader == LEADER && p.at == self.gone)
    }

    /// Beyond the limit, what everybody has read is of no more use.
    fn forget(&mut self) {
        if !self.full {
            return;
        }
        let slowest = self.places.iter().map(|p| p.at).min();
        while slowest.is_some_and(|at| self.gone < at) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some(data) = self.data.pop_front() {
            self.bytes -= data.len();
            self.gone += 1;
        }
    }
}
