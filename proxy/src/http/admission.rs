//! Turns an authenticated request into a call: who pays, how long it may take, where it may go.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, header, request::Parts};
use rungs::{
    Error, ErrorKind,
    catalog::{Targets, Tier},
    http::{Admit, Admitted},
    json::RawObject,
    model::{CacheUse, Call, CallContext, Operation, Quality, RateLimits, RouteHint, TokenBound},
    store::ConversationKey,
};
use tokio::time::Instant;

use crate::{
    accounts,
    auth::Principal,
    config::{AUTO, Access, Routing},
    gateway::{Gateway, Live},
};

/// Admits requests that [`authenticate`](super::authenticate) let through.
#[derive(Clone)]
pub(crate) struct Admission(Gateway);

impl Admission {
    pub(super) fn new(gateway: Gateway) -> Self {
        Self(gateway)
    }
}

/// What a call asks for beside its body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wishes {
    pub(crate) quality: Quality,
    pub(crate) min_tier: Option<Tier>,
    pub(crate) max_tier: Option<Tier>,
    pub(crate) fallback: Fallback,
    pub(crate) cache: CacheUse,
    pub(crate) user: Option<String>,
    pub(crate) conversation: Option<String>,
    pub(crate) idempotency: Option<Arc<str>>,
    /// Fewer attempts than `limits.max_attempts`.
    pub(crate) max_attempts: Option<u32>,
}

/// Whether configured fallbacks may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Fallback {
    #[default]
    Allowed,
    Off,
}

impl Admit for Admission {
    fn admit(&self, head: &Parts, _: Operation, body: &RawObject) -> Result<Admitted, Error> {
        let principal = head
            .extensions
            .get::<Arc<Principal>>()
            .ok_or_else(|| Error::internal("a request came past authentication"))?;
        if principal.is_confined()
            && let Some(name) = TokenBound::choosing(body)
        {
            let what = format!(
                "a key that may not reach every model cannot let the provider choose one, as `{name}` does"
            );
            return Err(Error::new(ErrorKind::Forbidden, what).param(name));
        }
        let model: String = body.get_as("model")?.unwrap_or_default();
        let mut wishes = Wishes::of(&head.headers)?;
        wishes.user = body.get_as("user")?;
        admit(&self.0.live(), principal, &model, wishes)
    }
}

/// Decides what a call of `principal` for `model` may do.
pub(crate) fn admit(
    live: &Live,
    principal: &Principal,
    model: &str,
    wishes: Wishes,
) -> Result<Admitted, Error> {
    let targets = resolve(live, principal, model)?;
    let ceiling = live.ceiling(principal);
    let route = hint(&live.config.routing, ceiling, model, targets, &wishes)?;
    // Whom a token names, no request can rename.
    let user = principal.user.clone().or(wishes.user.map(Into::into));
    let accounts = payers(live, principal, checked(user.as_deref())?);
    let most = live.config.limits.max_attempts;
    let call = Call {
        key: principal.key.clone(),
        user,
        conversation: wishes.conversation.map(Into::into),
        quality: wishes.quality,
        accounts,
        recall: principal.recall(),
        on_exhaust: principal.on_exhaust,
        limits: RateLimits {
            requests: principal.rights.rpm,
            tokens: principal.rights.tpm,
        },
        user_limits: RateLimits {
            requests: live.config.limits.user_rpm,
            tokens: live.config.limits.user_tpm,
        },
        idempotency: wishes.idempotency,
        deadline: Some(Instant::now() + live.config.timeouts.total),
        max_attempts: wishes.max_attempts.map_or(most, |wanted| wanted.min(most)),
        ..Call::new(Arc::clone(&principal.tenant))
    };
    Ok(Admitted {
        ctx: CallContext::new(call),
        route,
        cache: wishes.cache,
    })
}

/// The longest name of a user, in bytes. It may name an account, limits and rows.
const LONGEST_USER: usize = 256;

fn checked(user: Option<&str>) -> Result<Option<&str>, Error> {
    let name = user.unwrap_or_default();
    if name.len() > LONGEST_USER {
        let what = format!("`user` is longer than {LONGEST_USER} bytes");
        return Err(Error::invalid(what).param("user"));
    }
    // Not every store can hold them.
    if name.contains(char::is_control) {
        let what = "`user` has control characters in it";
        return Err(Error::invalid(what).param("user"));
    }
    Ok(user)
}

