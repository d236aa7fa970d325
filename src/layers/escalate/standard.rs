use std::collections::HashSet;

use serde::de::IgnoredAny;
use serde_json::Value;

use super::{Evidence, Judge, Judgement, schema};
use crate::model::{FinishReason, ModelRequest, chat::Answer, output_limit};

/// How many characters of an answer are looked at for a refusal.
const OPENING: usize = 120;

/// What a refusal may begin with before it comes to the point; in lower case and with plain apostrophes.
const APOLOGIES: &[&str] = &[
    "i'm sorry, but ",
    "i'm sorry, ",
    "i'm sorry. ",
    "i am sorry, but ",
    "sorry, but ",
    "sorry, ",
    "i apologize, but ",
    "unfortunately, ",
];

/// How refusals begin.
const REFUSALS: &[&str] = &[
    "as an ai language model",
    "i am not able to ",
    "i am unable to ",
    "i can't answer",
    "i can't assist",
    "i can't comply",
    "i can't do that",
    "i can't fulfill",
    "i can't help with",
    "i can't help you",
    "i can't provide",
    "i cannot answer",
    "i cannot assist",
    "i cannot comply",
    "i cannot do that",
    "i cannot fulfill",
    "i cannot help with",
    "i cannot help you",
    "i cannot provide",
    "i do not have access to",
    "i don't have access to",
    "i won't be able to ",
    "i'm not able to ",
    "i'm unable to ",
];

/// The judge for every day: refusals, empty and cut off answers, JSON that was asked for and is not there, tool calls that
/// cannot be carried out, and low log probabilities where the answer has some.
///
/// Only the first choice is looked at. An answer that a client's own output limit cut off is what the client asked for.
#[derive(Debug, Clone)]
pub struct StandardJudge {
    min_logprob: Option<f64>,
    refusals: Vec<Box<str>>,
}

impl StandardJudge {
    /// All checks; log probabilities below a mean of −1.5 (a probability of 22 % per token) count as unsure.
    #[must_use]
    pub fn new() -> Self {
        Self {
            min_logprob: Some(-1.5),
            refusals: REFUSALS.iter().map(|&phrase| phrase.into()).collect(),
        }
    }

    /// Sets the lowest mean log probability per token that is accepted; `None` switches the check off.
    #[must_use]
    pub fn min_logprob(mut self, min: impl Into<Option<f64>>) -> Self {
        self.min_logprob = min.into();
        self
    }

    /// Adds an opening that makes an answer a refusal, for other languages and other models.
    #[must_use]
    pub fn refusal(mut self, opening: &str) -> Self {
        self.refusals.push(plain(opening).into());
        self
    }

    /// Whether the answer begins as refusals do.
    fn demurs(&self, answer: &Answer) -> bool {
        let opening: String = answer.text.trim_start().chars().take(OPENING).collect();
        let opening = plain(&opening);
        let point = APOLOGIES.iter().find_map(|a| opening.strip_prefix(a));
        let openings = [Some(&*opening), point];
        openings
            .into_iter()
            .flatten()
            .any(|text| self.refusals.iter().any(|r| text.starts_with(&**r)))
    }

    fn unsure(&self, answer: &Answer) -> Option<Evidence> {
        let (mean, min) = (answer.mean_logprob?, self.min_logprob?);
        (mean < min).then_some(Evidence::LowConfidence(mean))
    }
}

impl Default for StandardJudge {
    fn default() -> Self {
        Self::new()
    }
}

impl Judge for StandardJudge {
    fn judge(&self, request: &ModelRequest, answer: &Answer) -> Judgement {
        // Who says what cannot be done, and calls a tool for it, does it.
        if answer.is_refusal() || (answer.tool_calls.is_empty() && self.demurs(answer)) {
            return Judgement::Climb(vec![Evidence::Refusal]);
        }
        let cut_off = answer.finish == Some(FinishReason::Length);
        if cut_off && has_output_limit(request) {
            return Judgement::Accept;
        }
        let found = if cut_off {
            Some(Evidence::Truncated)
        } else if answer.is_empty() {
            let elsewhere = answer.finish == Some(FinishReason::ToolCalls) || speaks(request);
            (!elsewhere).then_some(Evidence::Empty)
        } else if !answer.tool_calls.is_empty() {
            bad_call(request, answer, Completeness::Whole)
        } else if answer.media && answer.text.trim().is_empty() {
            None
        } else {
            not_as_asked(request, &answer.text)
        };
        found.into_iter().chain(self.unsure(answer)).collect()
    }

