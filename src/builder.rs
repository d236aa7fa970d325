use std::sync::Arc;

use tower::ServiceBuilder;
use tower_layer::{Layer, Stack};

use crate::{
    catalog::Deployment,
    layers::{
        breaker::{BreakerLayer, BreakerState},
        budget::BudgetLayer,
        cache::{CacheLayer, CacheScope},
        commit::CommitLayer,
        conversation::{ConversationLayer, Conversations},
        cost::CostLayer,
        cross_check::{CrossCheckLayer, When},
        drain::{DrainLayer, Drains},
        escalate::{EscalateLayer, Judge},
        idempotency::IdempotencyLayer,
        in_flight::InFlightLayer,
        rate::RateLayer,
        retry::{RetryConfig, RetryLayer},
        timeout::{TimeoutConfig, TimeoutLayer},
        trace::TraceLayer,
    },
    model::{BoxModelService, ModelService},
    store::{Budgets, CacheStore, IdempotencyStore, Ledger, RateStore},
};

/// The layers of this crate as methods of [`tower::ServiceBuilder`].
///
/// Each method adds the layer of its name as the layer's `new` makes it. A layer with options goes in as `.layer(…)`, and both
/// mix freely with everybody else's layers. As always with a `ServiceBuilder`, the first layer is the outermost.
///
/// ```
/// use std::sync::Arc;
/// use rungs::{
///     ServiceBuilderExt,
///     catalog::{Deployment, Price, Targets, Tier},
///     layers::{breaker::BreakerState, cache::CacheScope, escalate::StandardJudge},
///     model::{BoxModelService, CacheStatus, RouteHint},
///     route::Route,
///     store::memory::{MemoryBudgets, MemoryCache, MemoryLedger},
///     testing::{Reply, Scripted, ask},
/// };
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let ledger = Arc::new(MemoryLedger::new(100));
/// let budgets = Arc::new(MemoryBudgets::new());
///
/// // What happens to each attempt at one deployment.
/// let attempt_ring = |provider: Scripted| -> BoxModelService {
///     let deployment = provider.deployment();
///     ServiceBuilder::new()
///         .breaker(BreakerState::new(deployment.id.clone(), Default::default()))
///         .retries(Default::default())
///         .budget(deployment.clone(), budgets.clone())
///         .cost(deployment.clone(), ledger.clone())
///         .timeouts(deployment, Default::default())
///         .ring(provider)
/// };
///
/// let small = Deployment::new("p", "small").price(Price::FREE);
/// let large = Deployment::new("p", "large").price(Price::FREE).tier(Tier::L1);
/// let providers = [
///     Scripted::at(small, [Reply::text("")]), // an empty answer will not do
///     Scripted::at(large, [Reply::text("42")]),
/// ];
/// let targets = Targets::new(providers.iter().map(Scripted::deployment));
/// let route = Route::new(providers.map(|p| (p.deployment(), attempt_ring(p))));
///
/// // What happens to each call.
/// let call_ring = ServiceBuilder::new()
///     .trace()
///     .in_flight(1000)
///     .cache(Arc::new(MemoryCache::new(64 << 20)), CacheScope::Tenant)
///     .escalate(StandardJudge::new())
///     .ring(route);
///
/// let question = ask("6 x 7?").route(RouteHint::to(targets));
/// let answer = call_ring.clone().oneshot(question.clone()).await?;
/// assert_eq!(answer.meta.deployment.as_ref().map(|d| d.tier), Some(Tier::L1));
/// answer.body.collect(1000).await?;
/// assert_eq!(ledger.rows().len(), 2);
///
/// let again = call_ring.oneshot(question).await?;
/// assert_eq!(again.meta.cache, CacheStatus::Hit);
/// # Ok::<(), rungs::Error>(()) }).unwrap();
/// ```
///
/// Two names are plural, [`retries`](Self::retries) and [`timeouts`](Self::timeouts): tower's builder has a `retry` and a
/// `timeout` of its own, which fit no model calls, and would take the call.
pub trait ServiceBuilderExt<L>: Into<ServiceBuilder<L>> {
    /// One span, one log line and one set of metrics per call; see [`trace`](crate::layers::trace).
    #[must_use]
    fn trace(self) -> ServiceBuilder<Stack<TraceLayer, L>> {
        self.into().layer(TraceLayer::new())
    }

    /// At most `max` calls under way, each until its answer has ended; see [`in_flight`](crate::layers::in_flight).
    #[must_use]
    fn in_flight(self, max: usize) -> ServiceBuilder<Stack<InFlightLayer, L>> {
        self.into().layer(InFlightLayer::new(max))
    }

