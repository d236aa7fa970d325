//! Lenient views of chat bodies in OpenAI's shape: enough to judge, classify and hand over, without a typed model of everything.
//!
//! Unknown members, roles and finish reasons are kept or ignored, never an error.

mod answer;
mod assemble;
mod confidence;
mod instruct;
mod prompt;
mod recall;
mod split;

pub use answer::Answer;
pub(crate) use answer::is_named;
pub(crate) use assemble::append;
pub use assemble::assemble;
pub(crate) use confidence::Confidence;
pub use instruct::instruct;
pub use prompt::{Message, Prompt};
pub use recall::{asked, recall, reply, take_summary};
pub use split::split;

#[cfg(test)]
mod tests;
