//! What must outlive this process until a store has it: turns of conversations, and what came of calls that clients may repeat.
//!
//! A call hands over what is to be kept, and its answer ends when that is in a file. The store gets it a moment later, and the file
//! may forget it then. What a process that was killed had not brought to its store, the next one finds.

#[cfg(feature = "journal")]
mod file;
#[cfg(feature = "journal")]
mod files;
#[cfg(feature = "journal")]
mod layout;
mod turn;
#[cfg(feature = "journal")]
mod writer;

#[cfg(feature = "journal")]
pub use file::FileSpool;

use super::{Durability, StoreFuture};

/// Whose records they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Topic {
    /// Turns of conversations.
    Turns = 1,
    /// Names of calls, with what came of them.
    Names = 2,
}

/// A record that a process before this one had not done with: its number, and its bytes.
pub type Left = (u64, Vec<u8>);

/// Keeps records until they are done with.
pub trait Spool: Send + Sync {
    /// Takes a record; returns its number. Called from taps: it must not wait.
    fn add(&self, topic: Topic, record: Vec<u8>) -> u64;

    /// Forgets records: they are where they belong.
    fn done(&self, numbers: &[u64]);

    /// Whether more may come; `false` while what is taken cannot be written.
    fn has_room(&self) -> bool;

    /// Waits until what was taken and forgotten so far survives `what`; `None` if there is nothing to wait for.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if it cannot be written.
    fn survives(&self, what: Durability) -> Option<StoreFuture<'static, ()>>;

    /// What processes before this one left, in the order in which it came. It is told once.
    fn left(&self, topic: Topic) -> Vec<Left>;
}
