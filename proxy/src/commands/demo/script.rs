//! What the demo's models say. Each tier can do what the one below can, and more.

use rungs::{
    catalog::{Capability, Deployment},
    model::{ModelRequest, chat::Prompt},
    testing::{Reply, Scripted},
};
use serde_json::{Value, json};

/// The models of `demo.toml`.
pub(super) fn models() -> Vec<Scripted> {
    let chat = (0..4).map(|skill| {
        let deployment = Deployment::new("demo", &format!("demo-l{skill}"));
        Scripted::by(deployment, move |request| answer(request, skill))
    });
    let embed = Deployment::new("demo", "demo-embed").capabilities([Capability::Embeddings]);
    chat.chain([Scripted::at(embed, [Reply::text("")])])
        .collect()
}

/// Words of questions that take more than the lowest skill, with the skill they take.
const SKILLS: [(&str, u8); 14] = [
    ("explain", 1),
    ("why", 1),
    ("code", 1),
    ("function", 1),
    ("debug", 1),
    ("summar", 1),
    ("translate", 1),
    ("compare", 2),
    ("refactor", 2),
    ("design", 2),
    ("step by step", 2),
    ("prove", 3),
    ("theorem", 3),
    ("race condition", 3),
];

const FACTS: [(&str, &str); 6] = [
    ("capital of france", "Paris."),
    ("capital of spain", "Madrid."),
    (
        "sky is blue",
        "Air scatters short wavelengths of sunlight more than long ones, so blue reaches us from all sides.",
    ),
    ("your name", "I am a scripted model of the rungs demo."),
    ("hello", "Hello!"),
    ("ping", "pong"),
];

fn answer(request: &ModelRequest, skill: u8) -> Reply {
    let question = Prompt::of(&request.body)
        .map(|p| p.question())
        .unwrap_or_default();
    let lower = question.to_lowercase();
    if lower.contains("\"agree\"") {
        return Reply::text(r#"{"agree": true, "confidence": 90, "issues": []}"#);
    }
    let needed = SKILLS
        .iter()
        .filter(|(word, _)| lower.contains(word))
        .map(|(_, skill)| *skill)
        .max();
    if needed > Some(skill) {
        return Reply::text("I'm sorry, but I can't help with that.");
    }
    if let Some(call) = tool_call(request, skill) {
        return Reply::message(call).finish("tool_calls");
    }
    let known = FACTS
        .iter()
        .find(|(about, _)| lower.contains(about))
        .map(|(_, fact)| (*fact).to_owned());
    let text = known
        .or_else(|| sum(&lower))
        .unwrap_or_else(|| format!("You asked: {question}"));
    let wants_json = request
        .body
        .get("response_format")
        .is_some_and(|format| format.contains("json"));
    match wants_json && skill > 0 {
        true => Reply::text(&json!({ "answer": text }).to_string()),
        false => Reply::text(&text),
    }
}

/// Adds two numbers, which even the lowest tier can.
fn sum(question: &str) -> Option<String> {
    let (left, right) = question.split_once('+')?;
    let digits = |c: &char| c.is_ascii_digit();
    let left: String = left.trim_end().chars().rev().take_while(digits).collect();
    let left: u64 = left.chars().rev().collect::<String>().parse().ok()?;
    let right: u64 = right
        .trim_start()
        .chars()
        .take_while(digits)
        .collect::<String>()
        .parse()
        .ok()?;
    Some(format!("{}.", left.checked_add(right)?))
}

/// Calls the first tool that is offered, with the question for each text that it requires; not again once a result is there.
fn tool_call(request: &ModelRequest, skill: u8) -> Option<Value> {
    let tools: Vec<Value> = request.body.get_as("tools").ok()??;
    let off = request.body.get("tool_choice") == Some("\"none\"");
    let prompt = Prompt::of(&request.body).ok()?;
    let answered = prompt.texts().any(|(role, _)| role == "tool");
    if skill == 0 || off || answered {
        return None;
    }
    let function = &tools.first()?["function"];
    let required = function["parameters"]["required"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let arguments: serde_json::Map<String, Value> = required
        .iter()
        .filter_map(|name| Some((name.as_str()?.to_owned(), json!(prompt.question()))))
        .collect();
    Some(json!({
        "role": "assistant",
        "content": null,
        "tool_calls": [{
            "id": "call_demo",
            "type": "function",
            "function": { "name": function["name"], "arguments": Value::Object(arguments).to_string() },
        }],
    }))
}
