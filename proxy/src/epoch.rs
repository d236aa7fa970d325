//! What kept answers depend on that no request shows.

use serde_json::json;

use crate::config::Config;

/// 256 bits that change with where providers are, with what is sent to each of them, and with who looks at their answers: one that was
/// kept before such a change, or by a gateway that shares the store and is configured otherwise, is not served.
pub(crate) fn epoch(config: &Config) -> [u8; 32] {
    let mut providers: Vec<_> = config
        .providers
        .iter()
        .map(|provider| {
            let headers = provider.headers.iter();
            let headers = headers.map(|(name, value)| {
                let value = blake3::hash(value.as_bytes()).to_hex();
                format!("{name}: {value}")
            });
            let mut headers: Vec<_> = headers.collect();
            headers.sort();
            let dialect = format!("{:?}", provider.dialect);
            let place = provider.base_url.to_string();
            (provider.name.to_string(), place, dialect, headers)
        })
        .collect();
    providers.sort();
    let routing = &config.routing;
    let all = json!({
        "providers": providers,
        "cross_check": format!("{:?}", routing.cross_check),
        "auto_escalate": routing.auto_escalate,
        "on_stream": format!("{:?}", routing.on_stream),
        "classifier": routing.classifier,
    });
    *blake3::hash(all.to_string().as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

    const CONFIG: &str = r#"
        [[provider]]
        name = "p"
        base_url = "https://one.example/v1"
        headers = { "x-org" = "a" }

        [[model]]
        id = "m"
        provider = "p"
        tier = "L0"
        price = { input = "0", output = "0" }

        [routing]
        cross_check = "off"
    "#;

    fn config(text: &str) -> Config {
        Config::alone(&Source::new("rungs.toml", text)).expect("a configuration")
    }

    #[test]
    fn answers_from_elsewhere_or_under_other_checks_are_of_another_epoch() {
        let of = |from: &str, to: &str| epoch(&config(&CONFIG.replace(from, to)));
        let usual = epoch(&config(CONFIG));
        assert_eq!(
            usual,
            of("\"0\", output", "\"1\", output"),
            "a price is no matter"
        );
        for (from, to) in [
            ("one.example", "two.example"),
            ("x-org", "x-project"),
            ("\"a\"", "\"b\""),
            ("\"off\"", "\"always\""),
            ("[routing]", "[routing]\nauto_escalate = false"),
            ("[routing]", "[routing]\non_stream = \"pass\""),
            ("[routing]", "[routing]\nclassifier = false"),
        ] {
            assert_ne!(usual, of(from, to), "{to}");
        }
    }
}
