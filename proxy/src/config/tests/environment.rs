use super::*;

#[test]
fn the_originals_variables_work_without_a_file() {
    let config = from_env(&[
        ("API_HOST", "0.0.0.0"),
        ("API_PORT", "8080"),
        ("API_CORS_ORIGIN", "https://a.example, https://b.example"),
        ("DEFAULT_LAYER", "L1"),
        ("MAX_ESCALATION_LAYER", "L3"),
        ("ENABLE_CROSS_CHECK", "true"),
        ("ENABLE_AUTO_ESCALATE", "false"),
        ("LAYER_L2_ENABLED", "false"),
        ("LAYER_L3_ENABLED", "true"),
        ("COST_ALERT_THRESHOLD", "0.50"),
        ("LOG_LEVEL", "debug"),
        ("LOG_FILE", "logs/gateway.log"),
        ("DATABASE_URL", "sqlite://data/x.db?mode=rwc"),
        ("REDIS_HOST", "localhost"),
        ("OPENAI_API_KEY", "sk-x"),
    ]);
    assert_eq!(config.server.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(
        config.server.cors_origins,
        ["https://a.example", "https://b.example"]
    );
    assert_eq!(
        (config.routing.default_tier, config.routing.max_tier),
        (Tier::L1, Tier::L3)
    );
    assert_eq!(config.routing.cross_check, CrossCheck::High);
    assert!(!config.routing.auto_escalate);
    assert_eq!(config.routing.disabled_tiers, [Tier::L2]);
    assert_eq!(config.budget.alert, Some(usd("0.5")));
    assert_eq!(
        (&*config.log.level, config.log.file.as_deref()),
        ("debug", Some(Path::new("logs/gateway.log")))
    );
    assert_eq!(config.store.url, StoreUrl::Sqlite("data/x.db".into()));
    let redis = config.store.redis.as_ref().unwrap();
    assert_eq!(redis.to_string(), "redis://localhost:6379/0");
    let [warning] = &config.warnings[..] else {
        panic!("{:?}", config.warnings);
    };
    assert!(
        warning.starts_with("`limits.replicas` is not set"),
        "{warning}"
    );
    assert!(!Catalog::new(&config).tiers().contains(&Tier::L2));
}

#[test]
fn a_wrong_variable_is_named() {
    for (name, value, why) in [
        (
            "API_PORT",
            "99999",
            "`server.listen`: `127.0.0.1:99999` is no address",
        ),
        (
            "MAX_ESCALATION_LAYER",
            "4",
            "`routing.max_tier`: `4` is no tier",
        ),
        (
            "ENABLE_CROSS_CHECK",
            "maybe",
            "`maybe` is not one of true, false",
        ),
        ("COST_ALERT_THRESHOLD", "much", "no amount of dollars"),
        (
            "DATABASE_URL",
            "mysql://u:canary@db/x",
            "mysql is not in this build",
        ),
    ] {
        let fault = env_fault(&[(name, value)]);
        assert!(
            fault.starts_with(&format!("environment variable {name}: ")),
            "{fault}"
        );
        assert!(fault.contains(why) && !fault.contains("canary"), "{fault}");
    }
}

#[test]
fn a_log_level_of_another_program_is_understood_or_ignored() {
    for (word, level, warns) in [
        ("WARNING", "warn", false),
        ("debug", "debug", false),
        ("rungs=trace", "rungs=trace", false),
        ("silly", "info", true),
        ("20", "info", true),
    ] {
        let config = from_env(&[("LOG_LEVEL", word), ("OPENAI_API_KEY", "k")]);
        assert_eq!(config.log.level, level, "{word}");
        let told = config
            .warnings
            .iter()
            .any(|told| told.contains("LOG_LEVEL"));
        assert_eq!(told, warns, "{word}: {:?}", config.warnings);
    }
}

#[test]
fn a_mode_of_another_program_is_ignored_and_told() {
    for (word, mode) in [
        ("api", Some(Mode::Api)),
        ("MCP", Some(Mode::Mcp)),
        ("", Some(Mode::Api)),
        ("production", None),
    ] {
        assert_eq!(Mode::named(word), mode, "{word}");
        let config = from_env(&[("MODE", word), ("OPENAI_API_KEY", "k")]);
        let told = config
            .warnings
            .iter()
            .any(|w| w.contains("MODE=production is ignored"));
        assert_eq!(told, mode.is_none(), "{word}: {:?}", config.warnings);
    }
}

#[test]
fn a_shared_database_needs_no_file() {
    const SECRET: &str = "k3J9-x7Qm-82Lw-p0Zt-k3J9-x7Qm-82Lw-p0Zt";
    let url = ("DATABASE_URL", "postgres://rungs@db/rungs");
    let config = from_env(&[url, ("RUNGS_SECRET", SECRET)]);
    assert_eq!(config.secret.unwrap().expose_secret(), SECRET);
    assert!(env_fault(&[url]).contains("RUNGS_SECRET"));
    let short = env_fault(&[url, ("RUNGS_SECRET", "short-7f3a")]);
    assert!(
        short.starts_with("environment variable RUNGS_SECRET: `store.secret`: is shorter"),
        "{short}"
    );
}

#[test]
fn the_file_wins_over_the_environment() {
    let text = "[server]\nlisten = \"127.0.0.1:4000\"\n[store]\nurl = \"memory:\"\n";
    let env = [
        ("API_PORT", "5000"),
        ("DATABASE_URL", "postgres://x"),
        ("LOG_LEVEL", "warn"),
    ];
    let config = load_with(text, &env).unwrap();
    assert_eq!(config.server.listen.port(), 4000);
    assert_eq!(config.store.url, StoreUrl::Memory);
    assert_eq!(config.log.level, "warn");
}

#[test]
fn cors_for_everyone_is_ignored_with_a_warning() {
    let config = from_env(&[("API_CORS_ORIGIN", "*"), ("OPENAI_API_KEY", "k")]);
    assert!(config.server.cors_origins.is_empty());
    assert!(config.warnings[0].contains("API_CORS_ORIGIN=*"));
}

#[test]
fn a_redis_is_named_by_its_url_or_in_parts() {
    let redis = |vars: &[(&str, &str)]| from_env(vars).store.redis.unwrap().to_string();
    let parts = [
        ("REDIS_HOST", "::1"),
        ("REDIS_PORT", "7000"),
        ("REDIS_DB", "2"),
        ("REDIS_PASSWORD", "c@n/ary"),
    ];
    assert_eq!(redis(&parts), "redis://[::1]:7000/2");
    let url = ("REDIS_URL", "rediss://u:canary@cache/1");
    assert_eq!(redis(&[url, parts[0]]), "rediss://cache/1");
    let fault = env_fault(&[("REDIS_URL", "http://u:canary@cache/")]);
    assert!(
        fault.contains("REDIS_URL: ") && fault.contains("is no Redis URL"),
        "{fault}"
    );
    assert!(!fault.contains("canary"), "{fault}");
    assert!(!format!("{:?}", from_env(&[url])).contains("canary"));
}

#[test]
fn a_start_too_high_names_the_variable_that_says_it() {
    assert_eq!(
        env_fault(&[("DEFAULT_LAYER", "L3")]),
        "environment variable DEFAULT_LAYER: `routing.default_tier`: L3 is above max_tier, which is L2; raise that too"
    );
}

#[test]
fn a_list_of_other_programs_levels_is_no_reason_not_to_start() {
    let config = from_env(&[("LOG_LEVEL", "http,info"), ("OPENAI_API_KEY", "k")]);
    assert_eq!(config.log.level, "info");
    let [warning] = &config.warnings[..] else {
        panic!("{:?}", config.warnings);
    };
    assert!(
        warning.starts_with("LOG_LEVEL=http,info is ignored: `http` is not one of"),
        "{warning}"
    );
}
