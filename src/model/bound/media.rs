//! What a prompt refers to instead of saying it: pictures, clips and files, whose tokens its length does not bound.

use std::{borrow::Cow, ops::AddAssign};

use crate::json::{self, Fault, Scan};

/// How many of them a prompt holds, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Media {
    /// What can be nothing but a picture.
    pub(crate) pictures: u64,
    /// Files: a page of text, or a thousand.
    pub(crate) files: u64,
    /// Recordings, clips, and whatever this code has never heard of, which may not be paid for as text is.
    pub(crate) others: u64,
}

/// What one count has room for when all of them are packed.
const MOST: u64 = (1 << 21) - 1;

impl Media {
    const NONE: Self = Self {
        pictures: 0,
        files: 0,
        others: 0,
    };
    const PICTURE: Self = Self {
        pictures: 1,
        ..Self::NONE
    };
    const FILE: Self = Self {
        files: 1,
        ..Self::NONE
    };
    const OTHER: Self = Self {
        others: 1,
        ..Self::NONE
    };

    /// Whether there are none.
    pub(crate) fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// In one number.
    pub(super) fn packed(self) -> u64 {
        self.pictures.min(MOST) << 42 | self.files.min(MOST) << 21 | self.others.min(MOST)
    }

    /// What was [`packed`](Self::packed).
    pub(super) fn unpacked(packed: u64) -> Self {
        Self {
            pictures: packed >> 42,
            files: packed >> 21 & MOST,
            others: packed & MOST,
        }
    }
}

impl AddAssign for Media {
    fn add_assign(&mut self, more: Self) {
        self.pictures += more.pictures;
        self.files += more.files;
        self.others += more.others;
    }
}

/// The media in the messages of a chat.
///
/// They are counted where providers read them, by structure: a name may be spelled with escapes, and a kind or a member that
/// this code has never heard of counts too: some providers read names in capitals. What does not have the form of messages counts
/// as much as it has room for.
pub(super) fn in_messages(messages: &str) -> Media {
    let mut found = Media::NONE;
    let walked = json::elements(messages, |message| {
        found += each_member(message, |name, value| match &*name {
            // Calls of functions are text, and so are thoughts.
            "function_call" | "tool_calls" | "reasoning_details" => {
                value.value().map(|_| Media::NONE)
            }
            // What an earlier answer was spoken as.
            "audio" if value.is_object() => value.value().map(|_| Media::OTHER),
            name if name != "content" && value.is_object() => value.value().map(|_| Media::FILE),
            // Or drawn as, and what was read for it.
            _ => content(value),
        })?;
        Ok(())
    });
    match walked {
        Ok(()) => found,
        Err(_) => objects(messages),
    }
}

/// The media in the input of an embedding; texts and tokens are none.
pub(super) fn in_input(input: &str) -> Media {
    let mut found = Media::NONE;
    let walked = json::elements(input, |element| {
        found += content(element)?;
        Ok(())
    });
    match walked {
        Ok(()) => found,
        Err(_) if input.starts_with('"') => Media::NONE,
        Err(_) => objects(input),
    }
}

/// As many as there is room for.
fn objects(json: &str) -> Media {
    Media {
        others: json.bytes().filter(|byte| *byte == b'{').count() as u64,
        ..Media::NONE
    }
}

/// The media in a message's content: its text, or one part or several.
fn content(value: &mut Scan<'_>) -> Result<Media, Fault> {
    if value.is_object() {
        return part(value);
    }
    let mut found = Media::NONE;
    if !value.is_array() {
        value.value()?;
        return Ok(found);
    }
    value.elements(|element| {
        found += content(element)?;
        Ok(())
    })?;
    Ok(found)
}

