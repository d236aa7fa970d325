//! `POST /v1/chat` and `POST /v1/route`: one message of a conversation that the gateway remembers, in the original's shapes.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use rungs::{
    Error,
    http::{Admitted, write_facts},
    json::RawObject,
    model::{CacheStatus, CallContext, ModelRequest, Quality, ResponseMeta, Usage, chat::Answer},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;

use super::{
    admission::{Wishes, admit, conversation_id, idempotency_key},
    body::{fitting, read_object},
    error::{respond, respond_as},
    progress::progress,
};
use crate::{auth::Principal, config::AUTO, gateway::Gateway};

/// The largest answer that is read into memory, in bytes.
pub(super) const ANSWER_LIMIT: usize = 64 << 20;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    message: String,
    conversation_id: Option<String>,
    user_id: Option<String>,
    quality_level: Option<Quality>,
    #[serde(skip)]
    idempotency: Option<Arc<str>>,
    model: Option<String>,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    metadata: Metadata,
}

/// Where older clients put the quality.
#[derive(Debug, Default, Deserialize)]
struct Metadata {
    quality: Option<Quality>,
}

/// A call on its way.
pub(super) struct Asked {
    pub(super) ctx: CallContext,
    pub(super) conversation: String,
}

pub(super) async fn ask(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    request: http::Request<Body>,
) -> Response {
    let question = match read(&gateway, request).await {
        Ok(question) => question,
        Err(error) => return respond(&error),
    };
    let conversation = question.conversation(&principal);
    let (asked, call) = match question.call(&gateway, &principal, conversation) {
        Ok(call) => call,
        Err(error) => return respond(&error),
    };
    let answering = gateway.ring().oneshot(call);
    if question.stream {
        let ping = gateway.live().config.server.ping;
        return progress(asked, Box::pin(answering), ping);
    }
    let answered = async {
        let answer = answering.await?;
        let collected = answer.body.collect(ANSWER_LIMIT).await?;
        let text = Answer::parse(&collected.to_whole()?)?.text;
        let usage = collected.end.usage.unwrap_or_default();
        Ok::<_, Error>((answer.meta, text, usage))
    };
    let (mut response, meta) = match answered.await {
        Ok((meta, text, usage)) => {
            let view = asked.view(&meta, &text, usage);
            (Json(view).into_response(), meta)
        }
        Err(error) => {
            let response = respond_as(&error, &asked.ctx.id);
            (response, ResponseMeta::default())
        }
    };
    write_facts(response.headers_mut(), &asked.ctx, &meta, true);
    response
}

async fn read(gateway: &Gateway, request: http::Request<Body>) -> Result<Question, Error> {
    let (head, body) = read_object(&gateway.live(), request).await?;
    let wrong = format!("the request does not fit `{}`", head.uri.path());
    let mut question: Question = fitting(&body, &wrong)?;
    question.idempotency = idempotency_key(&head.headers)?;
    if question.message.trim().is_empty() {
        return Err(Error::invalid("`message` is empty").param("message"));
    }
    if let Some(id) = &question.conversation_id {
        conversation_id(id)?;
    }
    Ok(question)
}

impl Question {
    /// The conversation that it goes on or begins. A call with a name begins the same one as often as it is repeated.
    fn conversation(&self, principal: &Principal) -> String {
        match (&self.conversation_id, &self.idempotency) {
            (Some(id), _) => id.clone(),
            (None, Some(name)) => {
                let call = json!([&*principal.tenant, principal.key.as_deref(), &**name]);
                let hash = blake3::derive_key("rungs conversation 1", call.to_string().as_bytes());
                let (half, _) = hash.split_first_chunk().expect("32 bytes hold 16");
                uuid::Builder::from_custom_bytes(*half)
                    .into_uuid()
                    .to_string()
            }
            (None, None) => Uuid::now_v7().to_string(),
        }
    }

    /// The question as a call of `principal`.
    fn call(
        &self,
        gateway: &Gateway,
        principal: &Principal,
        conversation: String,
    ) -> Result<(Asked, ModelRequest), Error> {
        let wishes = Wishes {
            quality: self
                .quality_level
                .or(self.metadata.quality)
                .unwrap_or_default(),
            user: self.user_id.clone(),
            conversation: Some(conversation.clone()),
            idempotency: self.idempotency.clone(),
            ..Wishes::default()
        };
        let model = self.model.as_deref().unwrap_or(AUTO);
        let Admitted { ctx, route, cache } = admit(&gateway.live(), principal, model, wishes)?;
        let mut body = RawObject::from_serialize(&json!({
            "model": model,
            "messages": [{ "role": "user", "content": self.message }],
        }))?;
        if self.stream {
            body.set("stream", &true)?;
        }
        let call = ModelRequest::chat(body, ctx.clone())
            .route(route)
            .cache(cache);
        Ok((Asked { ctx, conversation }, call))
    }
}

impl Asked {
    /// The answer in the original's shape.
    pub(super) fn view(&self, meta: &ResponseMeta, text: &str, usage: Usage) -> Value {
        let deployment = meta.deployment.as_ref();
        let (input, output) = (usage.total_input(), usage.total_output());
        let took = self.ctx.started().elapsed().as_millis();
        json!({
            "result": {
                "response": text,
                "model": deployment.map(|d| &*d.model),
                "provider": deployment.map(|d| &*d.provider),
            },
            "routing": routing(&self.ctx, meta),
            "context": {
                "conversationId": self.conversation,
                "available": !meta.forgetful,
            },
            "performance": {
                "durationMs": u64::try_from(took).unwrap_or(u64::MAX),
                "tokens": { "input": input, "output": output, "total": input + output },
                "cost": self.ctx.spent().to_f64_lossy(),
            },
        })
    }
}

fn routing(ctx: &CallContext, meta: &ResponseMeta) -> Value {
    let from_cache = meta.cache == CacheStatus::Hit;
    let summary = match &meta.deployment {
        Some(d) if from_cache => format!("{} (tier {}), from the cache", d.model, d.tier),
        Some(d) => format!(
            "{} (tier {}) after {} attempt(s)",
            d.model,
            d.tier,
            ctx.attempts()
        ),
        None => "nobody".to_owned(),
    };
    json!({
        "summary": summary,
        "fromCache": from_cache,
        "tier": meta.deployment.as_ref().map(|d| d.tier),
        "attempts": ctx.attempts(),
        "verdict": meta.verdict,
        "notes": meta.notes,
        "steps": ctx.steps(),
    })
}
