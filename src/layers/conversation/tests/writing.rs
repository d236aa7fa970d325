//! The one task that writes: in order, once, with a bound, and to the end.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_turn_is_there_at_once_and_in_the_store_when_that_is_back() {
    let provider = Scripted::new(Reply::text("yes"));
    let store = Arc::new(Moody::new(7));
    let conversations = Conversations::new(store.clone(), 100);
    let service = ConversationLayer::new(conversations.clone()).layer(provider.clone());
    for n in 1..=3 {
        ask(&service, saying("t", user(&format!("{n}?"))))
            .await
            .unwrap();
        assert_eq!(
            last_seen(&provider).len(),
            2 * n - 1,
            "the call before is seen"
        );
    }
    assert!(store.inner.load(&key()).await.unwrap().is_none());
    conversations.flush().await;
    let memory = store.inner.load(&key()).await.unwrap().unwrap();
    assert_eq!(memory.count, 6);
    let said: Vec<Value> = memory
        .messages
        .iter()
        .map(|m| serde_json::from_str(m.message.get()).unwrap())
        .collect();
    assert_eq!(texts(&said), ["1?", "yes", "2?", "yes", "3?", "yes"]);
    assert_eq!(conversations.load(&key()).await.unwrap().unwrap().count, 6);
    assert!(store.appends.lock().unwrap().len() >= 8);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_has_done_it_and_does_not_say_so_doubles_nothing() {
    let provider = Scripted::new(Reply::text("yes"));
    let store = Arc::new(Moody {
        after: true,
        ..Moody::new(3)
    });
    let conversations = Conversations::new(store.clone(), 100);
    let service = ConversationLayer::new(conversations.clone()).layer(provider);
    ask(&service, saying("t", user("q"))).await.unwrap();
    conversations.flush().await;
    assert_eq!(store.inner.load(&key()).await.unwrap().unwrap().count, 2);
    assert_eq!(store.appends.lock().unwrap().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn without_a_place_nobody_is_asked_and_a_call_gives_its_place_back() {
    let provider = Scripted::new(Reply::text("yes"));
    let store = Arc::new(Moody::new(u32::MAX));
    let conversations = Conversations::new(store.clone(), 2);
    let service = ConversationLayer::new(conversations.clone()).layer(provider.clone());
    // Calls that end without a turn leave their place.
    let failing = Scripted::new(Reply::error(Error::new(ErrorKind::Upstream, "no")));
    let failing = ConversationLayer::new(conversations.clone()).layer(failing);
    for _ in 0..5 {
        let mut stream = saying("t", user("q"));
        stream.body.set("stream", &true).unwrap();
        let cut = service.clone().oneshot(stream).await.unwrap();
        ask(&failing, saying("t", user("q"))).await.unwrap_err();
        drop(cut);
    }
    let calls = provider.calls();
    let mut answered = 0;
    let error = loop {
        match ask(&service, saying("t", user("q"))).await {
            Ok(()) => answered += 1,
            Err(error) => break error,
        }
        assert!(answered < 100, "there is no bound");
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.get_retry_after().is_some());
    assert_eq!(provider.calls(), calls + answered);
    store.away.store(0, Ordering::Relaxed);
    conversations.flush().await;
    ask(&service, saying("t", user("q"))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn closing_writes_what_is_left_and_does_not_wait_without_end() {
    let provider = Scripted::new(Reply::text("yes"));
    let store = Arc::new(Moody::new(2));
    let conversations = Conversations::new(store.clone(), 100);
    let service = ConversationLayer::new(conversations.clone()).layer(provider.clone());
    ask(&service, saying("t", user("q"))).await.unwrap();
    conversations.close().await;
    assert_eq!(store.inner.load(&key()).await.unwrap().unwrap().count, 2);

    let conversations = self::conversations(Moody::new(u32::MAX));
    let service = ConversationLayer::new(conversations.clone()).layer(provider);
    ask(&service, saying("t", user("q"))).await.unwrap();
    let start = tokio::time::Instant::now();
    conversations.close().await;
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn what_the_store_refuses_does_not_hold_up_the_rest_for_ever() {
    let provider = Scripted::new(Reply::text("yes"));
    let store = Arc::new(Moody {
        kind: ErrorKind::Internal,
        ..Moody::new(10)
    });
    let conversations = Conversations::new(store.clone(), 100);
    let service = ConversationLayer::new(conversations.clone()).layer(provider);
    ask(&service, saying("t", user("lost"))).await.unwrap();
    conversations.flush().await;
    assert!(conversations.load(&key()).await.unwrap().is_none());
    ask(&service, saying("t", user("kept"))).await.unwrap();
    conversations.flush().await;
    assert_eq!(store.inner.load(&key()).await.unwrap().unwrap().count, 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_does_not_come_back_from_the_queue() {
    let provider = Scripted::new(Reply::text("yes"));
    let store = Arc::new(Moody::new(3));
    let conversations = Conversations::new(store.clone(), 100);
    let service = ConversationLayer::new(conversations.clone()).layer(provider);
    for _ in 0..3 {
        ask(&service, saying("t", user("q"))).await.unwrap();
    }
    assert!(conversations.delete(&key()).await.unwrap());
    assert!(!conversations.delete(&key()).await.unwrap());
    conversations.flush().await;
    assert!(conversations.load(&key()).await.unwrap().is_none());
    assert!(store.inner.load(&key()).await.unwrap().is_none());
    ask(&service, saying("t", user("anew"))).await.unwrap();
    assert_eq!(conversations.load(&key()).await.unwrap().unwrap().count, 2);
}

fn other() -> ConversationKey {
    ConversationKey::new("other", "c").unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_itself_alone_holds_up_nobody_else() {
    let provider = Scripted::new(Reply::text("yes"));
    let store = Arc::new(Moody {
        there_for: Some("other"),
        ..Moody::new(u32::MAX)
    });
    let conversations = Conversations::new(store.clone(), 100);
    let service = ConversationLayer::new(conversations.clone()).layer(provider.clone());
    let refused = loop {
        match ask(&service, saying("t", user("q"))).await {
            Ok(()) => assert!(
                provider.calls() < 90,
                "one conversation takes up all places"
            ),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    for tenant in ["t1", "t2", "t3", "t4", "t5"] {
        ask(&service, saying(tenant, user("q"))).await.unwrap();
    }
    for count in [2, 4] {
        ask(&service, saying("other", user("q"))).await.unwrap();
        let written = async || store.inner.load(&other()).await.unwrap();
        until(async || written().await.is_some_and(|m| m.count == count)).await;
    }
    // It can be given up by who began it.
    assert!(conversations.delete(&key()).await.unwrap());
    assert!(conversations.load(&key()).await.unwrap().is_none());
    store.away.store(0, Ordering::Relaxed);
    ask(&service, saying("t", user("anew"))).await.unwrap();
    conversations.flush().await;
    assert_eq!(store.inner.load(&key()).await.unwrap().unwrap().count, 2);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_written_in_its_order_and_not_all_at_once() {
    let long = "x".repeat(1_000_000);
    let provider = Scripted::new(Reply::text(&long));
    let store = Arc::new(Moody::new(3));
    let conversations = Conversations::new(store.clone(), 100);
    let service = ConversationLayer::new(conversations.clone()).layer(provider);
    for n in 0..10 {
        ask(&service, saying("t", user(&n.to_string())))
            .await
            .unwrap();
    }
    conversations.flush().await;
    let messages = store.inner.read(&key(), 0, 100).await.unwrap();
    let said: Vec<Value> = messages
        .iter()
        .step_by(2)
        .map(|m| serde_json::from_str(m.message.get()).unwrap())
        .collect();
    let numbers: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    assert_eq!(texts(&said), numbers);
    let most = store.appends.lock().unwrap().iter().copied().max();
    assert!(most.is_some_and(|most| (2..=4).contains(&most)), "{most:?}");
}
