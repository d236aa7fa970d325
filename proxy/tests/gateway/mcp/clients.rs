//! rmcp's client lists and calls everything, over both transports.

use std::collections::BTreeMap;

use rmcp::{
    RoleClient, ServiceExt,
    model::{CallToolRequestParams, GetPromptRequestParams, ReadResourceRequestParams},
    service::RunningService,
    transport::{
        StreamableHttpClientTransport, TokioChildProcess,
        streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde_json::{Value, json};

use super::talk::{config, models};
use crate::support::*;

/// Arguments of those tools that work everywhere. The others are called too, and say what they lack.
fn arguments() -> BTreeMap<&'static str, Value> {
    let question = "What is the capital of France?";
    BTreeMap::from([
        (
            "chat",
            json!({ "messages": [{ "role": "user", "content": question }], "model": "small", "max_tokens": 50 }),
        ),
        ("route", json!({ "message": question })),
        (
            "estimate_cost",
            json!({ "prompt": question, "max_tokens": 50 }),
        ),
        (
            "explain_route",
            json!({ "message": question, "max_tier": "L1" }),
        ),
        (
            "second_opinion",
            json!({ "question": question, "answer": "Paris", "reviewers": 2 }),
        ),
        (
            "escalate",
            json!({ "task": question, "attempts": [{ "tier": "L0", "text": "London", "issues": ["wrong"] }] }),
        ),
        ("remaining_budget", json!({})),
    ])
}

async fn uses_everything(client: RunningService<RoleClient, ()>) {
    let tools = client.list_all_tools().await.unwrap();
    let arguments = arguments();
    let names: Vec<&str> = tools.iter().map(|tool| &*tool.name).collect();
    for name in arguments.keys() {
        assert!(names.contains(name), "{name}: {names:?}");
    }
    for tool in &tools {
        let given = arguments.get(&*tool.name).cloned();
        let asked = CallToolRequestParams::new(tool.name.clone()).with_arguments(
            given
                .clone()
                .unwrap_or_else(|| json!({}))
                .as_object()
                .unwrap()
                .clone(),
        );
        let result = client.call_tool(asked).await.unwrap();
        if given.is_none() {
            continue;
        }
        assert_ne!(result.is_error, Some(true), "{}: {result:?}", tool.name);
        let told = result.structured_content.unwrap();
        let schema = tool.output_schema.as_ref().unwrap();
        for member in schema["required"].as_array().into_iter().flatten() {
            assert!(
                told.get(member.as_str().unwrap()).is_some(),
                "{}: {told}",
                tool.name
            );
        }
    }
    let resources = client.list_all_resources().await.unwrap();
    assert_eq!(resources.len(), 2);
    for resource in resources {
        let read = ReadResourceRequestParams::new(resource.uri.clone());
        assert_eq!(client.read_resource(read).await.unwrap().contents.len(), 1);
    }
    for prompt in client.list_all_prompts().await.unwrap() {
        let given = prompt.arguments.unwrap().into_iter();
        let given = given.map(|argument| (argument.name, json!("something")));
        let asked = GetPromptRequestParams::new(prompt.name).with_arguments(given.collect());
        assert_eq!(client.get_prompt(asked).await.unwrap().messages.len(), 1);
    }
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn every_tool_is_called_over_http() {
    let models = models().await;
    let more = key("k", KEY, "");
    let gateway = Gateway::serve(&config(&models.base_url(), &more));
    let to = StreamableHttpClientTransportConfig::with_uri(format!("{}/mcp", gateway.url));
    let transport = StreamableHttpClientTransport::from_config(to.auth_header(KEY));
    uses_everything(().serve(transport).await.unwrap()).await;
}

#[tokio::test]
async fn every_tool_is_called_over_stdio() {
    let models = models().await;
    let folder = folder();
    std::fs::write(folder.join("rungs.toml"), config(&models.base_url(), "")).unwrap();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_rungs"));
    command.arg("mcp").current_dir(&folder).env_clear();
    let transport = TokioChildProcess::new(command).unwrap();
    uses_everything(().serve(transport).await.unwrap()).await;
    std::fs::remove_dir_all(folder).unwrap();
}
