use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use rungs::{
    Error, ErrorKind,
    catalog::{Deployment, Price},
    model::{ModelRequest, ModelResponse, TokenBound, Usage},
    testing::{Reply, Scripted, chat},
};
use serde_json::{Value, json};
use tower::{Service, ServiceExt};

use crate::part::Calls;

/// What tokens cost, in nano-dollars.
const INPUT: u64 = 1_000;
const OUTPUT: u64 = 10_000;

/// Tokens of what the provider tells its model unasked.
const UNASKED: u64 = 1_000;

/// What requests say that their answers may have.
const MAX_TOKENS: u64 = 100;

pub(crate) fn deployment() -> Deployment {
    let usd = |text: &str| text.parse().expect("dollars");
    Deployment {
        // A list that knows less than what the request says.
        max_output: Some(MAX_TOKENS / 2),
        ..Deployment::new("p", "m").price(Price::per_million(usd("1"), usd("10")))
    }
}

/// Questions differ, or the cache would answer; they are equally long, and so equally dear.
pub(crate) fn question(number: u64) -> ModelRequest {
    chat(&json!({
        "model": "auto",
        "stream": true,
        "max_tokens": MAX_TOKENS,
        "messages": [{ "role": "user", "content": format!("{number:016x}") }],
    }))
}

/// The most that this provider bills for a call, in nano-dollars, by its own arithmetic.
pub(crate) fn dearest() -> i64 {
    let (input, output) = most(&question(0));
    bill(input, output)
}

/// What is held for a call, in nano-dollars, by the arithmetic that is to be tested.
pub(crate) fn held() -> i64 {
    let bound = TokenBound::of(&question(0), &deployment()).expect("a bound");
    bound.cost(&deployment()).expect("a price").nanos()
}

/// The most tokens that a request can come to: one for each byte and what is told unasked, and as many as it lets an answer have.
fn most(request: &ModelRequest) -> (u64, u64) {
    let bytes = request.body.as_bytes();
    let body: Value = serde_json::from_slice(bytes).expect("JSON");
    let output = body["max_tokens"].as_u64().expect("a limit");
    (bytes.len() as u64 + UNASKED, output)
}

fn bill(input: u64, output: u64) -> i64 {
    i64::try_from(input * INPUT + output * OUTPUT).expect("it is not that dear")
}

/// A provider that bills as soon as it is asked, whatever becomes of its answer, and whose bills survive its clients.
#[derive(Clone)]
pub(crate) struct Upstream {
    bill: Arc<File>,
    calls: Calls,
    random: Arc<Mutex<fastrand::Rng>>,
}

impl Upstream {
    pub(crate) fn new(bill: &Path, calls: Calls, seed: u64) -> Self {
        let bill = File::options().append(true).create(true).open(bill);
        Self {
            bill: Arc::new(bill.expect("a bill")),
            calls,
            random: Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))),
        }
    }

    fn reply(&self, request: &ModelRequest) -> Reply {
        let most = most(request);
        let mut random = self.random.lock().expect("no panic");
        let used = match random.u8(0..4) {
            0 => most,
            _ => (random.u64(1..=most.0), random.u64(0..=most.1)),
        };
        let usage = Usage::new(used.0, used.1);
        let wait = Duration::from_micros(random.u64(0..6_000));
        if self.calls == Calls::AtOnce {
            self.charge(used);
            return Reply::text("a").usage(usage).after(Duration::from_secs(4));
        }
        let cut = Error::new(ErrorKind::Cut, "the stream stopped");
        match random.u8(0..10) {
            0 => {
                let error = Error::new(ErrorKind::Upstream, "no");
                Reply::error(error.upstream_status(http::StatusCode::BAD_GATEWAY)).after(wait)
            }
            1 => {
                self.charge(used);
                Reply::hang()
            }
            2 => {
                self.charge(used);
                Reply::text("a b c d").fail_after(2, cut)
            }
            _ => {
                self.charge(used);
                Reply::text("a b c").usage(usage).after(wait)
            }
        }
    }

    fn charge(&self, (input, output): (u64, u64)) {
        let line = format!("{}\n", bill(input, output));
        (&*self.bill).write_all(line.as_bytes()).expect("a bill");
    }
}

impl Service<ModelRequest> for Upstream {
    type Response = ModelResponse;
    type Error = Error;
    type Future = BoxFuture<'static, Result<ModelResponse, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: ModelRequest) -> Self::Future {
        let scripted = Scripted::at(deployment(), [self.reply(&request)]);
        scripted.oneshot(request).boxed()
    }
}
