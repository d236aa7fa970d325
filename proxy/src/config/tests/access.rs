use super::*;

const KEY: &str = "[[key]]\nname = \"k\"\nkey = \"k3J9-x7Qm-82Lw-p0Zt\"\n";

#[test]
fn r9_a_public_bind_without_a_key_is_refused() {
    let listen =
        |address: &str, more: &str| load(&format!("[server]\nlisten = \"{address}\"\n{more}\n"));
    for public in ["0.0.0.0:3000", "[::]:3000", "192.168.1.5:80"] {
        let bare = listen(public, "");
        let refusal = bare.check_bind(false).unwrap_err().to_string();
        assert!(
            refusal.contains("refuses to start") && refusal.contains("rungs keys create"),
            "{refusal}"
        );
        assert_eq!(bare.check_bind(true), Ok(Access::Keys));
        assert_eq!(listen(public, KEY).check_bind(false), Ok(Access::Keys));
        assert!(listen(public, "auth = \"none\"").check_bind(true).is_err());
        assert!(listen(public, "auth = \"keys\"").check_bind(false).is_err());
    }
    for local in ["127.0.0.1:3000", "localhost:3000", "[::1]:0"] {
        assert_eq!(listen(local, "").check_bind(false), Ok(Access::Loopback));
        assert_eq!(listen(local, "").check_bind(true), Ok(Access::Keys));
        assert_eq!(listen(local, KEY).check_bind(false), Ok(Access::Keys));
        assert_eq!(
            listen(local, "auth = \"none\"").check_bind(true),
            Ok(Access::Loopback)
        );
        assert_eq!(
            listen(local, "auth = \"keys\"").check_bind(false),
            Ok(Access::Keys)
        );
    }
}

#[test]
fn r9_weak_keys_are_refused() {
    for weak in [
        "",
        "short",
        "changeme-changeme-changeme",
        "sk-1234567890abcdef",
        "aaaaaaaaaaaaaaaaaaaaaaaa",
        "your-secret-api-key-here",
        "Password1234567890",
    ] {
        let found = faults(&format!("[[key]]\nname = \"k\"\nkey = \"{weak}\"\n"));
        assert!(
            found[0].starts_with("rungs.toml:3: `key[0].key`: "),
            "{weak}: {found:?}"
        );
        assert!(weak.is_empty() || !found[0].contains(weak), "{found:?}");
    }
    let config = load(&format!("{KEY}budget = \"0.01/day\"\nmax_tier = \"L3\"\n"));
    let key = config.keys[0].family.key();
    assert_eq!(key.budgets, ["0.01/day".parse().unwrap()]);
    assert_eq!((&*key.tenant, key.max_tier), ("default", Some(Tier::L3)));
    let twice = faults(&[KEY, KEY].concat());
    assert_eq!(twice.len(), 2, "{twice:?}");
}

#[test]
fn r9_an_admin_key_is_long_and_closes_the_gateway() {
    const ADMIN: &str = "a8Zq-41Xm-c9Rt-77Lp-w2Vd";
    let config = load(&format!("[admin]\nkey = \"{ADMIN}\"\n"));
    assert_eq!(config.check_bind(false), Ok(Access::Keys));
    assert!(load("").admin.is_none());
    let short = &ADMIN[1..];
    for (key, why) in [
        (short, "fewer than 24"),
        ("", "empty"),
        ("admin-password-admin-password", "easily guessed"),
    ] {
        let found = faults(&format!("[admin]\nkey = \"{key}\"\n"));
        assert!(
            found[0].contains("`admin.key`") && found[0].contains(why),
            "{found:?}"
        );
    }
    let found = faults(&format!("[admin]\nkey = \"{ADMIN}\"\nkeys = 1\n"));
    assert!(found[0].contains("unknown key `admin.keys`"), "{found:?}");
}

#[test]
fn budgets_are_in_the_zone_that_is_nearest() {
    let config = load(
        "[budget]\nglobal = [\"9/day\", \"9/month@31\"]\nper_user = \"1/day UTC\"\ntz = \"Asia/Tokyo\"\n\
         [[project]]\nname = \"web\"\nbudget = \"5/week@sun\"\ntz = \"Europe/Berlin\"\n\
         [[key]]\nname = \"k\"\nkey = \"k3J9-x7Qm-82Lw-p0Zt\"\nproject = \"web\"\nroutes = [\"chat\"]\n\
         budget = [\"1/day\", \"2/week Asia/Kathmandu\"]\n",
    );
    let texts = |budgets: &[rungs::store::Budget]| -> Vec<String> {
        budgets.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        texts(&config.budget.global()),
        ["9/day Asia/Tokyo", "9/month@31 Asia/Tokyo"]
    );
    assert_eq!(texts(&config.budget.per_user()), ["1/day"]);
    assert_eq!(
        texts(&config.projects[0].terms.budgets),
        ["5/week@sun Europe/Berlin"]
    );
    assert_eq!(
        texts(&config.keys[0].family.key().budgets),
        ["1/day Asia/Tokyo", "2/week Asia/Kathmandu"]
    );
    for (text, place, why) in [
        ("[budget]\ntz = \"Mars\"\n", "budget.tz", "no time zone"),
        (
            "[budget]\nglobal = \"1/hour\"\n",
            "budget.global",
            "windows are",
        ),
        (
            "[budget]\nglobal = 5\n",
            "budget.global",
            "budgets are texts",
        ),
        (
            "[budget]\nglobal = [\"1/day\", \"2/day\"]\n",
            "budget.global",
            "two budgets per day",
        ),
        (
            "[budget]\nper_user = [\"1/week\", \"5/day\", \"2/week\"]\n",
            "budget.per_user",
            "two budgets per week",
        ),
        (
            "[[project]]\nname = \"a\"\nbudget = [\"1/day\", \"2/day\"]\n",
            "project[0].budget",
            "two budgets per day",
        ),
        (
            "[[project]]\nname = \"a\"\nbudget = []\n[[project]]\nname = \"a\"\nbudget = []\n",
            "project[1].name",
            "two projects",
        ),
        (
            &format!("{KEY}project = \"wep\"\n"),
            "key[0].project",
            "no project",
        ),
        (
            &format!("{KEY}routes = [\"chats\"]\n"),
            "key[0].routes",
            "did you mean `chat`",
        ),
        (&format!("{KEY}tenant = \"a/b\"\n"), "key[0].tenant", "/"),
    ] {
        let found = faults(text);
        assert!(
            found[0].contains(&format!("`{place}")) && found[0].contains(why),
            "{found:?}"
        );
    }
}