    /// The requests and tokens per minute that each call brings along; see [`rate`](crate::layers::rate). Limits that are the same
    /// for all calls go in as `.layer(RateLayer::new(…).requests(…))`.
    #[must_use]
    fn rate(self, store: Arc<dyn RateStore>) -> ServiceBuilder<Stack<RateLayer, L>> {
        self.into().layer(RateLayer::per_call(store))
    }

    /// Carries calls of one name out once; see [`idempotency`](crate::layers::idempotency).
    #[must_use]
    fn idempotency(
        self,
        store: Arc<dyn IdempotencyStore>,
    ) -> ServiceBuilder<Stack<IdempotencyLayer, L>> {
        self.into().layer(IdempotencyLayer::new(store))
    }

    /// Puts what was said before in front of a request, and keeps what is answered; see
    /// [`conversation`](crate::layers::conversation).
    #[must_use]
    fn conversation(
        self,
        conversations: Conversations,
    ) -> ServiceBuilder<Stack<ConversationLayer, L>> {
        self.into().layer(ConversationLayer::new(conversations))
    }

    /// Serves the same question the same answer again; see [`cache`](crate::layers::cache).
    #[must_use]
    fn cache(
        self,
        store: Arc<dyn CacheStore>,
        scope: CacheScope,
    ) -> ServiceBuilder<Stack<CacheLayer, L>> {
        self.into().layer(CacheLayer::new(store, scope))
    }

    /// Lets another deployment review the answers that `when` says; see [`cross_check`](crate::layers::cross_check).
    #[must_use]
    fn cross_check(self, when: When) -> ServiceBuilder<Stack<CrossCheckLayer, L>> {
        self.into().layer(CrossCheckLayer::new(when))
    }

    /// Asks again one tier up on the evidence that `judge` finds; see [`escalate`](crate::layers::escalate).
    #[must_use]
    fn escalate(self, judge: impl Judge + 'static) -> ServiceBuilder<Stack<EscalateLayer, L>> {
        self.into().layer(EscalateLayer::new(judge))
    }

    /// Stops asking a deployment that keeps failing; see [`breaker`](crate::layers::breaker).
    #[must_use]
    fn breaker(self, state: BreakerState) -> ServiceBuilder<Stack<BreakerLayer, L>> {
        self.into().layer(BreakerLayer::new(state))
    }

    /// Tries again what failed before its first frame; see [`retry`](crate::layers::retry).
    #[must_use]
    fn retries(self, config: RetryConfig) -> ServiceBuilder<Stack<RetryLayer, L>> {
        self.into().layer(RetryLayer::new(config))
    }

    /// Reserves the worst case of an attempt in `book` and settles its cost; see [`budget`](crate::layers::budget).
    #[must_use]
    fn budget(
        self,
        deployment: Arc<Deployment>,
        book: Arc<dyn Budgets>,
    ) -> ServiceBuilder<Stack<BudgetLayer, L>> {
        self.into().layer(BudgetLayer::new(deployment, book))
    }

    /// Reads on what readers leave, so that its cost is known; see [`drain`](crate::layers::drain).
    #[must_use]
    fn drain(self, drains: Drains) -> ServiceBuilder<Stack<DrainLayer, L>> {
        self.into().layer(DrainLayer::new(drains))
    }

    /// Ends answers when their rows in `ledger` are safe; see [`commit`](crate::layers::commit).
    #[must_use]
    fn commit(self, ledger: Arc<dyn Ledger>) -> ServiceBuilder<Stack<CommitLayer, L>> {
        self.into().layer(CommitLayer::new(ledger))
    }

    /// Writes one row per attempt to `ledger`; see [`cost`](crate::layers::cost).
    #[must_use]
    fn cost(
        self,
        deployment: Arc<Deployment>,
        ledger: Arc<dyn Ledger>,
    ) -> ServiceBuilder<Stack<CostLayer, L>> {
        self.into().layer(CostLayer::new(deployment, ledger))
    }

    /// Bounds the time to the first frame of `deployment`, between frames, of an answer in one piece, and in all; see
    /// [`timeout`](crate::layers::timeout).
    #[must_use]
    fn timeouts(
        self,
        deployment: Arc<Deployment>,
        config: TimeoutConfig,
    ) -> ServiceBuilder<Stack<TimeoutLayer, L>> {
        self.into().layer(TimeoutLayer::new(deployment, config))
    }

    /// Puts the layers around `leaf` and boxes the whole, once, at its top.
    #[must_use]
    fn ring<S>(self, leaf: S) -> BoxModelService
    where
        L: Layer<S>,
        L::Service: ModelService + Sync,
    {
        BoxModelService::new(self.into().service(leaf))
    }
}

impl<L> ServiceBuilderExt<L> for ServiceBuilder<L> {}
