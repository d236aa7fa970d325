use std::{net::SocketAddr, time::Duration};

use http::{HeaderValue, Uri};
use serde::{Deserialize, Deserializer, de};

use super::{Config, ConfigError, seconds};

/// Who may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Auth {
    /// Only those with a key.
    Keys,
    /// Every program on this computer; never on another address than loopback.
    None,
}

/// What [`Config::check_bind`] decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Each request needs a key.
    Keys,
    /// Open to programs on this computer, closed to web pages: Host and Origin are checked, and no CORS is answered.
    Loopback,
}

/// `[server]`: the address and the limits of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Server {
    /// Where to listen.
    #[serde(deserialize_with = "address")]
    pub(crate) listen: SocketAddr,
    /// Who may come in; if unset, [`Config::check_bind`] decides.
    pub(crate) auth: Option<Auth>,
    /// Web origins that may call with a key. `*` is refused: any page a user visits could then spend their money.
    #[serde(deserialize_with = "origins")]
    pub(crate) cors_origins: Vec<HeaderValue>,
    /// The largest request body, in bytes.
    pub(crate) body_limit: usize,
    /// How long a client may take to send the head of a connection's first request.
    #[serde(rename = "header_seconds", deserialize_with = "seconds::some")]
    pub(crate) header_timeout: Duration,
    /// How long a connection that has asked may have nothing under way, and take to send the head of the next request.
    #[serde(rename = "idle_seconds", deserialize_with = "seconds::some")]
    pub(crate) idle_timeout: Duration,
    /// How long a client may take to send the body.
    #[serde(rename = "read_seconds", deserialize_with = "seconds::some")]
    pub(crate) read_timeout: Duration,
    /// How long running answers may take after the signal to stop.
    #[serde(rename = "drain_seconds", deserialize_with = "seconds::or_off")]
    pub(crate) drain: Duration,
    /// How often a silent stream gets an SSE comment; zero is never.
    #[serde(rename = "ping_seconds", deserialize_with = "seconds::or_off")]
    pub(crate) ping: Duration,
    /// Connections at once; more wait in the backlog.
    pub(crate) max_connections: usize,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 3000)),
            auth: None,
            cors_origins: Vec::new(),
            body_limit: 16 << 20,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            read_timeout: Duration::from_secs(60),
            drain: Duration::from_secs(30),
            ping: Duration::from_secs(15),
            max_connections: 4096,
        }
    }
}

impl Config {
    /// For a process that listens nowhere: no address can be open to anybody.
    pub(crate) fn listen_nowhere(&mut self) {
        self.server.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    }

    /// Decides who may come in. Ask again after the listen address was overridden.
    ///
    /// Fails, and the gateway must then refuse to start, if it would be open to other computers.
    pub(crate) fn check_bind(&self, has_store_keys: bool) -> Result<Access, ConfigError> {
        let has_keys = has_store_keys || !self.keys.is_empty() || self.admin.is_some();
        let loopback = self.server.listen.ip().is_loopback();
        match self.server.auth {
            Some(Auth::None) if !loopback => Err(self.refusal(
                "auth = \"none\" is for loopback only; remove it and create a key with `rungs keys create`",
            )),
            Some(Auth::None) => Ok(Access::Loopback),
            _ if !loopback && !has_keys => Err(self.refusal(
                "other computers could reach it and there is no key; create one with `rungs keys create`, \
                 or listen on 127.0.0.1",
            )),
            None if !has_keys => Ok(Access::Loopback),
            _ => Ok(Access::Keys),
        }
    }

    fn refusal(&self, why: &str) -> ConfigError {
        ConfigError::one(
            "server.listen",
            format!("refuses to start on {}: {why}", self.server.listen),
        )
    }
}

fn address<'de, D: Deserializer<'de>>(d: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(d)?;
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.clone(),
    };
    numeric.parse().map_err(|_| {
        de::Error::custom(format!(
            "`{text}` is no address like 127.0.0.1:3000 or [::1]:3000"
        ))
    })
}

fn origins<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<HeaderValue>, D::Error> {
    let origins = Vec::<String>::deserialize(d)?;
    origins
        .iter()
        .map(|origin| self::origin(origin).map_err(de::Error::custom))
        .collect()
}

fn origin(text: &str) -> Result<HeaderValue, String> {
    if text == "*" {
        return Err("`*` would let any web page spend your money; name the origins".into());
    }
    let wrong = || format!("`{text}` is no origin like https://app.example.com");
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    let bare = uri
        .authority()
        .is_some_and(|host| text.ends_with(host.as_str()));
    if !web || !bare || text.contains('@') {
        return Err(wrong());
    }
    text.parse().map_err(|_| wrong())
}
