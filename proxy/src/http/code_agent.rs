//! `POST /v1/code-agent`: the code agent, in the original's shape; with `stream: true`, what happens as it happens.

use std::{convert::Infallible, future::ready, sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use futures_util::{
    Stream,
    stream::{self, BoxStream, StreamExt},
};
use rungs::{Error, http::error_value, json::RawObject, model::Call};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};

use super::{body::read_object, error::respond};
use crate::{
    agent::{Event, Report, Wanted, Watch},
    auth::Principal,
    gateway::Gateway,
    tools::{self, Audit, Caller, Refusal},
};

/// How many events wait for a client that is slow; more are left out, the result never is.
const BACKLOG: usize = 64;

/// What somebody wants of the agent.
struct Asked {
    caller: Caller,
    wanted: Result<Wanted, Refusal>,
    audit: Audit,
    streams: bool,
}

pub(super) async fn run(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    request: http::Request<Body>,
) -> Response {
    let asked = match read(&gateway, principal, request).await {
        Ok(asked) => asked,
        Err(error) => return respond(&error),
    };
    if !asked.streams {
        return match asked.carry_out(&gateway, &|_| {}).await {
            Ok(report) => Json(report).into_response(),
            Err(error) => respond(&error),
        };
    }
    let ping = gateway.live().config.server.ping;
    let mut told = told(gateway, asked);
    // What fails at once fails with its true status.
    match told.next().await {
        Some(Told::Ended(Err(error))) => respond(&error),
        Some(first) => events(stream::once(ready(first)).chain(told), ping),
        None => respond(&Error::internal("the job has ended without a word")),
    }
}

async fn read(
    gateway: &Gateway,
    principal: Arc<Principal>,
    request: http::Request<Body>,
) -> Result<Asked, Error> {
    let live = gateway.live();
    let tool = tools::CODE_AGENT;
    let (_, mut body) = read_object(&live, request).await?;
    let streams = body.get_as("stream")?.unwrap_or(false);
    body.remove("stream");
    // The original's clients name a project for the bill; here the key says who pays.
    body.remove("projectId");
    let caller = Caller::new(principal);
    let allowed = live.config.tools.allows(tool.name, tool.effect);
    let wanted = allowed
        .map_err(Refusal::because("off"))
        .and_then(|()| wanted(&body).map_err(Refusal::because("arguments")));
    let arguments: Map<String, Value> = serde_json::from_slice(body.as_bytes())
        .map_err(|e| Error::invalid("the request is no JSON object").with_source(e))?;
    Ok(Asked {
        audit: Audit::of(gateway, tool.name, tool.effect, &caller, &arguments),
        caller,
        wanted,
        streams,
    })
}

impl Asked {
    async fn carry_out(self, gateway: &Gateway, watch: Watch<'_>) -> Result<Report, Error> {
        let Self {
            caller,
            wanted,
            audit,
            ..
        } = self;
        let work = async |wanted: Wanted| tools::carry_out(gateway, &caller, &wanted, watch).await;
        audit.over(wanted, work).await
    }
}

fn wanted(body: &RawObject) -> Result<Wanted, Error> {
    let mut json = serde_json::Deserializer::from_slice(body.as_bytes());
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let wrong = Error::invalid(format!(
            "the request does not fit `/v1/code-agent`: {}",
            error.inner()
        ));
        match path.as_str() {
            "." => wrong,
            _ => wrong.param(path),
        }
    })
}

/// What a client is told.
enum Told {
    Event(Event),
    Ended(Result<Box<Report>, Error>),
}

/// The job as a stream of what happens in it, its result last. Nothing happens unless it is read, and dropping it ends the job.
fn told(gateway: Gateway, asked: Asked) -> BoxStream<'static, Told> {
    let (sender, events) = mpsc::channel(BACKLOG);
    let (done, ended) = oneshot::channel();
    let work = Box::pin(async move {
        let watch = move |event: &Event| {
            let _ = sender.try_send(event.clone());
        };
        let report = asked.carry_out(&gateway, &watch).await;
        let _ = done.send(report.map(Box::new));
    });
    let events = stream::unfold(events, async |mut events| {
        Some((Told::Event(events.recv().await?), events))
    });
    let ended = stream::once(ended).filter_map(|ended| ready(ended.ok().map(Told::Ended)));
    let work = stream::once(work).filter_map(|()| ready(None));
    stream::select(work, events.chain(ended)).boxed()
}

/// The answer: a `data:` line for each event, `type: result` for the last, then `[DONE]`; after a failure an `error` and no `[DONE]`.
fn events(told: impl Stream<Item = Told> + Send + 'static, ping: Duration) -> Response {
    let frames = told.flat_map(|told| {
        let texts = match told {
            Told::Event(event) => vec![json!(event).to_string()],
            Told::Ended(Ok(report)) => {
                let mut result = json!(report);
                result["type"] = json!("result");
                vec![result.to_string(), "[DONE]".to_owned()]
            }
            Told::Ended(Err(error)) => vec![error_value(&error, &Call::new("").id).to_string()],
        };
        stream::iter(texts)
    });
    let sse = Sse::new(frames.map(|text| Ok::<_, Infallible>(sse::Event::default().data(text))));
    match ping.is_zero() {
        true => sse.into_response(),
        false => sse
            .keep_alive(KeepAlive::new().interval(ping))
            .into_response(),
    }
}
