//! `POST /v1/route`: the original's way to ask, with its request and response.

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
    model::{CacheStatus, CallContext, ModelRequest, Quality, ResponseMeta, chat::Answer},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;

use super::{
    admission::{Wishes, admit, idempotency_key},
    body::read_object,
    error::{respond, respond_as},
};
use crate::{auth::Principal, config::AUTO, gateway::Gateway};

/// The largest answer that is read into memory, in bytes.
const ANSWER_LIMIT: usize = 64 << 20;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RouteRequest {
    message: String,
    conversation_id: Option<String>,
    user_id: Option<String>,
    quality_level: Option<Quality>,
    #[serde(skip)]
    idempotency: Option<Arc<str>>,
    model: Option<String>,
    #[serde(default)]
    metadata: Metadata,
}

/// Where older clients put the quality.
#[derive(Debug, Default, Deserialize)]
struct Metadata {
    quality: Option<Quality>,
}

pub(super) async fn route(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    request: http::Request<Body>,
) -> Response {
    let request = match read(&gateway, request).await {
        Ok(request) => request,
        Err(error) => return respond(&error),
    };
    let conversation = request
        .conversation_id
        .clone()
        .unwrap_or_else(|| Uuid::now_v7().to_string());
    let Admitted { ctx, route, cache } =
        match admitted(&gateway, &principal, &request, &conversation) {
            Ok(admitted) => admitted,
            Err(error) => return respond(&error),
        };
    let answered = async {
        let body = RawObject::from_serialize(&json!({
            "model": AUTO,
            "messages": [{ "role": "user", "content": request.message }],
        }))?;
        let mut call = ModelRequest::chat(body, ctx.clone()).route(route);
        call.cache = cache;
        let answer = gateway.ring().oneshot(call).await?;
        let collected = answer.body.collect(ANSWER_LIMIT).await?;
        let text = Answer::parse(&collected.to_whole()?)?.text;
        let usage = collected.end.usage.unwrap_or_default();
        Ok::<_, Error>((answer.meta, text, usage))
    };
    match answered.await {
        Ok((meta, text, usage)) => {
            let deployment = meta.deployment.as_ref();
            let (input, output) = (usage.total_input(), usage.total_output());
            let mut response = Json(json!({
                "result": {
                    "response": text,
                    "model": deployment.map(|d| &*d.model),
                    "provider": deployment.map(|d| &*d.provider),
                },
                "routing": routing(&ctx, &meta),
                "context": { "conversationId": conversation },
                "performance": {
                    "durationMs": u64::try_from(ctx.started().elapsed().as_millis()).unwrap_or(u64::MAX),
                    "tokens": { "input": input, "output": output, "total": input + output },
                    "cost": ctx.spent().to_f64_lossy(),
                },
            }))
            .into_response();
            write_facts(response.headers_mut(), &ctx, &meta, true);
            response
        }
        Err(error) => {
            let mut response = respond_as(&error, &ctx.id);
            write_facts(response.headers_mut(), &ctx, &ResponseMeta::default(), true);
            response
        }
    }
}

async fn read(gateway: &Gateway, request: http::Request<Body>) -> Result<RouteRequest, Error> {
    let (head, body) = read_object(&gateway.live(), request).await?;
    let mut json = serde_json::Deserializer::from_slice(body.as_bytes());
    let mut request: RouteRequest =
        serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            let wrong = Error::invalid(format!(
                "the request does not fit `/v1/route`: {}",
                error.inner()
            ));
            match path.as_str() {
                "." => wrong,
                _ => wrong.param(path),
            }
        })?;
    request.idempotency = idempotency_key(&head.headers)?;
    if request.message.trim().is_empty() {
        return Err(Error::invalid("`message` is empty").param("message"));
    }
    Ok(request)
}

fn admitted(
    gateway: &Gateway,
    principal: &Principal,
    request: &RouteRequest,
    conversation: &str,
) -> Result<Admitted, Error> {
    let wishes = Wishes {
        quality: request
            .quality_level
            .or(request.metadata.quality)
            .unwrap_or_default(),
        user: request.user_id.clone(),
        conversation: Some(conversation.to_owned()),
        idempotency: request.idempotency.clone(),
        ..Wishes::default()
    };
    admit(
        &gateway.live(),
        principal,
        request.model.as_deref().unwrap_or(AUTO),
        wishes,
    )
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
