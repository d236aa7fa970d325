//! The project's tests run what models wrote: whatever it tries, nothing outside of the copy has changed afterwards.

use std::{
    fs,
    net::TcpListener,
    os::unix::net::UnixListener,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::world::*;

/// Tries what it can, and says of each try what came of it.
const HOSTILE: &str = r#"
import os, signal, socket, sys

def attempt(what, way):
    try:
        print(what, "done", way())
    except OSError as error:
        print(what, "refused")

place, port = "PLACE", PORT
attempt("write", lambda: open(place + "/owned", "w").write("x"))
attempt("replace", lambda: open(place + "/py-money/money.py", "w").write("x"))
attempt("project", lambda: open(place + "/py-leap/leap.py", "w").write("x"))
attempt("remove", lambda: os.unlink(place + "/py-money/money.py"))
attempt("read", lambda: open(place + "/secret.txt").read())
attempt("home", lambda: os.listdir("/root") + os.listdir("/home"))
attempt("call", lambda: socket.create_connection(("127.0.0.1", port), 3))
attempt("service", lambda: socket.socket(socket.AF_UNIX).connect(place + "/socket"))
attempt("kill", lambda: os.kill(int(open(place + "/pid").read()), signal.SIGKILL))
attempt("copy", lambda: open("made", "w").write("x"))
for name in ("OPENAI_API_KEY", "RUNGS_TEST_CANARY"):
    print(name, "was-told" if name in os.environ else "was-not")
sys.exit(1)
"#;

/// The runner `name` with this command, and more settings.
fn runner(name: &str, argv: &[&str], more: &str) -> String {
    format!("[tools.tests.{name}]\nargv = {argv:?}\n{more}\n")
}

/// A job that is tested by runner `name` and that nobody but the lowest tier is asked for.
fn job(name: &str) -> Value {
    let mut job = repair("py-leap").job();
    job["test"] = json!(name);
    job["maxTier"] = json!("L0");
    job
}

/// What the models were shown of the tests' output.
fn printed(world: &World) -> String {
    let seen = world.models[0].seen();
    seen.iter().map(|request| prompt(request).1).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn t20_tests_touch_nothing_but_the_copy() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let world = World::new(ladder(), &runner("hostile", &["python3", "hostile.py"], "")).await;
    let projects = world.projects.path();
    let service = UnixListener::bind(projects.join("socket")).unwrap();
    service.set_nonblocking(true).unwrap();
    // It ends with this test, whatever comes of it: there is nothing more to read then.
    let mut bystander = Command::new("cat");
    let mut bystander = bystander.stdin(Stdio::piped()).spawn().unwrap();
    fs::write(projects.join("pid"), bystander.id().to_string()).unwrap();
    fs::write(projects.join("secret.txt"), "a secret beside it").unwrap();
    let script = HOSTILE
        .replace("PLACE", projects.to_str().unwrap())
        .replace("PORT", &port);
    fs::write(projects.join("py-leap/hostile.py"), script).unwrap();
    let before = ["py-leap", "py-money"].map(|name| world.files(name));

    let report = world.report(&job("hostile")).await;

    let printed = printed(&world);
    for what in [
        "write", "replace", "project", "remove", "read", "home", "call", "service", "kill",
    ] {
        assert!(
            printed.contains(&format!("{what} refused")),
            "{what}: {printed}"
        );
    }
    assert!(printed.contains("copy done"), "{printed}");
    assert!(
        !printed.contains("a secret beside it") && !printed.contains("was-told"),
        "{printed}"
    );
    assert_eq!(
        ["py-leap", "py-money"].map(|name| world.files(name)),
        before
    );
    assert!(!projects.join("owned").exists());
    assert!(
        listener.accept().is_err() && service.accept().is_err(),
        "somebody has called"
    );
    assert_eq!(bystander.try_wait().unwrap(), None, "somebody was killed");
    assert_eq!(report["quality"]["testsAfter"], "exit status 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn t20_tests_that_multiply_are_ended_together() {
    let bomb = "b() { b | b & }; b; while :; do sleep 1; done";
    let settings = "limits = { processes = 64, seconds = 3 }";
    let world = World::new(
        ladder(),
        &runner("bomb", &["/bin/sh", "-c", bomb], settings),
    )
    .await;
    let report = world.report(&job("bomb")).await;
    assert_eq!(report["result"]["outcome"], "unsolved");
    let ending = report["quality"]["testsAfter"].as_str().unwrap();
    // Seen to be too many; or refused so many by the kernel that the shell gives up, or few are left until its time is over.
    let endings = ["more than 64 processes", "exit status", "no end after 3 s"];
    assert!(endings.iter().any(|end| ending.contains(end)), "{ending}");
    // The gateway goes on.
    assert_eq!(world.gateway.get("/health").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_there_is_told_before_anybody_is_asked() {
    let world = World::new(ladder(), &runner("gone", &["/no/such/program"], "")).await;
    let answer = world.ask(&job("gone")).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    let message = answer.error()["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("the tests `gone`") && message.contains("/no/such/program"),
        "{message}"
    );
    assert_eq!(world.bill(), 0);
}
