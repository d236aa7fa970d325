use std::{fmt, sync::Arc, time::SystemTime};

use serde_json::value::RawValue;

use super::StoreFuture;
use crate::{catalog::DeploymentId, error::Error};

/// The longest name of a conversation, in bytes.
pub const LONGEST_CONVERSATION: usize = 128;

/// How many messages of a conversation are at hand: the newest ones. Twice as many as may stand without a summary, for a summary
/// takes its time, and may fail: until there is one, what it will stand for must still be told.
pub const RECENT: usize = 2 * LONGEST_WINDOW;

/// The most messages that a conversation should have without a summary.
pub const LONGEST_WINDOW: usize = 50;

/// Which conversation: a tenant's own name for it. The same name of another tenant is another conversation.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversationKey {
    tenant: Arc<str>,
    id: Arc<str>,
}

impl ConversationKey {
    /// The conversation that `tenant` calls `id`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) unless the id is 1 to 128 visible ASCII characters without `/`.
    pub fn new(tenant: impl Into<Arc<str>>, id: impl Into<Arc<str>>) -> Result<Self, Error> {
        let (tenant, id) = (tenant.into(), id.into());
        let fits = (1..=LONGEST_CONVERSATION).contains(&id.len());
        if !fits || !id.bytes().all(|b| b.is_ascii_graphic() && b != b'/') {
            return Err(Error::invalid(format!(
                "the id of a conversation is 1 to {LONGEST_CONVERSATION} visible ASCII characters without `/`"
            ))
            .param("conversationId"));
        }
        if tenant.contains('\0') {
            return Err(Error::invalid("the tenant's name is no text"));
        }
        Ok(Self { tenant, id })
    }

    /// Whose it is.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// What they call it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Debug for ConversationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.id)
    }
}

/// What one call adds to its conversation: the messages that it asked, and the one that answered.
#[derive(Debug, Clone)]
pub struct Turn {
    /// The call's request id. A turn is kept once, however often it is appended.
    pub request: Arc<str>,
    /// The API key that asked.
    pub key: Option<Arc<str>>,
    /// The end user.
    pub user: Option<Arc<str>>,
    /// Who answered.
    pub deployment: Option<DeploymentId>,
    /// Chat messages in their order, as JSON objects.
    pub messages: Arc<[Box<RawValue>]>,
    /// When the answer ended.
    pub at: SystemTime,
}

impl Turn {
    /// Its messages, as those of a conversation that has `count` before them.
    pub(super) fn remembered(&self, count: u64) -> impl Iterator<Item = Remembered> {
        (count + 1..)
            .zip(self.messages.iter())
            .map(|(number, message)| Remembered {
                number,
                request: Arc::clone(&self.request),
                message: message.clone(),
                at: self.at,
            })
    }
}

/// A message of a conversation.
#[derive(Debug, Clone)]
pub struct Remembered {
    /// Its place, counted from 1 over the whole conversation.
    pub number: u64,
    /// The call that it belongs to.
    pub request: Arc<str>,
    /// The message: a chat message in OpenAI's shape.
    pub message: Box<RawValue>,
    /// When its turn ended, to the millisecond.
    pub at: SystemTime,
}

/// What stands for the beginning of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The last message that it stands for.
    pub up_to: u64,
    /// In plain text.
    pub text: String,
    /// Who wrote it.
    pub deployment: Option<DeploymentId>,
    /// When it was written, to the millisecond.
    pub at: SystemTime,
}

/// What is at hand of a conversation.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// The newest summary.
    pub summary: Option<Summary>,
    /// The newest messages, at most [`RECENT`], in their order; some of them may be in the summary too.
    pub messages: Vec<Remembered>,
    /// How many messages the conversation has.
    pub count: u64,
}

impl Memory {
    /// The last message that the summary stands for; 0 without one.
    #[must_use]
    pub fn summarized(&self) -> u64 {
        self.summary.as_ref().map_or(0, |summary| summary.up_to)
    }

    /// The messages at hand that no summary stands for.
    pub fn fresh(&self) -> impl Iterator<Item = &Remembered> {
        let summarized = self.summarized();
        let fresh = move |message: &&Remembered| message.number > summarized;
        self.messages.iter().filter(fresh)
    }

    /// Adds a turn that is not in here yet; says whether it was added.
    pub fn add(&mut self, turn: &Turn) -> bool {
        if self.messages.iter().any(|m| m.request == turn.request) {
            return false;
        }
        self.messages.extend(turn.remembered(self.count));
        self.count += turn.messages.len() as u64;
        let over = self.messages.len().saturating_sub(RECENT);
        self.messages.drain(..over);
        true
    }
}

/// Keeps conversations: everything that was said in them, and the summaries of their beginnings.
pub trait ConversationStore: Send + Sync {
    /// What is at hand of a conversation; `None` if there is none of this key.
    fn load<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, Option<Memory>>;

    /// The messages behind number `after`, at most `most`, in their order.
    fn read<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: u64,
        most: usize,
    ) -> StoreFuture<'a, Vec<Remembered>>;

    /// Appends turns, all or none, in their order, each only if the conversation does not have it yet. A conversation that is not
    /// there begins. Returns what is at hand afterwards.
    fn append<'a>(&'a self, key: &'a ConversationKey, turns: &'a [Turn])
    -> StoreFuture<'a, Memory>;

    /// Adds a summary; says whether it did. It does not if there is one that reaches as far, or if the last message that it stands
    /// for is not one of the call `request`: what was summarized has been deleted, and another conversation has its name.
    fn summarize<'a>(
        &'a self,
        key: &'a ConversationKey,
        summary: &'a Summary,
        request: &'a str,
    ) -> StoreFuture<'a, bool>;

    /// Forgets a conversation for good; says whether there was one.
    fn delete<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, bool>;

    /// The next conversations behind `after`, in an order of the store's own, at most `most`, each with the time when it was written to
    /// last, to the millisecond. A database has todo lists too: one that was changed counts as written to, also without a conversation.
    fn list<'a>(
        &'a self,
        after: Option<&'a ConversationKey>,
        most: usize,
    ) -> StoreFuture<'a, Vec<(ConversationKey, SystemTime)>>;

    /// Forgets a conversation, in a database with its todo list, unless it was written to at `before` or later. Of a long one it
    /// forgets only the oldest part: so little that nobody else waits longer than 50 ms.
    fn forget_idle<'a>(
        &'a self,
        key: &'a ConversationKey,
        before: SystemTime,
    ) -> StoreFuture<'a, Forgotten>;
}

/// What was forgotten of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgotten {
    /// Nothing: it was written to, or there is none.
    Nothing,
    /// Its beginning. There is more.
    Part,
    /// All that there was.
    All,
}
