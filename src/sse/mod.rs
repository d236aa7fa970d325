//! Server-sent events, decoded and encoded: pure, incremental, no IO.
//!
//! [`Decoder`] gives the same events however the bytes were cut into chunks, for `\n`, `\r\n` and `\r`, with and without the
//! space behind the colon. An event whose data stands on one line inside one chunk is a slice of that chunk, not a copy.
//!
//! ```
//! use rungs::sse::Decoder;
//!
//! let mut decoder = Decoder::new();
//! decoder.push("data: {\"a\"".into());
//! assert!(decoder.next_event()?.is_none());
//! decoder.push(":1}\r\n\r\n: ping\n\n".into());
//! assert_eq!(decoder.next_event()?.map(|e| e.data), Some("{\"a\":1}".into()));
//! assert!(decoder.next_event()?.is_none());
//! # Ok::<(), rungs::Error>(())
//! ```

mod decoder;
mod encoder;

pub use decoder::{Decoder, Event};
pub use encoder::{encode_comment, encode_data, encode_event};

#[cfg(test)]
mod tests;
