use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::join_all};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};

use super::*;
use crate::{
    Error, ErrorKind,
    catalog::{Deployment, Money, Targets, Tier},
    json::RawObject,
    model::{
        Agreement, CacheStatus, CacheUse, Call, CallContext, Collected, End, Frame, ModelBody,
        ModelRequest, ModelResponse, Operation, Quality, RouteHint, Verdict,
    },
    store::{CacheEntry, CacheKey, CacheStore, Ledger, LedgerRow, RowStatus, Spent, StoreFuture},
    testing::{Reply, Scripted, ask, ask_stream},
};

#[derive(Default)]
struct Store(Mutex<HashMap<CacheKey, (Arc<CacheEntry>, Instant)>>);

impl Store {
    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl CacheStore for Store {
    fn get<'a>(&'a self, key: &'a CacheKey) -> StoreFuture<'a, Option<Arc<CacheEntry>>> {
        let entries = self.0.lock().unwrap();
        let live = entries.get(key).filter(|(_, end)| *end > Instant::now());
        let found = live.map(|(entry, _)| entry.clone());
        async move { Ok(found) }.boxed()
    }

    fn put(&self, key: CacheKey, entry: Arc<CacheEntry>, ttl: Duration) {
        let mut entries = self.0.lock().unwrap();
        entries.insert(key, (entry, Instant::now() + ttl));
    }
}

#[derive(Default)]
struct Rows(Mutex<Vec<LedgerRow>>);

impl Ledger for Rows {
    fn record(&self, row: LedgerRow) {
        self.0.lock().unwrap().push(row);
    }
    fn flush(&self) -> StoreFuture<'_, ()> {
        async { Ok(()) }.boxed()
    }
    fn spent<'a>(&'a self, _: Spent<'a>, _: SystemTime) -> StoreFuture<'a, Money> {
        async { Ok(Money::ZERO) }.boxed()
    }
}

fn cached<S>(store: &Arc<Store>, inner: S) -> Cache<S> {
    CacheLayer::new(store.clone(), CacheScope::Tenant).layer(inner)
}

fn to(provider: &Scripted, mut request: ModelRequest) -> ModelRequest {
    request.route = RouteHint::to(Targets::new([provider.deployment()]));
    request
}

fn with_deadline(mut request: ModelRequest, after: Duration) -> ModelRequest {
    let mut call = Call::new("test");
    call.deadline = Some(Instant::now() + after);
    request.ctx = CallContext::new(call);
    request
}

async fn read(response: ModelResponse) -> Collected {
    response.body.collect(1 << 20).await.unwrap()
}

async fn data(body: &mut ModelBody) -> Bytes {
    match body.next().await {
        Some(Ok(Frame::Data(data))) => data,
        other => unreachable!("{other:?} is no data"),
    }
}

/// A service that answers anew each time with what `change` makes of a complete answer.
fn answering(
    provider: &Scripted,
    change: impl Fn(&mut ModelResponse) + Clone + Send + 'static,
) -> impl crate::model::ModelService {
    let provider = provider.clone();
    service_fn(move |request| {
        let (provider, change) = (provider.clone(), change.clone());
        async move {
            let mut response = provider.oneshot(request).await?;
            change(&mut response);
            Ok::<_, Error>(response)
        }
        .boxed()
    })
}

const SECOND: Duration = Duration::from_secs(1);

mod key {
    use super::*;

    fn request(members: &[(String, i64)]) -> ModelRequest {
        let body: serde_json::Map<String, Value> = members
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        let body = RawObject::from_serialize(&body).unwrap();
        let two = ["a", "b"].map(|model| Arc::new(Deployment::new("p", model)));
        ModelRequest::chat(body, CallContext::new(Call::new("acme")))
            .route(RouteHint::to(Targets::new(two)))
    }

    fn call(change: impl FnOnce(&mut Call)) -> CallContext {
        let mut call = Call::new("acme");
        change(&mut call);
        CallContext::new(call)
    }

    fn targets(change: impl FnOnce(&mut Deployment)) -> RouteHint {
        let mut changed = Deployment::new("p", "b");
        change(&mut changed);
        RouteHint::to(Targets::new(
            [Deployment::new("p", "a"), changed].map(Arc::new),
        ))
    }

    const CHANGES: usize = 14;