/// A key of the file with more lines.
fn named(name: &str, more: &str) -> String {
    format!("[[key]]\nname = \"{name}\"\nkey = \"{name}-k3J9-x7Qm-82Lw-p0Zt\"\n{more}\n")
}

#[test]
fn a_key_of_the_file_stands_below_another_by_the_rules_of_the_store() {
    let top = named(
        "top",
        "tenant = \"acme\"\nmax_tier = \"L1\"\nbudget = \"5/day\"\non_store_down = \"open\"",
    );
    let child = named(
        "child",
        "parent = \"top\"\nbudget = \"1/day\"\nwarn_at = 50\non_store_down = \"open\"\nexpires = \"2999-12-31\"",
    );
    // In any order.
    for text in [[&*top, &*child].concat(), [&*child, &*top].concat()] {
        let config = load(&text);
        let key = config
            .keys
            .iter()
            .find(|key| key.name() == "child")
            .unwrap();
        let accounts: Vec<_> = key.family.accounts().collect();
        let names: Vec<_> = accounts.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["key:child", "key:top"]);
        assert_eq!(accounts[0].1.warn_at, Some(50));
        assert_eq!(key.family.key().tenant, "acme", "its parent's");
        let rights = key.family.rights(config.routing.max_tier);
        assert_eq!(rights.max_tier, Some(Tier::L1));
        let end: jiff::Timestamp = rights.ends.unwrap().try_into().unwrap();
        assert_eq!(end.to_string(), "3000-01-01T00:00:00Z", "the whole day");
    }
    for (more, member, why) in [
        ("parent = \"tob\"", "parent", "did you mean `top`"),
        ("parent = \"child\"", "parent", "circle"),
        (
            "parent = \"top\"\ntenant = \"other\"",
            "tenant",
            "its parent",
        ),
        (
            "parent = \"top\"\nmax_tier = \"L2\"",
            "max_tier",
            "no higher than L1",
        ),
        (
            "parent = \"top\"\nbudget = \"6/day\"",
            "budget",
            "more than its parent",
        ),
        (
            "parent = \"top\"\nroutes = [\"embeddings\"]",
            "routes",
            "may not call",
        ),
        (
            "parent = \"top\"\nmodels = [\"auto\"]",
            "models",
            "may not ask",
        ),
        ("parent = \"top\"\nrpm = 11", "rpm", "more than its parent"),
        (
            "parent = \"top\"\nexpires = \"2031-01-01T00:00:01Z\"",
            "expires",
            "outlive",
        ),
        ("expires = \"30d\"", "expires", "set a day"),
        ("expires = \"soon\"", "expires", "neither"),
        ("warn_at = 101", "warn_at", "percentage"),
        ("on_store_down = \"ajar\"", "on_store_down", "not one of"),
    ] {
        let top = named(
            "top",
            "max_tier = \"L1\"\nbudget = \"5/day\"\nroutes = [\"chat\"]\nmodels = [\"m\"]\nrpm = 10\nexpires = \"2030-12-31\"",
        );
        let found = faults(&[PROVIDER, &model("m", ""), &top, &named("child", more)].concat());
        let path = format!("`key[1].{member}`");
        assert!(
            found
                .iter()
                .any(|fault| fault.contains(&path) && fault.contains(why)),
            "{more}: {found:?}"
        );
    }
    let closed = [
        named("top", ""),
        named("child", "parent = \"top\"\non_store_down = \"open\""),
    ];
    assert!(faults(&closed.concat())[0].contains("`key[1].on_store_down`"));
    let circle = [named("a", "parent = \"b\""), named("b", "parent = \"a\"")];
    assert!(
        faults(&circle.concat())
            .iter()
            .all(|fault| fault.contains(".parent`"))
    );
}

#[test]
fn a_key_that_has_expired_is_no_fault() {
    let config = load(&named("old", "expires = \"2020-01-31\""));
    assert!(
        config
            .warnings
            .iter()
            .any(|w| w.contains("`old` has expired")),
        "{:?}",
        config.warnings
    );
}

#[test]
fn cors_takes_origins_and_never_everyone() {
    let origins = |list: &str| load_with(&format!("[server]\ncors_origins = [{list}]\n"), &[]);
    assert_eq!(
        origins("\"https://app.example.com\"")
            .unwrap()
            .server
            .cors_origins
            .len(),
        1
    );
    for wrong in [
        "\"*\"",
        "\"https://a.example/path\"",
        "\"app.example\"",
        "\"https://u:p@x\"",
        "\"null\"",
    ] {
        assert!(origins(wrong).is_err(), "{wrong}");
    }
}