/// The medium that a part is, if it is one, and the media in it.
fn part(value: &mut Scan<'_>) -> Result<Media, Fault> {
    let mut kinds = Kinds::default();
    let mut found = each_member(value, |name, value| match &*name {
        // Some clients write what they do not set.
        _ if value.is_null() => value.value().map(|_| Media::NONE),
        "type" => {
            kinds.see(&json::meaning(value.value()?.trim_matches('"')));
            Ok(Media::NONE)
        }
        "image_url" => {
            match is_picture(value)? {
                true => kinds.drawn += 1,
                false => kinds.others += 1,
            }
            Ok(Media::NONE)
        }
        name => {
            match name {
                "file" | "file_id" | "file_url" | "file_data" | "filename" => kinds.filed += 1,
                "detail" => {}
                name => kinds.others += u64::from(!is_of_text(name)),
            }
            match value.is_object() && name != "content" {
                true => each_member(value, |_, value| content(value)),
                false => content(value),
            }
        }
    })?;
    found += kinds.medium();
    Ok(found)
}

/// What the members of a part say it is.
#[derive(Default)]
struct Kinds {
    told: u64,
    texts: u64,
    pictures: u64,
    files: u64,
    /// References to pictures.
    drawn: u64,
    /// Members of files.
    filed: u64,
    /// Members that none of them have, or that refer to something else.
    others: u64,
}

impl Kinds {
    /// A kind is told, by the meaning of a JSON string.
    fn see(&mut self, kind: &str) {
        self.told += 1;
        self.texts += u64::from(is_text(kind));
        self.pictures += u64::from(matches!(kind, "image_url" | "input_image"));
        self.files += u64::from(matches!(kind, "file" | "input_file"));
    }

    fn medium(&self) -> Media {
        let known = self.texts + self.pictures + self.files;
        if self.told == 0 || self.told > known || self.others > 0 {
            return Media::OTHER;
        }
        match (self.files + self.filed, self.pictures + self.drawn) {
            (1.., _) => Media::FILE,
            (0, 1..) => Media::PICTURE,
            (0, 0) => Media::NONE,
        }
    }
}

/// Whether a part of that kind, a JSON string's meaning, is bounded by its length.
fn is_text(kind: &str) -> bool {
    matches!(
        kind,
        "text"
            | "input_text"
            | "output_text"
            | "refusal"
            | "reasoning"
            | "thinking"
            | "url_citation"
    )
}

/// Whether a text has such a member. Some providers look for others first, and for the kind only if there are none.
fn is_of_text(name: &str) -> bool {
    matches!(
        name,
        "text"
            | "refusal"
            | "reasoning"
            | "thinking"
            | "content"
            | "signature"
            | "cache_control"
            | "annotations"
            | "citations"
            | "url_citation"
            | "logprobs"
            | "id"
            | "index"
    )
}

/// Whether what a part refers to as a picture cannot be anything else.
fn is_picture(value: &mut Scan<'_>) -> Result<bool, Fault> {
    if !value.is_object() {
        return Ok(refers_to_picture(value.value()?));
    }
    // Whichever of several addresses a provider takes, it is that of a picture.
    let (mut pictures, mut others) = (0, 0);
    value.members(|name, value| {
        let value = value.value()?;
        match &*json::meaning(name) {
            "url" if refers_to_picture(value) => pictures += 1,
            "detail" => {}
            _ => others += 1,
        }
        Ok(())
    })?;
    Ok(pictures > 0 && others == 0)
}

/// Whether a JSON string is the address of a picture, or has one in it. Providers refuse an address where something else is; what
/// is in it they may take for what it says it is.
fn refers_to_picture(json: &str) -> bool {
    ["\"https://", "\"http://", "\"data:image/"]
        .iter()
        .any(|begin| begins(json, begin))
}

/// Whether a JSON text begins so, in any case; some clients escape slashes.
fn begins(json: &str, begin: &str) -> bool {
    let mut rest = json.as_bytes();
    begin.bytes().all(|wanted| {
        if wanted == b'/' && rest.starts_with(b"\\/") {
            rest = &rest[1..];
        }
        let Some((first, others)) = rest.split_first() else {
            return false;
        };
        rest = others;
        first.eq_ignore_ascii_case(&wanted)
    })
}

/// The sum of what `count` finds in the members of an object.
fn each_member<'a>(
    object: &mut Scan<'a>,
    mut count: impl FnMut(Cow<'a, str>, &mut Scan<'a>) -> Result<Media, Fault>,
) -> Result<Media, Fault> {
    let mut found = Media::NONE;
    object.members(|name, value| {
        found += count(json::meaning(name), value)?;
        Ok(())
    })?;
    Ok(found)
}
