//! Ready instructions for models that have the gateway's tools.

use rmcp::{
    ErrorData,
    model::{GetPromptResult, Prompt, PromptArgument, PromptMessage, Role},
};
use serde_json::{Map, Value};

use crate::config::AUTO;

/// The argument that is completed with the names of models.
pub(super) const MODEL: &str = "model";

/// An argument: its name, what it is, whether it must be given.
type Argument = (&'static str, &'static str, bool);

struct Ready {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    arguments: &'static [Argument],
    /// `{name}` stands for an argument.
    text: &'static str,
}

const ALL: [Ready; 3] = [
    Ready {
        name: "delegate",
        title: "Delegate a task",
        description: "Split a task, and hand each part to the cheapest model that can carry it",
        arguments: &[("task", "What is to be done", true)],
        text: "Split this task into parts that can be done on their own. Look at `remaining_budget` first. Give each part that needs \
               no other part to `route`, with everything it needs to know; look at each answer, and where one will not do, say why \
               and give it to `escalate`. Then put the parts together yourself, and say what it all cost.\n\nTask:\n{task}",
    },
    Ready {
        name: "check_answer",
        title: "Check an answer",
        description: "Let other models review an answer before you rely on it",
        arguments: &[
            ("question", "What was asked", true),
            ("answer", "The answer to be checked", true),
        ],
        text: "Call `second_opinion` with this question and this answer. If the reviewers differ, weigh their objections one by one \
               against the answer, correct what is wrong, and say which objections you did not follow and why.\n\nQuestion:\n\
               {question}\n\nAnswer:\n{answer}",
    },
    Ready {
        name: "compare_cost",
        title: "Compare costs",
        description: "Say what a prompt would cost, and whether a cheaper model would do",
        arguments: &[
            ("prompt", "The prompt", true),
            (MODEL, "The model you have in mind", false),
        ],
        text: "Call `estimate_cost` for this prompt once with the model `{model}` and once with `auto`, and `explain_route` with \
               `auto`. Say in a short table what it would cost, who would answer, and which you would choose.\n\nPrompt:\n{prompt}",
    },
];

/// What there is.
pub(super) fn list() -> Vec<Prompt> {
    let argument = |&(name, description, required): &Argument| {
        PromptArgument::new(name)
            .with_description(description)
            .with_required(required)
    };
    let prompt = |ready: &Ready| {
        let arguments = ready.arguments.iter().map(argument).collect();
        Prompt::new(ready.name, Some(ready.description), Some(arguments)).with_title(ready.title)
    };
    ALL.iter().map(prompt).collect()
}

/// The prompt `name` with its arguments filled in.
pub(super) fn get(name: &str, given: &Map<String, Value>) -> Result<GetPromptResult, ErrorData> {
    let wrong = |why: String| ErrorData::invalid_params(why, None);
    let ready = ALL.iter().find(|ready| ready.name == name);
    let ready = ready.ok_or_else(|| {
        wrong(format!(
            "there is no prompt `{name}`; prompts/list names them"
        ))
    })?;
    let known = |name: &str| ready.arguments.iter().any(|(known, ..)| *known == name);
    if let Some(unknown) = given.keys().find(|name| !known(name)) {
        return Err(wrong(format!("`{name}` takes no `{unknown}`")));
    }
    let mut text = String::new();
    let mut rest = ready.text;
    // Not by replacing one after the other: what stands in an argument is no place for another.
    while let Some((before, behind)) = rest.split_once('{') {
        let (argument, behind) = behind.split_once('}').unwrap_or((behind, ""));
        text += before;
        text += &filled(ready, argument, given).map_err(wrong)?;
        rest = behind;
    }
    text += rest;
    let messages = vec![PromptMessage::new_text(Role::User, text)];
    Ok(GetPromptResult::new(messages).with_description(ready.description))
}

fn filled(ready: &Ready, argument: &str, given: &Map<String, Value>) -> Result<String, String> {
    let name = ready.name;
    match given.get(argument) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("`{argument}` of `{name}` is a text")),
        None if argument == MODEL => Ok(AUTO.to_owned()),
        None => Err(format!("`{name}` needs `{argument}`")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(name: &str, arguments: Value) -> Result<String, String> {
        let arguments = arguments.as_object().unwrap();
        let got = get(name, arguments).map_err(|error| error.message.into_owned())?;
        let value = serde_json::to_value(&got.messages[0]).unwrap();
        Ok(value["content"]["text"].as_str().unwrap().to_owned())
    }

    #[test]
    fn arguments_stand_where_they_belong_and_nowhere_else() {
        let arguments = json!({ "question": "{answer}", "answer": "42 {question}" });
        let text = text("check_answer", arguments).unwrap();
        assert!(
            text.ends_with("Question:\n{answer}\n\nAnswer:\n42 {question}"),
            "{text}"
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (name, arguments, what) in [
            ("nothing", json!({}), "no prompt `nothing`"),
            ("delegate", json!({}), "needs `task`"),
            (
                "delegate",
                json!({ "task": 1 }),
                "`task` of `delegate` is a text",
            ),
            ("delegate", json!({ "task": "x", "y": "z" }), "takes no `y`"),
        ] {
            let error = text(name, arguments).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
        let text = text("compare_cost", json!({ "prompt": "p" })).unwrap();
        assert!(text.contains("the model `auto`"), "{text}");
    }

    #[test]
    fn each_place_in_a_text_is_an_argument() {
        for ready in &ALL {
            let places = ready.text.split('{').skip(1);
            let places: Vec<&str> = places.filter_map(|rest| rest.split('}').next()).collect();
            for place in &places {
                assert!(
                    ready.arguments.iter().any(|(name, ..)| name == place),
                    "{place}"
                );
            }
            for (name, ..) in ready.arguments {
                assert!(places.contains(name), "{name}");
            }
        }
    }
}
