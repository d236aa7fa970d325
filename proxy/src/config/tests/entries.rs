use super::*;

fn base_url(url: &str) -> String {
    faults(&format!(
        "[[provider]]\nname = \"p\"\nbase_url = \"{url}\"\n"
    ))
    .remove(0)
}

#[test]
fn a_base_url_is_public_and_holds_no_secret() {
    for (url, why) in [
        ("ftp://x", "is no URL like"),
        ("api.openai.com/v1", "is no URL like"),
        ("https://user:canary@x/v1", "credentials do not belong"),
        ("https://x/v1?api-key=canary", "a key does not belong"),
        ("https://x/v1#a", "a fragment does not belong"),
        ("http://127.0.0.1:8080/v1", "add allow_private = true"),
        ("http://169.254.169.254/latest", "add allow_private = true"),
        ("http://[::1]:8080", "add allow_private = true"),
        ("http://localhost/v1", "add allow_private = true"),
    ] {
        let fault = base_url(url);
        assert!(fault.contains(why), "{url}: {fault}");
        assert!(!fault.contains("canary"), "{fault}");
    }
}

#[test]
fn secrets_come_from_the_environment_a_file_or_the_text() {
    let text = "[[provider]]\nname = \"p\"\nbase_url = \"https://llm.example/v1/?api-version=2\"\napi_key = { env = \"KEY\" }\n\
        headers = { x-literal = \"canary-b\", x-file = { file = \"/run/secret\" } }\n";
    let config = load_with(text, &[("KEY", "canary-a")]).unwrap();
    let provider = &config.providers[0];
    assert_eq!(provider.base_url, "https://llm.example/v1/?api-version=2");
    assert_eq!(
        provider.api_key.as_ref().unwrap().expose_secret(),
        "canary-a"
    );
    assert_eq!(provider.headers["x-file"], "from-a-file-k9x2m4");
    assert_eq!(provider.headers["x-literal"], "canary-b");
    let debug = format!("{config:?}");
    assert!(
        !debug.contains("canary") && !debug.contains("k9x2m4"),
        "{debug}"
    );
}

#[test]
fn a_missing_secret_names_variable_and_path() {
    let text =
        "[[provider]]\nname = \"p\"\nbase_url = \"https://x\"\napi_key = { env = \"MY_KEY\" }\n";
    assert_eq!(
        faults(text),
        ["rungs.toml:4: `provider[0].api_key`: the environment variable `MY_KEY` is not set"]
    );
    let text = text.replace("env = \"MY_KEY\"", "file = \"/nowhere\"");
    assert!(faults(&text)[0].contains("cannot read `/nowhere`"));
    let wrong = text.replace("{ file = \"/nowhere\" }", "12345678901234567");
    assert!(!faults(&wrong)[0].contains("12345678901234567"));
    assert!(faults(&wrong)[0].contains("a secret is a string, { env = \"NAME\" }"));
}

#[test]
fn when_env_switches_a_provider_off_with_its_models() {
    let text = format!(
        "{PROVIDER}when_env = \"KEY\"\napi_key = {{ env = \"KEY\" }}\n{}",
        model("m", "")
    );
    let off = load(&text);
    assert!(off.providers.is_empty() && off.models.is_empty());
    assert!(off.warnings[0].contains("no models"), "{:?}", off.warnings);
    let on = load_with(&text, &[("KEY", "k")]).unwrap();
    assert_eq!(on.models.len(), 1);
}

fn price(text: &str) -> Option<Price> {
    load(&format!("{PROVIDER}{}", model("m", text))).models[0]
        .deployment
        .price
}

#[test]
fn prices_are_exact_however_they_are_written() {
    let price = price("price = { input = 0.15, output = \"0.6\", per_request = 0.001, above = { tokens = 200000, input = 1, output = 2.000000001 } }").unwrap();
    assert_eq!(price.rates.input, usd("0.15"));
    assert_eq!(price.rates.output, usd("0.6"));
    assert_eq!(price.per_request, usd("0.001"));
    let (limit, rates) = price.above.unwrap();
    assert_eq!(
        (limit, rates.input, rates.output),
        (200_000, usd("1"), usd("2.000000001"))
    );
}

#[test]
fn r15_no_price_is_not_a_price_of_nothing() {
    assert_eq!(price("price = 0"), Some(Price::FREE));
    assert_eq!(price(""), None);
    let config = load(&format!("{PROVIDER}{}", model("m", "")));
    assert_eq!(
        config.warnings,
        ["`p/m` has no price: budgets will refuse it; set `price`, or `price = 0` if it is free"]
    );
    let allowed = load(&format!(
        "[budget]\nunpriced = \"allow\"\n{PROVIDER}{}",
        model("m", "")
    ));
    assert!(allowed.warnings.is_empty());
}

#[test]
fn odd_prices_are_refused() {
    for (text, why) in [
        ("price = 3", "or 0 if it is free"),
        ("price = { input = 1 }", "`model[0].price` has no `output`"),
        ("price = { input = -1, output = 1 }", "cannot be negative"),
        (
            "price = { input = \"1e-3\", output = 1 }",
            "`model[0].price.input`",
        ),
        (
            "price = { input = \"0.0000000001\", output = 1 }",
            "more than nine decimal places",
        ),
    ] {
        let found = faults(&format!("{PROVIDER}{}", model("m", text)));
        assert!(found[0].contains(why), "{text}: {found:?}");
    }
}

#[test]
fn servers_that_may_not_know_the_new_name_of_the_output_limit_are_sent_the_old_one() {
    let limit = |base_url: &str, more: &str| {
        let text = format!("[[provider]]\nname = \"p\"\nbase_url = \"{base_url}\"\n{more}");
        load_with(&text, &[]).unwrap().providers[0].output_limit
    };
    for (base_url, known) in [
        ("https://api.openai.com/v1", OutputLimit::AsAsked),
        ("https://x.openai.azure.com/openai/v1", OutputLimit::AsAsked),
        ("https://openrouter.ai/api/v1", OutputLimit::AsAsked),
        ("https://api.deepseek.com/v1", OutputLimit::MaxTokens),
        ("https://notopenai.com/v1", OutputLimit::MaxTokens),
    ] {
        assert_eq!(limit(base_url, ""), known, "{base_url}");
    }
    let told = limit("https://llm.example/v1", "output_limit = \"as_asked\"\n");
    assert_eq!(told, OutputLimit::AsAsked);
}

#[test]
fn alibabas_models_think_beside_the_limit_of_an_answer() {
    let thinking = |base_url: &str, more: &str| {
        let provider = format!("[[provider]]\nname = \"p\"\nbase_url = \"{base_url}\"\n{more}");
        let config = load(&format!("{provider}{}", model("m", "price = 0")));
        config.models[0].deployment.thinking
    };
    let intl = "https://dashscope-intl.aliyuncs.com/compatible-mode/v1";
    assert_eq!(thinking(intl, ""), Thinking::Beside);
    assert_eq!(
        thinking(&intl.replace("aliyun", "Aliyun"), ""),
        Thinking::Beside
    );
    assert_eq!(thinking(intl, "thinking = \"within\"\n"), Thinking::Within);
    let other = "https://notaliyuncs.com/v1";
    assert_eq!(thinking(other, ""), Thinking::Within);
    assert_eq!(thinking(other, "thinking = \"beside\"\n"), Thinking::Beside);
}