/// Who pays: the principal's accounts, and the user's where users have budgets.
fn payers(live: &Live, principal: &Principal, user: Option<&str>) -> Arc<[Arc<str>]> {
    let Some(user) = user.filter(|_| live.users_pay) else {
        return Arc::clone(&principal.accounts);
    };
    let user = accounts::of_user(&principal.tenant, user);
    let own = principal.accounts.iter().cloned();
    own.chain([user]).collect()
}

/// What `model` stands for, for `principal`.
pub(super) fn resolve(live: &Live, principal: &Principal, model: &str) -> Result<Targets, Error> {
    // A model that the key may not ask for does not exist for it.
    if let (true, Some(targets)) = (principal.may_ask(model), live.catalog.resolve(model)) {
        return Ok(targets.clone());
    }
    if let Some(nobody) = &live.config.nobody {
        let told = match live.access() {
            Access::Loopback => nobody.clone(),
            // The operator's sentence may have addresses in it.
            Access::Keys => "this gateway has no models; its log says why".to_owned(),
        };
        return Err(Error::new(ErrorKind::Unavailable, told));
    }
    let near = live
        .catalog
        .nearest(model)
        .filter(|name| principal.may_ask(name));
    let hint = near.map_or_else(
        || "; GET /v1/models lists them".to_owned(),
        |name| format!("; did you mean `{name}`?"),
    );
    Err(Error::new(
        ErrorKind::NotFound,
        format!("there is no model `{model}`{hint}"),
    )
    .param("model"))
}

/// Where a call for `model` may go whose caller reaches up to `ceiling`.
pub(crate) fn hint(
    routing: &Routing,
    ceiling: Tier,
    model: &str,
    targets: Targets,
    wishes: &Wishes,
) -> Result<RouteHint, Error> {
    if let Some(tier) = wishes
        .max_tier
        .into_iter()
        .chain(wishes.min_tier)
        .find(|tier| *tier > ceiling)
    {
        return Err(too_high(tier, ceiling));
    }
    if let (Some(least), Some(most)) = (wishes.min_tier, wishes.max_tier)
        && least > most
    {
        let what = format!("`{MIN_TIER}` is {least}, above `{MAX_TIER}`, which is {most}");
        return Err(Error::invalid(what).param(MIN_TIER.as_str()));
    }
    let targets = match wishes.fallback {
        Fallback::Allowed => targets,
        Fallback::Off => Targets::new(targets.first().iter().cloned()),
    };
    let mut hint = RouteHint::to(targets);
    if model == AUTO {
        // A wish for a higher tier may go above what is usual; the usual first tier goes above no ceiling.
        let usual = wishes.max_tier.unwrap_or(ceiling.min(routing.max_tier));
        hint.min_tier = wishes.min_tier.unwrap_or(routing.default_tier.min(usual));
        hint.max_tier = wishes.max_tier.unwrap_or(usual.max(hint.min_tier));
        return Ok(hint);
    }
    // Whoever names a model means that model; the ceiling still holds.
    hint.min_tier = wishes.min_tier.unwrap_or(Tier::L0);
    hint.max_tier = wishes.max_tier.unwrap_or(ceiling);
    match hint.targets.first().iter().map(|d| d.tier).min() {
        Some(lowest) if lowest > ceiling => Err(too_high(lowest, ceiling)),
        _ => Ok(hint),
    }
}

/// `tier` is more than who reaches up to `ceiling` may ask for.
pub(super) fn too_high(tier: Tier, ceiling: Tier) -> Error {
    let what = format!(
        "tier {tier} is above {ceiling}, the highest that this key may reach; raise `routing.max_tier` or the key's"
    );
    Error::new(ErrorKind::Forbidden, what)
}

