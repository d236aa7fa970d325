use super::*;

#[test]
fn r32_an_unknown_key_names_its_path_line_and_nearest_name() {
    assert_eq!(
        faults("# hello\n[server]\nlissten = \"127.0.0.1:1\"\n"),
        ["rungs.toml:3: unknown key `server.lissten`; did you mean `listen`?"]
    );
    assert_eq!(
        faults("[sever]\nlisten = \"127.0.0.1:1\"\n"),
        ["rungs.toml:1: unknown key `sever`; did you mean `server`?"]
    );
    assert_eq!(
        faults(&format!(
            "{PROVIDER}{}",
            model("m", "price = { inptu = 1, output = 2, input = 1 }")
        )),
        ["rungs.toml:8: unknown key `model[0].price.inptu`; did you mean `input`?"]
    );
    assert_eq!(
        faults("[cache]\nxyzzy = 1"),
        ["rungs.toml:2: unknown key `cache.xyzzy`; known are enabled, max_bytes, ttl_seconds"]
    );
    assert_eq!(
        faults("[timeouts]\ntotal = 1"),
        ["rungs.toml:2: unknown key `timeouts.total`; did you mean `total_seconds`?"]
    );
}

#[test]
fn all_faults_come_at_once() {
    let text = "[server]\nlisten = 3000\nauht = \"keys\"\n[timeouts]\ngap_seconds = -1\nfirst = 2\n\
        [routing]\nmax_tier = \"high\"\non_stream = \"prob\"\n[[model]]\nid = \"m\"\ntire = \"L0\"\n\
        [[model]]\nid = 3\n[cach]\n";
    assert_eq!(
        faults(text),
        [
            "rungs.toml:2: `server.listen`: invalid type: integer `3000`, expected a string",
            "rungs.toml:3: unknown key `server.auht`; did you mean `auth`?",
            "rungs.toml:5: `timeouts.gap_seconds`: a time cannot be negative",
            "rungs.toml:6: unknown key `timeouts.first`; did you mean `first_frame_seconds`?",
            "rungs.toml:8: `routing.max_tier`: `high` is no tier; tiers are L0 to L9",
            "rungs.toml:9: `routing.on_stream`: `prob` is not one of probe, buffer, pass; did you mean `probe`?",
            "rungs.toml:10: `model[0]` has no `provider`",
            "rungs.toml:12: unknown key `model[0].tire`; did you mean `tier`?",
            "rungs.toml:14: `model[1].id`: invalid type: integer `3`, expected a string",
            "rungs.toml:15: unknown key `cach`; did you mean `cache`?",
        ]
    );
}

#[test]
fn broken_toml_names_the_line_and_quotes_nothing() {
    let found = faults(
        "[server]\nlisten = \"127.0.0.1:1\"\n[[key]]\nname = \"a\"\nkey = \"canary-7f3a9c\n",
    );
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("rungs.toml:5: "), "{found:?}");
    assert!(!found[0].contains("canary"), "{found:?}");
}

#[test]
fn a_wrong_shape_is_told_as_such() {
    assert_eq!(
        faults("[provider]\nname = \"p\"\n"),
        ["rungs.toml:1: `provider`: is a list; each entry starts with [[provider]]"]
    );
    assert_eq!(
        faults("server = 3\n"),
        ["rungs.toml:1: `server`: invalid type: integer `3`, expected struct Server"]
    );
    assert_eq!(
        faults("[[provider]]\nname = \"p\"\nbase_url = \"https://x\"\ndialect = \"antropic\"\n"),
        ["rungs.toml:4: `provider[0].dialect`: `antropic` is not one of openai"]
    );
}

#[test]
fn references_are_checked() {
    let text = format!(
        "{PROVIDER}{}{}{}[[key]]\nname = \"k\"\nkey = \"k3J9-x7Qm-82Lw-p0Zt\"\nmodels = [\"auto\", \"mony\"]\n",
        model("money", "fallback = [\"nobody\"]"),
        model("money", ""),
        "[[model]]\nid = \"x\"\nprovider = \"q\"\ntier = \"L0\"\n"
    );
    assert_eq!(
        faults(&text),
        [
            "rungs.toml:8: `model[0].fallback`: there is no model `nobody`",
            "rungs.toml:10: `model[1].id`: `p` has two models `money`",
            "rungs.toml:16: `model[2].provider`: there is no provider `q`",
            "rungs.toml:21: `key[0].models`: there is no model `mony`; did you mean `money`?",
        ]
    );
}

