//! The call ring and the attempt rings, written out in order. The order is the product.

use std::sync::Arc;

use rungs::{
    catalog::Deployment,
    layers::{
        breaker::{BreakerLayer, BreakerState},
        budget::BudgetLayer,
        cache::{CacheLayer, CacheScope},
        commit::CommitLayer,
        conversation::ConversationLayer,
        cost::CostLayer,
        cross_check::{CrossCheckLayer, When},
        drain::DrainLayer,
        escalate::{EscalateLayer, Judge, StandardJudge},
        idempotency::IdempotencyLayer,
        in_flight::InFlightLayer,
        rate::RateLayer,
        retry::RetryLayer,
        timeout::TimeoutLayer,
        trace::TraceLayer,
    },
    model::{BoxModelService, ModelRequest, chat::Answer},
    route::Route,
};
use tower::{Layer, ServiceBuilder};

use crate::{
    accounts::{UsersLayer, post_alert},
    config::Config,
    epoch::epoch,
    provider::Provider,
    state::State,
};

/// What happens to each user's call.
pub(crate) fn call_ring(config: &Config, route: Route, state: &State) -> BoxModelService {
    let routing = &config.routing;
    let users = users(config, state);
    BoxModelService::new(
        ServiceBuilder::new()
            // Sees every call once, also those that a limit refuses or the cache answers.
            .layer(trace(config, state))
            // The last byte of an answer says that what it has cost is on record, and what it leaves behind.
            .layer(commit(state))
            // Sheds what is too much before any work is done for it; the permit lives as long as the answer.
            .layer(InFlightLayer::shared(state.calls.clone()))
            // The requests and tokens per minute of key and end user, before the cache: hits are requests too, of no tokens.
            .layer(
                RateLayer::per_call(state.rates.clone())
                    .alone(config.limits.without_redis.keys.into())
                    .users_alone(config.limits.without_redis.users.into()),
            )
            // Below the limits: a repetition is a request. Above all that remembers or costs: it is no second call.
            // The call that is carried out goes on when its client leaves, for its answer must be there; those that wait for it do not.
            .layer(
                IdempotencyLayer::new(state.names.clone())
                    .ttl(config.idempotency.ttl)
                    .wait(config.idempotency.wait)
                    .ledger(state.ledger.clone())
                    .around(DrainLayer::new(
                        state.drains.clone().time(config.timeouts.total),
                    )),
            )
            // Below what repeats a call, which is no second turn; above the cache, because what was said before is part of the question.
            .layer(conversation(config, &route, users.as_ref(), state))
            // Above the money: a hit costs nothing and needs no budget. Identical calls at once become one.
            .option_layer(config.cache.enabled.then(|| {
                CacheLayer::new(state.cache.clone(), CacheScope::Tenant)
                    .ttl(config.cache.ttl)
                    .epoch(epoch(config))
                    .ledger(state.ledger.clone())
            }))
            // Where users have budgets, theirs is in the book before anything is spent below.
            .option_layer(users)
            // Asks the stack below several times; below the cache, so that only a checked answer is kept.
            .option_layer(routing.cross_check.when().map(cross_check))
            // Asks again one tier up; below the cross-check, so that each voice may climb on its own.
            .option_layer(routing.auto_escalate.then(|| {
                EscalateLayer::new(StandardJudge::new()).on_stream(routing.on_stream.into())
            }))
            // The fan-out point: a service, not a layer.
            .service(route),
    )
}

/// An arbiter's answer must do as well as one that need not climb. That it was unsure of it is no reason to keep a doubted one.
pub(crate) fn cross_check(when: When) -> CrossCheckLayer {
    let judge = StandardJudge::new().min_logprob(None);
    CrossCheckLayer::new(when).judge(move |request: &ModelRequest, answer: &Answer| {
        let evidence = judge.judge(request, answer).into_evidence();
        evidence.first().map(ToString::to_string)
    })
}

fn trace(config: &Config, state: &State) -> TraceLayer {
    let layer = TraceLayer::new().alert(config.budget.alert);
    match state.webhook(config) {
        Some(webhook) => layer.on_alert(move |alert| post_alert(alert, &webhook)),
        None => layer,
    }
}

fn commit(state: &State) -> CommitLayer {
    let layer = CommitLayer::new(state.ledger.clone());
    match &state.spool {
        Some(spool) => layer.spool(spool.clone()),
        None => layer,
    }
}

/// Summaries go straight to the route: they are nobody's question, and are paid like every attempt, by the user as well. The call
/// before one need not have opened the user's account: the cache may have answered it.
fn conversation(
    config: &Config,
    route: &Route,
    users: Option<&UsersLayer>,
    state: &State,
) -> ConversationLayer {
    let settings = &config.conversation;
    let layer = ConversationLayer::new(state.conversations.clone()).config(settings.to_layer());
    if !settings.summarize {
        return layer;
    }
    let route = route.clone();
    layer.summarizer(match users {
        Some(users) => BoxModelService::new(users.layer(route)),
        None => BoxModelService::new(route),
    })
}

fn users(config: &Config, state: &State) -> Option<UsersLayer> {
    let budgets = config.budget.per_user();
    (!budgets.is_empty()).then(|| UsersLayer {
        each: Arc::new(budgets.into()),
        accounts: state.accounts.clone(),
        users: state.users.clone(),
        ring: state.users.next_ring(),
        patience: config.timeouts.total * 2,
    })
}

/// What happens to each attempt at one deployment.
pub(crate) fn attempt_ring(
    config: &Config,
    deployment: &Arc<Deployment>,
    provider: &Provider,
    breaker: BreakerState,
    state: &State,
) -> BoxModelService {
    BoxModelService::new(
        ServiceBuilder::new()
            // A dead deployment answers at once, so that the route goes on to the next.
            .layer(BreakerLayer::new(breaker))
            // Only before the first frame. Every try below pays for itself.
            .layer(RetryLayer::new(config.retry.to_layer()).budget(state.retries.clone()))
            // Where that is wanted, an attempt goes on to its end when its client leaves: all below holds, settles and records it.
            .option_layer(provider.drain.clone())
            // The provider's and the model's requests and tokens per minute. Refusals stand above the money: what is not sent costs nothing.
            .option_layer(
                provider
                    .rates(config.model(deployment), state)
                    .map(|rates| rates.alone(config.limits.without_redis.providers.into())),
            )
            // Attempts at once; sheds, never queues.
            .option_layer(provider.permits.clone().map(InFlightLayer::shared))
            // Holds the worst case, settles the real cost. Its refusal sends the route to something cheaper.
            .layer(
                BudgetLayer::new(deployment.clone(), state.accounts.budgets())
                    .unpriced(config.budget.unpriced.into()),
            )
            // One ledger row for whatever passes here, however it ends.
            .layer(CostLayer::new(deployment.clone(), state.ledger.clone()))
            // The first frame, the gap between frames, and the whole.
            .layer(TimeoutLayer::new(
                deployment.clone(),
                config.timeouts.to_layer(),
            ))
            // A pure dialect over an HTTP client.
            .service(provider.leaf(deployment)),
    )
}
