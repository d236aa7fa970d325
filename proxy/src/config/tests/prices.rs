//! R15: which price a model has, and from where.

use rungs::catalog::{Deployment, ServiceClass};

use super::{super::builtin, *};

/// The deployment of a model at a provider of that name.
fn at(provider: &str, id: &str, more: &str) -> Deployment {
    let text = format!(
        "[[provider]]\nname = \"{provider}\"\nbase_url = \"https://llm.example/v1\"\n\
         [[model]]\nid = \"{id}\"\nprovider = \"{provider}\"\ntier = \"L1\"\n{more}\n"
    );
    (*load(&text).models[0].deployment).clone()
}

fn input(deployment: &Deployment) -> Money {
    deployment.price.unwrap().rates.input
}

#[test]
fn r15_a_model_without_a_price_has_that_of_the_list() {
    let listed = at("openai", "gpt-4o-mini", "");
    assert_eq!(input(&listed), usd("0.15"));
    assert_eq!(listed.context_window, Some(128_000));
    assert_eq!(listed.max_output, Some(16_384));
    let version = listed.price_version.clone().unwrap();
    assert!(version.starts_with("2026-11-"), "{version}");
    let batch = listed.price_for(ServiceClass::Batch).unwrap();
    assert_eq!(batch.rates.input, usd("0.075"));
    let soon = listed.price_for(ServiceClass::Priority).unwrap();
    assert_eq!(soon.rates.output, usd("1"));
    // It is looked up by the provider's name for it.
    let renamed = at("openai", "small", "upstream = \"gpt-4o-mini\"");
    assert_eq!(renamed.price, listed.price);
}

#[test]
fn r15_a_factor_of_the_list_holds_for_long_prompts_too() {
    let luna = at("openai", "gpt-6-luna", "");
    let batch = luna.price_for(ServiceClass::Batch).unwrap();
    assert_eq!(batch.rates_for(272_000).input, usd("0.05"));
    assert_eq!(batch.rates_for(272_001).output, usd("0.375"));
    assert_eq!(batch.rates_for(272_001).cache_write_5m, Some(usd("0.125")));
}

#[test]
fn r15_the_configuration_wins_over_the_list() {
    let own = at(
        "openai",
        "gpt-4o-mini",
        "price = { input = \"7\", output = \"8\" }\nmax_output = 100",
    );
    assert_eq!(input(&own), usd("7"));
    assert_eq!(own.price_version.as_deref(), Some("config"));
    assert_eq!(own.class_prices, rungs::catalog::ClassPrices::default());
    assert_eq!(
        (own.context_window, own.max_output, own.output_cap),
        (Some(128_000), Some(16_384), Some(100)),
        "the provider knows of its own limit, and is told of ours"
    );
    let free = at("openai", "gpt-4o-mini", "price = 0");
    assert!(free.is_free() && free.price_version.as_deref() == Some("config"));
}

#[test]
fn r15_a_price_may_be_that_of_another_row() {
    let relayed = at("relay", "mini", "price = \"openai/gpt-4o-mini\"");
    let listed = at("openai", "gpt-4o-mini", "");
    assert_eq!(relayed.price, listed.price);
    assert_eq!(relayed.class_prices, listed.class_prices);
    assert_eq!(relayed.price_version, listed.price_version);
    assert_eq!(relayed.context_window, Some(128_000));
}

#[test]
fn r15_what_is_not_listed_has_no_price() {
    for (provider, id) in [
        ("openai", "gpt-nobody-knows"),
        ("relay", "gpt-4o-mini"),
        // The list has its windows only: a zero there would be no price.
        ("gemini", "gemma-4-31b-it"),
    ] {
        let unknown = at(provider, id, "");
        assert_eq!((unknown.price, unknown.price_version), (None, None), "{id}");
    }
}

#[test]
fn r15_a_row_that_is_not_there_is_a_fault() {
    for (price, why) in [
        (
            "openai/gpt-4o-mni",
            "`openai/gpt-4o-mni` in the price lists; did you mean `openai/gpt-4o-mini`?",
        ),
        (
            "nobody/gpt-4o-mini",
            "there is no `nobody/gpt-4o-mini` in the price lists",
        ),
        (
            "gemini/gemma-4-31b-it",
            "`gemini/gemma-4-31b-it` has no price",
        ),
        ("gpt-4o-mini", "whose price it shares"),
    ] {
        let found = faults(&format!(
            "{PROVIDER}{}",
            model("m", &format!("price = \"{price}\""))
        ));
        assert!(found[0].contains(why), "{price}: {found:?}");
    }
}

#[test]
fn classes_are_factors_or_tables() {
    let price = "price = { input = 1, output = 2, per_request = 0.5, batch = 0.5, flex = \"0.75\", priority = { input = 3, output = 4 } }";
    let deployment = at("p", "m", price);
    let rates = |class| deployment.price_for(class).unwrap().rates.output;
    assert_eq!(rates(ServiceClass::Batch), usd("1"));
    assert_eq!(rates(ServiceClass::Flex), usd("1.5"));
    assert_eq!(rates(ServiceClass::Priority), usd("4"));
    for (class, why) in [
        ("batch = \"half\"", "a factor like"),
        ("batch = -1", "cannot be negative"),
        ("flex = { input = 1 }", "`output`"),
        ("flex = { input = 1, output = 1, batch = 1 }", "unknown key"),
    ] {
        let price = format!("price = {{ input = 1, output = 2, {class} }}");
        let found = faults(&format!("{PROVIDER}{}", model("m", &price)));
        assert!(found[0].contains(why), "{class}: {found:?}");
    }
}

#[test]
fn what_a_table_of_a_class_leaves_out_is_as_usual() {
    let price = "price = { input = 1, output = 2, per_request = 0.5, above = { tokens = 1000, input = 5, output = 6 }, \
                 priority = { input = 3, output = 4 }, flex = { input = 1, output = 1, per_request = 0 } }";
    let deployment = at("p", "m", price);
    let price = |class| deployment.price_for(class).unwrap();
    let priority = price(ServiceClass::Priority);
    assert_eq!(priority.rates_for(1000).output, usd("4"));
    assert_eq!(priority.rates_for(1001).output, usd("6"));
    assert_eq!(priority.per_request, usd("0.5"));
    assert_eq!(price(ServiceClass::Flex).per_request, usd("0"));
}

#[test]
fn r15_no_price_stands_in_the_repository_twice() {
    for (name, text) in builtin::FILES {
        let table: toml::Table = text.parse().unwrap();
        for model in table["model"].as_array().unwrap() {
            let price = model.get("price");
            let said = price.is_some_and(|price| price.as_integer() != Some(0) && !price.is_str());
            assert!(!said, "{name}: {model}");
        }
    }
}

#[test]
fn r2_usage_is_worked_out_with_the_prices_of_the_list() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/usage");
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let case: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let (provider, id) = case["model"].as_str().unwrap().split_once('/').unwrap();
        let listed = at(provider, id, "");
        let version = listed.price_version.as_deref().unwrap_or("none");
        // A later list has later prices.
        if version != "none" && !version.starts_with(case["price_list"].as_str().unwrap()) {
            continue;
        }
        let price = toml::Value::try_from(&case["price"]).unwrap();
        let said = at(provider, id, &format!("price = {price}"));
        assert_eq!(said.price, listed.price, "{}", path.display());
        let classes = |of: &Deployment| {
            let all = of.class_prices;
            [all.batch, all.flex, all.priority]
        };
        for (said, listed) in classes(&said).into_iter().zip(classes(&listed)) {
            assert!(said.is_none() || said == listed, "{}", path.display());
        }
    }
}
