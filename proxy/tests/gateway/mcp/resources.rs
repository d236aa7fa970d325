//! What clients read, over both transports, and what of it is another tenant's.

use serde_json::{Value, json};

use super::talk::*;
use crate::support::*;

const OTHER: &str = "zq4-Hn81-vw7x-Tk23";

/// What a client does that talks with `route`, and reads what is remembered of it.
fn talk(id: &str) -> (Value, Value) {
    let said = json!({ "message": "What is the capital of France?", "conversation_id": id });
    (call("route", said), json!({ "uri": "context://trip%2d1" }))
}

/// Whether this is what was said in that conversation.
fn is_remembered(read: &Value) {
    let content = &read["contents"][0];
    assert_eq!(content["mimeType"], "application/json", "{read}");
    let context: Value = serde_json::from_str(content["text"].as_str().unwrap()).unwrap();
    assert_eq!(context["conversationId"], "trip-1", "{context}");
    let texts = context["recentMessages"].as_array().unwrap().iter();
    let texts: Vec<&str> = texts.map(|m| m["content"].as_str().unwrap()).collect();
    assert_eq!(
        texts,
        [
            "What is the capital of France?",
            "Paris is the capital of France."
        ]
    );
}

#[tokio::test]
async fn t13_a_conversation_is_read_over_http_by_its_tenant_alone() {
    let models = models().await;
    let more = key("ours", KEY, "tenant = \"acme\"") + &key("theirs", OTHER, "tenant = \"rival\"");
    let gateway = Gateway::serve(&config(&models.base_url(), &more)).with_key(KEY);
    let listed = stateless(1, "resources/templates/list", json!({}));
    let listed = result(&send(&gateway, &listed).await);
    assert_eq!(
        listed["resourceTemplates"][0]["uriTemplate"], "context://{id}",
        "{listed}"
    );
    let (said, reading) = talk("trip-1");
    result(&send(&gateway, &stateless(2, "tools/call", said)).await);
    let read = stateless(3, "resources/read", reading);
    is_remembered(&result(&send(&gateway, &read).await));

    let gateway = gateway.with_key(OTHER);
    let foreign = send(&gateway, &read).await.json();
    let mut nothing = read.clone();
    for id in ["nothing", "", "a/b", "%00", "%ff", "x%20y"] {
        let uri = format!("context://{id}");
        nothing["params"]["uri"] = json!(uri);
        let refused = send(&gateway, &nothing).await.json();
        assert_eq!(refused["error"]["code"], -32602, "{uri}: {refused}");
        assert_eq!(refused["error"]["data"]["uri"], json!(uri));
    }
    // It says of another tenant's what it says of one that nobody has.
    assert_eq!(foreign["error"]["code"], -32602, "{foreign}");
    assert_eq!(
        foreign["error"]["message"],
        "there is no conversation `trip-1`"
    );
}

#[tokio::test]
async fn a_conversation_is_read_over_stdio() {
    let models = models().await;
    let folder = folder();
    std::fs::write(folder.join("rungs.toml"), config(&models.base_url(), "")).unwrap();
    let mut mcp = Mcp::start(&folder, &[]);
    mcp.ask(&initialize(0)).await;
    let (said, reading) = talk("trip-1");
    let before = mcp
        .ask(&message(1, "resources/read", reading.clone()))
        .await;
    assert_eq!(before["error"]["code"], -32002, "{before}");
    mcp.ask(&message(2, "tools/call", said)).await;
    is_remembered(&mcp.ask(&message(3, "resources/read", reading)).await["result"]);
    std::fs::remove_dir_all(folder).unwrap();
}
