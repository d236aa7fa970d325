use std::{
    borrow::Cow,
    fmt,
    ops::Range,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::scan::{self, Fault, MAX_DEPTH};
use crate::error::Error;

/// The most top-level members that are accepted; look-ups are linear.
const MAX_MEMBERS: usize = 256;

/// A JSON object as received, with an index of its top-level members.
///
/// Cloning is cheap: the bytes are shared. Documents with duplicate members are refused, because
/// `{"model":"cheap","model":"dear"}` means one model to a careless checker and another to the provider.
#[derive(Clone, Default)]
pub struct RawObject {
    text: ByteString,
    index: Arc<Index>,
}

#[derive(Clone, Default)]
struct Index {
    members: Vec<Member>,
    /// See [`RawObject::once`].
    derived: OnceLock<u64>,
}

#[derive(Clone)]
struct Member {
    /// From the opening quote of the name.
    start: usize,
    name: Name,
    value: Range<usize>,
}

/// A member's name: where it stands, or what its escapes mean.
#[derive(Clone)]
enum Name {
    Plain { len: usize },
    Escaped(Box<str>),
}

impl Name {
    /// The name that stands between its quotes as `written`.
    fn read(written: &str) -> Self {
        match meaning(written) {
            Cow::Borrowed(plain) => Self::Plain { len: plain.len() },
            Cow::Owned(meaning) => Self::Escaped(meaning.into()),
        }
    }
}

/// What a string means that stands between its quotes as `written`.
pub(crate) fn meaning(written: &str) -> Cow<'_, str> {
    if !written.contains('\\') {
        return Cow::Borrowed(written);
    }
    // Half a surrogate pair is valid JSON and means nothing; such a string stands for itself.
    let meaning = serde_json::from_str(&format!("\"{written}\""));
    Cow::Owned(meaning.unwrap_or_else(|_| written.to_owned()))
}

/// Why `text` was refused, in the words of a parser that says where.
fn refusal(fault: Fault, text: &str) -> Error {
    if fault == Fault::Depth {
        return Error::invalid(format!("the JSON is nested deeper than {MAX_DEPTH} levels"));
    }
    // What it holds does not matter, and is not built: where it stops being an object does.
    let why = match serde_json::from_str::<IgnoredAny>(text) {
        Err(e) => format!(": {e}"),
        Ok(_) => String::new(),
    };
    Error::invalid(format!("the body is not a JSON object{why}"))
}

impl RawObject {
    /// Checks `bytes` to be one JSON object and indexes its members.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for anything but a JSON object, for duplicate top-level members
    /// (named in `param`), for more than 256 of them, and for nesting deeper than 64.
    pub fn parse(bytes: Bytes) -> Result<Self, Error> {
        let text = ByteString::try_from(bytes).map_err(|e| {
            Error::invalid(format!(
                "the body is not UTF-8 (first bad byte at offset {})",
                e.valid_up_to()
            ))
        })?;
        let base = text.as_ptr() as usize;
        let offset = |part: &str| part.as_ptr() as usize - base;
        let mut members = Vec::with_capacity(8);
        let mut total = 0;
        let scanned = scan::members(&text, |name, scan| {
            let value = scan.value()?;
            total += 1;
            if total <= MAX_MEMBERS {
                let start = offset(value);
                members.push(Member {
                    start: offset(name) - 1,
                    name: Name::read(name),
                    value: start..start + value.len(),
                });
            }
            Ok(())
        });
        scanned.map_err(|fault| refusal(fault, &text))?;
        if total > MAX_MEMBERS {
            return Err(Error::invalid(format!(
                "the body has more than {MAX_MEMBERS} members"
            )));
        }
        let object = Self {
            text,
            index: Arc::new(Index {
                members,
                derived: OnceLock::new(),
            }),
        };
        match object.duplicate() {
            Some(name) => {
                Err(Error::invalid(format!("the member `{name}` occurs twice")).param(name))
            }
            None => Ok(object),
        }
    }

    /// The name of a member that has occurred before.
    fn duplicate(&self) -> Option<&str> {
        let duplicate = |at, name| {
            self.index.members[..at]
                .iter()
                .any(|m| self.is_named(m, name))
        };
        let mut names = self.index.members.iter().map(|m| self.name(m)).enumerate();
        names
            .find(|(at, name)| duplicate(*at, name))
            .map(|(_, name)| name)
    }

