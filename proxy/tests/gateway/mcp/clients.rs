//! rmcp's client lists and calls everything, over both transports.

use std::{collections::BTreeMap, path::PathBuf, process::Command};

use rmcp::{
    RoleClient, ServiceExt,
    model::{CallToolRequestParams, GetPromptRequestParams, ReadResourceRequestParams},
    service::RunningService,
    transport::{
        StreamableHttpClientTransport, TokioChildProcess,
        streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use rungs::testing::Upstream;
use serde_json::{Value, json};

use super::talk::{config, models};
use crate::support::*;

/// A folder with a repository, and the configuration of a gateway whose tools may do everything in it.
fn world(models: &Upstream, more: &str) -> (PathBuf, String) {
    let project = folder();
    std::fs::write(project.join("README.txt"), "A project.\n").unwrap();
    for arguments in [
        "init --quiet",
        "add README.txt",
        "-c user.name=t -c user.email=t@localhost commit --quiet --message first",
    ] {
        let mut git = Command::new("git");
        let git = git.args(arguments.split(' ')).current_dir(&project);
        assert!(git.status().unwrap().success());
    }
    let runner = r#"{ argv = ["/bin/true"], reporter = "exit" }"#;
    let tools = format!(
        "tools = {{ roots = [{project:?}], allow = [\"write\", \"exec\"], untrusted = \"allow\", \
         tests = {{ unit = {runner}, vitest = {runner}, playwright = {runner} }} }}\n{more}"
    );
    (project, config(&models.base_url(), &tools))
}

/// Lists and calls every tool there is, with arguments that the other clients use too.
async fn uses_everything(client: RunningService<RoleClient, ()>) {
    let arguments = include_str!("../../../../xtask/mcp-arguments.json");
    let arguments: BTreeMap<String, Value> = serde_json::from_str(arguments).unwrap();
    let tools = client.list_all_tools().await.unwrap();
    assert_eq!(tools.len(), arguments.len());
    for tool in &tools {
        let given = arguments[&*tool.name].as_object().unwrap().clone();
        let asked = CallToolRequestParams::new(tool.name.clone()).with_arguments(given);
        let result = client.call_tool(asked).await.unwrap();
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
    let (project, config) = world(&models, &key("k", KEY, ""));
    let gateway = Gateway::serve(&config);
    let to = StreamableHttpClientTransportConfig::with_uri(format!("{}/mcp", gateway.url));
    let transport = StreamableHttpClientTransport::from_config(to.auth_header(KEY));
    uses_everything(().serve(transport).await.unwrap()).await;
    std::fs::remove_dir_all(project).unwrap();
}

#[tokio::test]
async fn every_tool_is_called_over_stdio() {
    let models = models().await;
    let (folder, config) = world(&models, "");
    std::fs::write(folder.join("rungs.toml"), config).unwrap();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_rungs"));
    command.arg("mcp").current_dir(&folder).env_clear();
    let transport = TokioChildProcess::new(command).unwrap();
    uses_everything(().serve(transport).await.unwrap()).await;
    std::fs::remove_dir_all(folder).unwrap();
}
