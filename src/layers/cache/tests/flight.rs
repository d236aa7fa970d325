use tokio::task::JoinSet;

use super::*;
use crate::model::ResponseMeta;

/// Polls `future` once.
async fn start<F: Future + Unpin>(future: &mut F) {
    assert!(future.now_or_never().is_none(), "it should have to wait");
}

#[tokio::test(start_paused = true)]
async fn r7_a_hundred_identical_misses_are_one_call() {
    for question in [ask("q"), ask_stream("q")] {
        let reply = Reply::text("one two three").after(SECOND).gap(SECOND);
        let provider = Scripted::new(reply);
        let rows = Arc::new(Rows::default());
        let layer = CacheLayer::new(Arc::new(Store::default()), CacheScope::Tenant);
        let stack = layer.ledger(rows.clone()).layer(provider.clone());
        let calls = (0..100).map(|at| {
            let (stack, request) = (stack.clone(), to(&provider, question.clone()));
            async move {
                // They come one after the other, most of them when the answer is already under way.
                tokio::time::sleep(Duration::from_millis(at * 30)).await;
                let answer = stack.oneshot(request).await.unwrap();
                (answer.meta.cache, read(answer).await)
            }
        });
        let answers = join_all(calls).await;
        assert_eq!(provider.calls(), 1);
        let leaders = answers
            .iter()
            .filter(|(s, _)| *s == CacheStatus::Miss)
            .count();
        assert_eq!(leaders, 1);
        let (_, first) = &answers[0];
        for (_, answer) in &answers {
            assert_eq!((&answer.data, answer.whole), (&first.data, first.whole));
            assert_eq!(answer.end.usage_chunk, first.end.usage_chunk);
        }
        assert_eq!(rows.0.lock().unwrap().len(), 99);
        assert_eq!((stack.in_flight(), provider.open()), (0, 0));
    }
}