    /// Serialises `value`, which must be a struct or map.
    ///
    /// # Errors
    /// As [`RawObject::parse`], and when `value` does not serialise.
    pub fn from_serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        let bytes = serde_json::to_vec(value)
            .map_err(|e| Error::internal("the value does not serialise").with_source(e))?;
        Self::parse(bytes.into())
    }

    /// The document.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        self.text.as_bytes()
    }

    /// The document.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.text.into_bytes()
    }

    /// The raw JSON of a member.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.member(name).map(|m| &self.text[m.value.clone()])
    }

    /// A member as `T`; `None` if it is absent or `null`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) naming the member, if it has another type.
    pub fn get_as<'a, T: Deserialize<'a>>(&'a self, name: &str) -> Result<Option<T>, Error> {
        let Some(raw) = self.get(name) else {
            return Ok(None);
        };
        serde_json::from_str::<Option<T>>(raw)
            .map_err(|e| Error::invalid(format!("`{name}` has the wrong type: {e}")).param(name))
    }

    /// Names and raw JSON of all members, in the order they were sent.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.index
            .members
            .iter()
            .map(|m| (self.name(m), &self.text[m.value.clone()]))
    }

    /// Sets a member: in place if it exists, else as the last one.
    ///
    /// # Errors
    /// When `value` does not serialise.
    pub fn set<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Error> {
        let json = serde_json::to_string(value)
            .map_err(|e| Error::internal("the value does not serialise").with_source(e))?;
        self.splice(name, &json);
        Ok(())
    }

    /// Sets a member to JSON that was checked before.
    pub fn set_raw(&mut self, name: &str, value: &RawValue) {
        self.splice(name, value.get());
    }

    /// Removes a member; says whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        let Some(at) = self.position(name) else {
            return false;
        };
        // One comma goes with it: the one behind, or for the last member the one before.
        let cut = match (self.index.members.get(at + 1), at.checked_sub(1)) {
            (Some(next), _) => self.index.members[at].start..next.start,
            (None, Some(before)) => {
                self.index.members[before].value.end..self.index.members[at].value.end
            }
            (None, None) => self.index.members[at].start..self.index.members[at].value.end,
        };
        self.edited().remove(at);
        self.replace(cut, "", at);
        true
    }

    /// Names and raw JSON of all members but `except`, in the order of their names.
    pub fn sorted_except(&self, except: &[&str]) -> impl Iterator<Item = (&str, &str)> {
        let mut members: SmallVec<[_; 12]> = self
            .iter()
            .filter(|(name, _)| !except.contains(name))
            .collect();
        members.sort_unstable_by_key(|(name, _)| *name);
        members.into_iter()
    }

    /// A figure that is costly to derive from this document, and is asked for more than once: it is derived once, and anew after
    /// an edit. There is room for one, which belongs to [`TokenBound`](crate::model::TokenBound).
    pub(crate) fn once(&self, derive: impl FnOnce(&Self) -> u64) -> u64 {
        *self.index.derived.get_or_init(|| derive(self))
    }

    /// The members, to be changed.
    fn edited(&mut self) -> &mut Vec<Member> {
        let index = Arc::make_mut(&mut self.index);
        index.derived = OnceLock::new();
        &mut index.members
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.index
            .members
            .iter()
            .position(|m| self.is_named(m, name))
    }

    fn member(&self, name: &str) -> Option<&Member> {
        self.position(name).map(|at| &self.index.members[at])
    }

    fn is_named(&self, member: &Member, name: &str) -> bool {
        match &member.name {
            Name::Plain { len } => *name == self.text[member.start + 1..][..*len],
            Name::Escaped(meaning) => **meaning == *name,
        }
    }

    fn name<'a>(&'a self, member: &'a Member) -> &'a str {
        match &member.name {
            Name::Plain { len } => &self.text[member.start + 1..][..*len],
            Name::Escaped(meaning) => meaning,
        }
    }

    fn splice(&mut self, name: &str, json: &str) {
        if let Some(at) = self.position(name) {
            let old = self.index.members[at].value.clone();
            self.edited()[at].value.end = old.start + json.len();
            self.replace(old, json, at + 1);
            return;
        }
        let quoted = serde_json::to_string(name).expect("a string serialises");
        let (at, comma) = match self.index.members.last() {
            Some(last) => (last.value.end, ","),
            None if self.text.is_empty() => {
                self.text = ByteString::from_static("{}");
                (1, "")
            }
            None => (self.after_brace(), ""),
        };
        let start = at + comma.len();
        let value = start + quoted.len() + 1;
        let plain = quoted.len() == name.len() + 2;
        self.edited().push(Member {
            start,
            name: if plain {
                Name::Plain { len: name.len() }
            } else {
                Name::Escaped(name.into())
            },
            value: value..value + json.len(),
        });
        let text = format!("{comma}{quoted}:{json}");
        self.replace(at..at, &text, self.index.members.len());
    }

    fn after_brace(&self) -> usize {
        self.text.find('{').expect("the document is an object") + 1
    }

    /// Replaces a range of bytes and moves the members from index `from` on.
    fn replace(&mut self, range: Range<usize>, with: &str, from: usize) {
        let parts = [&self.text[..range.start], with, &self.text[range.end..]];
        self.text = parts.concat().into();
        let moved = |at: usize| at - range.len() + with.len();
        for m in &mut self.edited()[from..] {
            m.start = moved(m.start);
            m.value = moved(m.value.start)..moved(m.value.end);
        }
    }
}

impl fmt::Debug for RawObject {
    /// Names only: bodies are prompts, and prompts stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(|(name, _)| name))
            .finish()
    }
}
