use std::{collections::BTreeMap, sync::Arc};

use http::{HeaderMap, Uri};
use rungs::catalog::Thinking;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{World, error::Faults, secret::SecretSpec, url};

/// The wire format of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Dialect {
    /// OpenAI's, spoken by most.
    #[default]
    Openai,
}

/// How a provider says that a stream is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Terminal {
    /// With `[DONE]`.
    #[default]
    Done,
    /// With a chunk that has a `finish_reason`; `[DONE]` may be missing.
    FinishReason,
}

/// How the usage of a stream is learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Metering {
    /// Always asked for.
    #[default]
    Ask,
    /// Taken as it comes, from servers that refuse to be asked.
    Accept,
}

/// Under which name the output limit of a chat is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OutputLimit {
    /// As the client names it.
    AsAsked,
    /// As `max_tokens`, which every server goes by that is not OpenAI's own.
    MaxTokens,
}

impl OutputLimit {
    /// For the server of that name. Those named here go by `max_completion_tokens`; others may pass over it.
    fn of_host(host: &str) -> Self {
        const NEW: [&str; 4] = ["openai.com", "azure.com", "openrouter.ai", "groq.com"];
        match NEW.iter().any(|domain| is_within(host, domain)) {
            true => Self::AsAsked,
            false => Self::MaxTokens,
        }
    }
}

/// Whether a host is of that domain.
fn is_within(host: &str, domain: &str) -> bool {
    let rest = host.strip_suffix(domain);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// What happens to an attempt whose client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnDisconnect {
    /// The connection is closed; the attempt is charged at its worst case.
    #[default]
    Cancel,
    /// It is read to its end, up to `limits.max_drains` of them, and charged what it cost.
    Drain,
}

/// Whether a provider is reached through a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Proxy {
    /// Straight.
    #[default]
    None,
    /// Through the one that `HTTPS_PROXY` and its like name, if they do.
    Environment,
}

/// `[[provider]]` as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderSpec {
    pub(crate) name: String,
    #[serde(default)]
    dialect: Dialect,
    base_url: String,
    /// Only active while this environment variable is set.
    pub(crate) when_env: Option<String>,
    api_key: Option<SecretSpec>,
    #[serde(default)]
    headers: BTreeMap<String, SecretSpec>,
    #[serde(default)]
    allow_private: bool,
    max_in_flight: Option<usize>,
    rpm: Option<u64>,
    tpm: Option<u64>,
    #[serde(default)]
    terminal: Terminal,
    #[serde(default)]
    metering: Metering,
    output_limit: Option<OutputLimit>,
    #[serde(default)]
    free_members: Vec<Box<str>>,
    thinking: Option<Thinking>,
    #[serde(default)]
    proxy: Proxy,
    #[serde(default)]
    on_disconnect: OnDisconnect,
}

/// What a provider's deployments have from it.
#[derive(Debug, Clone, Default)]
pub(super) struct Terms {
    /// The members of a request that cost nothing there.
    pub(super) free_members: Arc<[Box<str>]>,
    /// Whether the limit of an answer bounds its thoughts there.
    pub(super) thinking: Thinking,
}

/// A provider that can be called. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub(crate) struct Provider {
    /// Its name, the first part of the ids of its deployments.
    pub(crate) name: Arc<str>,
    /// What it speaks.
    pub(crate) dialect: Dialect,
    /// The address whose path `/chat/completions` is appended to; without credentials. A query stays behind the path.
    pub(crate) base_url: Uri,
    /// Sent as a bearer token.
    pub(crate) api_key: Option<SecretString>,
    /// Sent with each request; all marked sensitive.
    pub(crate) headers: HeaderMap,
    /// Whether its name may resolve to a private, loopback or link-local address.
    pub(crate) allow_private: bool,
    /// Attempts at once.
    pub(crate) max_in_flight: Option<usize>,
    /// Requests per minute.
    pub(crate) rpm: Option<u64>,
    /// Tokens per minute.
    pub(crate) tpm: Option<u64>,
    /// How its streams end.
    pub(crate) terminal: Terminal,
    /// How their usage is learnt.
    pub(crate) metering: Metering,
    /// How the limits of their answers are named.
    pub(crate) output_limit: OutputLimit,
    /// Whether it is reached through a proxy.
    pub(crate) proxy: Proxy,
    /// What happens to an attempt whose client leaves.
    pub(crate) on_disconnect: OnDisconnect,
}

