use std::borrow::Cow;

use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::{error::Error, json::RawObject};

/// The messages of a chat request, borrowed from its body.
#[derive(Debug)]
pub struct Prompt<'a> {
    messages: Vec<View<'a>>,
}

#[derive(Debug, Deserialize)]
struct View<'a> {
    #[serde(default, borrow)]
    role: Cow<'a, str>,
    #[serde(default, borrow)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(default, borrow)]
    r#type: Cow<'a, str>,
    #[serde(default, borrow)]
    text: Option<Cow<'a, str>>,
    image_url: Option<IgnoredAny>,
}

/// A message to put into a request.
#[derive(Debug, Clone, Serialize)]
pub struct Message<'a> {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: &'a str,
    /// Plain text.
    pub content: &'a str,
}

impl<'a> Prompt<'a> {
    /// The messages of `body`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if `messages` is missing, empty or no list of objects.
    pub fn of(body: &'a RawObject) -> Result<Self, Error> {
        let messages: Vec<View<'a>> = body
            .get_as("messages")?
            .ok_or_else(|| Error::invalid("`messages` is missing").param("messages"))?;
        if messages.is_empty() {
            return Err(Error::invalid("`messages` is empty").param("messages"));
        }
        Ok(Self { messages })
    }

    /// How many messages there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Never: an empty prompt is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The text of the last message from the user; the last message's of any role, if the user said nothing.
    #[must_use]
    pub fn question(&self) -> String {
        let last_user = self.messages.iter().rev().find(|m| m.role == "user");
        last_user
            .or(self.messages.last())
            .map(View::text)
            .unwrap_or_default()
    }

    /// Roles and texts of all messages.
    pub fn texts(&self) -> impl Iterator<Item = (&str, String)> {
        self.messages.iter().map(|m| (&*m.role, m.text()))
    }

    /// Whether any message carries an image.
    #[must_use]
    pub fn has_images(&self) -> bool {
        self.messages.iter().any(View::has_images)
    }
}

impl Part<'_> {
    fn is_image(&self) -> bool {
        let kind = matches!(&*self.r#type, "image_url" | "input_image" | "image");
        kind || self.image_url.is_some()
    }
}

impl View<'_> {
    fn text(&self) -> String {
        let Some(content) = self.content else {
            return String::new();
        };
        if let Ok(text) = serde_json::from_str::<Cow<'_, str>>(content.get()) {
            return text.into_owned();
        }
        let parts = self.parts().unwrap_or_default();
        let texts = parts.into_iter().filter_map(|part| part.text);
        texts.collect::<Vec<_>>().join("\n")
    }

    fn has_images(&self) -> bool {
        match (self.parts(), self.content) {
            (Some(parts), _) => parts.iter().any(Part::is_image),
            // Not all that providers take has the form of parts.
            (None, Some(content)) => {
                let content = content.get();
                !content.starts_with('"') && content.contains("\"image_url\"")
            }
            (None, None) => false,
        }
    }

    /// `None` if the content is anything but a list of parts.
    fn parts(&self) -> Option<Vec<Part<'_>>> {
        let content = self.content?.get();
        // Most contents are text, which need not be parsed to know that.
        content
            .starts_with('[')
            .then(|| serde_json::from_str(content).ok())?
    }
}
