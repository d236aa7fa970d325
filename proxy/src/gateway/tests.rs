use std::{collections::BTreeMap, io};

use super::*;
use crate::{
    accounts::GLOBAL,
    config::{Ollama, Source, Vars, World},
};

fn load(text: &str) -> Config {
    let world = World {
        vars: &Vars::new(),
        read: &|_| Err(io::ErrorKind::NotFound.into()),
        ollama: &|_| Ollama::Silent,
    };
    Config::load(Some(&Source::new("rungs.toml", text)), &world).unwrap()
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

fn limits(gateway: &Gateway) -> [usize; 2] {
    let state = gateway.state();
    [state.calls.max(), state.permits(&"p".into(), 99).max()]
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
