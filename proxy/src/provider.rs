//! A configured provider as the parts of its deployments' attempt rings.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use rungs::{
    Error,
    catalog::Deployment,
    layers::{
        drain::{DrainLayer, Drains},
        in_flight::Permits,
        rate::RateLayer,
    },
    provider::{
        Dialect, Endpoint, HttpProvider, HyperTransport, ReqwestTransport, Secret, TransportConfig,
        openai,
    },
    store::Quota,
};
use secrecy::ExposeSecret;
use tower::util::Either;

use crate::{config, state::State};

/// What the attempt rings of one provider share.
pub(crate) struct Provider {
    endpoint: Arc<Endpoint>,
    dialect: Arc<dyn Dialect>,
    client: Client,
    pub(crate) permits: Option<Permits>,
    rate: Option<RateLayer>,
    pub(crate) drain: Option<DrainLayer>,
    /// Of what its deployments have in common.
    fingerprint: u64,
}

/// The way to a provider.
#[derive(Clone)]
enum Client {
    Direct(HyperTransport),
    /// Through the proxies that the environment names.
    Proxied(ReqwestTransport),
}

/// The leaf of an attempt ring.
pub(crate) type Leaf = Either<HttpProvider<HyperTransport>, HttpProvider<ReqwestTransport>>;

impl Provider {
    /// Builds the parts; clients, permits and counters come from `state`, so that they survive a reload.
    pub(crate) fn build(
        config: &config::Provider,
        drains: Drains,
        state: &State,
    ) -> Result<Self, Error> {
        let mut endpoint = Endpoint::new(Arc::clone(&config.name), &config.base_url.to_string())?;
        if let Some(key) = &config.api_key {
            endpoint = endpoint.key(Secret::new(key.expose_secret())?);
        }
        for (name, value) in &config.headers {
            endpoint = endpoint.header(name.clone(), value.clone());
        }
        let client = client(config, state)?;
        match &client {
            Client::Direct(transport) => transport.check(&endpoint)?,
            Client::Proxied(transport) => transport.check(&endpoint)?,
        }
        Ok(Self {
            endpoint: Arc::new(endpoint),
            dialect: Arc::new(dialect(config)),
            client,
            permits: config
                .max_in_flight
                .map(|max| state.permits(&config.name, max)),
            rate: rate(
                format!("provider:{}", config.name),
                config.rpm,
                config.tpm,
                state,
            ),
            drain: match config.on_disconnect {
                config::OnDisconnect::Cancel => None,
                config::OnDisconnect::Drain => Some(DrainLayer::new(drains)),
            },
            fingerprint: fingerprint(config),
        })
    }

    /// The provider's limits and the model's own: an attempt takes from all of them, or from none.
    pub(crate) fn rates(&self, model: Option<&config::Model>, state: &State) -> Option<RateLayer> {
        let own = model.and_then(|model| {
            let name = format!("model:{}", model.deployment.id);
            rate(name, model.rpm, model.tpm, state)
        });
        match (self.rate.clone(), own) {
            (Some(all), Some(own)) => Some(all.and(own)),
            (all, own) => all.or(own),
        }
    }

    /// Another one if anything is that decides whether calls of `deployment` succeed: what is known of its health is then of no use.
    pub(crate) fn fingerprint(&self, deployment: &Deployment) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.fingerprint, &*deployment.upstream).hash(&mut hasher);
        hasher.finish()
    }

    /// A pure dialect over an HTTP client.
    pub(crate) fn leaf(&self, deployment: &Arc<Deployment>) -> Leaf {
        let (deployment, endpoint, dialect) = (
            deployment.clone(),
            self.endpoint.clone(),
            self.dialect.clone(),
        );
        match self.client.clone() {
            Client::Direct(client) => {
                Either::Left(HttpProvider::new(client, deployment, endpoint, dialect))
            }
            Client::Proxied(client) => {
                Either::Right(HttpProvider::new(client, deployment, endpoint, dialect))
            }
        }
    }
}

/// It never leaves the process.
fn fingerprint(config: &config::Provider) -> u64 {
    let mut hasher = DefaultHasher::new();
    config.base_url.hash(&mut hasher);
    let key = config.api_key.as_ref();
    key.map(|key| key.expose_secret()).hash(&mut hasher);
    for (name, value) in &config.headers {
        (name, value).hash(&mut hasher);
    }
    (config.allow_private, config.proxy).hash(&mut hasher);
    hasher.finish()
}

fn client(config: &config::Provider, state: &State) -> Result<Client, Error> {
    match config.proxy {
        config::Proxy::None => Ok(Client::Direct(state.transport(config.allow_private))),
        config::Proxy::Environment => {
            let options = TransportConfig::default();
            let options = match config.allow_private {
                true => options.allow_private(),
                false => options,
            };
            Ok(Client::Proxied(ReqwestTransport::new(&options)?))
        }
    }
}

fn dialect(config: &config::Provider) -> openai::OpenAi {
    let config::Dialect::Openai = config.dialect;
    openai::OpenAi::new()
        .terminal(match config.terminal {
            config::Terminal::Done => openai::Terminal::Done,
            config::Terminal::FinishReason => openai::Terminal::FinishReason,
        })
        .metering(match config.metering {
            config::Metering::Ask => openai::Metering::Ask,
            config::Metering::Accept => openai::Metering::Accept,
        })
        .output_limit(match config.output_limit {
            config::OutputLimit::AsAsked => openai::OutputLimit::AsAsked,
            config::OutputLimit::MaxTokens => openai::OutputLimit::MaxTokens,
        })
}

/// Limits that `state` counts under `name`, if there are any.
fn rate(name: String, rpm: Option<u64>, tpm: Option<u64>, state: &State) -> Option<RateLayer> {
    if rpm.is_none() && tpm.is_none() {
        return None;
    }
    let mut layer = RateLayer::new(state.rates.clone(), name);
    if let Some(limit) = rpm {
        layer = layer.requests(Quota::per_minute(limit));
    }
    if let Some(limit) = tpm {
        layer = layer.tokens(Quota::per_minute(limit));
    }
    Some(layer)
}
