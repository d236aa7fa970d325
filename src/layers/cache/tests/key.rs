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

const EPOCH: [u8; 32] = [1; 32];

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
        prop_assert_ne!(CacheScope::Tenant.key(&EPOCH, &base), CacheScope::Tenant.key(&EPOCH, &changed));
        prop_assert_ne!(CacheScope::Tenant.key(&EPOCH, &base), CacheScope::Shared.key(&EPOCH, &base));
        prop_assert_ne!(CacheScope::Tenant.key(&EPOCH, &base), CacheScope::Tenant.key(&[2; 32], &base));
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
        prop_assert_eq!(CacheScope::Tenant.key(&EPOCH, &base), CacheScope::Tenant.key(&EPOCH, &same));
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
