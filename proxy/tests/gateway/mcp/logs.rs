//! What a client asks to be told beside answers: log lines of its calls, and words for what it types.

use serde_json::{Value, json};

use super::talk::*;
use crate::support::*;

/// A client of `small` alone.
async fn client(folder: &std::path::Path) -> Mcp {
    let key = key("k", KEY, "models = [\"small\"]");
    let config = config("http://127.0.0.1:9/v1", &key);
    std::fs::write(folder.join("rungs.toml"), config).unwrap();
    let mut mcp = Mcp::start(folder, &[("RUNGS_API_KEY", KEY)]);
    mcp.ask(&initialize(0)).await;
    mcp
}

/// The log line that comes before the answer to a call, if there is one.
async fn logged(mcp: &mut Mcp, tool: &str, arguments: Value) -> Option<Value> {
    mcp.say(&message(9, "tools/call", call(tool, arguments)))
        .await;
    let first = mcp.hear().await.unwrap();
    if first["id"] == 9 {
        return None;
    }
    assert_eq!(first["method"], "notifications/message", "{first}");
    assert_eq!(mcp.hear().await.unwrap()["id"], 9);
    Some(first["params"].clone())
}

#[tokio::test]
async fn a_call_leaves_a_line_from_the_level_on_that_was_asked_for() {
    let folder = folder();
    let mut mcp = client(&folder).await;
    let fine = json!({ "message": "q", "model": "small" });
    let wrong = json!({ "message": "q", "model": "none" });
    assert_eq!(logged(&mut mcp, "explain_route", fine.clone()).await, None);
    for (level, heard) in [
        ("info", [true, true]),
        ("warning", [false, true]),
        ("error", [false; 2]),
    ] {
        let asked = message(1, "logging/setLevel", json!({ "level": level }));
        mcp.ask(&asked).await;
        let lines = [
            logged(&mut mcp, "explain_route", fine.clone()).await,
            logged(&mut mcp, "explain_route", wrong.clone()).await,
        ];
        assert_eq!(lines.each_ref().map(Option::is_some), heard, "{level}");
        for (line, level, outcome) in [
            (&lines[0], "info", "ok"),
            (&lines[1], "warning", "not_found"),
        ] {
            let Some(line) = line else { continue };
            assert_eq!(
                (&line["level"], &line["logger"]),
                (&json!(level), &json!("rungs"))
            );
            assert_eq!(line["data"]["tool"], "explain_route");
            assert_eq!(line["data"]["outcome"], outcome, "{line}");
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_model_is_completed_with_names_that_the_caller_may_ask_for() {
    let folder = folder();
    let mut mcp = client(&folder).await;
    for (typed, names) in [
        ("s", json!(["small"])),
        ("", json!(["small"])),
        ("l", json!([])),
    ] {
        let asked = json!({
            "ref": { "type": "ref/prompt", "name": "compare_cost" },
            "argument": { "name": "model", "value": typed },
        });
        let completed = mcp.ask(&message(1, "completion/complete", asked)).await;
        assert_eq!(
            completed["result"]["completion"]["values"], names,
            "{typed}"
        );
    }
    std::fs::remove_dir_all(folder).unwrap();
}