#[test]
fn r7_identical_misses_on_many_threads_are_one_call() {
    for round in 0..200 {
        let question = if round % 2 == 0 {
            ask("q")
        } else {
            ask_stream("q")
        };
        let provider = Scripted::new(Reply::text("one two three"));
        let stack = cached(&Arc::default(), provider.clone());
        let request = to(&provider, question);
        let thread = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            runtime.block_on(join_all((0..25).map(|_| async {
                read(stack.clone().oneshot(request.clone()).await.unwrap())
                    .await
                    .data
            })))
        };
        let answers: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(thread)).collect();
            threads
                .into_iter()
                .flat_map(|t| t.join().unwrap())
                .collect()
        });
        assert_eq!(answers.len(), 100);
        assert!(answers.iter().all(|answer| *answer == answers[0]));
        assert_eq!(
            (provider.calls(), stack.in_flight()),
            (1, 0),
            "round {round}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn r7_the_two_forms_do_not_wait_for_each_other() {
    let provider = Scripted::new(Reply::text("one two").after(SECOND));
    let stack = cached(&Arc::default(), provider.clone());
    let whole = stack.clone().oneshot(to(&provider, ask("q")));
    let stream = stack.clone().oneshot(to(&provider, ask_stream("q")));
    let (whole, stream) = tokio::join!(whole, stream);
    assert!(whole.unwrap().body.is_whole() && !stream.unwrap().body.is_whole());
    assert_eq!((provider.calls(), stack.in_flight()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn r7_a_leader_lost_before_the_answer_is_replaced() {
    for question in [ask("q"), ask_stream("q")] {
        let provider = Scripted::new(Reply::text("one two").after(SECOND));
        let store = Arc::new(Store::default());
        let stack = cached(&store, provider.clone());
        let request = to(&provider, question);
        let mut leader = stack.clone().oneshot(request.clone());
        start(&mut leader).await;
        let mut follower = JoinSet::new();
        follower.spawn(stack.clone().oneshot(request));
        tokio::time::sleep(SECOND / 2).await;
        drop(leader);
        let answer = follower.join_next().await.unwrap().unwrap().unwrap();
        assert_eq!(answer.meta.cache, CacheStatus::Shared);
        read(answer).await;
        assert_eq!((provider.calls(), provider.cut()), (1, 0));
        assert_eq!((store.len(), stack.in_flight()), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn r7_a_leader_lost_within_the_answer_is_replaced() {
    let provider = Scripted::new(Reply::text("one two three four").gap(SECOND));
    let store = Arc::new(Store::default());
    let stack = cached(&store, provider.clone());
    let request = to(&provider, ask_stream("q"));
    let mut leader = stack.clone().oneshot(request.clone()).await.unwrap().body;
    let first = data(&mut leader).await;
    let follower = stack.clone().oneshot(request.clone()).await.unwrap();
    assert_eq!(follower.meta.cache, CacheStatus::Shared);
    let mut reading = JoinSet::new();
    reading.spawn(read(follower));
    let second = data(&mut leader).await;
    // The leader waits for the third chunk, and leaves.
    assert!(leader.next().now_or_never().is_none());
    tokio::time::sleep(SECOND / 2).await;
    drop(leader);
    let answer = reading.join_next().await.unwrap().unwrap();
    assert_eq!(answer.data[..2], [first, second]);
    assert_eq!(answer.data.len(), 5);
    assert_eq!((provider.calls(), provider.cut()), (1, 0));
    assert_eq!((store.len(), stack.in_flight()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn when_all_have_left_the_call_is_dropped() {
    let provider = Scripted::new(Reply::text("one two").after(SECOND).gap(SECOND));
    let store = Arc::new(Store::default());
    let stack = cached(&store, provider.clone());
    let request = to(&provider, ask_stream("q"));

    let mut before = [
        stack.clone().oneshot(request.clone()),
        stack.clone().oneshot(request.clone()),
    ];
    for call in &mut before {
        start(call).await;
    }
    assert_eq!((provider.open(), stack.in_flight()), (1, 1));
    drop(before);
    assert_eq!(
        (provider.open(), provider.cut(), stack.in_flight()),
        (0, 1, 0)
    );

    let within = stack.clone().oneshot(request.clone()).await.unwrap();
    let other = stack.clone().oneshot(request).await.unwrap();
    drop(within);
    assert_eq!(provider.open(), 1);
    drop(other);
    assert_eq!(
        (provider.open(), provider.cut(), stack.in_flight()),
        (0, 2, 0)
    );
    assert_eq!((provider.calls(), store.len()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn r7_a_slow_follower_does_not_slow_the_leader() {
    let provider = Scripted::new(Reply::text("one two three").gap(SECOND));
    let stack = cached(&Arc::default(), provider.clone());
    let request = to(&provider, ask_stream("q"));
    let leader = stack.clone().oneshot(request.clone()).await.unwrap();
    let mut follower = stack.clone().oneshot(request).await.unwrap().body;
    let first = data(&mut follower).await;
    assert!(follower.next().now_or_never().is_none());

    let began = Instant::now();
    let answer = read(leader).await;
    assert_eq!(began.elapsed(), SECOND * 4);
    assert_eq!(stack.in_flight(), 0);
    let rest = follower.collect(1 << 20).await.unwrap();
    assert_eq!(answer.data[0], first);
    assert_eq!(answer.data[1..], rest.data);
}

#[tokio::test(start_paused = true)]
async fn followers_share_an_error_of_the_answer() {
    let error = Error::new(ErrorKind::RateLimited, "slow down");
    let provider = Scripted::new(Reply::error(error).after(SECOND));
    let stack = cached(&Arc::default(), provider.clone());
    let calls = (0..3).map(|_| stack.clone().oneshot(to(&provider, ask("q"))));
    for answer in join_all(calls).await {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::RateLimited);
    }
    assert_eq!((provider.calls(), stack.in_flight()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn followers_do_not_share_what_is_the_leaders_own() {
    let provider = Scripted::at(
        Deployment::new("p", "m"),
        [
            Reply::error(Error::new(ErrorKind::Budget, "no room")).after(SECOND),
            Reply::text("yes").after(SECOND),
        ],
    );
    let stack = cached(&Arc::default(), provider.clone());
    let calls = (0..3).map(|_| stack.clone().oneshot(to(&provider, ask("q"))));
    let statuses: Vec<_> = join_all(calls)
        .await
        .into_iter()
        .map(|answer| answer.map(|a| a.meta.cache).map_err(|e| e.kind()))
        .collect();
    let (miss, shared) = (CacheStatus::Miss, CacheStatus::Shared);
    assert_eq!(statuses, [Err(ErrorKind::Budget), Ok(miss), Ok(shared)]);
    assert_eq!((provider.calls(), stack.in_flight()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn who_pays_from_elsewhere_does_not_share_an_answer_with_notes() {
    for question in [ask("q"), ask_stream("q")] {
        let provider = Scripted::new(Reply::text("yes").after(SECOND).gap(SECOND));
        let inner = answering(&provider, |answer| {
            answer.meta.notes.push("no budget to climb".into());
        });
        let stack = cached(&Arc::default(), inner);
        let calls = ["a", "a", "b", "c"].map(|account| {
            let mut request = to(&provider, question.clone());
            request.ctx = CallContext::new(Call {
                accounts: Arc::new([account.into()]),
                ..Call::new("test")
            });
            stack.clone().oneshot(request)
        });
        let statuses = join_all(calls).await.into_iter().map(|answer| {
            let meta = answer.unwrap().meta;
            assert_eq!(meta.notes.len(), 1);
            meta.cache
        });
        let (miss, shared) = (CacheStatus::Miss, CacheStatus::Shared);
        assert_eq!(statuses.collect::<Vec<_>>(), [miss, shared, miss, miss]);
        assert_eq!((provider.calls(), stack.in_flight()), (3, 0));
    }
}

/// A store that takes a second to look, and counts.
#[derive(Default)]
struct Slow(std::sync::atomic::AtomicUsize);

impl CacheStore for Slow {
    fn get<'a>(&'a self, _: &'a CacheKey) -> StoreFuture<'a, Option<Arc<CacheEntry>>> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        tokio::time::sleep(SECOND).map(|()| Ok(None)).boxed()
    }

    fn put(&self, _: CacheKey, _: Arc<CacheEntry>, _: Duration) {}
}

#[tokio::test(start_paused = true)]
async fn the_end_of_one_flight_makes_few_others_look_again() {
    let provider = Scripted::new(Reply::text("yes"));
    let store = Arc::new(Slow::default());
    let stack = CacheLayer::new(store.clone(), CacheScope::Tenant).layer(provider.clone());
    let calls = (0..20).map(|n: u64| {
        let call = stack.clone().oneshot(to(&provider, ask(&n.to_string())));
        async move {
            // Each ends while the next one's look-up is under way.
            tokio::time::sleep(SECOND * 3 / 4 * u32::try_from(n).unwrap()).await;
            read(call.await.unwrap()).await
        }
    });
    join_all(calls).await;
    let looks = store.0.load(std::sync::atomic::Ordering::Relaxed);
    assert!((20..23).contains(&looks), "{looks}");
}

/// A store that takes a second to say what it had.
#[derive(Default)]
struct Late(Store);

impl CacheStore for Late {
    fn get<'a>(&'a self, key: &'a CacheKey) -> StoreFuture<'a, Option<Arc<CacheEntry>>> {
        let found = self.0.get(key).now_or_never().expect("it is in memory");
        tokio::time::sleep(SECOND).map(|()| found).boxed()
    }

    fn put(&self, key: CacheKey, entry: Arc<CacheEntry>, ttl: Duration) {
        self.0.put(key, entry, ttl);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_has_come_since_the_look_up_is_one_that_another_call_paid_for() {
    let provider = Scripted::new(Reply::text("yes"));
    let stack = CacheLayer::new(Arc::new(Late::default()), CacheScope::Tenant);
    let stack = stack.layer(provider.clone());
    let calls = (0..3).map(|n| {
        let call = stack.clone().oneshot(to(&provider, ask("q")));
        async move {
            tokio::time::sleep(SECOND * n * 2 / 3).await;
            call.await.unwrap().meta.cache
        }
    });
    let (miss, shared, hit) = (CacheStatus::Miss, CacheStatus::Shared, CacheStatus::Hit);
    assert_eq!(join_all(calls).await, [miss, shared, hit]);
    assert_eq!(provider.calls(), 1);
}

#[test]
fn a_busy_flight_stops_nobody_who_asks_something_else() {
    let (enter, entered) = std::sync::mpsc::channel();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    let inner = {
        let gate = gate.clone();
        service_fn(move |request: ModelRequest| {
            let (enter, gate) = (enter.clone(), gate.clone());
            async move {
                if request.body.get("busy").is_some() {
                    enter.send(()).unwrap();
                    // It holds its thread, as work does that takes long.
                    drop(gate.lock());
                }
                let body = ModelBody::whole("{}".into(), End::default());
                let meta = ResponseMeta::default();
                Ok::<_, Error>(ModelResponse { meta, body })
            }
            .boxed()
        })
    };
    let stack = cached(&Arc::default(), inner);
    let call = move |request: ModelRequest| {
        let stack = stack.clone();
        move || stack.oneshot(request).now_or_never().unwrap().unwrap()
    };
    let mut busy = ask("q");
    busy.body.set("busy", &true).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let mut calls = vec![std::thread::spawn(call(busy.clone()))];
    entered.recv().unwrap();
    calls.push(std::thread::spawn(call(busy)));
    calls.push(std::thread::spawn(move || {
        // Until the follower waits.
        std::thread::sleep(Duration::from_millis(100));
        let answer = call(ask("something else"))();
        tell.send(()).unwrap();
        answer
    }));
    let answered = told.recv_timeout(Duration::from_secs(5));
    drop(closed);
    for call in calls {
        call.join().unwrap();
    }
    assert!(answered.is_ok(), "it waits for a flight of another name");
}

#[tokio::test(start_paused = true)]
async fn each_follower_has_its_own_deadline() {
    let provider = Scripted::new(Reply::text("one two").after(SECOND * 2).gap(SECOND * 2));
    let stack = cached(&Arc::default(), provider.clone());
    let request = to(&provider, ask_stream("q"));
    let within = |time| stack.clone().oneshot(with_deadline(request.clone(), time));
    let (leader, early, later) = tokio::join!(
        stack.clone().oneshot(request.clone()),
        within(SECOND),
        within(SECOND * 3),
    );
    assert_eq!(early.unwrap_err().kind(), ErrorKind::Timeout);
    let mut later = later.unwrap().body;
    data(&mut later).await;
    let error = later.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(read(leader.unwrap()).await.data.len(), 3);
    assert_eq!((provider.calls(), stack.in_flight()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_leader_out_of_time_does_not_take_followers_with_it() {
    let timeout = Error::new(ErrorKind::Timeout, "too late");
    let script = [Reply::error(timeout).after(SECOND), Reply::text("yes")];
    let provider = Scripted::at(Deployment::new("p", "m"), script);
    let stack = cached(&Arc::default(), provider.clone());
    let request = to(&provider, ask("q"));
    let leader = stack
        .clone()
        .oneshot(with_deadline(request.clone(), SECOND));
    let (leader, follower) = tokio::join!(leader, stack.clone().oneshot(request));
    assert_eq!(leader.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(follower.unwrap().meta.cache, CacheStatus::Miss);
}

/// A flight of ten chunks of ten bytes that may hold 25 bytes.
async fn long() -> (ModelBody, ModelBody, Cache<impl crate::model::ModelService>) {
    let provider = Scripted::new(Reply::text("unused"));
    let inner = service_fn(|_: ModelRequest| async {
        let chunk = |at: u8| Ok(Frame::Data(vec![b'0' + at; 10].into()));
        let end = End {
            finish: Some(FinishReason::Stop),
            ..End::default()
        };
        let frames = (0..10).map(chunk).chain([Ok(Frame::End(end))]);
        Ok::<_, Error>(ModelResponse {
            meta: ResponseMeta::default(),
            body: ModelBody::stream(futures_util::stream::iter(frames.collect::<Vec<_>>())),
        })
    });
    let inner = tower::util::BoxCloneSyncService::new(inner);
    let layer = CacheLayer::new(Arc::new(Store::default()), CacheScope::Tenant);
    let stack = layer.max_entry_bytes(25).layer(inner);
    let request = to(&provider, ask_stream("q"));
    let leader = stack.clone().oneshot(request.clone()).await.unwrap();
    let follower = stack.clone().oneshot(request).await.unwrap();
    assert_eq!(follower.meta.cache, CacheStatus::Shared);
    (leader.body, follower.body, stack)
}

#[tokio::test]
async fn a_follower_too_far_behind_a_long_answer_loses_its_place() {
    let (leader, mut follower, stack) = long().await;
    data(&mut follower).await;
    assert_eq!(leader.collect(1000).await.unwrap().data.len(), 10);
    let error = follower.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert_eq!(stack.in_flight(), 0);
}

#[tokio::test]
async fn the_leader_of_a_long_answer_is_waited_for() {
    let (mut leader, mut follower, stack) = long().await;
    for _ in 0..3 {
        data(&mut follower).await;
    }
    let mut waiting = tokio_test::task::spawn(follower.next());
    assert!(waiting.poll().is_pending());
    assert_eq!(stack.in_flight(), 0);
    data(&mut leader).await;
    assert!(waiting.is_woken());
    assert!(waiting.poll().is_ready());
    drop(waiting);

    for _ in 0..6 {
        data(&mut leader).await;
        data(&mut follower).await;
    }
    assert_eq!(leader.collect(1000).await.unwrap().data.len(), 3);
    assert_eq!(follower.collect(1000).await.unwrap().data.len(), 0);
}

#[tokio::test]
async fn nobody_waits_for_a_leader_who_has_left() {
    let (leader, mut follower, _stack) = long().await;
    for _ in 0..3 {
        data(&mut follower).await;
    }
    let mut waiting = tokio_test::task::spawn(follower.collect(1000));
    assert!(waiting.poll().is_pending());
    drop(leader);
    assert!(waiting.is_woken());
    assert_eq!(waiting.await.unwrap().data.len(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_inner_service_strands_nobody() {
    let inner = service_fn(|_: ModelRequest| {
        async {
            tokio::time::sleep(SECOND).await;
            std::panic::resume_unwind(Box::new("a defect"))
        }
        .boxed()
    });
    let stack = cached(&Arc::default(), inner);
    let mut calls = JoinSet::new();
    for _ in 0..3 {
        calls.spawn(stack.clone().oneshot(ask("q")));
    }
    let mut kinds = Vec::new();
    while let Some(call) = calls.join_next().await {
        kinds.push(call.map(|answer| answer.unwrap_err().kind()));
    }
    assert_eq!(kinds.iter().filter(|kind| kind.is_err()).count(), 1);
    assert!(
        kinds
            .iter()
            .flatten()
            .all(|kind| *kind == ErrorKind::Internal)
    );
    assert_eq!(stack.in_flight(), 0);
}
