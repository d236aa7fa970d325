use std::sync::Arc;

use rungs::catalog::{Capability, Money, Price, Thinking, Tier};
use secrecy::ExposeSecret;

use super::*;

mod access;
mod agent;
mod catalog;
mod conversation;
mod entries;
mod environment;
mod faults;
mod mcp;
mod paths;
mod prices;
mod tools;
mod upstream;
mod webhook;

fn vars(all: &[(&str, &str)]) -> Vars {
    all.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn world(vars: &Vars) -> World<'_> {
    World {
        vars,
        read: &|path| match path.to_str() {
            Some("/run/secret") => Ok("from-a-file-k9x2m4\n".to_owned()),
            _ => Err(io::ErrorKind::NotFound.into()),
        },
        find: &|_| None,
        ollama: &|_| Ollama::Silent,
    }
}

fn load_with(text: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let vars = vars(env);
    Config::load(Some(&Source::new("rungs.toml", text)), &world(&vars))
}

fn load(text: &str) -> Config {
    load_with(text, &[]).unwrap()
}

fn from_env(env: &[(&str, &str)]) -> Config {
    Config::load(None, &world(&vars(env))).unwrap()
}

fn faults(text: &str) -> Vec<String> {
    let error = load_with(text, &[]).unwrap_err();
    error.0.iter().map(ToString::to_string).collect()
}

fn env_fault(env: &[(&str, &str)]) -> String {
    Config::load(None, &world(&vars(env)))
        .unwrap_err()
        .to_string()
}

const PROVIDER: &str = "[[provider]]\nname = \"p\"\nbase_url = \"https://llm.example/v1\"\n";

fn model(id: &str, more: &str) -> String {
    format!("[[model]]\nid = \"{id}\"\nprovider = \"p\"\ntier = \"L1\"\n{more}\n")
}

fn usd(text: &str) -> Money {
    text.parse().unwrap()
}

#[test]
fn the_example_says_the_defaults() {
    let text = include_str!("../../../rungs.example.toml");
    let config = load_with(text, &[("OPENAI_API_KEY", "k")]).unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert_eq!((config.providers.len(), config.models.len()), (2, 3));

    let defaults = from_env(&[("OPENAI_API_KEY", "k")]);
    let settings = |c: &Config| {
        format!(
            "{:?}",
            (
                &c.server,
                &c.store,
                &c.cache,
                &c.limits,
                &c.idempotency,
                &c.timeouts,
                &c.retry,
                &c.breaker,
                (&c.routing, &c.agent),
                (&c.budget.tz, c.budget.warn_at()),
                (&c.log, &c.tools)
            )
        )
    };
    assert_eq!(settings(&config), settings(&defaults));

    // What is commented out must be right too.
    let keys: String = text
        .lines()
        .skip_while(|line| !line.starts_with("# [admin]"))
        // There is one key only: it has nothing above it.
        .filter(|line| !line.starts_with("# parent"))
        .map(|line| format!("{}\n", line.trim_start_matches("# ")))
        .collect();
    let env = [
        ("OPENAI_API_KEY", "k"),
        ("RUNGS_KEY", "k3J9-x7Qm-82Lw-p0Zt"),
        ("RUNGS_ADMIN_KEY", "a8Zq-41Xm-c9Rt-77Lp-w2Vd"),
        ("EXA_API_KEY", "k"),
        ("API_KEY_21ST", "k"),
    ];
    let config = load_with(&format!("{text}{keys}"), &env).unwrap();
    assert_eq!(config.keys[0].family.key().rpm, Some(60));
    assert_eq!(config.keys[0].family.key().budgets.len(), 2);
    assert_eq!((config.projects.len(), config.admin.is_some()), (1, true));
    assert_eq!(config.upstreams.len(), 2);
}
