use std::io;

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

fn config(folder: &std::path::Path, limits: [u32; 3], budgets: &str) -> Config {
    let [calls, attempts, percent] = limits;
    load(&format!(
        "[store]\nurl = \"sqlite:{}/rungs.db\"\n[limits]\nmax_in_flight = {calls}\n\
         [budget]\nglobal = {budgets}\nwarn_at = {percent}\n\
         [[provider]]\nname = \"p\"\nbase_url = \"https://llm.example/v1\"\nmax_in_flight = {attempts}\n\
         [[model]]\nid = \"m\"\nprovider = \"p\"\ntier = \"L0\"\nprice = 0\n",
        folder.display()
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
async fn r32_a_reload_that_fails_leaves_every_limit_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let gateway = Gateway::start(config(folder, [5, 3, 80], "\"1/day\""));
    let gateway = gateway.await.unwrap();
    let kept = gateway
        .reload(config(folder, [6, 4, 80], "\"2/day\""))
        .await;
    assert!(kept.unwrap().is_empty());
    assert_eq!(
        (limits(&gateway), &*global(&gateway)),
        ([6, 4], &["2/day".to_owned()][..])
    );

    // The ledger cannot say any more what was spent since a week began.
    gateway.state().close().await;
    let wider = config(folder, [7, 5, 80], "[\"3/day\", \"4/week\"]");
    gateway.reload(wider).await.unwrap_err();
    assert_eq!(
        (limits(&gateway), &*global(&gateway)),
        ([6, 4], &["2/day".to_owned()][..])
    );
}
