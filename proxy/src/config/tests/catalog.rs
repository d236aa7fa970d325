use super::{super::builtin::OLLAMA, *};

const KEYS: [(&str, &str); 11] = [
    ("OPENAI_API_KEY", "openai"),
    ("OPENROUTER_API_KEY", "openrouter"),
    ("ANTHROPIC_API_KEY", "anthropic"),
    ("GROQ_API_KEY", "groq"),
    ("MISTRAL_API_KEY", "mistral"),
    ("DEEPSEEK_API_KEY", "deepseek"),
    ("XAI_API_KEY", "xai"),
    ("GEMINI_API_KEY", "gemini"),
    ("TOGETHER_API_KEY", "together"),
    ("FIREWORKS_API_KEY", "fireworks"),
    ("CEREBRAS_API_KEY", "cerebras"),
];

#[test]
fn each_key_switches_its_provider_on_and_fills_the_catalog() {
    assert_eq!(builtin::FILES.len(), KEYS.len() + 1);
    for (variable, name) in KEYS {
        let config = from_env(&[(variable, "k")]);
        assert_eq!(config.providers.len(), 1, "{variable}");
        assert_eq!(&*config.providers[0].name, name);
        assert_eq!(config.providers[0].base_url.scheme_str(), Some("https"));
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
        let catalog = Catalog::new(&config);
        assert!(catalog.resolve(AUTO).is_some());
        assert!(
            (2..=10).contains(&config.models.len()),
            "{name} has {}",
            config.models.len()
        );
        for model in &config.models {
            let deployment = &model.deployment;
            let price = deployment.price.expect("built-in models have a price");
            assert_eq!(
                price.is_free(),
                deployment.tier == Tier::L0,
                "{}",
                deployment.id
            );
            let version = deployment.price_version.as_deref();
            assert!(
                version
                    .is_some_and(|version| { version.starts_with("2026-11-") || price.is_free() })
            );
            assert!(deployment.context_window.is_some(), "{}", deployment.id);
            assert!(price.above.is_none_or(|(limit, _)| limit >= 100_000));
        }
    }
}

#[test]
fn one_model_at_two_providers_is_two_deployments_of_one_name() {
    let config = from_env(&[("GROQ_API_KEY", "k"), ("CEREBRAS_API_KEY", "k")]);
    let catalog = Catalog::new(&config);
    let ids: Vec<_> = catalog
        .resolve("gpt-oss-120b")
        .unwrap()
        .first()
        .iter()
        .map(|d| d.id.as_str().to_owned())
        .collect();
    assert_eq!(ids, ["cerebras/gpt-oss-120b", "groq/gpt-oss-120b"]);
    assert_eq!(
        catalog
            .names()
            .filter(|name| &***name == "gpt-oss-120b")
            .count(),
        1
    );
}

#[test]
fn prices_above_a_length_are_kept() {
    let config = from_env(&[("GEMINI_API_KEY", "k"), ("XAI_API_KEY", "k")]);
    let grok = config
        .models
        .iter()
        .find(|m| &*m.deployment.model == "grok-4.3")
        .unwrap();
    let price = grok.deployment.price.unwrap();
    assert_eq!(price.rates_for(200_000).input, usd("1.25"));
    assert_eq!(price.rates_for(200_001).input, usd("2.5"));
}

fn with_ollama(env: &[(&str, &str)], answers_at: &str, installed: &[&str]) -> Config {
    let vars = vars(env);
    let ollama = |root: &str| {
        let names = || installed.iter().map(|name| (*name).to_owned());
        match root == answers_at {
            true => Ollama::Has(names().collect()),
            false => Ollama::Silent,
        }
    };
    let world = World {
        ollama: &ollama,
        ..world(&vars)
    };
    Config::load(None, &world).unwrap()
}

#[test]
fn an_ollama_on_its_usual_port_is_found() {
    let config = with_ollama(
        &[],
        OLLAMA,
        &["llama3.1:latest", "qwen3:4b", "nomic-embed-text:latest"],
    );
    let ids: Vec<_> = config
        .models
        .iter()
        .map(|m| (&*m.deployment.model, &*m.deployment.upstream))
        .collect();
    assert_eq!(
        ids,
        [
            ("llama3.1", "llama3.1:latest"),
            ("qwen3:4b", "qwen3:4b"),
            ("nomic-embed-text", "nomic-embed-text:latest")
        ]
    );
    assert_eq!(config.models[0].deployment.context_window, Some(8192));
    assert!(
        config
            .models
            .iter()
            .all(|m| m.deployment.is_free() && m.deployment.tier == Tier::L0)
    );
    assert!(config.models[2].embeds());
    assert!(config.providers[0].allow_private);
    assert_eq!(config.providers[0].base_url, "http://127.0.0.1:11434/v1");
    let off = with_ollama(&[("OSS_MODEL_ENABLED", "false")], OLLAMA, &["qwen3:4b"]);
    assert!(off.providers.is_empty());
}

