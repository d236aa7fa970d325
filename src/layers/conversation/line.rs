//! What waits in one conversation, in its order.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};

use super::compress::Compression;
use crate::{
    error::Error,
    store::{ConversationKey, Turn},
};

/// The most turns, and about the most bytes, that are written together.
const TURNS: usize = 64;
const BYTES: usize = 4 << 20;

/// A turn on its way to the store.
pub(super) struct Kept {
    pub(super) key: ConversationKey,
    pub(super) turn: Turn,
    /// Its number in the spool.
    pub(super) number: Option<u64>,
    /// The room that it takes up; what a process before has left takes none.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

/// Turns that are written together.
#[derive(Default)]
pub(super) struct Group {
    pub(super) turns: Vec<Turn>,
    /// Their numbers in the spool.
    pub(super) numbers: Vec<u64>,
    pub(super) compression: Option<Box<Compression>>,
    bytes: usize,
    rooms: Vec<OwnedSemaphorePermit>,
}

pub(super) enum Item {
    Turns(Group),
    Forget(oneshot::Sender<Result<bool, Error>>),
    /// Tells that all before it is done, when the last line lets go of it.
    Mark(#[expect(dead_code, reason = "its end is what is told")] Arc<oneshot::Sender<()>>),
}

/// What waits behind the one item of a conversation that is being done.
#[derive(Default)]
pub(super) struct Line {
    items: VecDeque<Item>,
    /// Wakes what is being done from its rest: the conversation is to be forgotten.
    pub(super) forget: Arc<Notify>,
}

/// What is to be done next in a conversation.
pub(super) enum Next {
    Append(Group),
    /// With what waited before it, which need not be written any more.
    Forget(Vec<Item>, oneshot::Sender<Result<bool, Error>>),
    Nothing,
}

impl Line {
    pub(super) fn keep(&mut self, kept: Kept, compression: Option<Box<Compression>>) {
        let bytes = size(&kept.turn);
        match self.items.back_mut() {
            Some(Item::Turns(group)) if group.has_room(bytes) => {
                group.add(kept, bytes, compression)
            }
            _ => {
                let mut group = Group::default();
                group.add(kept, bytes, compression);
                self.items.push_back(Item::Turns(group));
            }
        }
    }

    pub(super) fn forget(&mut self, told: oneshot::Sender<Result<bool, Error>>) {
        self.items.push_back(Item::Forget(told));
        self.forget.notify_one();
    }

    pub(super) fn mark(&mut self, mark: &Arc<oneshot::Sender<()>>) {
        self.items.push_back(Item::Mark(Arc::clone(mark)));
    }

    /// Puts back what was not done.
    pub(super) fn put_back(&mut self, items: Vec<Item>) {
        for item in items.into_iter().rev() {
            self.items.push_front(item);
        }
    }

    pub(super) fn is_to_be_forgotten(&self) -> bool {
        self.items
            .iter()
            .any(|item| matches!(item, Item::Forget(_)))
    }

    /// A conversation is forgotten before its turns are written.
    pub(super) fn next(&mut self) -> Next {
        let is_forget = |item: &Item| matches!(item, Item::Forget(_));
        if let Some(at) = self.items.iter().position(is_forget) {
            let before = self.items.drain(..at).collect();
            if let Some(Item::Forget(told)) = self.items.pop_front() {
                return Next::Forget(before, told);
            }
        }
        while let Some(item) = self.items.pop_front() {
            if let Item::Turns(group) = item {
                return Next::Append(group);
            }
        }
        Next::Nothing
    }

    /// Takes out the turns: they are not to be written by this process.
    pub(super) fn give_up(&mut self) -> Vec<Item> {
        let is_turns = |item: &Item| matches!(item, Item::Turns(_));
        let (turns, rest): (Vec<_>, _) = self.items.drain(..).partition(is_turns);
        self.items = rest.into();
        turns
    }
}

impl Group {
    fn has_room(&self, bytes: usize) -> bool {
        self.turns.len() < TURNS && self.bytes + bytes <= BYTES
    }

    fn add(&mut self, kept: Kept, bytes: usize, compression: Option<Box<Compression>>) {
        self.turns.push(kept.turn);
        self.numbers.extend(kept.number);
        self.rooms.extend(kept.room);
        self.bytes += bytes;
        self.compression = compression.or(self.compression.take());
    }
}

/// The turns among what waits.
pub(super) fn groups(items: &[Item]) -> impl Iterator<Item = &Group> {
    items.iter().filter_map(|item| match item {
        Item::Turns(group) => Some(group),
        Item::Forget(_) | Item::Mark(_) => None,
    })
}

fn size(turn: &Turn) -> usize {
    turn.messages
        .iter()
        .map(|message| message.get().len())
        .sum()
}
