use std::{borrow::Cow, fmt, ops::Range, sync::Arc};

use bytes::{Bytes, BytesMut};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::limits::{MAX_DEPTH, MAX_MEMBERS, too_deep};
use crate::error::Error;

/// A JSON object as received, with an index of its top-level members.
///
/// Cloning is cheap: the bytes are shared. Documents with duplicate members are refused, because
/// `{"model":"cheap","model":"dear"}` means one model to a careless checker and another to the provider.
#[derive(Clone, Default)]
pub struct RawObject {
    bytes: Bytes,
    members: Arc<Vec<Member>>,
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

impl RawObject {
    /// Checks `bytes` to be one JSON object and indexes its members.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for anything but a JSON object, for duplicate top-level members
    /// (named in `param`), for more than 256 of them, and for nesting deeper than 64.
    pub fn parse(bytes: Bytes) -> Result<Self, Error> {
        if too_deep(&bytes) {
            return Err(Error::invalid(format!(
                "the JSON is nested deeper than {MAX_DEPTH} levels"
            )));
        }
        let text = std::str::from_utf8(&bytes).map_err(|e| {
            Error::invalid(format!(
                "the body is not UTF-8 (first bad byte at offset {})",
                e.valid_up_to()
            ))
        })?;
        let mut json = serde_json::Deserializer::from_str(text);
        let Members(found) = Members::deserialize(&mut json)
            .and_then(|members| json.end().map(|()| members))
            .map_err(|e| Error::invalid(format!("the body is not a JSON object: {e}")))?;

        let offset = |part: &str| part.as_ptr() as usize - text.as_ptr() as usize;
        let mut members = Vec::with_capacity(found.len());
        let mut from = 0;
        for (at, (name, value)) in found.iter().enumerate() {
            if found[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(
                    Error::invalid(format!("the member `{name}` occurs twice")).param(&**name)
                );
            }
            let start = offset(value.get());
            let value = start..start + value.get().len();
            // The name's quote is the first one behind the previous value.
            let start = from
                + text[from..value.start]
                    .find('"')
                    .expect("a member's name stands before its value");
            from = value.end;
            let name = match name {
                Cow::Borrowed(plain) => Name::Plain { len: plain.len() },
                Cow::Owned(meaning) => Name::Escaped(meaning.as_str().into()),
            };
            members.push(Member { start, name, value });
        }
        let members = Arc::new(members);
        drop(found);
        Ok(Self { bytes, members })
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
        &self.bytes
    }

    /// The document.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The raw JSON of a member.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.member(name).map(|m| self.text(&m.value))
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
        self.members
            .iter()
            .map(|m| (self.name(m), self.text(&m.value)))
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
        let cut = match (self.members.get(at + 1), at.checked_sub(1)) {
            (Some(next), _) => self.members[at].start..next.start,
            (None, Some(before)) => self.members[before].value.end..self.members[at].value.end,
            (None, None) => self.members[at].start..self.members[at].value.end,
        };
        Arc::make_mut(&mut self.members).remove(at);
        self.replace(cut, b"", at);
        true
    }

    /// Feeds every member but `except` to `hasher`, independent of their order, each with its length.
    pub fn hash_except(&self, except: &[&str], hasher: &mut blake3::Hasher) {
        let mut order: SmallVec<[(&str, &Member); 12]> = self
            .members
            .iter()
            .map(|m| (self.name(m), m))
            .filter(|(name, _)| !except.contains(name))
            .collect();
        order.sort_unstable_by_key(|(name, _)| *name);
        for (name, m) in order {
            for part in [name.as_bytes(), &self.bytes[m.value.clone()]] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.members.iter().position(|m| self.is_named(m, name))
    }

    fn member(&self, name: &str) -> Option<&Member> {
        self.position(name).map(|at| &self.members[at])
    }

    fn is_named(&self, member: &Member, name: &str) -> bool {
        match &member.name {
            Name::Plain { len } => self.bytes[member.start + 1..][..*len] == *name.as_bytes(),
            Name::Escaped(meaning) => **meaning == *name,
        }
    }

    fn name<'a>(&'a self, member: &'a Member) -> &'a str {
        match &member.name {
            Name::Plain { len } => self.text(&(member.start + 1..member.start + 1 + len)),
            Name::Escaped(meaning) => meaning,
        }
    }

    fn text(&self, range: &Range<usize>) -> &str {
        std::str::from_utf8(&self.bytes[range.clone()])
            .expect("the document was checked to be UTF-8 and members end at token borders")
    }

    fn splice(&mut self, name: &str, json: &str) {
        if let Some(at) = self.position(name) {
            let old = self.members[at].value.clone();
            Arc::make_mut(&mut self.members)[at].value.end = old.start + json.len();
            self.replace(old, json.as_bytes(), at + 1);
            return;
        }
        let quoted = serde_json::to_string(name).expect("a string serialises");
        let (at, comma) = match self.members.last() {
            Some(last) => (last.value.end, ","),
            None if self.bytes.is_empty() => {
                self.bytes = Bytes::from_static(b"{}");
                (1, "")
            }
            None => (self.after_brace(), ""),
        };
        let start = at + comma.len();
        let value = start + quoted.len() + 1;
        let plain = quoted.len() == name.len() + 2;
        Arc::make_mut(&mut self.members).push(Member {
            start,
            name: if plain {
                Name::Plain { len: name.len() }
            } else {
                Name::Escaped(name.into())
            },
            value: value..value + json.len(),
        });
        let text = format!("{comma}{quoted}:{json}");
        self.replace(at..at, text.as_bytes(), self.members.len());
    }

    fn after_brace(&self) -> usize {
        memchr::memchr(b'{', &self.bytes).expect("the document is an object") + 1
    }

    /// Replaces a range of bytes and moves the members from index `from` on.
    fn replace(&mut self, range: Range<usize>, with: &[u8], from: usize) {
        let mut bytes = BytesMut::with_capacity(self.bytes.len() - range.len() + with.len());
        bytes.extend_from_slice(&self.bytes[..range.start]);
        bytes.extend_from_slice(with);
        bytes.extend_from_slice(&self.bytes[range.end..]);
        self.bytes = bytes.freeze();
        let moved = |at: usize| at - range.len() + with.len();
        for m in &mut Arc::make_mut(&mut self.members)[from..] {
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

/// Top-level members of a document in their order, borrowed where they have no escapes.
struct Members<'a>(SmallVec<[(Cow<'a, str>, &'a RawValue); 12]>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = SmallVec::new();
                while let Some(NameRead(name)) = map.next_key()? {
                    if members.len() == MAX_MEMBERS {
                        return Err(A::Error::custom(format_args!(
                            "more than {MAX_MEMBERS} members"
                        )));
                    }
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// A member's name as it is read; `Cow<str>` alone would always copy.
struct NameRead<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for NameRead<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrow;
        impl<'de> Visitor<'de> for Borrow {
            type Value = NameRead<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member name")
            }
            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(NameRead(Cow::Borrowed(name)))
            }
            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(NameRead(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrow)
    }
}
