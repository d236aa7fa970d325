//! A person's yes to a call that a model may have been talked into.

use std::time::Duration;

use moka::{policy::EvictionPolicy, sync::Cache};
use rmcp::{
    ErrorData, RoleServer, elicit_safe,
    model::{
        CallToolRequestParams, ElicitRequest, ElicitRequestParams, ElicitationSchema, InputRequest,
        InputRequiredResult, ProtocolVersion,
    },
    schemars::{self, JsonSchema},
    service::{ElicitationMode, RequestContext},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{sessions::Owner, upstream::shown};
use crate::{
    auth::Principal,
    tools::{Consent, Doubt, Trail},
};

/// The longest that a person is waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// The most of a call's arguments that a person is shown, in characters.
const SHOWN: usize = 120;

/// What our question is called among those of a result that wants input.
const QUESTION: &str = "consent";

/// Callers of 2026-07-28 whose trails are kept, at most: more than a gateway has at once. A trail is a few bytes.
const CALLERS: u64 = 100_000;

/// What a person fills in.
#[derive(Debug, Deserialize, JsonSchema)]
struct Form {
    /// Whether the call shall be made.
    agree: bool,
}

elicit_safe!(Form);

/// What asking comes to.
pub(super) enum Asked {
    /// The call goes on with this.
    Answered(Consent),
    /// The client asks, and calls again.
    ByClient(InputRequiredResult),
}

/// Asks the person behind the client, where it can be asked, in the way of its revision.
pub(super) async fn ask(
    doubt: &Doubt,
    call: &CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<Asked, ErrorData> {
    let arguments = call.arguments.iter().flatten();
    let arguments: Vec<_> = arguments
        .map(|(name, value)| argument(name, value))
        .collect();
    let message = format!(
        "{}. Shall it be called with {}?",
        doubt.why(),
        match &*arguments {
            [] => "no arguments".to_owned(),
            some => some.join(", "),
        }
    );
    match is_stateless(context) {
        true => by_client(message, call, context),
        false => Ok(Asked::Answered(now(message, context).await)),
    }
}

/// An argument, so that no other one takes its place: its beginning, its end, and how much there is between.
fn argument(name: &str, value: &Value) -> String {
    let text = value.to_string();
    let length = text.chars().count();
    let (name, begin) = (shown(name, SHOWN), shown(&text, SHOWN));
    if length <= SHOWN {
        return format!("{name} = {begin}");
    }
    let end: String = text.chars().skip(length - SHOWN).collect();
    format!(
        "{name} = {begin} {} ({length} characters)",
        shown(&end, SHOWN)
    )
}

/// Whether a request is of a revision that has no sessions.
pub(super) fn is_stateless(context: &RequestContext<RoleServer>) -> bool {
    let version = context.protocol_version();
    version.is_some_and(|v| v.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
}

/// The older revisions: the client is asked in the middle of the call.
async fn now(message: String, context: &RequestContext<RoleServer>) -> Consent {
    let peer = &context.peer;
    let modes = peer.supported_elicitation_modes();
    if !modes.contains(&ElicitationMode::Form) {
        return Consent::Nobody;
    }
    let answer = peer.elicit_with_timeout::<Form>(message, Some(PATIENCE));
    match answer.await {
        Ok(Some(Form { agree: true })) => Consent::Given,
        _ => Consent::Refused,
    }
}

/// 2026-07-28: the call ends with the question, and is made again with the answer. The answer is to the very call that was asked for.
fn by_client(
    message: String,
    call: &CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<Asked, ErrorData> {
    let can = context.client_capabilities().and_then(|c| c.elicitation);
    if !can.is_some_and(|can| can.form.is_some() || can.url.is_none()) {
        return Ok(Asked::Answered(Consent::Nobody));
    }
    let subject = json!([call.name, call.arguments]).to_string();
    let subject = blake3::hash(subject.as_bytes()).to_hex().to_string();
    let answers = call.input_responses.as_ref();
    let answer = answers.and_then(|answers| answers.get(QUESTION));
    if let (Some(answer), true) = (answer, call.request_state.as_ref() == Some(&subject)) {
        let agrees =
            answer["action"] == "accept" && answer["content"]["agree"] == Value::Bool(true);
        return Ok(Asked::Answered(match agrees {
            true => Consent::Given,
            false => Consent::Refused,
        }));
    }
    let schema = ElicitationSchema::from_type::<Form>()
        .map_err(|why| ErrorData::internal_error(why.to_string(), None))?;
    let question = ElicitRequest::new(ElicitRequestParams::FormElicitationParams {
        meta: None,
        message,
        requested_schema: schema,
    });
    let questions = [(QUESTION.to_owned(), InputRequest::Elicitation(question))];
    Ok(Asked::ByClient(InputRequiredResult::new(
        Some(questions.into()),
        Some(subject),
    )))
}

/// The trails of callers whose requests stand alone: each has one, for as long as it goes on calling.
#[derive(Clone)]
pub(super) struct Trails(Cache<Owner, Trail>);

impl Trails {
    /// Trails that end after `idle` without a call.
    pub(super) fn new(idle: Duration) -> Self {
        let cache = Cache::builder()
            .max_capacity(CALLERS)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(idle);
        Self(cache.build())
    }

    pub(super) fn of(&self, principal: &Principal) -> Trail {
        self.0.get_with(Owner::of(principal), Trail::default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_argument_hides_another_nor_its_own_end() {
        let long = format!("{}Makefile", "./".repeat(500));
        let path = argument("path", &json!(long));
        assert!(
            path.starts_with("path = \"./././") && path.contains("Makefile"),
            "{path}"
        );
        assert!(
            path.contains("(1010 characters)") && path.len() < 400,
            "{path}"
        );
        assert_eq!(argument("text", &json!("all:")), "text = \"all:\"");
    }
}