    /// Changes one thing; `at` chooses the member.
    fn change(request: &mut ModelRequest, what: usize, at: usize) {
        let names: Vec<String> = request.body.iter().map(|(n, _)| n.to_owned()).collect();
        let name = &names[at % names.len()];
        let route = &mut request.route;
        match what {
            0 => request.body.set(name, "another value").unwrap(),
            1 => assert!(request.body.remove(name)),
            2 => request.body.set("x-unknown", &1).unwrap(),
            3 => request.ctx = call(|c| c.tenant = "acme2".into()),
            4 => request.ctx = call(|c| c.quality = Quality::High),
            5 => request.op = Operation::Embeddings,
            6 => *route = targets(|d| d.id = "q/b".into()),
            7 => *route = targets(|d| d.upstream = "b-2025".into()),
            8 => *route = targets(|d| d.tier = Tier::L1),
            9 => route.targets = route.targets.or_else([Arc::new(Deployment::new("p", "c"))]),
            10 => route.min_tier = Tier::L1,
            11 => route.max_tier = Tier::L2,
            12 => route.exclude.push("p/a".into()),
            // A value that moves from one member to its neighbour is another question.
            13 => {
                let value: Value = request.body.get_as(name).unwrap().unwrap();
                request.body.remove(name);
                request.body.set(&format!("{name}_"), &value).unwrap();
            }
            _ => unreachable!(),
        }
    }

    proptest! {
        #[test]
        fn r7_changing_any_one_thing_changes_the_key(
            members in prop::collection::btree_map("[a-z]{1,8}", any::<i64>(), 1..8),
            what in 0..CHANGES,
            at in 0usize..8,
        ) {
            let members: Vec<_> = members.into_iter().filter(|(n, _)| n != "stream").collect();
            prop_assume!(!members.is_empty());
            let base = request(&members);
            let mut changed = base.clone();
            change(&mut changed, what, at);
            prop_assert_ne!(CacheScope::Tenant.key(&base), CacheScope::Tenant.key(&changed));
            prop_assert_ne!(CacheScope::Tenant.key(&base), CacheScope::Shared.key(&base));
        }

        #[test]
        fn r7_form_order_and_who_asks_do_not_change_the_key(
            members in prop::collection::btree_map("[a-z]{1,8}", any::<i64>(), 1..8),
            stream in any::<bool>(),
        ) {
            let mut members: Vec<_> = members.into_iter().collect();
            let base = request(&members);
            members.reverse();
            let mut same = request(&members);
            same.body.set("stream", &stream).unwrap();
            same.body.set("stream_options", &json!({ "include_usage": true })).unwrap();
            same.ctx = call(|c| {
                c.key = Some("key".into());
                c.user = Some("user".into());
            });
            prop_assert_eq!(CacheScope::Tenant.key(&base), CacheScope::Tenant.key(&same));
        }
    }

    #[tokio::test]
    async fn r7_changing_any_one_thing_misses() {
        let provider = Scripted::at(Deployment::new("p", "b"), [Reply::text("yes")]);
        let store = Arc::new(Store::default());
        let stack = cached(&store, provider.clone());
        let base = request(&[("x".into(), 1), ("y".into(), 2)]);
        for _ in 0..2 {
            let _ = read(stack.clone().oneshot(base.clone()).await.unwrap()).await;
        }
        assert_eq!(provider.calls(), 1);
        for what in 0..CHANGES {
            let mut changed = base.clone();
            change(&mut changed, what, 0);
            let answer = stack.clone().oneshot(changed).await.unwrap();
            assert_eq!(answer.meta.cache, CacheStatus::Miss, "change {what}");
        }
        assert_eq!(provider.calls(), 1 + CHANGES);
    }
}

