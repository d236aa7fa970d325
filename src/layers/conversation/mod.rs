//! Lets a client send only what is new: what was said before in its conversation is put in front, and what is answered is kept.
//!
//! # Example
//! ```
//! use std::sync::Arc;
//! use rungs::{
//!     layers::conversation::{ConversationLayer, Conversations},
//!     model::{Call, CallContext, ModelRequest, chat::Prompt},
//!     store::memory::MemoryConversations,
//!     testing::{Reply, Scripted, ask},
//! };
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let conversations = Conversations::new(Arc::new(MemoryConversations::new(100)), 100);
//! let provider = Scripted::new(Reply::text("Paris."));
//! let stack = ServiceBuilder::new()
//!     .layer(ConversationLayer::new(conversations))
//!     .service(provider.clone());
//!
//! for question in ["What is the capital of France?", "And how many people live there?"] {
//!     let call = Call { conversation: Some("trip".into()), ..Call::new("me") };
//!     let request = ModelRequest { ctx: CallContext::new(call), ..ask(question) };
//!     stack.clone().oneshot(request).await?.body.collect(1000).await?;
//! }
//! let seen = provider.seen();
//! let said: Vec<_> = Prompt::of(&seen[1].body)?.texts().map(|(_, text)| text).collect();
//! assert_eq!(said, ["What is the capital of France?", "Paris.", "And how many people live there?"]);
//! # Ok::<(), rungs::Error>(()) }).unwrap();
//! ```
//!
//! # Where it goes in a stack
//! In the call ring: above the cache, because what was said before is part of the question; below whatever answers a call that is
//! only repeated, because a repetition is no second turn.
//!
//! A call names its conversation in [`Call::conversation`](crate::model::Call::conversation); it is its tenant's alone. Calls
//! without one, and calls that are no chats, pass untouched.
//!
//! What the model sees: the instructions that the request starts with, the summary if there is one, the messages since, and what
//! the request asks. Instructions are not remembered: they belong to a request. Every other member of the body passes untouched.
//!
//! When a conversation has more than [`window`](ConversationConfig::window) messages that no summary stands for, or more
//! [bytes](ConversationConfig::window_bytes) in them, and the layer has
//! been given a [summarizer](ConversationLayer::summarizer), the older ones are summarized by the cheapest tier that the call
//! might have asked, in so many [tokens](ConversationConfig::summary_tokens) at most, at the expense of the call's accounts, beside all calls. The last few stay whole, and a call of a tool stays
//! with its result. What was summarized is not deleted. While a summary fails, everything stays as it is, and it is
//! tried again minutes later; hours, if it did not end within its tokens.
//!
//! # Streams
//! Answers pass as they come. A turn is kept when its answer is complete, streamed or not, with its calls of tools; it is there
//! for this process's next call at once, and in the store a moment later; with a [spool](Conversations::spooled) it outlives the
//! process on its way. What fails or is cut leaves no trace.
//!
//! Where messages are not at hand any more that no summary stands for, the answer [says so](crate::model::ResponseMeta::forgetful).
//!
//! # Errors
//! [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for an id that is none, the store's own error if the conversation cannot be
//! loaded (where the call may do without, an [unavailable](crate::ErrorKind::Unavailable) one is answered without and says
//! [so](crate::model::ResponseMeta::forgetful)), and [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) while so many turns wait for the store that another would
//! find no place: in each case before anything is asked. An answer that came is never taken back.
//!
//! # Cost of the layer
//! One look-up in the store before a call, a splice of the body, and a copy of the answer by reference. Writing is done by one
//! task, in order within each conversation; a call holds its place in the queue from the start, so that no turn is lost because it is full.

mod compress;
mod config;
mod conversations;
mod delivery;
mod layer;
mod line;
mod pending;
mod prompt;
mod seams;
mod service;
mod summaries;
mod tap;
mod writer;

pub use config::ConversationConfig;
pub use conversations::Conversations;
pub use layer::ConversationLayer;
pub use service::Conversation;

#[cfg(test)]
mod tests;