static QUALITY: HeaderName = HeaderName::from_static("x-rungs-quality");
static MIN_TIER: HeaderName = HeaderName::from_static("x-rungs-min-tier");
static MAX_TIER: HeaderName = HeaderName::from_static("x-rungs-max-tier");
static FALLBACK: HeaderName = HeaderName::from_static("x-rungs-fallback");
static CACHE: HeaderName = HeaderName::from_static("x-rungs-cache");
static CONVERSATION: HeaderName = HeaderName::from_static("x-rungs-conversation");
static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The headers in which a call says what it wishes.
pub(super) fn names() -> impl Iterator<Item = HeaderName> {
    let names = [
        &QUALITY,
        &MIN_TIER,
        &MAX_TIER,
        &FALLBACK,
        &CACHE,
        &CONVERSATION,
        &IDEMPOTENCY_KEY,
        &header::CACHE_CONTROL,
    ];
    names.into_iter().cloned()
}

impl Wishes {
    /// Reads the `x-rungs-*` request headers.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Error> {
        let get = |name: &'static HeaderName| {
            let value = headers.get(name)?;
            let text = value.to_str().map_err(|_| {
                Error::invalid(format!("the header `{name}` is not text")).param(name.as_str())
            });
            Some(text.map(|text| (name, text)))
        };
        let tier = |name| {
            let Some((name, text)) = get(name).transpose()? else {
                return Ok(None);
            };
            text.parse::<Tier>().map(Some).map_err(|error| {
                Error::invalid(format!("`{name}`: {}", error.message())).param(name.as_str())
            })
        };
        let word = |name: &'static HeaderName,
                    words: &'static [&'static str]|
         -> Result<Option<&'static str>, Error> {
            let Some((name, text)) = get(name).transpose()? else {
                return Ok(None);
            };
            let found = words.iter().find(|word| word.eq_ignore_ascii_case(text));
            let wrong = || {
                Error::invalid(format!("`{name}` is one of {}", words.join(", ")))
                    .param(name.as_str())
            };
            found.copied().map(Some).ok_or_else(wrong)
        };
        let no_store = headers.get(header::CACHE_CONTROL).is_some_and(|v| {
            v.as_bytes()
                .windows(8)
                .any(|w| w.eq_ignore_ascii_case(b"no-store"))
        });
        Ok(Self {
            quality: match word(&QUALITY, &["normal", "high", "critical"])? {
                Some("critical") => Quality::Critical,
                Some("high") => Quality::High,
                _ => Quality::Normal,
            },
            min_tier: tier(&MIN_TIER)?,
            max_tier: tier(&MAX_TIER)?,
            fallback: match word(&FALLBACK, &["on", "off"])? {
                Some("off") => Fallback::Off,
                _ => Fallback::Allowed,
            },
            cache: match word(&CACHE, &["use", "refresh", "bypass"])? {
                Some("refresh") => CacheUse::Refresh,
                Some("bypass") => CacheUse::Bypass,
                _ if no_store => CacheUse::Bypass,
                _ => CacheUse::Use,
            },
            user: None,
            conversation: conversation(headers)?,
            idempotency: idempotency_key(headers)?,
            max_attempts: None,
        })
    }
}

/// The conversation that a call goes on.
fn conversation(headers: &HeaderMap) -> Result<Option<String>, Error> {
    let mut values = headers.get_all(&CONVERSATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let id = match value.to_str() {
        Ok(id) if values.next().is_none() => id,
        _ => {
            let wrong = format!("`{CONVERSATION}` is one header of visible ASCII characters");
            return Err(Error::invalid(wrong).param(CONVERSATION.as_str()));
        }
    };
    conversation_id(id).map_err(|error| error.param(CONVERSATION.as_str()))?;
    Ok(Some(id.to_owned()))
}

/// Checks the id of a conversation, whoever's it is.
pub(super) fn conversation_id(id: &str) -> Result<(), Error> {
    ConversationKey::new("", id).map(drop)
}

/// The client's name for the call.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<Arc<str>>, Error> {
    const LONGEST: usize = 255;
    let mut values = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if (1..=LONGEST).contains(&key.len()) && values.next().is_none() => {
            Ok(Some(key.into()))
        }
        _ => Err(Error::invalid(format!(
            "`Idempotency-Key` is one header of 1 to {LONGEST} visible ASCII characters"
        ))
        .param(IDEMPOTENCY_KEY.as_str())),
    }
}
