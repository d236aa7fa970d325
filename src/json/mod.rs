//! JSON objects kept as received: the bytes plus an index of their top-level members.
//!
//! A gateway reads three or four members of a request and forwards the rest. [`RawObject`] checks the document once, remembers
//! where each top-level member stands, and edits by splicing bytes, so everything nobody touched (unknown members, order,
//! white space, the spelling of numbers) arrives as it was sent.
//!
//! ```
//! use rungs::json::RawObject;
//!
//! let mut body = RawObject::parse(r#"{"model":"auto", "top_p":1.10}"#.into())?;
//! body.set("model", &"gpt-4o-mini")?;
//! assert_eq!(body.as_bytes(), r#"{"model":"gpt-4o-mini", "top_p":1.10}"#);
//! # Ok::<(), rungs::Error>(())
//! ```

mod members;
mod raw_object;
mod scan;

pub(crate) use members::Members;
pub use raw_object::RawObject;
pub(crate) use raw_object::meaning;
pub(crate) use scan::{Fault, Scan, elements, members};

#[cfg(test)]
mod tests;
