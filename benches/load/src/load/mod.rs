//! The load generator: a fixed number of keep-alive connections, one request at a time on each.

mod connection;
mod outcome;

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::Args;
use http::Uri;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use connection::Connection;
pub(crate) use outcome::Outcome;
use outcome::Samples;

/// What to ask, how often and how many at a time.
#[derive(Args, Clone)]
pub(crate) struct Options {
    /// The endpoint, for example http://127.0.0.1:3000/v1/chat/completions.
    #[arg(long)]
    pub(crate) url: Uri,
    /// Requests in all.
    #[arg(long, default_value_t = 1000)]
    pub(crate) requests: u64,
    /// Connections, each with one request at a time.
    #[arg(long, default_value_t = 16)]
    pub(crate) concurrency: usize,
    /// Requests a second, spread evenly, as long as connections are free; without it each is followed by the next.
    #[arg(long)]
    pub(crate) rate: Option<u32>,
    /// Ask for a streamed answer.
    #[arg(long)]
    pub(crate) stream: bool,
    /// API key, sent as a bearer token.
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Size of the question in bytes, roughly.
    #[arg(long, default_value_t = 1000)]
    pub(crate) prompt_bytes: usize,
    /// Words for the scripted upstream, such as `chunks=20 gap_us=5000`.
    #[arg(long, default_value = "")]
    pub(crate) script: String,
}

pub(crate) async fn run(options: Options) -> Result<()> {
    let outcome = measure(&options).await?;
    println!("{}", serde_json::to_string_pretty(&outcome)?);
    Ok(())
}

/// Put the load on and wait for every answer; failed requests are counted, not retried.
pub(crate) async fn measure(options: &Options) -> Result<Outcome> {
    let plan = Arc::new(Plan::new(options));
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..options.concurrency {
        workers.spawn(work(Arc::clone(&plan)));
    }
    let mut samples = Samples::default();
    while let Some(worker) = workers.join_next().await {
        samples.merge(worker.context("a worker panicked")?);
    }
    Ok(samples.outcome(start.elapsed()))
}

async fn work(plan: Arc<Plan>) -> Samples {
    let mut samples = Samples::default();
    let mut connection = None;
    while let Some((due, question)) = plan.next_question() {
        sleep_until(due.into()).await;
        let asked = Connection::ask(&mut connection, &plan.options, question).await;
        if asked.is_err() {
            // Whatever is left of a broken exchange must not reach the next request.
            connection = None;
        }
        samples.add(asked);
    }
    samples
}

/// The questions of one run, each unlike any other, so that no cache answers.
struct Plan {
    options: Options,
    start: Instant,
    run: String,
    padding: String,
    asked: AtomicU64,
}

impl Plan {
    fn new(options: &Options) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let nanos = now.map_or(0, |since| since.as_nanos());
        Self {
            options: options.clone(),
            start: Instant::now(),
            run: format!("{:x}-{nanos:x}", process::id()),
            padding: "lorem ipsum ".repeat(options.prompt_bytes / 12),
            asked: AtomicU64::new(0),
        }
    }

    /// The next question and when it is to be asked.
    fn next_question(&self) -> Option<(Instant, String)> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let Self { run, padding, .. } = self;
        let Options {
            script,
            stream,
            rate,
            requests,
            ..
        } = &self.options;
        let after = rate.map_or(0.0, |rate| number as f64 / f64::from(rate));
        (number < *requests).then(|| {
            let question = format!(
                r#"{{"model":"bench","messages":[{{"role":"system","content":"{padding}"}},"#
            ) + &format!(
                r#"{{"role":"user","content":"question {run}-{number} {script}"}}],"stream":{stream}}}"#
            );
            (self.start + Duration::from_secs_f64(after), question)
        })
    }
}
