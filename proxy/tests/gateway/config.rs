//! R32: a configuration that is wrong does not start, and does not replace one that is right.

use std::time::Duration;

use rungs::testing::{Reply, Upstream};

use crate::support::*;

const PROVIDER: &str =
    "[[provider]]\nname = \"p\"\nbase_url = \"http://127.0.0.1:9/v1\"\nallow_private = true\n";

#[test]
fn r32_an_unknown_key_ends_the_start_with_path_and_nearest_name() {
    for (config, path, nearest) in [
        (
            "[server]\nlisten = \"127.0.0.1:0\"\npinq_seconds = 3\n",
            "server.pinq_seconds",
            "ping_seconds",
        ),
        ("[sevrer]\n", "sevrer", "server"),
        (
            &*format!(
                "{PROVIDER}[[model]]\nid = \"m\"\nprovider = \"p\"\ntier = \"L0\"\nprize = 0\n"
            ),
            "model[0].prize",
            "price",
        ),
        (
            &*format!(
                "{PROVIDER}{}",
                model(
                    "m",
                    "p",
                    "L0",
                    "price = { input = 1, output = 2, cach_read = 1 }"
                )
            ),
            "model[0].price",
            "cache_read",
        ),
        (
            &*format!(
                "{}{}",
                PROVIDER.replace("\"p\"", "\"local\""),
                free("m", "locla", "L0")
            ),
            "model[0].provider",
            "`local`",
        ),
    ] {
        let refused = Refused::by(config, &["--listen", "127.0.0.1:0"]);
        assert!(!refused.status.success(), "{config}");
        for word in [path, nearest, "rungs.toml:"] {
            assert!(refused.text.contains(word), "{word}: {}", refused.text);
        }
        assert!(!refused.text.contains("listening"));
    }
}

#[test]
fn r32_all_faults_are_told_at_once() {
    let config = format!(
        "[limits]\nmax_atempts = 3\n{PROVIDER}api_key = {{ env = \"SURELY_NOT_SET\" }}\n{}",
        model("m", "p", "L9x", "price = \"?\"")
    );
    let refused = Refused::by(&config, &[]);
    assert!(
        refused.text.contains("max_attempts") && refused.text.contains("model[0].tier"),
        "{}",
        refused.text
    );
}

#[test]
fn r32_a_missing_secret_is_named() {
    let refused = Refused::by(
        &format!("{PROVIDER}api_key = {{ env = \"SURELY_NOT_SET\" }}\n"),
        &[],
    );
    assert!(!refused.status.success());
    assert!(
        refused.text.contains("SURELY_NOT_SET") && refused.text.contains("provider[0].api_key"),
        "{}",
        refused.text
    );
    let refused = Refused::by(
        &key("k", "x", "").replace("\"x\"", "{ file = \"/surely/not/there\" }"),
        &[],
    );
    assert!(
        refused.text.contains("/surely/not/there") && refused.text.contains("key[0].key"),
        "{}",
        refused.text
    );
}

#[test]
fn r32_check_says_offline_what_is_wrong() {
    let gateway = Gateway::serve(&format!(
        "store = {{ url = \"memory:\" }}\n{PROVIDER}{}",
        free("m", "p", "L0")
    ));
    assert!(
        gateway
            .rungs(&["check", "--config", "rungs.toml"])
            .contains("ok: 1 providers, 1 models, tiers L0")
    );
    std::fs::write(
        gateway.folder.join("wrong.toml"),
        "[routing]\nmax_teir = \"L1\"\n",
    )
    .unwrap();
    let (status, _, err) = run(&gateway.folder, &["check", "--config", "wrong.toml"]);
    assert!(
        !status.success() && err.contains("routing.max_teir") && err.contains("max_tier"),
        "{err}"
    );
    let (status, _, err) = run(&gateway.folder, &["check", "--config", "absent.toml"]);
    assert!(!status.success() && err.contains("absent.toml"), "{err}");
}

