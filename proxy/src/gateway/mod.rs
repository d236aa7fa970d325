//! The running gateway: a configuration, the rings built from it, and the state that outlives both.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;
use rungs::{catalog::Tier, model::BoxModelService, route::Route, swap::Swap};

use crate::{
    accounts::{self, Opening},
    auth::{Keyring, Principal, Silence, TRUST},
    config::{Access, Auth, Catalog, Config, ConfigError, StoreUrl},
    keys::{Registry, Rules},
    mcp::{oauth::Issuer, token::LocalToken},
    provider::Provider,
    stack::{attempt_ring, call_ring},
    state::{Breakers, State},
    stores,
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
    access: Access,
    /// Whether a key was made while it was open for want of one. All that follow share it: a reload that is under way must not open
    /// what is closed meanwhile.
    closed: Arc<AtomicBool>,
    /// Whether end users have budgets of their own.
    pub(crate) users_pay: bool,
}

impl Live {
    /// Who may come in.
    pub(crate) fn access(&self) -> Access {
        match self.config.server.auth {
            None if self.closed.load(Ordering::Relaxed) => Access::Keys,
            _ => self.access,
        }
    }

    /// Whether it is open because there are no keys, and not because somebody wrote that it may be.
    pub(crate) fn is_open_for_want_of_keys(&self) -> bool {
        self.access() == Access::Loopback && self.config.server.auth.is_none()
    }

    /// The highest tier that `principal` reaches.
    pub(crate) fn ceiling(&self, principal: &Principal) -> Tier {
        let usual = self.config.routing.max_tier;
        principal.rights.max_tier.unwrap_or(usual)
    }
}

impl Gateway {
    /// Opens the stores and builds the rings.
    pub(crate) async fn start(config: Config) -> anyhow::Result<Self> {
        let state = State::open(&config).await?;
        let (live, ring) = Built::of(config, &state, None).await?.adopt(&state);
        Ok(Self(Arc::new(Shared {
            state,
            ring: Swap::new(ring),
            live: ArcSwap::from_pointee(live),
            local_token: OnceLock::new(),
        })))
    }

    /// Builds everything anew and swaps it in; if that fails, all stays as it was. What only a start reads stays too: the sections that
    /// it has changed in are the answer.
    pub(crate) async fn reload(&self, mut config: Config) -> anyhow::Result<Vec<&'static str>> {
        let Shared { state, .. } = &*self.0;
        let running = self.live();
        let kept = config.keep_what_runs(&running.config);
        let built = Built::of(config, state, Some(&running)).await?;
        let (live, ring) = built.adopt(state);
        self.0.ring.replace(ring);
        let live = Arc::new(live);
        self.0.live.store(Arc::clone(&live));
        // Somebody wrote that it may be open.
        if live.config.server.auth == Some(Auth::None) {
            live.closed.store(false, Ordering::Relaxed);
        }
        Ok(kept)
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

    /// Who stands behind a credential; a key that is seen for the first time opens its account. While the store does not answer, keys
    /// that it was asked for before are known all the same.
    pub(crate) async fn principal(&self, credential: &str) -> Result<Arc<Principal>, rungs::Error> {
        loop {
            let live = self.live();
            if let Some(principal) = live.keyring.known(credential) {
                return Ok(principal);
            }
            let without_store = |silence| live.keyring.known_without_store(credential, silence);
            if self.0.state.shared_database_is_up() == Some(false)
                && let Some(principal) = without_store(Silence::Away)
            {
                return Ok(principal);
            }
            let before = live.keyring.before();
            let principal = match live.keyring.look_up(credential).await {
                Ok(principal) => principal,
                Err(error) if stores::is_away(&error) => {
                    return without_store(Silence::Busy).ok_or(error);
                }
                Err(error) => return Err(error),
            };
            let own = principal.own_accounts().collect();
            let opening = self.0.state.accounts.prepare(own).await?;
            // What was looked up before a change must not come into force after it: nobody else opens an account here and now.
            if live.keyring.before() != before || !Arc::ptr_eq(&live, &self.live()) {
                continue;
            }
            // Remembered only afterwards: no call may slip through while the account is not open yet.
            opening.commit();
            live.keyring.remember(credential, &principal, before);
            return Ok(principal);
        }
    }

