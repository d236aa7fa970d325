//! The running gateway: a configuration, the rings built from it, and the state that outlives both.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwap;
use rungs::{model::BoxModelService, route::Route, swap::Swap};

use crate::{
    auth::{Keyring, Principal},
    config::{Access, Catalog, Config, StoreUrl},
    keys::{Registry, Rules},
    mcp::{oauth::Issuer, token::LocalToken},
    provider::Provider,
    stack::{attempt_ring, call_ring},
    state::State,
    stores::is_away,
};

/// The gateway. Clones share it.
#[derive(Clone)]
pub(crate) struct Gateway(Arc<Shared>);

struct Shared {
    state: State,
    ring: Swap,
    live: ArcSwap<Live>,
    local_token: OnceLock<LocalToken>,
}

/// What a reload replaces, all at once.
pub(crate) struct Live {
    pub(crate) config: Config,
    pub(crate) catalog: Catalog,
    pub(crate) route: Route,
    pub(crate) keyring: Keyring,
    /// Whose tokens open `/mcp`, beside keys.
    pub(crate) oauth: Option<Issuer>,
    pub(crate) access: Access,
    /// Whether end users have budgets of their own.
    pub(crate) users_pay: bool,
}

impl Gateway {
    /// Opens the stores and builds the rings.
    pub(crate) async fn start(config: Config) -> anyhow::Result<Self> {
        let state = State::open(&config).await?;
        let (live, ring) = build(config, &state).await?;
        state.upstreams.adopt(&live.config.upstreams);
        Ok(Self(Arc::new(Shared {
            state,
            ring: Swap::new(ring),
            live: ArcSwap::from_pointee(live),
            local_token: OnceLock::new(),
        })))
    }

    /// Builds everything anew and swaps it in; if that fails, all stays as it was.
    pub(crate) async fn reload(&self, config: Config) -> anyhow::Result<()> {
        let (live, ring) = build(config, &self.0.state).await?;
        self.0.state.upstreams.adopt(&live.config.upstreams);
        self.0.ring.replace(ring);
        self.0.live.store(Arc::new(live));
        Ok(())
    }

    /// The call ring of the moment.
    pub(crate) fn ring(&self) -> Swap {
        self.0.ring.clone()
    }

    /// The configuration of the moment and what was made of it.
    pub(crate) fn live(&self) -> Arc<Live> {
        self.0.live.load_full()
    }

    /// What outlives configurations.
    pub(crate) fn state(&self) -> &State {
        &self.0.state
    }

    /// Who stands behind a credential; a key that is seen for the first time opens its account.
    pub(crate) async fn principal(&self, credential: &str) -> Result<Arc<Principal>, rungs::Error> {
        let live = self.live();
        if let Some(principal) = live.keyring.known(credential) {
            return Ok(principal);
        }
        let before = live.keyring.before();
        let principal = live.keyring.look_up(credential).await?;
        // Remembered only afterwards: no call may slip through while the account is not open yet.
        principal.open_accounts(&self.0.state.accounts).await?;
        live.keyring.remember(credential, &principal, before);
        Ok(principal)
    }

    /// Makes the token that opens `/mcp` on an open loopback, in a file beside the database; without a database there is none.
    pub(crate) fn make_local_token(&self) -> anyhow::Result<()> {
        let live = self.live();
        if let (Access::Loopback, StoreUrl::Sqlite(path)) = (live.access, &live.config.store.url) {
            let (token, file) = LocalToken::beside(path)?;
            tracing::info!(file = %file.display(), "the token of MCP clients over HTTP");
            let _ = self.0.local_token.set(token);
        }
        Ok(())
    }

    /// Whether a credential is that token.
    pub(crate) fn is_local_token(&self, credential: &str) -> bool {
        let token = self.0.local_token.get();
        token.is_some_and(|token| token.is(credential))
    }

    /// The keys, under the rules of the moment.
    pub(crate) fn registry(&self) -> Registry {
        let state = &self.0.state;
        let rules = Rules::of(&self.live().config);
        Registry::new(Arc::clone(&state.keys), state.pepper.clone(), rules)
    }

    /// To be called after each change of a key: it takes effect with the next request.
    pub(crate) fn keys_changed(&self) {
        self.live().keyring.forget();
    }
}

async fn build(config: Config, state: &State) -> anyhow::Result<(Live, BoxModelService)> {
    let has_keys = match state.keys.list().await {
        Ok(keys) => keys.iter().any(|key| key.revoked.is_none()),
        // There may be some; without a store none opens.
        Err(error) if is_away(&error) => true,
        Err(error) => return Err(error.into()),
    };
    let access = config.check_bind(has_keys)?;
    let catalog = Catalog::new(&config);
    let providers = config
        .providers
        .iter()
        .map(|provider| {
            Ok((
                Arc::clone(&provider.name),
                Provider::build(provider, state)?,
            ))
        })
        .collect::<Result<HashMap<_, _>, rungs::Error>>()?;
    let rings = catalog.deployments().iter().filter_map(|deployment| {
        let provider = providers.get(&deployment.provider)?;
        Some((
            Arc::clone(deployment),
            attempt_ring(&config, deployment, provider, state),
        ))
    });
    let route = config.routing.classify(Route::new(rings));
    let keyring = Keyring::new(state.pepper.clone(), Arc::clone(&state.keys), &config);
    for principal in keyring.configured() {
        principal.open_accounts(&state.accounts).await?;
    }
    state.open_accounts(&config).await?;
    state.calls.resize(config.limits.max_in_flight);
    state.keep_rows(config.store.keep);
    let ring = call_ring(&config, route.clone(), state);
    let oauth = config.mcp.oauth.clone().and_then(|oauth| {
        let principal = keyring.named(&oauth.key)?.clone();
        let transport = state.transport(oauth.allow_private);
        Some(Issuer::new(oauth, principal, transport))
    });
    Ok((
        Live {
            users_pay: !config.budget.per_user().is_empty(),
            config,
            catalog,
            route,
            keyring,
            oauth,
            access,
        },
        ring,
    ))
}
