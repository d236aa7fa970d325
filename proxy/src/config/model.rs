use std::sync::Arc;

use rungs::catalog::{Capabilities, Capability, Deployment, Tier};
use serde::Deserialize;

use super::{
    error::Faults,
    nearest::did_you_mean,
    price::{PriceSpec, Prices},
    price_lists::{self, Row},
    provider::Terms,
};

/// The name that lets the router choose.
pub(crate) const AUTO: &str = "auto";

/// The version of prices that a configuration says itself.
pub(crate) const CONFIGURED: &str = "config";

/// `[[model]]` as written: one deployment.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelSpec {
    pub(crate) id: String,
    pub(crate) provider: String,
    pub(super) upstream: Option<String>,
    tier: Tier,
    #[serde(default = "general")]
    pub(super) capabilities: Vec<Capability>,
    context_window: Option<u64>,
    max_output: Option<u64>,
    price: Option<PriceSpec>,
    rpm: Option<u64>,
    tpm: Option<u64>,
    #[serde(default)]
    priority: i32,
    #[serde(default)]
    pub(super) fallback: Vec<String>,
}

/// A deployment and the models to ask when it does not answer.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    /// The deployment.
    pub(crate) deployment: Arc<Deployment>,
    /// Names of other models.
    pub(crate) fallback: Vec<String>,
    /// Requests per minute, within its provider's.
    pub(crate) rpm: Option<u64>,
    /// Tokens per minute, within its provider's.
    pub(crate) tpm: Option<u64>,
}

impl ModelSpec {
    /// A model of which nothing is known but that it costs nothing, as Ollama has them.
    pub(super) fn free(provider: &str, id: &str, capability: Capability) -> Self {
        Self {
            id: id.to_owned(),
            provider: provider.to_owned(),
            upstream: None,
            tier: Tier::L0,
            capabilities: vec![capability],
            context_window: None,
            max_output: None,
            price: Some(PriceSpec::free()),
            rpm: None,
            tpm: None,
            priority: 0,
            fallback: Vec::new(),
        }
    }

    /// `provider/id`.
    pub(super) fn deployment_id(&self) -> String {
        format!("{}/{}", self.provider, self.id)
    }

    /// Checks what can be seen without the other models; `path` is where it is written.
    pub(super) fn resolve(&self, path: &str, terms: Terms, faults: &mut Faults<'_>) -> Model {
        let invisible = |c: char| c.is_whitespace() || c.is_control();
        if self.id.is_empty() || self.id.contains(invisible) {
            faults.at(&format!("{path}.id"), "is empty or has a space in it");
        }
        if self.id == AUTO {
            faults.at(
                &format!("{path}.id"),
                "`auto` is the router's own name; choose another",
            );
        }
        let capabilities: Capabilities = self.capabilities.iter().copied().collect();
        if capabilities.contains(Capability::Embeddings.into()) && capabilities.len() > 1 {
            faults.at(
                &format!("{path}.capabilities"),
                "a model for embeddings does not chat; list it as [\"embeddings\"] alone",
            );
        }
        if capabilities.is_empty() {
            faults.at(
                &format!("{path}.capabilities"),
                "is empty; leave it out for [\"general\"]",
            );
        }
        for (name, limit) in [("rpm", self.rpm), ("tpm", self.tpm)] {
            if limit == Some(0) {
                faults.at(
                    &format!("{path}.{name}"),
                    "0 would refuse everything; leave it out for no limit",
                );
            }
        }
        for (name, tokens) in [
            ("context_window", self.context_window),
            ("max_output", self.max_output),
        ] {
            if tokens == Some(0) {
                faults.at(
                    &format!("{path}.{name}"),
                    "is 0; leave it out if it is not known",
                );
            }
        }
        let upstream = self.upstream.as_deref().unwrap_or(&self.id);
        let Known {
            row,
            prices,
            version,
        } = self.known(upstream, path, faults);
        let deployment = Deployment {
            id: self.deployment_id().into(),
            model: self.id.as_str().into(),
            provider: self.provider.as_str().into(),
            upstream: upstream.into(),
            tier: self.tier,
            capabilities,
            context_window: self
                .context_window
                .or(row.and_then(|row| row.context_window)),
            max_output: row.and_then(|row| row.max_output),
            output_cap: self.max_output,
            price: prices.map(|prices| prices.usual),
            class_prices: prices.map(|prices| prices.classes).unwrap_or_default(),
            price_version: version,
            free_members: terms.free_members,
            thinking: terms.thinking,
            priority: self.priority,
        };
        Model {
            deployment: Arc::new(deployment),
            fallback: self.fallback.clone(),
            rpm: self.rpm,
            tpm: self.tpm,
        }
    }

    /// What the price lists know of the model. What is written here wins.
    fn known(&self, upstream: &str, path: &str, faults: &mut Faults<'_>) -> Known {
        let own = price_lists::find(&self.provider, upstream);
        let listed = match &self.price {
            None => own,
            Some(PriceSpec::Own(prices)) => {
                return Known {
                    row: own.map(|(row, _)| row),
                    prices: Some(**prices),
                    version: Some(CONFIGURED.into()),
                };
            }
            Some(PriceSpec::Like(name)) => {
                let found = price_lists::named(name);
                let fault = &format!("{path}.price");
                if found.is_some_and(|(row, _)| row.prices().is_none()) {
                    faults.at(
                        fault,
                        format_args!("`{name}` has no price in the price lists"),
                    );
                }
                if found.is_none() {
                    let names = price_lists::names_like(name);
                    let hint = did_you_mean(name, names.iter().map(String::as_str));
                    faults.at(
                        fault,
                        format_args!("there is no `{name}` in the price lists{hint}"),
                    );
                }
                found
            }
        };
        let (row, version) = listed.unzip();
        let prices = row.and_then(Row::prices).copied();
        Known {
            row,
            version: prices.and(version).cloned(),
            prices,
        }
    }
}

/// What is known of a model besides what its entry says.
struct Known {
    row: Option<&'static Row>,
    prices: Option<Prices>,
    version: Option<Arc<str>>,
}

impl Model {
    /// Whether it turns text into vectors and does not chat.
    pub(crate) fn embeds(&self) -> bool {
        self.deployment
            .capabilities
            .contains(Capability::Embeddings.into())
    }
}

fn general() -> Vec<Capability> {
    vec![Capability::General]
}
