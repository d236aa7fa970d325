//! One keep-alive connection, and one question asked over it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Options;
use super::outcome::Sample;
use crate::events::Events;

/// No request of a measurement takes longer, unless something hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// An open connection with the task that drives it; dropping it ends both.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    _driver: JoinSet<hyper::Result<()>>,
}

impl Connection {
    /// Ask over the open connection, or over a new one where there is none.
    pub(crate) async fn ask(
        open: &mut Option<Self>,
        options: &Options,
        question: String,
    ) -> Result<Sample> {
        let exchange = async {
            let connection = match Self::still_open(open.take()).await {
                Some(connection) => connection,
                None => Self::open(options).await?,
            };
            open.insert(connection).exchange(options, question).await
        };
        timeout(PATIENCE, exchange).await.context("no answer")?
    }

    async fn still_open(connection: Option<Self>) -> Option<Self> {
        let mut connection = connection?;
        connection.sender.ready().await.ok()?;
        Some(connection)
    }

    async fn open(options: &Options) -> Result<Self> {
        let authority = options.url.authority().context("the URL names no host")?;
        let stream = TcpStream::connect(authority.as_str()).await?;
        stream.set_nodelay(true)?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(driver);
        Ok(Self {
            sender,
            _driver: tasks,
        })
    }

    async fn exchange(&mut self, options: &Options, question: String) -> Result<Sample> {
        let request = request(options, question)?;
        let start = Instant::now();
        let response = self.sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            bail!(refusal(response).await);
        }
        let mut body = response.into_body();
        let mut events = Events::default();
        let mut first = None;
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data()
                && options.stream
            {
                events.feed(&data);
                if events.count() > 0 {
                    first.get_or_insert_with(|| start.elapsed());
                }
            }
        }
        ensure!(
            events.done() || !options.stream,
            "the stream ended without its end signal"
        );
        Ok(Sample {
            latency: start.elapsed(),
            first_chunk: first,
            chunks: events.count(),
        })
    }
}

fn request(options: &Options, question: String) -> Result<Request<Full<Bytes>>> {
    let path = options
        .url
        .path_and_query()
        .context("the URL has no path")?;
    let host = options.url.authority().context("the URL names no host")?;
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path.as_str())
        .header(header::HOST, host.as_str())
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(key) = &options.key {
        request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    Ok(request.body(Full::from(question))?)
}

async fn refusal(response: Response<Incoming>) -> String {
    let status = response.status();
    let body = response.into_body().collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    format!("{status}: {}", String::from_utf8_lossy(&body))
}
