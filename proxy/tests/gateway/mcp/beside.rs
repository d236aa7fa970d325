//! Several processes on one database: whoever owns it serves the others, and one of them takes over when it ends.

use serde_json::{Value, json};

use super::talk::*;
use crate::support::*;

fn route(id: u32, question: &str) -> Value {
    message(
        id,
        "tools/call",
        call("route", json!({ "message": question })),
    )
}

#[tokio::test]
async fn a_gateway_serves_the_clients_of_others() {
    let models = models().await;
    let gateway = Gateway::serve(&config(&models.base_url(), &key("k", KEY, "")));
    let mut one = Mcp::start(&gateway.folder, &[]);
    let mut two = Mcp::start(&gateway.folder, &[("RUNGS_API_KEY", KEY)]);
    for (at, mcp) in [&mut one, &mut two].into_iter().enumerate() {
        mcp.ask(&initialize(0)).await;
        let answer = mcp
            .ask(&route(1, &format!("What is the capital of France, {at}?")))
            .await;
        assert_eq!(
            answer["result"]["structuredContent"]["model"], "small",
            "{answer}"
        );
    }
    assert_eq!(gateway.rows_after(2).await.len(), 2);
    let mut wrong = Mcp::start(&gateway.folder, &[("RUNGS_API_KEY", "sk-wrong")]);
    assert!(wrong.hear().await.is_none());
    assert!(!wrong.ended().await.success());
    use std::os::unix::fs::PermissionsExt;
    let socket = std::fs::metadata(gateway.folder.join("rungs.db.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
}

/// The text of `note.txt` where the client works, and what is said of a way out of there.
async fn sees(mcp: &mut Mcp, id: u32) -> (String, String) {
    let read = |id, path: &str| message(id, "tools/call", call("fs_read", json!({ "path": path })));
    let own = mcp.ask(&read(id, "note.txt")).await;
    let out = mcp.ask(&read(id + 1, "../one/note.txt")).await;
    let own = &own["result"]["structuredContent"]["text"];
    let out = &out["result"]["content"][0]["text"];
    (
        own.as_str().unwrap_or_default().into(),
        out.as_str().unwrap().into(),
    )
}

#[tokio::test]
async fn each_window_has_the_folder_that_it_was_started_in() {
    let folder = folder();
    let store = format!(
        "store = {{ url = \"sqlite:{}/rungs.db\" }}",
        folder.display()
    );
    let mut windows = Vec::new();
    for name in ["one", "two", "three"] {
        let folder = folder.join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("note.txt"), name).unwrap();
        let config = config("http://127.0.0.1:9/v1", &store);
        std::fs::write(folder.join("rungs.toml"), config).unwrap();
        let mut mcp = Mcp::start(&folder, &[]);
        mcp.ask(&initialize(0)).await;
        windows.push((name, mcp));
    }
    for round in 0..2 {
        for (name, mcp) in &mut windows {
            let (own, out) = sees(mcp, 10 * (round + 1)).await;
            assert_eq!(own, *name);
            assert!(out.contains("goes up with `..`"), "{out}");
        }
        // The owner ends, and another one is it.
        let (_, mut first) = windows.remove(0);
        first.close();
        assert!(first.ended().await.success());
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn windows_in_different_folders_share_the_budget_of_the_file_that_they_are_given() {
    let models = models().await;
    let folder = folder();
    let file = folder.join("rungs.toml");
    let budget = "store = { url = \"sqlite:rungs.db\" }\nbudget = { global = \"1/day\" }";
    let priced = config(&models.base_url(), budget)
        .replace("price = 0", "price = { input = \"1\", output = \"2\" }");
    std::fs::write(&file, priced).unwrap();
    let mut spent = Vec::new();
    let mut windows = Vec::new();
    for name in ["one", "two"] {
        let place = folder.join(name);
        std::fs::create_dir(&place).unwrap();
        let mut mcp = Mcp::start_with(&place, &["--config", file.to_str().unwrap()], &[]);
        mcp.ask(&initialize(0)).await;
        let asked = route(1, &format!("What is the capital of France, {name}?"));
        let answer = mcp.ask(&asked).await;
        assert_eq!(answer["result"]["isError"], false, "{answer}");
        let stands = message(2, "tools/call", call("remaining_budget", json!({})));
        let stands = mcp.ask(&stands).await;
        let budget = &stands["result"]["structuredContent"]["budgets"][0];
        spent.push(
            budget["spent_usd"]
                .as_str()
                .unwrap_or_else(|| panic!("{stands}"))
                .to_owned(),
        );
        windows.push(mcp);
        let own: Vec<_> = std::fs::read_dir(&place).unwrap().collect();
        assert!(own.is_empty(), "{own:?}");
    }
    let [one, two] = [&spent[0], &spent[1]].map(|spent| spent.parse::<f64>().unwrap());
    assert!(one > 0.0 && two > one, "{spent:?}");
    assert!(folder.join("rungs.db").exists());
    drop(windows);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn the_socket_hears_nobody_else_and_takes_no_folder_of_its_own_for_yours() {
    use std::{
        io::{BufRead, BufReader, Write},
        os::unix::{
            fs::{MetadataExt, PermissionsExt},
            net::UnixStream,
            process::CommandExt,
        },
        process::Command,
    };
    let gateway = Gateway::serve(&config("http://127.0.0.1:9/v1", ""));
    let socket = gateway.folder.join("rungs.db.sock");
    let said = |hello: Value| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(format!("{hello}\n").as_bytes()).unwrap();
        let mut reply = String::new();
        BufReader::new(stream).read_line(&mut reply).unwrap();
        reply
    };
    assert!(said(json!({ "key": null, "folder": "/tmp" })).contains("welcome"));
    let refused = said(json!({ "key": null, "folder": "." }));
    assert!(refused.contains("no absolute path"), "{refused}");

    // Only root can be somebody else for a moment; and somebody has opened everything.
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    for (path, mode) in [(&gateway.folder, 0o755), (&socket, 0o666)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let hello = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print('here'); \
                 s.sendall(b'{\"key\":null,\"folder\":\"/tmp\"}\\n'); print(s.recv(100))";
    let ask = |user: u32| {
        let mut python = Command::new("python3");
        let asked = python.args(["-uc", hello]).arg(&socket).uid(user).output();
        String::from_utf8(asked.unwrap().stdout).unwrap()
    };
    let (ours, theirs) = (ask(0), ask(65534));
    assert!(ours.contains("welcome"), "{ours}");
    assert!(
        theirs.starts_with("here") && !theirs.contains("welcome"),
        "{theirs}"
    );
}

#[tokio::test]
async fn the_next_takes_over_when_the_owner_ends() {
    let models = models().await;
    let folder = folder();
    std::fs::write(folder.join("rungs.toml"), config(&models.base_url(), "")).unwrap();
    let mut windows = Vec::new();
    for at in 0..3 {
        let mut mcp = Mcp::start(&folder, &[]);
        mcp.ask(&initialize(at)).await;
        mcp.say(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))
            .await;
        windows.push(mcp);
    }
    for left in (1..=3).rev() {
        for (at, mcp) in windows.iter_mut().enumerate() {
            let question = format!("What is the capital of France, {left} {at}?");
            let mut answer = mcp.ask(&route(10 * left, &question)).await;
            if answer.get("error").is_some() {
                // It was asked in the very moment of the change.
                answer = mcp.ask(&route(10 * left + 1, &question)).await;
            }
            assert_eq!(answer["result"]["isError"], false, "{answer}");
        }
        let mut first = windows.remove(0);
        if left == 2 {
            first.child.kill().await.unwrap();
        } else {
            first.close();
            assert!(first.ended().await.success());
        }
    }
    let (status, out, err) = run(&folder, &["ledger", "export"]);
    assert!(status.success(), "{err}");
    assert_eq!(out.lines().count(), 6, "{out}");
    let (status, out, err) = run(&folder, &["ledger", "verify"]);
    assert!(status.success(), "{out}{err}");
    std::fs::remove_dir_all(folder).unwrap();
}
