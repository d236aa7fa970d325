//! `rungs demo`: the whole gateway on scripted models. Only the provider's answers are made up.

mod script;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use rungs::{store::Window, testing::Upstream};

use super::{output::Output, serve};
use crate::{
    accounts::{self, Book},
    cli::DemoArgs,
    config::{Config, Source},
    gateway::Gateway,
    log,
};

const CONFIG: &str = include_str!("demo.toml");

/// Where `demo.toml` says that the provider is; the real address is known only once it listens.
const PLACEHOLDER: &str = "http://127.0.0.1:1/v1";

/// The key whose budget is spent, and its name.
const SPENT: (&str, &str) = ("demo-spent", "sk-demo-spent-4f1d9c2a");

/// Serves until a signal comes.
pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let threads = serve::threads()?;
    threads.block_on(async {
        let upstream = Upstream::serve(script::models()).await?;
        let text = CONFIG.replace(PLACEHOLDER, &upstream.base_url());
        let mut config = Config::alone(&Source::new("demo.toml", text))?;
        config.server.listen = args.listen;
        let _log = log::start(&config.log)?;
        serve::serve(config, &threads, None, introduce).await
    })
}

fn introduce(gateway: &Gateway, url: &str, out: &mut Output) -> io::Result<()> {
    let (book, spent) = (gateway.state().accounts.book(), accounts::of_key(SPENT.0));
    if let Book::Own(book) = book {
        for balance in book.balances(&spent) {
            book.seed(&spent, &Window::DAY, balance.budget.limit);
        }
    }
    let ask = |question: &str, header: &str| {
        let body =
            format!(r#"{{"model":"auto","messages":[{{"role":"user","content":"{question}"}}]}}"#);
        format!(
            "curl -si {url}/v1/chat/completions -H 'content-type: application/json'{header} -d '{body}'"
        )
    };
    let models = gateway
        .live()
        .catalog
        .names()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    writeln!(out, "models: {models}\n")?;
    writeln!(
        out,
        "# stays on L0; asked again it comes from the cache and costs nothing"
    )?;
    writeln!(out, "{}\n", ask("What is the capital of France?", ""))?;
    writeln!(
        out,
        "# L0 cannot do this one: the call climbs, and the log shows the handoff"
    )?;
    writeln!(out, "{}\n", ask("Explain why the sky is blue.", ""))?;
    writeln!(out, "# a key whose budget is spent")?;
    let header = format!(" -H 'authorization: Bearer {}'", SPENT.1);
    writeln!(out, "{}", ask("What is the capital of Spain?", &header))
}