#[test]
fn an_ollama_elsewhere_is_named_by_the_environment() {
    let env = [
        ("OSS_MODEL_ENABLED", "true"),
        ("OSS_MODEL_ENDPOINT", "http://10.0.0.7:11434/"),
        ("OSS_MODEL_NAME", "mymodel"),
    ];
    let config = with_ollama(&env, "", &[]);
    assert_eq!(config.providers[0].base_url, "http://10.0.0.7:11434/v1");
    assert_eq!(config.models[0].deployment.id.as_str(), "ollama/mymodel");
    let asked = with_ollama(&env[..2], "http://10.0.0.7:11434", &["a", "b"]);
    assert_eq!(asked.models.len(), 2);
    let silent = with_ollama(&env[..1], "", &[]);
    assert!(silent.warnings[0].contains("nothing answers at http://127.0.0.1:11434"));
    let wrong = env_fault(&[("OSS_MODEL_ENDPOINT", "nonsense"), ("OSS_MODEL_NAME", "m")]);
    assert!(
        wrong.starts_with("environment variable OSS_MODEL_ENDPOINT: "),
        "{wrong}"
    );
}

#[test]
fn a_file_with_providers_is_not_mixed_with_the_built_in_ones_unless_it_asks() {
    let env = [("OPENAI_API_KEY", "k")];
    let text = format!("{PROVIDER}{}", model("m", "price = 0"));
    assert_eq!(load_with(&text, &env).unwrap().providers.len(), 1);
    let on = load_with(&format!("[catalog]\nbuiltin = \"on\"\n{text}"), &env).unwrap();
    assert_eq!(on.providers.len(), 2);
    let off = load_with("[catalog]\nbuiltin = \"off\"\n", &env).unwrap();
    assert!(off.providers.is_empty());
}

#[test]
fn auto_chats_and_fallbacks_follow_in_order() {
    let config = load(
        &[
            PROVIDER,
            &model("a", "fallback = [\"b\"]\nprice = 0"),
            &model("b", "fallback = [\"c\"]\nprice = 0"),
            &model(
                "c",
                "price = 0\ncapabilities = [\"code\"]\nupstream = \"big-c\"",
            ),
            &model("e", "price = 0\ncapabilities = [\"embeddings\"]"),
        ]
        .concat(),
    );
    let catalog = Catalog::new(&config);
    let ids = |all: &[Arc<rungs::catalog::Deployment>]| {
        all.iter()
            .map(|d| d.id.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    let names: Vec<_> = catalog.names().map(|name| &**name).collect();
    assert_eq!(names, ["auto", "a", "b", "c", "e"]);
    assert_eq!(
        ids(catalog.resolve("auto").unwrap().first()),
        ["p/a", "p/b", "p/c"]
    );
    let a = catalog.resolve("a").unwrap();
    assert_eq!(
        (ids(a.first()), ids(a.fallback())),
        (vec!["p/a".into()], vec!["p/b".into(), "p/c".into()])
    );
    let c = &catalog.resolve("c").unwrap().first()[0];
    assert_eq!(
        (&*c.upstream, c.capabilities),
        ("big-c", Capability::Code.into())
    );
    assert!(catalog.resolve("C").is_none());
    assert_eq!(catalog.nearest("aut"), Some("auto"));
}

#[test]
fn names_of_our_own_and_mixed_capabilities_are_refused() {
    let text = format!(
        "{PROVIDER}{}",
        model("auto", "capabilities = [\"general\", \"embeddings\"]")
    );
    let found = faults(&text);
    assert_eq!(found.len(), 2);
    assert!(found[0].contains("the router's own name"), "{found:?}");
}

/// Commands that call no models connect to nobody, and do not blame a key for a model that they cannot know.
#[test]
fn who_does_not_ask_an_ollama_takes_its_models_on_trust() {
    let text = "[[key]]\nname = \"k\"\nkey = \"k3J9-x7Qm-82Lw-p0Zt\"\nmodels = [\"qwen3:4b\"]\n";
    let source = Source::new("rungs.toml", text);
    let load = |ollama: &dyn Fn(&str) -> Ollama, env: &[(&str, &str)]| {
        let vars = vars(env);
        let world = World {
            ollama,
            ..world(&vars)
        };
        Config::load(Some(&source), &world)
    };
    let config = load(&|_| Ollama::NotAsked, &[]).unwrap();
    assert!(config.models.is_empty());
    assert!(
        config.warnings[0].contains("unless a local Ollama has some"),
        "{:?}",
        config.warnings
    );
    for (answer, off) in [
        (Ollama::Silent, "true"),
        (Ollama::Has(Vec::new()), "true"),
        (Ollama::NotAsked, "false"),
    ] {
        let error = load(&|_| answer.clone(), &[("OSS_MODEL_ENABLED", off)]).unwrap_err();
        assert!(
            error.to_string().contains("there is no model `qwen3:4b`"),
            "{error}"
        );
    }
}

#[test]
fn who_has_nobody_to_ask_is_told_what_is_missing() {
    let empty = with_ollama(&[], OLLAMA, &[]);
    let nothing = with_ollama(&[], "", &[]);
    let off = [
        ("OPENAI_API_KEY", "k"),
        ("LAYER_L0_ENABLED", "off"),
        ("LAYER_L1_ENABLED", "off"),
        ("LAYER_L2_ENABLED", "off"),
        ("LAYER_L3_ENABLED", "off"),
    ];
    for (config, told) in [
        (empty, "`ollama pull qwen3:4b`"),
        (nothing, "start an Ollama"),
        (from_env(&off), "`routing.disabled_tiers`"),
    ] {
        let nobody = config.nobody.unwrap();
        assert!(nobody.contains(told), "{nobody}");
        assert!(config.warnings.contains(&nobody), "{:?}", config.warnings);
    }
    assert_eq!(from_env(&off[..1]).nobody, None);
}
