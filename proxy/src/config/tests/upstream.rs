use secrecy::ExposeSecret;

use super::*;

const COMMAND: &str = "[[mcp]]\nname = \"exa\"\ncommand = [\"npx\", \"exa-mcp-server\"]\n";
const URL: &str = "[[mcp]]\nname = \"magic\"\nurl = \"https://mcp.example/mcp\"\n";

#[test]
fn a_child_has_what_is_given_and_a_path() {
    let text = format!("{COMMAND}env = {{ EXA_API_KEY = {{ env = \"EXA_API_KEY\" }} }}\n");
    let vars = [
        ("EXA_API_KEY", "canary-x"),
        ("HOME", "/home/me"),
        ("OPENAI_API_KEY", "canary-y"),
    ];
    let config = load_with(&text, &vars).unwrap();
    let Way::Command {
        program,
        arguments,
        env,
    } = &config.upstreams[0].way
    else {
        panic!("it is a command");
    };
    assert_eq!(
        (&**program, &**arguments),
        ("npx", &["exa-mcp-server".to_owned()][..])
    );
    let env: Vec<_> = env
        .iter()
        .map(|v| (&*v.name, v.value.expose_secret()))
        .collect();
    let path = "/usr/local/bin:/usr/bin:/bin";
    assert_eq!(
        env,
        [
            ("EXA_API_KEY", "canary-x"),
            ("PATH", path),
            ("HOME", "/home/me")
        ]
    );
    assert!(!format!("{config:?}").contains("canary"));
}

#[test]
fn what_is_not_said_is_safe() {
    let config = load(&format!(
        "{COMMAND}effects = {{ search = \"read\" }}\n{URL}"
    ));
    let [exa, magic] = &*config.upstreams else {
        panic!("there are two");
    };
    assert_eq!(exa.effect_of("search"), crate::tools::Effect::Read);
    assert_eq!(exa.effect_of("other"), crate::tools::Effect::Net);
    assert_eq!(magic.timeout, std::time::Duration::from_secs(60));
    assert_eq!(magic.max_result_bytes, 256 << 10);
    assert!(exa != magic && *exa == exa.clone());
}

#[test]
fn servers_are_checked() {
    for (text, why) in [
        (
            "[[mcp]]\nname = \"a\"\n".to_owned(),
            "`mcp[0]`: has to have either a `command` or a `url`",
        ),
        (
            format!("{COMMAND}url = \"https://x\"\n"),
            "either a `command` or a `url`",
        ),
        (
            format!("{COMMAND}{COMMAND}"),
            "`mcp[1].name`: there are two servers `exa`",
        ),
        (COMMAND.replace("exa\"", "a__b\""), "has no `__` in it"),
        (COMMAND.replace("exa\"", "a_\""), "no `_` at its end"),
        (COMMAND.replace("exa\"", "a b\""), "1 to 32 letters"),
        (
            COMMAND.replace("npx", "./npx"),
            "`mcp[0].command`: begins with an absolute path",
        ),
        (
            format!("{COMMAND}env = {{ \"A=B\" = \"x\" }}\n"),
            "is no name of an environment variable",
        ),
        (
            format!("{COMMAND}env = {{ A = {{ env = \"NOPE\" }} }}\n"),
            "`mcp[0].env.A`: the environment variable `NOPE` is not set",
        ),
        (
            format!("{COMMAND}headers = {{ a = \"x\" }}\n"),
            "is for servers with a `url`",
        ),
        (
            format!("{COMMAND}toools = []\n"),
            "unknown key `mcp[0].toools`; did you mean `tools`?",
        ),
        (
            format!("{COMMAND}effect = \"reed\"\n"),
            "did you mean `read`?",
        ),
        (
            format!("{COMMAND}max_result_bytes = 10\n"),
            "is less than 1024",
        ),
        (
            format!("{COMMAND}timeout_seconds = 0\n"),
            "more than 0 seconds",
        ),
        (
            format!("{COMMAND}tools = [\"search\"]\neffects = {{ serach = \"read\" }}\n"),
            "did you mean `search`?",
        ),
        (
            format!("{URL}env = {{ A = \"x\" }}\n"),
            "is for servers with a `command`",
        ),
        (URL.replace("https", "http"), "is not encrypted"),
        (
            URL.replace("mcp.example", "169.254.169.254"),
            "add allow_private = true",
        ),
        (
            URL.replace("mcp.example", "u:canary@x"),
            "credentials do not belong",
        ),
        (
            "[mcp]\nname = \"a\"\n".to_owned(),
            "each entry starts with [[mcp]]",
        ),
    ] {
        let found = faults(&text);
        assert!(found[0].contains(why), "{text}: {found:?}");
        assert!(!found[0].contains("canary"), "{found:?}");
    }
}

#[test]
fn a_key_that_is_nearly_one_of_the_file_was_meant_to_be_it() {
    let key = "[[key]]\nname = \"laptop\"\nkey = \"k3J9-x7Qm-82Lw-p0Zt\"\n";
    let found = faults(&format!("{COMMAND}keys = [\"latpop\"]\n{key}"));
    assert!(
        found[0].ends_with("there is no key `latpop` in the file; did you mean `laptop`?"),
        "{found:?}"
    );
    // One of the store is not known before it is opened.
    assert_eq!(
        load(&format!(
            "{COMMAND}keys = [\"laptop\", \"key_7f3a\"]\n{key}"
        ))
        .upstreams[0]
            .keys
            .len(),
        2
    );
}
