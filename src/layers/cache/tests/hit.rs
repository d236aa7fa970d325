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
async fn a_hit_says_what_reviewers_said() {
    let verdict = Verdict {
        agreement: Agreement::Agree,
        confidence: 90,
        reviewers: vec!["q/r".into()],
        cost: Money::ZERO,
    };
    let provider = Scripted::new(Reply::text("yes"));
    let said = verdict.clone();
    let inner = answering(&provider, move |r| r.meta.verdict = Some(said.clone()));
    let stack = cached(&Arc::default(), inner);
    let request = to(&provider, ask("q"));
    read(stack.clone().oneshot(request.clone()).await.unwrap()).await;
    let hit = stack.oneshot(request).await.unwrap();
    assert_eq!(hit.meta.cache, CacheStatus::Hit);
    assert_eq!(hit.meta.verdict, Some(verdict));
}

#[tokio::test]
async fn answers_of_another_epoch_are_not_served() {
    let provider = Scripted::new(Reply::text("yes"));
    let store = Arc::new(Store::default());
    let request = to(&provider, ask("q"));
    for (epoch, calls) in [(1, 1), (2, 2), (1, 2)] {
        let layer = CacheLayer::new(store.clone(), CacheScope::Tenant).epoch([epoch; 32]);
        let stack = layer.layer(provider.clone());
        read(stack.oneshot(request.clone()).await.unwrap()).await;
        assert_eq!(provider.calls(), calls);
    }
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
