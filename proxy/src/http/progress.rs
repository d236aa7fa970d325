//! The progress of a call as server-sent events: `accepted`, a `step` for each thing that happens on the way, a `delta` for each
//! piece of text, and at the end `done` with the whole answer, or `error`.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::response::{
    IntoResponse, Response, Sse,
    sse::{Event, KeepAlive},
};
use futures_util::{
    StreamExt,
    future::{BoxFuture, Either, select},
    stream,
};
use http::{HeaderName, HeaderValue};
use rungs::{
    Error, ErrorKind,
    http::error_value,
    model::{Frame, ModelBody, ModelResponse, ResponseMeta, Usage},
};
use serde_json::{Value, json};

use super::ask::{ANSWER_LIMIT, Asked};

/// How soon a step is told while nothing else happens.
const TICK: Duration = Duration::from_millis(200);

type Answering = BoxFuture<'static, Result<ModelResponse, Error>>;

/// A call whose progress is told. Dropped with the response, it takes the call with it.
struct Progress {
    asked: Asked,
    stage: Stage,
    /// What is to be told next.
    events: VecDeque<Event>,
    /// How many steps of the call have been told.
    told: usize,
    text: String,
}

enum Stage {
    Calling(Answering),
    Answering(ResponseMeta, ModelBody),
    Over,
}

/// Answers at once with the events of a call; silent times are filled with a comment every `ping`.
pub(super) fn progress(asked: Asked, answering: Answering, ping: Duration) -> Response {
    let id = asked.ctx.id.clone();
    let accepted = json!({ "requestId": &*id, "conversationId": asked.conversation });
    let mut progress = Progress {
        asked,
        stage: Stage::Calling(answering),
        events: VecDeque::new(),
        told: 0,
        text: String::new(),
    };
    progress.tell("accepted", &accepted);
    let events = stream::unfold(progress, |mut progress| async {
        let event = progress.next().await?;
        Some((Ok::<_, Infallible>(event), progress))
    });
    let events = Sse::new(events);
    let mut response = match ping.is_zero() {
        true => events.into_response(),
        false => {
            let ping = KeepAlive::new().interval(ping).text("ping");
            events.keep_alive(ping).into_response()
        }
    };
    if let Ok(id) = HeaderValue::from_str(&id) {
        let name = HeaderName::from_static("x-request-id");
        response.headers_mut().insert(name, id);
    }
    response
}

impl Progress {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Calling(answering) => self.call(answering).await,
                Stage::Answering(meta, body) => self.read(meta, body).await,
                Stage::Over => return None,
            }
        }
    }

    async fn call(&mut self, answering: Answering) {
        let tick = std::pin::pin!(tokio::time::sleep(TICK));
        match select(answering, tick).await {
            Either::Left((Ok(ModelResponse { meta, body }), _)) => {
                self.tell_steps();
                self.stage = Stage::Answering(meta, body);
            }
            Either::Left((Err(error), _)) => self.fail(&error),
            Either::Right(((), answering)) => {
                self.tell_steps();
                self.stage = Stage::Calling(answering);
            }
        }
    }

    async fn read(&mut self, meta: ResponseMeta, mut body: ModelBody) {
        match body.next().await {
            Some(Ok(Frame::Data(chunk))) => {
                if let Some(text) = text_of(&chunk) {
                    if self.text.len() + text.len() > ANSWER_LIMIT {
                        return self.fail(&too_large());
                    }
                    self.tell("delta", &json!({ "text": text }));
                    self.text.push_str(&text);
                }
                self.stage = Stage::Answering(meta, body);
            }
            Some(Ok(Frame::End(end))) => self.finish(&meta, end.usage.unwrap_or_default()),
            Some(Err(error)) => self.fail(&error),
            None => self.fail(&Error::internal("an answer was read twice")),
        }
    }

    fn finish(&mut self, meta: &ResponseMeta, usage: Usage) {
        self.tell_steps();
        let view = self.asked.view(meta, &self.text, usage);
        self.tell("done", &view);
    }

    fn fail(&mut self, error: &Error) {
        self.tell_steps();
        self.tell("error", &error_value(error, &self.asked.ctx.id));
    }

    fn tell_steps(&mut self) {
        let steps = self.asked.ctx.steps();
        for step in &steps[self.told..] {
            self.tell("step", &json!(step));
        }
        self.told = steps.len();
    }

    fn tell(&mut self, name: &str, data: &Value) {
        let event = Event::default().event(name).data(data.to_string());
        self.events.push_back(event);
    }
}

fn too_large() -> Error {
    let message = format!("the answer is larger than {ANSWER_LIMIT} bytes");
    Error::new(ErrorKind::Upstream, message)
}

/// The text in a chunk of an answer, or in a whole one.
fn text_of(chunk: &[u8]) -> Option<String> {
    let chunk: Value = serde_json::from_slice(chunk).ok()?;
    let choice = chunk.pointer("/choices/0")?;
    let message = choice.get("delta").or_else(|| choice.get("message"))?;
    let text = message.get("content")?.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use axum::body::Bytes;
    use rungs::model::{Call, CallContext};

    use super::*;

    #[tokio::test]
    async fn a_streamed_answer_is_no_larger_than_a_whole_one_may_be() {
        let text = "x".repeat(1 << 20);
        let chunk = json!({ "choices": [{ "delta": { "content": text } }] });
        let chunk = Bytes::from(chunk.to_string());
        let endless = stream::repeat_with(move || Ok(Frame::Data(chunk.clone())));
        let answer = ModelResponse {
            meta: ResponseMeta::default(),
            body: ModelBody::stream(endless),
        };
        let asked = Asked {
            ctx: CallContext::new(Call::new("t")),
            conversation: "c".to_owned(),
        };
        let response = progress(asked, Box::pin(ready(Ok(answer))), Duration::ZERO);
        let mut events = response.into_body().into_data_stream();
        let mut told = 0;
        let mut last = Bytes::new();
        while let Some(event) = events.next().await {
            last = event.unwrap();
            told += last.len();
            assert!(told < ANSWER_LIMIT + (1 << 20), "it goes on");
        }
        let last = String::from_utf8_lossy(&last);
        assert!(last.starts_with("event: error") && last.contains("larger than"));
    }
}
