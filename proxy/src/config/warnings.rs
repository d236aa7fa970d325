//! What is not wrong with a configuration but should be known.

use std::time::SystemTime;

use super::{Auth, Catalog, Config, Unpriced, key};

/// What is known of models beside those of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// There are no others.
    #[default]
    None,
    /// A server that was not asked may have models of any name.
    NotAsked,
    /// The Ollama at this address has none.
    Empty(String),
}

impl Config {
    pub(super) fn warn(&mut self, elsewhere: &Elsewhere) {
        let mut warnings = std::mem::take(&mut self.warnings);
        self.nobody = self.why_nobody(elsewhere);
        if self.models.is_empty() && *elsewhere == Elsewhere::NotAsked {
            warnings.push("there are no models, unless a local Ollama has some: that is asked at the start only".into());
        } else {
            warnings.extend(self.nobody.clone());
        }
        for model in &self.models {
            if model.deployment.price.is_none() && self.budget.unpriced == Unpriced::Refuse {
                warnings.push(format!(
                    "`{}` has no price: budgets will refuse it; set `price`, or `price = 0` if it is free",
                    model.deployment.id
                ));
            }
        }
        for provider in self
            .providers
            .iter()
            .filter(|provider| provider.exposes_key())
        {
            warnings.push(format!(
                "provider `{}` gets its key over http, unencrypted",
                provider.name
            ));
        }
        if self.server.auth == Some(Auth::None) && !self.keys.is_empty() {
            warnings
                .push("`server.auth` is \"none\": the keys of the file are not asked for".into());
        }
        for name in key::ended(&self.keys, SystemTime::now()) {
            warnings.push(format!(
                "the key `{name}` has expired, or one above it: it opens nothing"
            ));
        }
        if self.store.redis.is_some() && self.limits.replicas.is_none() {
            warnings.push(
                "`limits.replicas` is not set: while Redis is away this process takes itself for the only one, and does not \
                 share its limits; set it to the number of processes"
                    .into(),
            );
        }
        self.warnings = warnings;
    }

    fn why_nobody(&self, elsewhere: &Elsewhere) -> Option<String> {
        if self.models.is_empty() {
            return Some(match elsewhere {
                Elsewhere::Empty(address) => format!(
                    "there are no models: the Ollama at {address} has none; `ollama pull qwen3:4b` gets one"
                ),
                _ => "there are no models: set a provider's key such as OPENAI_API_KEY, start an Ollama, or write \
                      [[provider]] and [[model]] entries"
                    .into(),
            });
        }
        let nobody = Catalog::new(self).deployments().is_empty();
        nobody.then(|| {
            "there are no models: each is on a tier that `routing.disabled_tiers` leaves out".into()
        })
    }
}