impl ProviderSpec {
    /// Whether its `when_env` is fulfilled.
    pub(crate) fn is_active(&self, world: &World<'_>) -> bool {
        self.when_env
            .as_deref()
            .is_none_or(|name| world.var(name).is_some())
    }

    /// What its deployments have from it.
    pub(super) fn terms(&self) -> Terms {
        Terms {
            free_members: self.free_members.as_slice().into(),
            thinking: self.thinking.unwrap_or_else(|| self.usual_thinking()),
        }
    }

    /// Of those that are known, only Alibaba lets models think beside the limit of an answer.
    fn usual_thinking(&self) -> Thinking {
        let url = self.base_url.parse::<Uri>().unwrap_or_default();
        let host = url.host().unwrap_or_default().to_ascii_lowercase();
        match is_within(&host, "aliyuncs.com") {
            true => Thinking::Beside,
            false => Thinking::Within,
        }
    }

    /// Puts another address in place of the one written.
    pub(super) fn at(mut self, base_url: String) -> Self {
        self.base_url = base_url;
        self
    }

    /// Checks everything and fetches the secrets; `path` is where it is written.
    pub(super) fn resolve(
        &self,
        path: &str,
        world: &World<'_>,
        faults: &mut Faults<'_>,
    ) -> Option<Provider> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
        if self.name.is_empty() || !self.name.chars().all(plain) {
            faults.at(
                &format!("{path}.name"),
                format_args!(
                    "`{}` has more in it than letters, digits, `-`, `_` and `.`",
                    self.name
                ),
            );
        }
        for (name, limit) in [
            ("max_in_flight", self.max_in_flight.map(|n| n as u64)),
            ("rpm", self.rpm),
            ("tpm", self.tpm),
        ] {
            if limit == Some(0) {
                faults.at(
                    &format!("{path}.{name}"),
                    "0 would refuse everything; leave it out for no limit",
                );
            }
        }
        let api_key = self.api_key.as_ref().and_then(|key| {
            key.resolve(world)
                .and_then(
                    |key| match rungs::provider::Secret::new(key.expose_secret()) {
                        Ok(_) => Ok(key),
                        Err(error) => Err(error.message().to_owned()),
                    },
                )
                .map_err(|why| faults.at(&format!("{path}.api_key"), why))
                .ok()
        });
        let headers = url::headers(&self.headers, path, world, faults);
        let base_url = url::checked(&self.base_url, self.allow_private)
            .map_err(|why| faults.at(&format!("{path}.base_url"), why))
            .ok()?;
        let output_limit = self
            .output_limit
            .unwrap_or_else(|| OutputLimit::of_host(base_url.host().unwrap_or_default()));
        Some(Provider {
            name: self.name.as_str().into(),
            dialect: self.dialect,
            base_url,
            api_key,
            headers,
            allow_private: self.allow_private,
            max_in_flight: self.max_in_flight,
            rpm: self.rpm,
            tpm: self.tpm,
            terminal: self.terminal,
            metering: self.metering,
            output_limit,
            proxy: self.proxy,
            on_disconnect: self.on_disconnect,
        })
    }
}

impl Provider {
    /// Whether its key would cross a network unencrypted.
    pub(super) fn exposes_key(&self) -> bool {
        let local = self.base_url.host().is_some_and(url::is_private);
        self.api_key.is_some() && self.base_url.scheme_str() == Some("http") && !local
    }
}
