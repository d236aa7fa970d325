use std::{borrow::Cow, fmt, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Uri,
    header::{ACCEPT, CONTENT_TYPE, USER_AGENT},
    uri::{Authority, PathAndQuery, Scheme},
};

use super::secret::{Secret, to_redact};
use crate::error::Error;

/// The longest text of a provider that is passed on, in characters.
const MAX_TEXT: usize = 300;

/// Where a provider is, and with which key it is asked.
///
/// Scheme, host and port are parsed once, from the configuration. A request adds a path of its dialect and has no way to
/// name another host.
#[derive(Clone)]
pub struct Endpoint {
    provider: Arc<str>,
    scheme: Scheme,
    authority: Authority,
    prefix: Box<str>,
    query: Box<str>,
    headers: HeaderMap,
    key: Option<Secret>,
}

impl Endpoint {
    /// The endpoint of `provider` at `base_url`, such as `https://api.openai.com/v1`. A query is kept behind every path.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) unless it is an `http` or `https` URL with a host and without user
    /// and password.
    pub fn new(provider: impl Into<Arc<str>>, base_url: &str) -> Result<Self, Error> {
        let provider = provider.into();
        let wrong = |why: &str| {
            Error::invalid(format!("the base URL of provider `{provider}` {why}")).param("base_url")
        };
        let uri: Uri = base_url.parse().map_err(|_| wrong("is no URL"))?;
        let parts = uri.into_parts();
        let scheme = parts
            .scheme
            .filter(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS)
            .ok_or_else(|| wrong("must start with https:// or http://"))?;
        let authority = parts
            .authority
            .filter(|authority| !authority.host().is_empty())
            .ok_or_else(|| wrong("has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("must not contain a user or a password"));
        }
        let (prefix, query) = parts.path_and_query.map_or_else(Default::default, |path| {
            let query = path.query().map(|query| format!("?{query}"));
            (
                path.path().trim_end_matches('/').into(),
                query.unwrap_or_default().into(),
            )
        });
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("rungs/", env!("CARGO_PKG_VERSION"))),
        );
        Ok(Self {
            provider,
            scheme,
            authority,
            prefix,
            query,
            headers,
            key: None,
        })
    }

    /// Sets the key.
    #[must_use]
    pub fn key(mut self, key: Secret) -> Self {
        self.key = Some(key);
        self
    }

    /// Adds a header to every request. Mark its value sensitive if it is a secret.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The provider's configured name.
    #[must_use]
    pub fn provider(&self) -> &Arc<str> {
        &self.provider
    }

    /// The key, if there is one.
    #[must_use]
    pub fn get_key(&self) -> Option<&Secret> {
        self.key.as_ref()
    }

    /// The URL of `path`, which starts with `/`.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if `path` has characters that no URL may have.
    pub fn uri(&self, path: &str) -> Result<Uri, Error> {
        let path = Bytes::from([&self.prefix, path, &self.query].concat());
        let wrong = |_| Error::internal("the dialect's path is no URL path");
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(PathAndQuery::from_maybe_shared(path).map_err(wrong)?);
        Uri::from_parts(parts).map_err(|_| Error::internal("the dialect's path is no URL path"))
    }

    /// A `POST` of JSON to `path`, with the headers of this endpoint but without its key, which dialects write differently.
    ///
    /// # Errors
    /// As [`Endpoint::uri`].
    pub fn post(
        &self,
        path: &str,
        accept: &'static str,
        body: Bytes,
    ) -> Result<Request<Bytes>, Error> {
        let mut request = Request::new(body);
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri(path)?;
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        Ok(request)
    }

    /// A provider's text made fit to be shown: no secrets, no control characters, at most 300 characters.
    pub(super) fn clean<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        let key = self.key.as_ref().map(Secret::plain);
        // Before anything is cut off: half a key is a leak too.
        for secret in key
            .iter()
            .chain(self.headers.values())
            .filter_map(to_redact)
        {
            if text.contains(secret) {
                text = text.replace(secret, "[redacted]").into();
            }
        }
        if text.contains(unprintable) {
            text = text.replace(unprintable, " ").into();
        }
        if let Some((end, _)) = text.char_indices().nth(MAX_TEXT) {
            text = format!("{}…", &text[..end]).into();
        }
        text
    }
}

/// Control characters, and those that turn the direction of a text around.
fn unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("provider", &self.provider)
            .field("authority", &self.authority)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
