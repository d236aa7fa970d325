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
    testing::{Reply, Scripted, ask_stream},
};
use tower::{Service, ServiceExt};

use crate::part::Calls;

pub(crate) fn deployment() -> Deployment {
    let usd = |text: &str| text.parse().expect("dollars");
    Deployment {
        max_output: Some(100),
        ..Deployment::new("p", "m").price(Price::per_million(usd("1"), usd("10")))
    }
}

/// Questions differ, or the cache would answer; they are equally long, and so equally dear.
pub(crate) fn question(number: u64) -> String {
    format!("{number:016x}")
}

/// The most that a call can cost.
pub(crate) fn worst_case() -> i64 {
    let bound = TokenBound::of(&ask_stream(&question(0)), &deployment()).expect("a bound");
    bound.cost(&deployment()).expect("a price").nanos()
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
        let bound = TokenBound::of(request, &deployment()).expect("a bound");
        let mut random = self.random.lock().expect("no panic");
        let usage = Usage::new(random.u64(1..=bound.input), random.u64(0..=bound.output));
        let wait = Duration::from_micros(random.u64(0..6_000));
        if self.calls == Calls::AtOnce {
            self.charge(usage);
            return Reply::text("a").usage(usage).after(Duration::from_secs(4));
        }
        let cut = Error::new(ErrorKind::Cut, "the stream stopped");
        match random.u8(0..10) {
            0 => {
                let error = Error::new(ErrorKind::Upstream, "no");
                Reply::error(error.upstream_status(http::StatusCode::BAD_GATEWAY)).after(wait)
            }
            1 => {
                self.charge(usage);
                Reply::hang()
            }
            2 => {
                self.charge(usage);
                Reply::text("a b c d").fail_after(2, cut)
            }
            _ => {
                self.charge(usage);
                Reply::text("a b c").usage(usage).after(wait)
            }
        }
    }

    fn charge(&self, usage: Usage) {
        let cost = usage.cost(&deployment().price.expect("a price"));
        let line = format!("{}\n", cost.nanos());
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
