use std::fmt;

use http::HeaderValue;

use crate::error::Error;

/// Shorter secrets are placeholders of local servers; cutting them out of texts would only garble the texts.
const MIN_REDACTED: usize = 8;

/// A provider's API key. It is not printable: `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Secret {
    plain: HeaderValue,
    bearer: HeaderValue,
}

impl Secret {
    /// Takes a key.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the key is empty or has characters that no header can carry.
    pub fn new(key: &str) -> Result<Self, Error> {
        let key = key.trim();
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::invalid(
                "an API key must consist of visible ASCII characters",
            ));
        }
        let sensitive = |text: &str| {
            let mut value =
                HeaderValue::from_str(text).expect("visible ASCII is a valid header value");
            value.set_sensitive(true);
            value
        };
        Ok(Self {
            plain: sensitive(key),
            bearer: sensitive(&format!("Bearer {key}")),
        })
    }

    /// The value for `authorization`, marked sensitive.
    #[must_use]
    pub fn bearer(&self) -> HeaderValue {
        self.bearer.clone()
    }

    /// The value for headers that carry the bare key, such as `x-api-key`, marked sensitive.
    #[must_use]
    pub fn plain(&self) -> HeaderValue {
        self.plain.clone()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The text of a sensitive header value, if it is long enough to be a secret.
pub(super) fn to_redact(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok().filter(|_| value.is_sensitive())?;
    let text = text.strip_prefix("Bearer ").unwrap_or(text);
    (text.len() >= MIN_REDACTED).then_some(text)
}