    fn glimpse(&self, request: &ModelRequest, so_far: &Answer) -> Judgement {
        if so_far.is_refusal() || (self.demurs(so_far) && !may_call(request)) {
            return Judgement::Climb(vec![Evidence::Refusal]);
        }
        let hopeless = so_far.tool_calls.is_empty()
            && !may_become_json(&so_far.text)
            && json_format(request).is_some();
        let json = hopeless.then_some(Evidence::InvalidJson);
        let call = bad_call(request, so_far, Completeness::Beginning);
        json.into_iter()
            .chain(call)
            .chain(self.unsure(so_far))
            .collect()
    }
}

fn plain(text: &str) -> String {
    text.to_lowercase().replace('\u{2019}', "'")
}

fn has_output_limit(request: &ModelRequest) -> bool {
    matches!(output_limit(&request.body), Ok(Some(_)))
}

/// Whether the answer may be sound, which is no text.
fn speaks(request: &ModelRequest) -> bool {
    request
        .body
        .get("modalities")
        .is_some_and(|raw| raw.contains("audio"))
}

/// The `response_format`, if it asks for JSON.
fn json_format(request: &ModelRequest) -> Option<Value> {
    let format: Option<Value> = request.body.get_as("response_format").ok().flatten();
    format.filter(|f| matches!(f["type"].as_str(), Some("json_object" | "json_schema")))
}

fn not_as_asked(request: &ModelRequest, text: &str) -> Option<Evidence> {
    let format = json_format(request)?;
    match serde_json::from_str::<Value>(text) {
        Err(_) => Some(Evidence::InvalidJson),
        Ok(value) if format["type"] == "json_object" && !value.is_object() => {
            Some(Evidence::OffSchema("`$` is not of type object".into()))
        }
        Ok(value) => {
            schema::violation(&format["json_schema"]["schema"], &value).map(Evidence::OffSchema)
        }
    }
}

/// Whether `text` is JSON or could still become it.
fn may_become_json(text: &str) -> bool {
    let hopeful =
        |text| serde_json::from_str::<IgnoredAny>(text).map_or_else(|e| e.is_eof(), |_| true);
    // The parser takes half a number for a wrong one.
    let unfinished = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    hopeful(text) || hopeful(text.trim_end_matches(unfinished))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Completeness {
    Beginning,
    Whole,
}

fn bad_call(request: &ModelRequest, answer: &Answer, seen: Completeness) -> Option<Evidence> {
    if answer.tool_calls.is_empty() {
        return None;
    }
    let offered = offered_tools(request);
    answer.tool_calls.iter().find_map(|call| {
        let function = call.get("function").or(call.get("custom"))?;
        let name = function["name"].as_str().unwrap_or_default();
        let known = match seen {
            Completeness::Whole => offered.contains(name),
            Completeness::Beginning => offered.iter().any(|offer| offer.starts_with(name)),
        };
        if !known {
            let name: String = name.chars().take(64).collect();
            let why = format!("no tool of the request is named {name:?}");
            return Some(Evidence::BadToolCall(why));
        }
        // A call without arguments is spelled with an empty string by some servers.
        let arguments = function["arguments"].as_str().unwrap_or_default();
        let readable = match seen {
            Completeness::Whole => {
                arguments.is_empty() || serde_json::from_str::<IgnoredAny>(arguments).is_ok()
            }
            Completeness::Beginning => may_become_json(arguments),
        };
        (!readable)
            .then(|| Evidence::BadToolCall(format!("the arguments of {name:?} are not valid JSON")))
    })
}

/// Whether a tool may still be called for what the text says.
fn may_call(request: &ModelRequest) -> bool {
    let offered = ["tools", "functions"].iter().any(|name| {
        let list = request.body.get_as::<Vec<IgnoredAny>>(name);
        list.is_ok_and(|list| list.is_some_and(|list| !list.is_empty()))
    });
    offered && request.body.get("tool_choice") != Some("\"none\"")
}

fn offered_tools(request: &ModelRequest) -> HashSet<String> {
    let list = |name: &str| -> Vec<Value> {
        let list = request.body.get_as(name).ok().flatten();
        list.unwrap_or_default()
    };
    let tools = list("tools").into_iter().map(|tool| {
        let function = tool.get("function").or(tool.get("custom"));
        function.map_or(Value::Null, |f| f["name"].clone())
    });
    let functions = list("functions")
        .into_iter()
        .map(|function| function["name"].clone());
    let names = tools.chain(functions);
    names
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect()
}
