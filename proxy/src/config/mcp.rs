use std::{sync::Arc, time::Duration};

use http::{Uri, uri::Authority};
use serde::{Deserialize, Deserializer, de};

use super::{Key, error::Faults, nearest::did_you_mean, seconds};

/// `[mcp_server]`: the gateway as an MCP server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Mcp {
    /// Names, without a port, under which `/mcp` may be asked for, beside those of the loopback address.
    pub(crate) hosts: Vec<String>,
    /// How long a session of the older revisions lasts without a request.
    #[serde(rename = "session_seconds", deserialize_with = "seconds::some")]
    pub(crate) session_ttl: Duration,
    /// Sessions that one key may have.
    pub(crate) max_sessions: usize,
    /// Tokens of an authorization server that open `/mcp` as keys do.
    pub(crate) oauth: Option<OAuth>,
}

impl Default for Mcp {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            session_ttl: Duration::from_secs(300),
            max_sessions: 32,
            oauth: None,
        }
    }
}

/// `[mcp_server.oauth]`: whose tokens, and what they open.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OAuth {
    /// Who issues them: the `iss` of a token, and the authorization server that clients are sent to.
    #[serde(deserialize_with = "url")]
    pub(crate) issuer: String,
    /// What they are issued for: the URL of `/mcp` as clients know it, and the `aud` of a token.
    #[serde(deserialize_with = "url")]
    pub(crate) audience: String,
    /// Where the issuer's keys are.
    #[serde(deserialize_with = "url")]
    pub(crate) jwks: String,
    /// The `[[key]]` whose rights and budgets they have.
    pub(crate) key: Arc<str>,
    /// Whether the keys may be fetched from a private address, and in plain text.
    #[serde(default)]
    pub(crate) allow_private: bool,
}

impl Mcp {
    /// Reports what does not fit the rest of the configuration.
    pub(super) fn check(&self, keys: &[Key], faults: &mut Faults<'_>) {
        let is_name = |host: &&String| {
            let authority = host.parse::<Authority>();
            authority.is_ok_and(|authority| authority.port().is_none() && !host.contains('*'))
        };
        if let Some(host) = self.hosts.iter().find(|host| !is_name(host)) {
            faults.at(
                "mcp_server.hosts",
                format_args!("`{host}` is no name like gateway.example.com, without a port"),
            );
        }
        if self.max_sessions == 0 {
            faults.at("mcp_server.max_sessions", "must be at least 1");
        }
        let Some(oauth) = &self.oauth else {
            return;
        };
        if !keys.iter().any(|key| *key.name() == *oauth.key) {
            let hint = did_you_mean(&oauth.key, keys.iter().map(Key::name));
            let why = format_args!("there is no key `{}` in the file{hint}", oauth.key);
            faults.at("mcp_server.oauth.key", why);
        }
        if !oauth.allow_private && oauth.jwks.starts_with("http:") {
            let why = "is not https: whoever is on the way could open the gateway; `allow_private = true` accepts that";
            faults.at("mcp_server.oauth.jwks", why);
        }
    }
}

fn url<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let text = String::deserialize(d)?;
    let uri = text.parse::<Uri>().ok();
    let is_web = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https"));
    match uri.filter(is_web).and_then(|uri| uri.host().map(|_| ())) {
        Some(()) => Ok(text),
        None => Err(de::Error::custom(format!(
            "`{text}` is no URL like https://auth.example.com"
        ))),
    }
}
