//! Turns that outlive their process, and calls that do without what was said before.

use super::*;

fn spooled(store: &Arc<Moody>, shelf: &Arc<Shelf>) -> Conversations {
    Conversations::spooled(store.clone(), 100, shelf.clone()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_turn_is_in_the_spool_until_the_store_has_it() {
    let provider = Scripted::new(Reply::text("yes"));
    let (store, shelf) = (Arc::new(Moody::new(3)), Arc::<Shelf>::default());
    let conversations = spooled(&store, &shelf);
    let service = ConversationLayer::new(conversations.clone()).layer(provider);
    for n in 1..=2 {
        ask(&service, saying("t", user("q"))).await.unwrap();
        assert_eq!(shelf.len(), n, "when the answer has ended");
    }
    conversations.flush().await;
    assert_eq!(shelf.len(), 0);
    assert_eq!(store.inner.load(&key()).await.unwrap().unwrap().count, 4);
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_process_left_is_seen_at_once_and_written_once() {
    let provider = Scripted::new(Reply::text("yes"));
    let (away, shelf) = (Arc::new(Moody::new(u32::MAX)), Arc::<Shelf>::default());
    let service = ConversationLayer::new(spooled(&away, &shelf)).layer(provider.clone());
    for text in ["one?", "two?"] {
        ask(&service, saying("t", user(text))).await.unwrap();
    }
    // Nobody closes it; and one of the two has been written by then.
    let store = Arc::new(Moody::new(4));
    let (_, first) = Turn::of_record(&shelf.left(Topic::Turns)[0].1).unwrap();
    store.inner.append(&key(), &[first]).await.unwrap();
    let conversations = spooled(&store, &shelf);
    assert_eq!(conversations.load(&key()).await.unwrap().unwrap().count, 4);
    let service = ConversationLayer::new(conversations.clone()).layer(provider.clone());
    ask(&service, saying("t", user("three?"))).await.unwrap();
    assert_eq!(
        texts(&last_seen(&provider)),
        ["one?", "yes", "two?", "yes", "three?"]
    );
    conversations.flush().await;
    let memory = store.inner.load(&key()).await.unwrap().unwrap();
    assert_eq!((memory.count, shelf.len()), (6, 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_left_and_fails_again_holds_up_nothing_after_the_start() {
    let provider = Scripted::new(Reply::text("yes"));
    let shelf = Arc::<Shelf>::default();
    let away = || {
        Arc::new(Moody {
            there_for: Some("other"),
            ..Moody::new(u32::MAX)
        })
    };
    let service = ConversationLayer::new(spooled(&away(), &shelf)).layer(provider.clone());
    ask(&service, saying("t", user("too much"))).await.unwrap();
    let store = away();
    let conversations = spooled(&store, &shelf);
    let service = ConversationLayer::new(conversations.clone()).layer(provider);
    ask(&service, saying("other", user("q"))).await.unwrap();
    let other = ConversationKey::new("other", "c").unwrap();
    until(async || store.inner.load(&other).await.unwrap().is_some()).await;
    assert_eq!(shelf.len(), 1, "it is tried again");
    store.away.store(0, Ordering::Relaxed);
    conversations.flush().await;
    assert_eq!(shelf.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_at_the_end_gets_its_turns_from_the_next_process() {
    let provider = Scripted::new(Reply::text("yes"));
    let (away, shelf) = (Arc::new(Moody::new(u32::MAX)), Arc::<Shelf>::default());
    let conversations = spooled(&away, &shelf);
    let service = ConversationLayer::new(conversations.clone()).layer(provider.clone());
    ask(&service, saying("t", user("q"))).await.unwrap();
    conversations.close().await;
    assert_eq!(shelf.len(), 1, "it stays");
    let store = Arc::new(Moody::new(0));
    spooled(&store, &shelf).flush().await;
    assert_eq!(store.inner.load(&key()).await.unwrap().unwrap().count, 2);

    // What the store will not have is not tried for ever.
    let refusing = Arc::new(Moody {
        kind: ErrorKind::Internal,
        ..Moody::new(u32::MAX)
    });
    let conversations = spooled(&refusing, &shelf);
    let service = ConversationLayer::new(conversations.clone()).layer(provider);
    ask(&service, saying("t", user("q"))).await.unwrap();
    conversations.flush().await;
    assert_eq!(shelf.len(), 0);
}

#[tokio::test]
async fn a_spool_that_cannot_be_used_is_said_before_anybody_is_asked() {
    let provider = Scripted::new(Reply::text("yes"));
    let (store, shelf) = (Arc::new(Moody::new(0)), Arc::<Shelf>::default());
    let service = ConversationLayer::new(spooled(&store, &shelf)).layer(provider.clone());
    shelf.1.store(1_000, Ordering::Relaxed);
    let error = ask(&service, saying("t", user("q"))).await.unwrap_err();
    assert_eq!(
        (error.kind(), provider.calls()),
        (ErrorKind::Unavailable, 0)
    );
    shelf.add(Topic::Turns, b"of another version".to_vec());
    let error = Conversations::spooled(store, 100, shelf).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
}

#[tokio::test(start_paused = true)]
async fn a_call_may_do_without_a_store_that_is_away_and_says_so() {
    let provider = Scripted::new(Reply::text("yes"));
    let store = Arc::new(Moody::new(0));
    let conversations = Conversations::new(store.clone(), 100);
    let service = ConversationLayer::new(conversations.clone()).layer(provider.clone());
    ask(&service, saying("t", user("one?"))).await.unwrap();
    conversations.flush().await;

    store.blind.store(true, Ordering::Relaxed);
    store.away.store(u32::MAX, Ordering::Relaxed);
    let asking = |text: &str, recall| {
        let request = saying("t", user(text));
        let call = Call {
            conversation: Some("c".into()),
            recall,
            ..Call::new("t")
        };
        ModelRequest {
            ctx: CallContext::new(call),
            ..request
        }
    };
    let refused = ask(&service, asking("two?", Recall::Required)).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(provider.calls(), 1, "nobody was asked");
    for (text, shown) in [
        ("two?", &["two?"][..]),
        ("three?", &["two?", "yes", "three?"]),
    ] {
        let answering = service.clone().oneshot(asking(text, Recall::IfThere));
        let answer = answering.await.unwrap();
        assert!(answer.meta.forgetful);
        answer.body.collect(1 << 20).await.unwrap();
        assert_eq!(
            texts(&last_seen(&provider)),
            shown,
            "what this process knows is there"
        );
    }

    store.blind.store(false, Ordering::Relaxed);
    store.away.store(0, Ordering::Relaxed);
    conversations.flush().await;
    let answering = service
        .clone()
        .oneshot(asking("four?", Recall::IfThere))
        .await;
    assert!(!answering.unwrap().meta.forgetful);
    assert_eq!(last_seen(&provider).len(), 7, "nothing is lost");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_is_told_when_nothing_can_bring_its_turns_back() {
    let provider = Scripted::new(Reply::text("yes"));
    let (store, shelf) = (Arc::new(Moody::new(0)), Arc::<Shelf>::default());
    let conversations = spooled(&store, &shelf);
    let service = ConversationLayer::new(conversations.clone()).layer(provider);
    ask(&service, saying("t", user("q"))).await.unwrap();
    conversations.flush().await;
    shelf.2.store(true, Ordering::Relaxed);
    let key = key();
    let deleting = conversations.delete(&key);
    let told = tokio::time::timeout(Duration::from_secs(60), deleting).await;
    assert!(told.is_err(), "the spool may have the turn still");
    assert!(store.inner.load(&key).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_conversation_with_a_turn_on_its_way_is_not_idle() {
    let provider = Scripted::new(Reply::text("yes"));
    let (store, shelf) = (Arc::new(Moody::new(0)), Arc::<Shelf>::default());
    for (tenant, request) in [("t", "req_1"), ("other", "req_2")] {
        let key = ConversationKey::new(tenant, "c").unwrap();
        let old = Turn {
            at: UNIX_EPOCH,
            ..turn(request, "q", "a")
        };
        store.inner.append(&key, &[old]).await.unwrap();
    }
    let conversations = spooled(&store, &shelf);
    let service = ConversationLayer::new(conversations.clone()).layer(provider);
    store.away.store(u32::MAX, Ordering::Relaxed);
    ask(&service, saying("t", user("q"))).await.unwrap();
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    assert_eq!(conversations.forget_idle(hour_ago).await.unwrap(), 1);
    store.away.store(0, Ordering::Relaxed);
    conversations.flush().await;
    assert_eq!(store.inner.load(&key()).await.unwrap().unwrap().count, 4);
    assert_eq!(conversations.forget_idle(hour_ago).await.unwrap(), 0);
}
