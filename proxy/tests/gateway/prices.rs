//! R15: no price is not free. R2: what a provider tells is believed within reason.

use rungs::{
    model::Usage,
    testing::{Reply, Upstream},
};

use crate::support::*;

#[tokio::test]
async fn r15_a_model_without_a_price_is_refused_under_a_budget() {
    let models = ["unpriced", "free", "priced"].map(|name| scripted(name, Reply::text("here")));
    let upstream = Upstream::serve(models.clone()).await.unwrap();
    let config = |rules: &str| {
        let keys =
            key("capped", KEY, "budget = \"5/day\"") + &key("open", "xw9-Pd27-uh3m-Rq61", "");
        let models = model("unpriced", "p", "L0", "")
            + &free("free", "p", "L0")
            + &model(
                "priced",
                "p",
                "L0",
                "price = { input = \"1\", output = \"2\" }\nmax_output = 100",
            );
        format!(
            "{rules}{keys}{}{models}",
            provider("p", &upstream.base_url())
        )
    };
    let gateway = Gateway::serve(&config("")).with_key(KEY);
    for body in [chat("unpriced", "q"), chat_stream("unpriced", "q")] {
        let refused = gateway.ask(&body).await;
        let error = refused.error();
        assert_eq!(
            (refused.status, &error["code"]),
            (429, &"insufficient_quota".into()),
            "{refused:?}"
        );
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains("`unpriced` has no price"),
            "{error}"
        );
    }
    assert_eq!(models[0].calls(), 0);
    let free = gateway.ask(&chat("free", "q")).await;
    assert_eq!((free.status, free.header("x-rungs-cost-usd")), (200, "0"));
    let priced = gateway.ask(&chat("priced", "q")).await;
    assert_eq!(priced.status, 200);
    assert_eq!(priced.header("x-rungs-cost-usd"), models_cost(&priced));
    // Who has no budget may ask: what it costs stays unknown.
    let gateway = gateway.with_key("xw9-Pd27-uh3m-Rq61");
    assert_eq!(gateway.ask(&chat("unpriced", "q")).await.status, 200);
    gateway.logs("`p/unpriced` has no price").await;

    // A cap over everything holds for all.
    let gateway =
        Gateway::serve(&config("[budget]\nglobal = \"5/day\"\n")).with_key("xw9-Pd27-uh3m-Rq61");
    assert_eq!(gateway.ask(&chat("unpriced", "q")).await.status, 429);
    assert_eq!(models[0].calls(), 1);
    // Unless somebody says that it is meant.
    let gateway = Gateway::serve(&config("[budget]\nunpriced = \"allow\"\n")).with_key(KEY);
    assert_eq!(gateway.ask(&chat("unpriced", "q")).await.status, 200);
}

/// One dollar per million tokens in, two out, from the answer's own usage.
fn models_cost(answer: &Answer) -> String {
    let usage = answer.json()["usage"].clone();
    let nanos = usage["prompt_tokens"].as_i64().unwrap() * 1000
        + usage["completion_tokens"].as_i64().unwrap() * 2000;
    rungs::catalog::Money::from_nanos(nanos).to_string()
}

/// R2: a provider that lies about tokens, or charges more than it says it would.
#[tokio::test]
async fn r2_what_cannot_be_is_clamped_counted_and_flagged() {
    let lies = scripted("lies", Reply::text("here").usage(Usage::new(3, 1_000_000)));
    let bills = scripted("bills", Reply::text("here").cost("0.5".parse().unwrap()));
    let upstream = Upstream::serve([lies.clone(), bills]).await.unwrap();
    let price = "price = { input = \"1\", output = \"2\" }\nmax_output = 100";
    let config = scraper()
        + &key("capped", KEY, "budget = \"5/day\"")
        + &provider("p", &upstream.base_url())
        + &model("lies", "p", "L0", price)
        + &model("bills", "p", "L0", price);
    let gateway = Gateway::serve(&config).with_key(KEY);
    let clamped = gateway.ask(&chat("lies", "q")).await;
    // The three tokens of input at $1, and as many of output as there can be, a hundred, at $2 a million.
    assert_eq!(clamped.header("x-rungs-cost-usd"), "0.000203");
    let told = lies.seen()[0].body.get_as("max_tokens");
    assert_eq!(told.unwrap(), Some(100), "it was told of the hundred");
    let dear = gateway.ask(&chat_stream("bills", "q")).await;
    assert_eq!(dear.last_words()["cost_usd"], "0.5");

    assert_eq!(gateway.counted("rungs_bound_violations_total").await, 2.0);
    let metrics = gateway.metrics().await;
    for series in [
        "{deployment=\"p/lies\",kind=\"tokens\"} 1",
        "{deployment=\"p/bills\",kind=\"cost\"} 1",
    ] {
        assert!(metrics.contains(series), "{metrics}");
    }
    gateway
        .logs("told more than the request can have used")
        .await;
}

/// R15: what a price is from is on the ledger, and `rungs check` tells.
#[tokio::test]
async fn r15_a_listed_price_needs_no_configuration() {
    let models = ["gpt-4o-mini", "own"].map(|name| scripted(name, Reply::text("here")));
    let upstream = Upstream::serve(models).await.unwrap();
    let own = model(
        "own",
        "openai",
        "L0",
        "price = { input = \"1\", output = \"2\" }\nmax_output = 100",
    );
    let unknown = model("unknown", "openai", "L0", "");
    let config = key("capped", KEY, "budget = \"5/day\"")
        + &provider("openai", &upstream.base_url())
        + &model("gpt-4o-mini", "openai", "L0", "")
        + &own
        + &unknown;
    let gateway = Gateway::serve(&config).with_key(KEY);
    for name in ["gpt-4o-mini", "own"] {
        assert_eq!(gateway.ask(&chat(name, "q")).await.status, 200);
    }
    let refused = gateway.ask(&chat("unknown", "q")).await;
    let message = refused.error()["message"].to_string();
    assert!(message.contains("`unknown` has no price"), "{message}");
    let checked = gateway.rungs(&["check", "--config", "rungs.toml"]);
    let prices = checked.lines().find(|line| line.starts_with("prices: "));
    let prices = prices.unwrap_or_else(|| unreachable!("{checked}"));
    assert!(
        prices.contains("1 configured, 1 from the list 2026-11-"),
        "{prices}"
    );
    assert!(prices.ends_with(", 1 not known"), "{prices}");
}