#[test]
fn fallbacks_in_a_circle_are_refused() {
    let text = [
        PROVIDER,
        &model("a", "fallback = [\"b\"]"),
        &model("b", "fallback = [\"c\"]"),
        &model("c", "fallback = [\"b\"]"),
    ]
    .concat();
    assert_eq!(
        faults(&text),
        ["rungs.toml:8: `model[0].fallback`: goes round in a circle: b -> c -> b"]
    );
    let own = format!("{PROVIDER}{}", model("a", "fallback = [\"a\"]"));
    assert!(faults(&own)[0].contains("a -> a"));
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let found = faults("[limits]\nmax_attempts = 0\n[routing]\ndefault_tier = \"L3\"\n");
    assert_eq!(
        found,
        [
            "rungs.toml:2: `limits.max_attempts`: must be at least 1",
            "rungs.toml:4: `routing.default_tier`: L3 is above max_tier, which is L2; raise that too",
        ]
    );
    assert_eq!(
        faults("[routing]\ndefault_tier = \"L1\"\nmax_tier = \"L0\"\n"),
        ["rungs.toml:3: `routing.max_tier`: L0 is below default_tier L1"]
    );
    assert_eq!(
        faults("[breaker]\npercent = 0\nwindow = 65\n"),
        [
            "rungs.toml:2: `breaker.percent`: must be at least 1; more than 100 is never",
            "rungs.toml:3: `breaker.window`: must be at most 64",
        ]
    );
    assert_eq!(
        faults("[timeouts]\ntotal_seconds = 0\n"),
        ["rungs.toml:2: `timeouts.total_seconds`: must be more than 0 seconds"]
    );
    assert_eq!(
        load("[server]\nping_seconds = 0\n").server.ping,
        std::time::Duration::ZERO
    );
}

#[test]
fn numbers_that_no_clock_and_no_computer_has_are_refused() {
    const HUGE: i64 = i64::MAX;
    for (section, key, bound) in [
        ("timeouts", "total_seconds", "315360000 seconds"),
        ("timeouts", "gap_seconds", "315360000 seconds"),
        ("server", "ping_seconds", "315360000 seconds"),
        ("idempotency", "ttl_seconds", "315360000 seconds"),
        ("server", "max_connections", "1000000000"),
        ("limits", "max_in_flight", "1000000000"),
    ] {
        let [fault] = &faults(&format!("[{section}]\n{key} = {HUGE}\n"))[..] else {
            panic!("{section}.{key}");
        };
        let start = format!("rungs.toml:2: `{section}.{key}`: must be at most {bound}");
        assert!(fault.starts_with(&start), "{fault}");
    }
}

/// Whatever stands where it does not belong may be a secret.
#[test]
fn r8_no_fault_of_a_shape_shows_a_text_of_the_file() {
    const CANARY: &str = "canary-7f3a9c \\\" , expected `canary-7f3a9c";
    let mut texts = vec![
        format!("[admin]\nkey = [\"{CANARY}\"]"),
        format!("[store]\nkeep = [\"{CANARY}\"]\nconnections = \"{CANARY}\""),
        format!("[budget]\nwebhook_secret = [\"{CANARY}\"]\nwarn_at = \"{CANARY}\""),
        format!("[tools.tests]\nt = \"{CANARY}\""),
        format!("[tools]\ntests = \"{CANARY}\"\nfs_write = \"{CANARY}\""),
        format!("[mcp_server]\noauth = \"{CANARY}\""),
        format!("[limits]\nwithout_redis = \"{CANARY}\""),
        format!("{PROVIDER}headers = \"{CANARY}\"\napi_key = [\"{CANARY}\"]\nrpm = \"{CANARY}\""),
        format!("{PROVIDER}[provider.headers]\nauthorization = [\"{CANARY}\"]"),
        format!(
            "[[mcp]]\nname = \"m\"\nenv = \"{CANARY}\"\nheaders = \"{CANARY}\"\nargv = \"{CANARY}\""
        ),
    ];
    for section in SECTIONS {
        texts.push(format!("{section} = \"{CANARY}\""));
        texts.push(format!("{section} = [\"{CANARY}\"]"));
        texts.push(format!("[[{section}]]\n\"\" = \"{CANARY}\""));
    }
    for text in texts {
        let found = faults(&text);
        assert!(!found.is_empty(), "{text}");
        for fault in found {
            assert!(!fault.contains("7f3a9c"), "{fault}");
        }
    }
    assert_eq!(
        faults("store = \"postgres://u:pw@h/db\"\n"),
        ["rungs.toml:1: `store`: invalid type: a string, expected struct Store"]
    );
}

#[test]
fn a_log_level_is_one() {
    for right in [
        "warn",
        "WARN",
        "off",
        "3",
        "info,rungs=debug",
        "warn,rungs::route=trace",
        "info,[call{id=\\\"1\\\"}]=debug",
    ] {
        load(&format!("[log]\nlevel = \"{right}\"\n"));
    }
    for (wrong, why) in [
        (
            "warning",
            "`warning` is not one of off, error, warn, info, debug, trace; did you mean `warn`?",
        ),
        ("inof", "did you mean `info`?"),
        ("info,rungs", "`rungs` is not one of"),
        ("rungs=loud", "`rungs=loud`"),
        ("", "`` is not one of"),
    ] {
        let found = faults(&format!("[log]\nlevel = \"{wrong}\"\n"));
        assert!(
            found[0].starts_with("rungs.toml:2: `log.level`: "),
            "{found:?}"
        );
        assert!(found[0].contains(why), "{found:?}");
    }
}

#[test]
fn a_providers_key_that_no_header_can_carry_is_named_and_not_shown() {
    let found = faults(&format!("{PROVIDER}api_key = \"sk-canary 7f3a\"\n"));
    assert_eq!(
        found,
        [
            "rungs.toml:4: `provider[0].api_key`: an API key must consist of visible ASCII characters"
        ]
    );
}
