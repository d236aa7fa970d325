use serde::{Deserialize, de::IgnoredAny};

use crate::model::{Collected, FinishReason, ModelRequest, Operation, output_limit};

/// What was asked, as far as it tells when an answer is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    Chat {
        /// It sets its own output limit, which is part of the question: the next answer would be as long.
        limited: bool,
        /// The end of its answer does not tell all: it is that of the first choice, and says `stop` of a tool call that was forced.
        intricate: bool,
    },
    /// Something that has no finish reason.
    NoChat,
}

impl Question {
    pub(super) fn of(request: &ModelRequest) -> Self {
        if request.op != Operation::Chat {
            return Self::NoChat;
        }
        let body = &request.body;
        let one = matches!(body.get_as::<u64>("n"), Ok(None | Some(1)));
        let tools = ["tools", "functions"].iter().any(|m| body.get(m).is_some());
        Self::Chat {
            limited: matches!(output_limit(body), Ok(Some(_))),
            intricate: tools || !one,
        }
    }

    /// A filter, a tool call or somebody else's limit may turn out otherwise the next time, or mean something in this conversation
    /// only. `tool_calls` says that they are wanted all the same.
    pub(super) fn is_done(self, answer: &Collected, tool_calls: bool) -> bool {
        let Self::Chat { limited, intricate } = self else {
            return matches!(answer.end.finish, None | Some(FinishReason::Stop));
        };
        let ended_well = |reason| match reason {
            FinishReason::Stop => true,
            FinishReason::Length => limited,
            FinishReason::ToolCalls => tool_calls,
            _ => false,
        };
        answer.end.finish.is_some_and(ended_well)
            && (!intricate || endings(answer).is_some_and(|all| all.into_iter().all(ended_well)))
    }
}

#[derive(Deserialize)]
struct Document {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    tool_calls: Option<Vec<IgnoredAny>>,
    function_call: Option<IgnoredAny>,
}

impl Choice {
    fn ending(&self) -> Option<FinishReason> {
        let Message {
            tool_calls,
            function_call,
        } = &self.message;
        let calls = function_call.is_some() || tool_calls.as_ref().is_some_and(|c| !c.is_empty());
        match FinishReason::from_openai(self.finish_reason.as_deref()?) {
            FinishReason::Stop if calls => Some(FinishReason::ToolCalls),
            reason => Some(reason),
        }
    }
}

/// How each choice ended; `None` if that is not known of all.
fn endings(answer: &Collected) -> Option<Vec<FinishReason>> {
    let whole = answer.to_whole().ok()?;
    let document: Document = serde_json::from_slice(&whole).ok()?;
    document.choices.iter().map(Choice::ending).collect()
}