mod hit {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn r7_a_hit_is_marked_costs_nothing_and_leaves_one_row() {
        let provider = Scripted::new(Reply::text("yes"));
        let (store, rows) = (Arc::new(Store::default()), Arc::new(Rows::default()));
        let layer = CacheLayer::new(store.clone(), CacheScope::Tenant).ledger(rows.clone());
        let stack = layer.layer(provider.clone());
        for question in [ask("q"), ask_stream("q")] {
            let request = to(&provider, question);
            store.0.lock().unwrap().clear();
            rows.0.lock().unwrap().clear();
            let first = read(stack.clone().oneshot(request.clone()).await.unwrap()).await;
            assert_eq!(rows.0.lock().unwrap().len(), 0);

            let hit = stack.clone().oneshot(request.clone()).await.unwrap();
            assert_eq!(hit.meta.cache, CacheStatus::Hit);
            assert_eq!(hit.meta.deployment, Some(provider.deployment()));
            assert_eq!(hit.body.is_whole(), first.whole);
            let again = read(hit).await;
            assert_eq!(again.data, first.data);
            assert_eq!(again.end.usage_chunk, first.end.usage_chunk);

            let rows = rows.0.lock().unwrap();
            let [row] = &rows[..] else {
                unreachable!("one row")
            };
            assert_eq!((row.attempt, row.status), (0, RowStatus::CacheHit));
            assert_eq!((row.cost, row.usage), (Money::ZERO, None));
            assert_eq!(row.request, request.ctx.id);
            assert_eq!(request.ctx.spent(), Money::ZERO);
            assert_eq!(request.ctx.attempts(), 0);
        }
        assert_eq!(provider.calls(), 2);
        assert_eq!(stack.in_flight(), 0);
    }

