//! A model provider that costs next to nothing: fixed answers in OpenAI's dialect.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use clap::Args;
use http::{Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use memchr::memmem;
use tokio::time::{Sleep, sleep};

use crate::serve::serve;

/// Where the scripted upstream listens and how it streams.
///
/// A request overrides the pace when its text says `chunks=N` or `gap_us=N`.
#[derive(Args, Clone, Copy)]
pub(crate) struct Options {
    /// Port on the loopback interface; 0 lets the system choose.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Content chunks in a streamed answer; finish, usage and `[DONE]` come on top.
    #[arg(long, default_value_t = 100)]
    chunks: usize,
    /// Pause between two chunks in microseconds; the timer rounds it up to milliseconds.
    #[arg(long, default_value_t = 0)]
    gap_us: u64,
}

pub(crate) async fn run(options: Options) -> Result<()> {
    serve(options.port, move |request| answer(options, request)).await
}

async fn answer(
    options: Options,
    request: Request<Incoming>,
) -> Result<Response<Either<Full<Bytes>, Script>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let (content_type, answer) = if asks(&body, br#""stream":true"#) {
        let chunks = number_after(&body, b"chunks=").unwrap_or(options.chunks as u64);
        let gap = number_after(&body, b"gap_us=").unwrap_or(options.gap_us);
        let usage = asks(&body, br#""include_usage":true"#);
        let script = Script::new(chunks, Duration::from_micros(gap), usage);
        ("text/event-stream", Either::Right(script))
    } else {
        let whole = Full::new(Bytes::from_static(WHOLE.as_bytes()));
        ("application/json", Either::Left(whole))
    };
    let mut response = Response::new(answer);
    let content_type = header::HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    Ok(response)
}

/// Whether the body has the member, spelled without or with a space after the colon.
fn asks(body: &[u8], member: &[u8]) -> bool {
    let colon = member.iter().position(|byte| *byte == b':');
    let (name, value) = member.split_at(colon.map_or(member.len(), |at| at + 1));
    memmem::find_iter(body, name).any(|at| {
        let rest = body[at + name.len()..].trim_ascii_start();
        rest.starts_with(value)
    })
}

fn number_after(body: &[u8], name: &[u8]) -> Option<u64> {
    let rest = &body[memmem::find(body, name)? + name.len()..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(None, |number, digit| {
        Some(number.unwrap_or(0) * 10 + u64::from(digit - b'0'))
    })
}

/// A streamed answer: every event is an HTTP chunk of its own, flushed before the next.
struct Script {
    left: Vec<&'static str>,
    content: u64,
    gap: Duration,
    pause: Option<Pin<Box<Sleep>>>,
    yielded: bool,
}

impl Script {
    fn new(content: u64, gap: Duration, usage: bool) -> Self {
        let mut left = vec![DONE];
        left.extend(usage.then_some(USAGE));
        left.push(FINISH);
        Self {
            left,
            content,
            gap,
            pause: None,
            // The first event leaves at once.
            yielded: true,
        }
    }

    /// Pending once between two events: hyper flushes what it has when a body is pending.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        } else if !self.yielded {
            self.yielded = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        ready!(self.poll_turn(cx));
        let event = if self.content > 0 {
            self.content -= 1;
            Some(CONTENT)
        } else {
            self.left.pop()
        };
        self.yielded = false;
        if self.content > 0 && !self.gap.is_zero() {
            self.pause = Some(Box::pin(sleep(self.gap)));
        }
        let frame = event.map(|event| Frame::data(Bytes::from_static(event.as_bytes())));
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.content == 0 && self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::new()
    }
}

const CONTENT: &str = concat!(
    r#"data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"#,
    r#""model":"bench","system_fingerprint":"fp_bench","#,
    r#""choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}"#,
    "\n\n"
);
const FINISH: &str = concat!(
    r#"data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"#,
    r#""model":"bench","system_fingerprint":"fp_bench","#,
    r#""choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}"#,
    "\n\n"
);
const USAGE: &str = concat!(
    r#"data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"#,
    r#""model":"bench","system_fingerprint":"fp_bench","choices":[],"#,
    r#""usage":{"prompt_tokens":250,"completion_tokens":100,"total_tokens":350}}"#,
    "\n\n"
);
const DONE: &str = "data: [DONE]\n\n";

const WHOLE: &str = concat!(
    r#"{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"bench","#,
    r#""system_fingerprint":"fp_bench","choices":[{"index":0,"message":{"role":"assistant","content":""#,
    "A ladder is climbed one rung at a time, and only as far as the work above asks for it. ",
    "The lowest rung carries most of what is asked; it is near the ground, quick to reach and ",
    "cheap to stand on. When it does not hold, the next one does, and what was learned below ",
    "comes along, so that nobody starts again from the floor. Whoever leans the ladder against ",
    "the wall decides how high it may go, and whoever pays for the wood keeps count of each ",
    "step. That is all there is to it, and it is enough: a short way up, a safe way down, and ",
    "an honest account of the climb at the end of the day.",
    r#"","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":250,"#,
    r#""completion_tokens":120,"total_tokens":370,"prompt_tokens_details":{"cached_tokens":0},"#,
    r#""completion_tokens_details":{"reasoning_tokens":0}}}"#,
);
