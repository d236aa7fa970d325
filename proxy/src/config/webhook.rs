use http::{HeaderValue, Uri};
use secrecy::{ExposeSecret, SecretString};

use super::url;

/// Where something is posted to. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    /// Its address. Many have a secret in the path: never shown.
    pub(crate) url: Uri,
    /// Sent with each post.
    pub(crate) authorization: Option<HeaderValue>,
    /// Whether its name may resolve to a private, loopback or link-local address.
    pub(crate) allow_private: bool,
}

impl Webhook {
    /// Checks the address: https, or http where private addresses are allowed.
    pub(super) fn checked(text: &str, allow_private: bool) -> Result<Self, String> {
        let url = url::checked(text, allow_private)?;
        if url.scheme_str() == Some("http") && !allow_private {
            return Err(
                "is http, which anybody on the way reads; use https, or add webhook_allow_private = true if it is \
                 on this computer or network"
                    .into(),
            );
        }
        Ok(Self {
            url,
            authorization: None,
            allow_private,
        })
    }

    /// Sends `secret` with each post, as a bearer token.
    pub(super) fn bearer(mut self, secret: &SecretString) -> Result<Self, String> {
        let value = HeaderValue::from_str(&format!("Bearer {}", secret.expose_secret()));
        let mut value = value.map_err(|_| "has characters that no header can have".to_owned())?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Ok(self)
    }

    /// All of its address that is shown.
    pub(crate) fn host(&self) -> &str {
        self.url.host().unwrap_or_default()
    }
}
