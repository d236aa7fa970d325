//! Tells another program what happened: JSON by POST, behind the call that it is about.
//!
//! Two bounded queues, one for what is rare and one for what there may be much of, and one task. What cannot be delivered is tried again twice, then dropped with a line in the log: whoever has to
//! know for certain reads the ledger.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::body::Bytes;
use http::{Method, Request, StatusCode, header};
use rungs::{Error, provider::HyperTransport};
use serde::Serialize;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
};
use tower::ServiceExt;

use crate::config;

/// So many wait; more are dropped.
const QUEUE: usize = 64;

/// For one try, from the look-up of the name to the head of the answer.
const TIME: Duration = Duration::from_secs(5);

/// Before the second try, and before the third.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// How long the end of the process waits for what is under way.
const LAST: Duration = Duration::from_secs(2);

/// Where something is posted to. `Debug` shows the host alone: the rest of a URL is often a secret.
#[derive(Clone)]
pub(crate) struct Webhook {
    target: Arc<config::Webhook>,
    queues: Queues<mpsc::Sender<Post>>,
}

/// What is rare, and goes first; and what there may be much of.
#[derive(Clone)]
struct Queues<T> {
    rare: T,
    common: T,
}

/// The queues of this process, and the task that empties them.
pub(crate) struct Outbox {
    queues: Queues<mpsc::Sender<Post>>,
    closing: Arc<Notify>,
    task: Mutex<Option<JoinHandle<()>>>,
}

struct Post {
    target: Arc<config::Webhook>,
    body: Bytes,
}

/// The clients for public addresses alone, and for private ones as well.
#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) public: HyperTransport,
    pub(crate) private: HyperTransport,
}

impl Outbox {
    /// Starts the task. To be called on a runtime.
    pub(crate) fn open(clients: Clients) -> Self {
        let (rare, rare_posts) = mpsc::channel(QUEUE);
        let (common, common_posts) = mpsc::channel(QUEUE);
        let posts = Queues {
            rare: rare_posts,
            common: common_posts,
        };
        let closing = Arc::new(Notify::new());
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends when the last senders of the queues are gone, or with close()"
        )]
        let task = tokio::spawn(deliver_all(posts, clients, Arc::clone(&closing)));
        Self {
            queues: Queues { rare, common },
            closing,
            task: Mutex::new(Some(task)),
        }
    }

    /// What is posted to `target` goes through these queues.
    pub(crate) fn to(&self, target: &config::Webhook) -> Webhook {
        Webhook {
            target: Arc::new(target.clone()),
            queues: self.queues.clone(),
        }
    }

    /// Ends the task, after what it has to deliver if that takes a moment only.
    pub(crate) async fn close(&self) {
        self.closing.notify_one();
        let task = self.task.lock();
        let task = task.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut task) = task
            && tokio::time::timeout(LAST, &mut task).await.is_err()
        {
            task.abort();
        }
    }
}

impl Webhook {
    /// Posts `body` some time soon. Never waits.
    pub(crate) fn post(&self, body: &impl Serialize) {
        self.queue(&self.queues.rare, body);
    }

    /// The same, behind all that is rare.
    pub(crate) fn post_common(&self, body: &impl Serialize) {
        self.queue(&self.queues.common, body);
    }

    fn queue(&self, queue: &mpsc::Sender<Post>, body: &impl Serialize) {
        let Ok(body) = serde_json::to_vec(body) else {
            return;
        };
        let post = Post {
            target: Arc::clone(&self.target),
            body: body.into(),
        };
        if queue.try_send(post).is_err() {
            count("dropped");
            tracing::warn!(
                host = self.target.host(),
                "a webhook is behind: a message to it is dropped"
            );
        }
    }
}

impl Queues<mpsc::Receiver<Post>> {
    /// The next one to deliver; `None` if no more will come.
    async fn next(&mut self) -> Option<Post> {
        tokio::select! {
            biased;
            post = self.rare.recv() => match post {
                Some(post) => Some(post),
                None => self.common.recv().await,
            },
            Some(post) = self.common.recv() => Some(post),
        }
    }

    /// Takes no more.
    fn close(&mut self) {
        self.rare.close();
        self.common.close();
    }
}

async fn deliver_all(
    mut posts: Queues<mpsc::Receiver<Post>>,
    clients: Clients,
    closing: Arc<Notify>,
) {
    loop {
        let post = tokio::select! {
            biased;
            post = posts.next() => post,
            () = closing.notified() => {
                posts.close();
                continue;
            }
        };
        let Some(post) = post else { return };
        let client = match post.target.allow_private {
            true => &clients.private,
            false => &clients.public,
        };
        match deliver(&post, client).await {
            Ok(()) => count("delivered"),
            Err(error) => {
                count("failed");
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(host = post.target.host(), %error, cause, "a webhook cannot be reached");
            }
        }
    }
}

/// Tries three times, as long as it may be better the next time.
async fn deliver(post: &Post, client: &HyperTransport) -> Result<(), Error> {
    let mut pauses = PAUSES.into_iter();
    loop {
        let failed = match tokio::time::timeout(TIME, client.clone().oneshot(post.request()?)).await
        {
            Ok(Ok(answer)) if answer.status().is_success() => return Ok(()),
            Ok(Ok(answer)) if is_final(answer.status()) => return Err(refused(answer.status())),
            Ok(Ok(answer)) => refused(answer.status()),
            Ok(Err(error)) => error,
            Err(_) => Error::new(rungs::ErrorKind::Timeout, "it does not answer"),
        };
        match pauses.next() {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(failed),
        }
    }
}

/// Whether asking again is of no use.
fn is_final(status: StatusCode) -> bool {
    !status.is_server_error()
        && status != StatusCode::TOO_MANY_REQUESTS
        && status != StatusCode::REQUEST_TIMEOUT
}

fn refused(status: StatusCode) -> Error {
    Error::new(
        rungs::ErrorKind::Upstream,
        format!("it answers with status {}", status.as_u16()),
    )
}

impl Post {
    fn request(&self) -> Result<Request<Bytes>, Error> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.target.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, "rungs");
        let request = match &self.target.authorization {
            Some(secret) => request.header(header::AUTHORIZATION, secret.clone()),
            None => request,
        };
        request
            .body(self.body.clone())
            .map_err(|e| Error::internal("a webhook's request cannot be made").with_source(e))
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("rungs_webhook_posts_total", "outcome" => outcome).increment(1);
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Webhook").field(&self.target.host()).finish()
    }
}