    /// Makes the token that opens `/mcp` and the code agent on an open loopback, in a file beside the database; without a database there is none.
    pub(crate) fn make_local_token(&self) -> anyhow::Result<()> {
        let live = self.live();
        if let (Access::Loopback, StoreUrl::Sqlite(path)) = (live.access(), &live.config.store.url)
        {
            let (token, file) = LocalToken::beside(path)?;
            tracing::info!(file = %file.display(), "the token of MCP clients over HTTP, and of the code agent's");
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

    /// Closes what is open for want of keys when there is one. It is asked for as often as keys are looked up again, and what was closed
    /// never opens by itself.
    pub(crate) async fn close_with_the_first_key(&self) {
        loop {
            tokio::time::sleep(TRUST).await;
            let live = self.live();
            if !live.is_open_for_want_of_keys() {
                continue;
            }
            // A store that is away says nothing of keys; it is asked again.
            if let Ok(keys) = self.0.state.keys.list().await
                && !keys.is_empty()
            {
                live.closed.store(true, Ordering::Relaxed);
                tracing::info!("there is a key now: each request needs one");
            }
        }
    }

    /// To be called after each change of a key: it takes effect with the next request.
    pub(crate) fn key_changed(&self, id: &str) {
        self.live().keyring.forget(id);
    }
}

/// All that can fail of a configuration has been done; nothing of it is in force, but that budgets may be stricter meanwhile.
struct Built<'a> {
    live: Live,
    ring: BoxModelService,
    breakers: Breakers,
    opening: Opening<'a>,
    /// Keys of the store that cannot be used, each with the project that it lacks.
    lost: Vec<(String, String)>,
}

impl<'a> Built<'a> {
    /// Builds what `config` says, in place of what may run `before`.
    async fn of(config: Config, state: &'a State, before: Option<&Live>) -> anyhow::Result<Self> {
        let keys = match state.keys.list().await {
            Ok(keys) => Some(keys),
            Err(error) if stores::is_away(&error) => None,
            Err(error) => return Err(error.into()),
        };
        // One that opens nothing any more counts as well, or taking back the last would open everything; and there may be some in a
        // store that is away.
        let has_keys = keys.as_ref().is_none_or(|keys| !keys.is_empty());
        let access = access(&config, has_keys, before.map(Live::access))?;
        let catalog = Catalog::new(&config);
        let drains = state.drains.clone().time(config.timeouts.total);
        let providers = config
            .providers
            .iter()
            .map(|provider| {
                let built = Provider::build(provider, drains.clone(), state)?;
                Ok((Arc::clone(&provider.name), built))
            })
            .collect::<Result<HashMap<_, _>, rungs::Error>>()?;
        let mut breakers = Breakers::new();
        let rings = catalog.deployments().iter().filter_map(|deployment| {
            let provider = providers.get(&deployment.provider)?;
            let fingerprint = provider.fingerprint(deployment);
            let breaker = state.breaker(
                deployment,
                fingerprint,
                config.breaker.to_layer(&config.timeouts),
            );
            breakers.insert(deployment.id.clone(), (fingerprint, breaker.clone()));
            let ring = attempt_ring(&config, deployment, provider, breaker, state);
            Some((Arc::clone(deployment), ring))
        });
        let route = config.routing.classify(Route::new(rings));
        let ring = call_ring(&config, route.clone(), state);
        let keyring = Keyring::new(
            state.pepper.clone(),
            Arc::clone(&state.keys),
            &config,
            before.map(|live| &live.keyring),
        );
        let oauth = config.mcp.oauth.clone().and_then(|oauth| {
            let principal = keyring.named(&oauth.key)?.clone();
            let transport = state.transport(oauth.allow_private);
            Some(Issuer::new(oauth, principal, transport))
        });
        let own = keyring.configured().flat_map(|who| who.own_accounts());
        let wanted = accounts::of_config(&config).chain(own).collect();
        // The last that can fail, and that waits: nobody else opens an account from here on.
        let opening = state.accounts.prepare(wanted).await?;
        Ok(Self {
            lost: keyring.lost(keys.unwrap_or_default()),
            live: Live {
                users_pay: !config.budget.per_user().is_empty(),
                config,
                catalog,
                route,
                keyring,
                oauth,
                access,
                closed: before.map_or_else(Arc::default, |live| Arc::clone(&live.closed)),
            },
            ring,
            breakers,
            opening,
        })
    }

    /// Puts all of it in force but what the calls of the moment go by.
    fn adopt(self, state: &State) -> (Live, BoxModelService) {
        for (key, project) in self.lost {
            tracing::warn!(
                key,
                project,
                "the project that pays for the key is not in the configuration: its calls are refused"
            );
        }
        state.adopt(&self.live.config, self.breakers, self.opening);
        (self.live, self.ring)
    }
}

/// Who may come in. What was closed stays closed when its last key goes, until somebody writes that it may be open.
fn access(config: &Config, has_keys: bool, before: Option<Access>) -> Result<Access, ConfigError> {
    let access = config.check_bind(has_keys)?;
    let opens = (before, access) == (Some(Access::Keys), Access::Loopback);
    if opens && config.server.auth != Some(Auth::None) {
        tracing::warn!(
            "there are no keys any more, and nobody can come in: make one, or write `auth = \"none\"` into [server]"
        );
        return Ok(Access::Keys);
    }
    Ok(access)
}

#[cfg(test)]
mod tests;
