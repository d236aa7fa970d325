//! A configured provider as the parts of its deployments' attempt rings.

use std::sync::Arc;

use rungs::{
    Error,
    layers::{in_flight::Permits, rate::RateLayer},
    provider::{Dialect, Endpoint, ReqwestTransport, Secret, openai},
    store::Quota,
};
use secrecy::ExposeSecret;

use crate::{config, state::State};

/// What the attempt rings of one provider share.
pub(crate) struct Provider {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) dialect: Arc<dyn Dialect>,
    pub(crate) transport: ReqwestTransport,
    pub(crate) permits: Option<Permits>,
    pub(crate) rate: Option<RateLayer>,
}

impl Provider {
    /// Builds the parts; clients, permits and counters come from `state`, so that they survive a reload.
    pub(crate) fn build(config: &config::Provider, state: &State) -> Result<Self, Error> {
        let mut endpoint = Endpoint::new(Arc::clone(&config.name), &config.base_url.to_string())?;
        if let Some(key) = &config.api_key {
            endpoint = endpoint.key(Secret::new(key.expose_secret())?);
        }
        for (name, value) in &config.headers {
            endpoint = endpoint.header(name.clone(), value.clone());
        }
        let transport = state.transport(config.allow_private);
        transport.check(&endpoint)?;
        Ok(Self {
            endpoint: Arc::new(endpoint),
            dialect: Arc::new(dialect(config)),
            transport,
            permits: config
                .max_in_flight
                .map(|max| state.permits(&config.name, max)),
            rate: rate(config, state),
        })
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
}

fn rate(config: &config::Provider, state: &State) -> Option<RateLayer> {
    if config.rpm.is_none() && config.tpm.is_none() {
        return None;
    }
    let mut layer = RateLayer::new(state.rates.clone(), format!("provider:{}", config.name));
    if let Some(limit) = config.rpm {
        layer = layer.requests(Quota::per_minute(limit));
    }
    if let Some(limit) = config.tpm {
        layer = layer.tokens(Quota::per_minute(limit));
    }
    Some(layer)
}
