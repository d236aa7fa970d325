use super::*;

#[test]
fn a_wrong_setting_of_the_agent_is_named() {
    for (text, place, why) in [
        ("[agent]\nstep = 3\n", "agent.step", "did you mean `steps`"),
        ("[agent]\nsteps = 0\n", "agent.steps", "at least 1"),
        ("[agent]\ntries = 0\n", "agent.tries", "at least 1"),
        ("[agent]\nbudget = \"-1\"\n", "agent.budget", "negative"),
        (
            "[agent]\nlinks = [\"../x\"]\n",
            "agent.links",
            "no folder of the project",
        ),
        (
            "[agent.tests.unit]\nargv = [\"x\"]\n",
            "agent.tests",
            "unknown",
        ),
        (
            "[tools]\nallow = [\"exce\"]\n",
            "tools.allow[0]",
            "did you mean `exec`",
        ),
        (
            "[tools]\ncode_agnet = true\n",
            "tools.code_agnet",
            "did you mean `code_agent`",
        ),
        (
            "[tools]\ncode_agent = 1\n",
            "tools.code_agent",
            "true or false",
        ),
    ] {
        let found = faults(text);
        assert!(
            found[0].contains(&format!("`{place}")) && found[0].contains(why),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn an_effect_is_off_until_the_configuration_says_so() {
    use crate::tools::{CODE_AGENT, Effect};
    let off = load("").tools;
    assert!(off.has(Effect::Read, "it").is_ok());
    let error = off.has(Effect::Exec, "it").unwrap_err();
    assert_eq!(
        error.message(),
        "it runs programs, which is off; `allow = [\"exec\"]` in [tools] of the configuration turns it on"
    );
    let allows = |tools: &Tools| tools.allows(CODE_AGENT.name, CODE_AGENT.effect);
    assert!(allows(&off).is_err());
    for on in ["allow = [\"write\"]", "code_agent = true"] {
        assert!(
            allows(&load(&format!("[tools]\n{on}\n")).tools).is_ok(),
            "{on}"
        );
    }
    let off = load("[tools]\nallow = [\"write\"]\ncode_agent = false\n").tools;
    let error = allows(&off).unwrap_err();
    assert!(error.message().contains("`code_agent = false`"), "{error}");
}