    #[tokio::test]
    async fn r7_either_form_serves_the_other() {
        for (first, second) in [(ask("q"), ask_stream("q")), (ask_stream("q"), ask("q"))] {
            let provider = Scripted::new(Reply::text("one two three"));
            let stack = cached(&Arc::default(), provider.clone());
            let first = stack.clone().oneshot(to(&provider, first)).await.unwrap();
            let first = read(first).await;
            let whole = !second.wants_stream();
            let hit = stack.oneshot(to(&provider, second)).await.unwrap();
            assert_eq!(hit.meta.cache, CacheStatus::Hit);
            assert_eq!(hit.body.is_whole(), whole);
            let second = read(hit).await;
            let parse = |answer: &Collected| -> Value {
                serde_json::from_slice(&answer.to_whole().unwrap()).unwrap()
            };
            assert_eq!(parse(&first), parse(&second));
            assert_eq!(provider.calls(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn r7_an_answer_is_forgotten_after_its_time() {
        let provider = Scripted::new(Reply::text("yes"));
        let layer = CacheLayer::new(Arc::new(Store::default()), CacheScope::Tenant).ttl(SECOND);
        let stack = layer.layer(provider.clone());
        let request = to(&provider, ask("q"));
        let ask = || async { read(stack.clone().oneshot(request.clone()).await.unwrap()).await };
        ask().await;
        tokio::time::advance(SECOND - Duration::from_millis(1)).await;
        ask().await;
        assert_eq!(provider.calls(), 1);
        tokio::time::advance(Duration::from_millis(2)).await;
        ask().await;
        assert_eq!(provider.calls(), 2);
    }

    #[tokio::test]
    async fn r7_a_deployment_that_is_gone_is_a_miss() {
        let provider = Scripted::new(Reply::text("yes"));
        let store = Arc::new(Store::default());
        let stack = cached(&store, provider.clone());
        let request = to(&provider, ask("q"));
        read(stack.clone().oneshot(request.clone()).await.unwrap()).await;
        for (entry, _) in store.0.lock().unwrap().values_mut() {
            Arc::make_mut(entry).deployment = "gone/gone".into();
        }
        let answer = stack.oneshot(request).await.unwrap();
        assert_eq!(answer.meta.cache, CacheStatus::Miss);
    }

    #[tokio::test]
    async fn a_request_may_refresh_or_go_past_the_cache() {
        let provider = Scripted::at(
            Deployment::new("p", "m"),
            ["one", "two", "three"].map(Reply::text),
        );
        let stack = cached(&Arc::default(), provider.clone());
        let ask = |cache| {
            let request = to(&provider, ask("q")).cache(cache);
            let stack = stack.clone();
            async move {
                let answer = stack.oneshot(request).await.unwrap();
                let status = answer.meta.cache;
                let data = read(answer).await.data.concat();
                let text: Value = serde_json::from_slice(&data).unwrap();
                let text = text["choices"][0]["message"]["content"].to_string();
                (status, text)
            }
        };
        let said = |status, text: &str| (status, format!("\"{text}\""));
        assert_eq!(ask(CacheUse::Use).await, said(CacheStatus::Miss, "one"));
        assert_eq!(ask(CacheUse::Bypass).await, said(CacheStatus::Off, "two"));
        assert_eq!(ask(CacheUse::Use).await, said(CacheStatus::Hit, "one"));
        assert_eq!(
            ask(CacheUse::Refresh).await,
            said(CacheStatus::Miss, "three")
        );
        assert_eq!(ask(CacheUse::Use).await, said(CacheStatus::Hit, "three"));
    }
}

mod keep {
    use super::*;

    #[tokio::test]
    async fn r7_failed_and_unfinished_answers_are_not_kept() {
        let down = || Error::new(ErrorKind::Upstream, "down");
        let tools = json!({ "role": "assistant", "content": null, "tool_calls":
            [{ "id": "1", "type": "function", "function": { "name": "f", "arguments": "{}" } }] });
        let replies = [
            Reply::error(down()),
            Reply::text("a b c").stop_after(2),
            Reply::text("a b c").fail_after(2, down()),
            Reply::text("a b c").finish("length"),
            Reply::text("a b c").finish("content_filter"),
            Reply::message(tools).finish("tool_calls"),
            Reply::text(&"long ".repeat(300)),
        ];
        for (at, reply) in replies.into_iter().enumerate() {
            let provider = Scripted::new(reply);
            let store = Arc::new(Store::default());
            let layer = CacheLayer::new(store.clone(), CacheScope::Tenant).max_entry_bytes(1500);
            let stack = layer.layer(provider.clone());
            for _ in 0..2 {
                let answer = stack.clone().oneshot(to(&provider, ask_stream("q"))).await;
                if let Ok(answer) = answer {
                    let _ = answer.body.collect(1 << 20).await;
                }
            }
            assert_eq!((store.len(), provider.calls()), (0, 2), "reply {at}");
            assert_eq!(stack.in_flight(), 0, "reply {at}");
        }
    }

    #[tokio::test]
    async fn r7_answers_that_are_not_what_was_asked_for_are_not_kept() {
        let differ = |agreement| Verdict {
            agreement,
            confidence: 50,
            reviewers: vec![],
            cost: Money::ZERO,
        };
        type Change = fn(&mut ModelResponse);
        let changes: [(Change, usize); 5] = [
            (|_| {}, 1),
            (|r| r.meta.fallback = true, 0),
            (|r| r.meta.notes.push("no budget to climb".into()), 0),
            (
                |r| r.meta.deployment = Some(Arc::new(Deployment::new("other", "m"))),
                0,
            ),
            (|r| r.meta.deployment = None, 0),
        ];
        for (at, (change, kept)) in changes.into_iter().enumerate() {
            let provider = Scripted::new(Reply::text("yes"));
            let store = Arc::new(Store::default());
            let stack = cached(&store, answering(&provider, change));
            read(stack.oneshot(to(&provider, ask("q"))).await.unwrap()).await;
            assert_eq!(store.len(), kept, "change {at}");
        }
        for (agreement, kept) in [
            (Agreement::Agree, 1),
            (Agreement::Differ(vec![]), 0),
            (Agreement::Unchecked, 0),
        ] {
            let verdict = differ(agreement);
            let provider = Scripted::new(Reply::text("yes"));
            let store = Arc::new(Store::default());
            let inner = answering(&provider, move |r| r.meta.verdict = Some(verdict.clone()));
            let stack = cached(&store, inner);
            read(stack.oneshot(to(&provider, ask("q"))).await.unwrap()).await;
            assert_eq!(store.len(), kept);
        }
    }

    #[tokio::test]
    async fn tool_calls_are_kept_where_that_is_wanted() {
        let provider = Scripted::new(Reply::text("").finish("tool_calls"));
        let store = Arc::new(Store::default());
        let layer = CacheLayer::new(store.clone(), CacheScope::Tenant).tool_calls(true);
        let stack = layer.layer(provider.clone());
        read(stack.oneshot(to(&provider, ask("q"))).await.unwrap()).await;
        assert_eq!(store.len(), 1);
    }

    #[tokio::test]
    async fn embeddings_have_no_finish_reason_and_are_kept() {
        let provider = Scripted::new(Reply::text("unused"));
        let store = Arc::new(Store::default());
        let inner = answering(&provider, |r| {
            r.body = ModelBody::whole("{}".into(), End::default());
        });
        let stack = cached(&store, inner);
        for (op, kept) in [(Operation::Chat, 0), (Operation::Embeddings, 1)] {
            let mut request = to(&provider, ask("q"));
            request.op = op;
            read(stack.clone().oneshot(request).await.unwrap()).await;
            assert_eq!(store.len(), kept);
        }
    }
}

#[path = "flight_tests.rs"]
mod flight;
