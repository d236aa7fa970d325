//! Commands as people and their pipes use them.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{ChildStdout, Command, ExitStatus, Stdio},
};

use crate::support::*;

/// Runs the command in `folder`, and closes its standard output as soon as `read` has had enough of it; its end and standard error.
fn piped(folder: &Path, args: &[&str], read: impl FnOnce(ChildStdout)) -> (ExitStatus, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rungs"))
        .args(args)
        .current_dir(folder)
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    read(child.stdout.take().unwrap());
    let mut said = String::new();
    let mut err = child.stderr.take().unwrap();
    err.read_to_string(&mut said).unwrap();
    (child.wait().unwrap(), said)
}

#[test]
fn a_command_whose_reader_has_had_enough_has_not_failed() {
    let folder = folder();
    std::fs::write(folder.join("rungs.toml"), free_of_faults()).unwrap();
    let (created, _, err) = run(&folder, &["keys", "create", "--name", "k"]);
    assert!(created.success(), "{err}");
    for args in [
        &["keys", "list"][..],
        &["keys", "list", "--json"],
        &["check"],
        &["explain", "q"],
        &["ledger", "verify"],
        &["ledger", "export"],
    ] {
        let (status, said) = piped(&folder, args, drop);
        assert!(status.success(), "{args:?}: {status} {said}");
        assert!(!said.contains("panicked"), "{args:?}: {said}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_demo_whose_first_lines_were_enough_goes_on() {
    let folder = folder();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_rungs"))
        .args(["demo", "--listen", "127.0.0.1:0"])
        .current_dir(&folder)
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::with_capacity(16, demo.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    drop(out);
    let url = line.trim().trim_start_matches("listening on ");
    let answer = client(PATIENCE).get(format!("{url}/live")).send().await;
    let status = answer.map(|answer| answer.status().as_u16());
    let ended = demo.try_wait().unwrap();
    demo.kill().unwrap();
    demo.wait().unwrap();
    assert!(matches!(status, Ok(200)), "{status:?}");
    assert_eq!(ended, None);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_question_that_nobody_can_answer_is_explained() {
    let folder = folder();
    let (status, _, err) = run(&folder, &["explain", "q"]);
    assert!(!status.success());
    assert_eq!(
        err.matches("OPENAI_API_KEY").count(),
        2,
        "warned of and refused: {err}"
    );
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn keys_that_open_nothing_or_other_doors_are_listed_as_such() {
    let folder = folder();
    std::fs::write(folder.join("rungs.toml"), free_of_faults()).unwrap();
    for more in [
        &["old", "--expires", "1s"][..],
        &["boss", "--role", "admin"],
        &["web"],
    ] {
        let args = [&["keys", "create", "--name"], more].concat();
        let (status, _, err) = run(&folder, &args);
        assert!(status.success(), "{args:?}: {err}");
    }
    let listed = || run(&folder, &["keys", "list"]).1;
    let of = |name: &str| {
        let listed = listed();
        let line = listed.lines().find(|line| line.contains(name));
        line.unwrap().to_owned()
    };
    until("the end of a key", || of("  old  ").ends_with("  expired")).await;
    assert!(of("  boss  ").ends_with("  admin"), "{}", listed());
    assert!(of("  web  ").ends_with("  no budget"), "{}", listed());
    std::fs::remove_dir_all(folder).unwrap();
}

/// A configuration with a model that nobody serves.
fn free_of_faults() -> String {
    format!(
        "{}{}",
        provider("p", "http://127.0.0.1:9/v1"),
        free("m", "p", "L0")
    )
}

#[test]
fn the_code_agent_listens_nowhere_and_leaves_a_running_gateway_its_budget() {
    let folder = folder();
    let public = "server = { listen = \"0.0.0.0:3000\" }\n";
    std::fs::write(
        folder.join("rungs.toml"),
        format!("{public}{}", free_of_faults()),
    )
    .unwrap();
    let (_, _, err) = run(&folder, &["code", "do it", "--", "true"]);
    assert!(!err.contains("refuses to start"), "{err}");
    std::fs::remove_dir_all(folder).unwrap();

    let gateway = Gateway::serve(&free_of_faults());
    let (status, _, err) = run(&gateway.folder, &["code", "do it", "--", "true"]);
    assert!(!status.success());
    assert!(err.contains("POST /v1/code-agent"), "{err}");
    assert!(!err.contains("a file of its own"), "{err}");
}
