use std::{collections::BTreeMap, time::Duration};

use rungs::store::Role;

use serde_json::json;

use super::*;
use crate::{
    accounts::GLOBAL,
    config::Source,
    keys::{NewKey, Terms},
};

fn load(text: &str) -> Config {
    Config::alone(&Source::new("rungs.toml", text)).unwrap()
}

fn config([calls, attempts]: [u32; 2], budgets: &str) -> Config {
    load(&format!(
        "[store]\nurl = \"memory:\"\n[limits]\nmax_in_flight = {calls}\n[budget]\nglobal = {budgets}\n\
         [[provider]]\nname = \"p\"\nbase_url = \"https://llm.example/v1\"\nmax_in_flight = {attempts}\n\
         [[model]]\nid = \"m\"\nprovider = \"p\"\ntier = \"L0\"\nprice = 0\n"
    ))
}

fn global(gateway: &Gateway) -> Vec<String> {
    let balances = gateway.state().accounts.book().balances(GLOBAL);
    balances.iter().map(|b| b.budget.to_string()).collect()
}

#[tokio::test]
async fn a_look_up_that_a_change_overtakes_brings_no_old_terms_back() {
    let gateway = Gateway::start(config([5, 3], "\"1/day\"")).await.unwrap();
    let registry = gateway.registry();
    let new = serde_json::from_value(json!({ "name": "k", "budgets": "2/day" })).unwrap();
    let issued = registry.create(new).await.unwrap();
    // Somebody else opens accounts, so the look-up waits with what it has found.
    let opening = gateway.state().accounts.prepare(BTreeMap::new()).await;
    let mut look_up = Box::pin(gateway.principal(&issued.credential));
    assert!(futures_util::poll!(&mut look_up).is_pending());
    let lower = serde_json::from_value(json!({ "budgets": "1/day" })).unwrap();
    registry.patch(&issued.key.id, &lower).await.unwrap();
    gateway.key_changed(&issued.key.id);
    drop(opening);
    look_up.await.unwrap();
    let account = accounts::of_key(&issued.key.id);
    let balances = gateway.state().accounts.book().balances(&account);
    let budgets: Vec<_> = balances.iter().map(|b| b.budget.to_string()).collect();
    assert_eq!(budgets, ["1/day"]);
}

fn limits(gateway: &Gateway) -> [usize; 2] {
    let state = gateway.state();
    [state.calls.max(), state.permits(&"p".into(), 99).max()]
}

#[tokio::test(start_paused = true)]
async fn what_is_open_for_want_of_keys_closes_when_there_is_one_and_stays_closed() {
    let open = || config([5, 3], "\"1/day\"");
    for (auth, closes) in [(None, true), (Some(Auth::None), false)] {
        let config = || {
            let mut config = open();
            config.server.auth = auth;
            config
        };
        let gateway = Gateway::start(config()).await.unwrap();
        let access = || gateway.live().access();
        let mut asking = Box::pin(gateway.close_with_the_first_key());
        let mut after = async |seconds| {
            let _ = tokio::time::timeout(Duration::from_secs(seconds), &mut asking).await;
        };
        after(300).await;
        assert_eq!(access(), Access::Loopback, "there is no key");
        let key = NewKey {
            tenant: None,
            parent: None,
            role: Role::User,
            terms: Terms {
                name: Some("k".into()),
                ..Terms::default()
            },
        };
        let key = gateway.registry().create(key).await.unwrap().key;
        after(31).await;
        assert_eq!(access() == Access::Keys, closes, "{auth:?}");
        gateway.registry().revoke(&key.id).await.unwrap();
        after(300).await;
        gateway.reload(config()).await.unwrap();
        assert_eq!(access() == Access::Keys, closes, "{auth:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_closes_during_a_reload_is_closed_after_it() {
    let open = || config([5, 3], "\"1/day\"");
    let gateway = Gateway::start(open()).await.unwrap();
    // Somebody else opens accounts, so the reload waits with what it has found.
    let opening = gateway.state().accounts.prepare(BTreeMap::new()).await;
    let mut reload = Box::pin(gateway.reload(open()));
    assert!(futures_util::poll!(&mut reload).is_pending());
    let new = serde_json::from_value(json!({ "name": "k" })).unwrap();
    gateway.registry().create(new).await.unwrap();
    let asking = gateway.close_with_the_first_key();
    let _ = tokio::time::timeout(TRUST * 2, asking).await;
    assert_eq!(gateway.live().access(), Access::Keys);
    drop(opening);
    reload.await.unwrap();
    assert_eq!(gateway.live().access(), Access::Keys);
}

#[tokio::test]
async fn r32_a_reload_that_comes_to_no_end_leaves_every_limit_as_it_was() {
    let gateway = Gateway::start(config([5, 3], "\"1/day\"")).await.unwrap();
    let kept = gateway.reload(config([6, 4], "\"2/day\"")).await.unwrap();
    assert!(kept.is_empty(), "{kept:?}");
    let stands = || (limits(&gateway), global(&gateway));
    let before = ([6, 4], vec!["2/day".to_owned()]);
    assert_eq!(stands(), before);

    // Somebody asks what was spent already, which is the last that a reload waits for.
    let asking = gateway.state().accounts.prepare(BTreeMap::new()).await;
    let wider = || config([7, 5], "[\"3/day\", \"4/week\"]");
    let mut reload = Box::pin(gateway.reload(wider()));
    assert!(futures_util::poll!(&mut reload).is_pending());
    drop((reload, asking));
    assert_eq!(stands(), before);
    gateway.reload(wider()).await.unwrap();
    assert_eq!(
        stands(),
        ([7, 5], vec!["3/day".to_owned(), "4/week".to_owned()])
    );
}
