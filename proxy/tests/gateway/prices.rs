//! R15: no price is not free.

use rungs::testing::{Reply, Upstream};

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