#[tokio::test]
async fn r32_a_bad_reload_changes_nothing_and_a_good_one_lets_streams_finish() {
    let slow = Reply::text("one two three four five six seven eight nine ten")
        .gap(Duration::from_millis(100));
    let models = [scripted("old", slow), scripted("new", Reply::text("new"))];
    let upstream = Upstream::serve(models.clone()).await.unwrap();
    let config = |name: &str| {
        format!(
            "routing = {{ on_stream = \"pass\" }}\n{}{}",
            provider("p", &upstream.base_url()),
            free(name, "p", "L0")
        )
    };
    let gateway = Gateway::serve(&config("old"));
    let names = async || {
        let models = gateway.get("/v1/models").await.json();
        models["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|model| model["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let write = |text: &str| std::fs::write(gateway.folder.join("rungs.toml"), text).unwrap();
    assert_eq!(names().await, ["auto", "old"]);

    for bad in ["[[model]]\nid = 7\n", "no toml at all", "[sevrer]\n"] {
        write(bad);
        let told = gateway.log().matches("not reloaded").count();
        gateway.signal("HUP");
        until("word of the bad configuration", || {
            gateway.log().matches("not reloaded").count() > told
        })
        .await;
        assert_eq!(names().await, ["auto", "old"], "{bad}");
    }
    assert!(
        gateway.log().contains("did you mean `server`"),
        "{}",
        gateway.log()
    );

    let stream = gateway.begun("old").await;
    write(&config("new"));
    gateway.signal("HUP");
    gateway.logs(": reloaded").await;
    assert_eq!(names().await, ["auto", "new"]);
    assert_eq!(models[0].open(), 1, "the stream should still run");
    assert_eq!(gateway.ask(&chat("old", "q")).await.status, 404);
    assert_eq!(gateway.ask(&chat("new", "q")).await.content(), "new");
    let rest = Answer::read(stream).await;
    assert!(
        rest.text.contains("ten") && rest.text.ends_with("data: [DONE]\n\n"),
        "{rest:?}"
    );
    assert_eq!(models[0].cut(), 0);
}

#[tokio::test]
async fn r32_a_reload_never_opens_what_was_closed() {
    let config = |keys: &str| {
        format!(
            "store = {{ url = \"memory:\" }}\n{keys}{PROVIDER}{}",
            free("m", "p", "L0")
        )
    };
    let gateway = Gateway::serve(&config(&key("k", KEY, "")));
    std::fs::write(
        gateway.folder.join("rungs.toml"),
        config(&key("k", "weak", "")),
    )
    .unwrap();
    gateway.signal("HUP");
    gateway.logs("not reloaded").await;
    assert_eq!(gateway.get("/v1/models").await.status, 401);
}

#[test]
fn r32_the_command_line_explains_no_decision_that_the_gateway_refuses() {
    let folder = folder();
    let config = format!(
        "[routing]\nmax_tier = \"L1\"\n{PROVIDER}{}",
        free("dear", "p", "L2")
    );
    std::fs::write(folder.join("rungs.toml"), config).unwrap();
    let (status, out, err) = run(&folder, &["explain", "--model", "dear", "why?"]);
    assert!(!status.success() && out.is_empty(), "{out}");
    assert!(err.contains("tier L2 is above L1"), "{err}");
    let _ = std::fs::remove_dir_all(folder);
}

#[tokio::test]
async fn a_command_is_followed_whatever_the_environment_says() {
    let gateway = Gateway::serve(&format!("{PROVIDER}{}", free("m", "p", "L0")));
    for mode in ["mcp", "production"] {
        let gateway = gateway_in(mode, &gateway.folder);
        assert!(gateway.contains("ok: 1 providers"), "{gateway}");
    }
    let gateway = gateway.killed(&[("MODE", "mcp")]);
    assert_eq!(gateway.get("/v1/models").await.status, 200);
}

fn gateway_in(mode: &str, folder: &std::path::Path) -> String {
    let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_rungs"));
    let check = check.arg("check").current_dir(folder).env("MODE", mode);
    String::from_utf8(check.output().unwrap().stdout).unwrap()
}
