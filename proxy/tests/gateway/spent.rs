//! R9: every route there is, with a key whose budget is spent.

use rungs::{
    catalog::{Deployment, Price},
    testing::{Reply, Scripted, Upstream},
};
use serde_json::{Map, Value, json};

use crate::{
    mcp::talk::{call, send, stateless},
    support::*,
};

/// The key whose budget is spent.
const SPENT: &str = "Sp3-n7Tk-x41m-Zq88";

/// What a refusal has to name.
const BUDGET: &str = "the key budget of $1/day is spent";

/// What is asked at each path that takes a body.
fn body(path: &str) -> Value {
    match path {
        "/v1/chat/completions" | "/v1/route/explain" => chat("auto", "q"),
        "/v1/embeddings" => json!({ "model": "embed", "input": "q" }),
        "/v1/chat" | "/v1/route" => json!({ "message": "q" }),
        "/v1/code-agent" => json!({ "task": "Say hello in hello.txt", "dryRun": true }),
        "/mcp" => stateless(1, "tools/call", call("chat", arguments("chat"))),
        "/v1/todos/{id}" => json!({ "items": [] }),
        path if path.starts_with("/admin/v1/") => json!({}),
        path => panic!("say what `{path}` is asked, so that it is known whether it costs"),
    }
}

/// What a tool is asked.
fn arguments(tool: &str) -> Value {
    let all = include_str!("../../../xtask/mcp-arguments.json");
    let all: Map<String, Value> = serde_json::from_str(all).unwrap();
    let mut arguments = all[tool].clone();
    // There are none.
    arguments.as_object_mut().unwrap().remove("test");
    arguments
}

/// A gateway with two keys, the budget of one of which is spent, and the models behind it.
struct World {
    models: Vec<Scripted>,
    gateway: Gateway,
    _upstream: Upstream,
    _project: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let price = Price::per_million("1".parse().unwrap(), "1".parse().unwrap());
        let at = |name: &str, reply| {
            Scripted::at(Deployment::new("scripted", name).price(price), [reply])
        };
        let answer = || Reply::text("Paris is the capital of France.");
        // A bill of its own, beyond what the key has.
        let dear = answer().cost("2".parse().unwrap());
        let models = vec![
            at("small", answer()),
            at("large", answer()),
            at("embed", answer()),
            at("dear", dear),
        ];
        let upstream = Upstream::serve(models.clone()).await.unwrap();
        let project = tempfile::tempdir().unwrap();
        std::fs::write(project.path().join("README.txt"), "A project.\n").unwrap();
        let priced = |id: &str, tier: &str, more: &str| {
            let price = "price = { input = \"1\", output = \"1\" }\ncontext_window = 32000\nmax_output = 1000";
            model(id, "p", tier, &format!("{price}\n{more}"))
        };
        let gateway = Gateway::serve(
            &[
                "[cache]\nenabled = false\n".to_owned(),
                NO_RETRY.to_owned(),
                format!(
                    "[tools]\nroots = [\"{}\"]\nallow = [\"write\"]\n",
                    project.path().display()
                ),
                key("healthy", KEY, ""),
                key("spent", SPENT, "budget = \"1/day\""),
                provider("p", &upstream.base_url()),
                priced("small", "L0", ""),
                priced("large", "L1", ""),
                priced("dear", "L2", ""),
                priced("embed", "L0", "capabilities = [\"embeddings\"]"),
            ]
            .concat(),
        );
        let world = Self {
            models,
            gateway: gateway.with_key(SPENT),
            _upstream: upstream,
            _project: project,
        };
        let last = world.gateway.ask(&chat("dear", "q")).await;
        assert_eq!(last.status, 200, "{last:?}");
        let refused = world.gateway.ask(&chat("dear", "q")).await;
        assert_eq!(refused.status, 429, "{refused:?}");
        world
    }

    fn calls(&self) -> usize {
        self.models.iter().map(Scripted::calls).sum()
    }

    /// Whether `ask` costs the healthy key something. What it says to the other is `told`, to whom it must cost nothing; and of the
    /// budget, where there is anything to refuse.
    async fn costs(&mut self, what: &str, ask: impl AsyncFn(&Gateway) -> Answer) -> bool {
        let mut asked = [0, 0];
        let mut told = Vec::new();
        for (asked, key) in asked.iter_mut().zip([KEY, SPENT]) {
            let before = self.calls();
            self.gateway.set_key(key);
            told.push(ask(&self.gateway).await);
            *asked = self.calls() - before;
        }
        let refusal = &told[1].text;
        assert_eq!(asked[1], 0, "{what} as the one that is spent: {refusal}");
        assert!(
            asked[0] == 0 || refusal.contains(BUDGET),
            "{what}: {told:#?}"
        );
        asked[0] > 0
    }
}

async fn request(gateway: &Gateway, method: &str, path: &str) -> Answer {
    if (method, path) == ("POST", "/mcp") {
        return send(gateway, &body(path)).await;
    }
    let to = path.replace("{id}", "x");
    let request = match method {
        "GET" | "DELETE" => gateway.request(method, &to),
        method => {
            let request = gateway.request(method, &to);
            let request = request.header("content-type", "application/json");
            request.body(body(path).to_string())
        }
    };
    Answer::read(request.send().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn r9_no_route_spends_what_a_key_does_not_have() {
    let mut world = World::new().await;
    world.gateway.set_key(KEY);
    // A test of its own says that the document has every route and no other.
    let document = world.gateway.get("/openapi.json").await.json();
    let mut dear = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            let place = format!("{method} {path}");
            let ask = async |gateway: &Gateway| request(gateway, &method, path).await;
            if world.costs(&place, ask).await {
                dear.push(place);
            }
        }
    }
    dear.sort();
    assert_eq!(
        dear,
        [
            "POST /mcp",
            "POST /v1/chat",
            "POST /v1/chat/completions",
            "POST /v1/code-agent",
            "POST /v1/embeddings",
            "POST /v1/route",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn r9_no_tool_spends_what_a_key_does_not_have() {
    let mut world = World::new().await;
    world.gateway.set_key(KEY);
    let listed = send(&world.gateway, &stateless(1, "tools/list", json!({}))).await;
    let listed = listed.json()["result"]["tools"].clone();
    let mut dear = Vec::new();
    // The code agent first: behind tools that show what others have written it wants a person's consent.
    for tool in listed.as_array().unwrap().iter().rev() {
        let tool = tool["name"].as_str().unwrap();
        let ask = async |gateway: &Gateway| {
            let message = stateless(1, "tools/call", call(tool, arguments(tool)));
            send(gateway, &message).await
        };
        if world.costs(tool, ask).await {
            dear.push(tool.to_owned());
        }
    }
    dear.sort();
    let all = ["chat", "code_agent", "escalate", "route", "second_opinion"];
    assert_eq!(dear, all);
}
