use std::{
    future::Future,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A provider that is played byte for byte.
pub(crate) struct Wire {
    /// For a provider's configuration.
    pub(crate) base_url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    server: JoinHandle<()>,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Heard {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The name of the model that was asked for.
    pub(crate) fn model(&self) -> String {
        self.json()["model"].as_str().unwrap().to_owned()
    }
}

impl Wire {
    /// Hands each request, one a connection, to `play`, which writes whatever it likes and keeps the connection as long as it likes.
    pub(crate) async fn play<F, P>(play: F) -> Self
    where
        F: Fn(Heard, TcpStream) -> P + Send + Sync + 'static,
        P: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (log, play) = (Arc::clone(&heard), Arc::new(play));
        let server = tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                socket.set_nodelay(true).unwrap();
                let (log, play) = (Arc::clone(&log), Arc::clone(&play));
                tokio::spawn(async move {
                    if let Some(request) = hear(&mut socket).await {
                        log.lock().unwrap().push(request.clone());
                        play(request, socket).await;
                    }
                });
            }
        });
        Self {
            base_url,
            heard,
            server,
        }
    }

    /// Answers each request with what `answer` makes of it, and closes.
    pub(crate) async fn answer(answer: impl Fn(&Heard) -> String + Send + Sync + 'static) -> Self {
        Self::play(move |heard, mut socket| {
            let answer = answer(&heard);
            async move {
                let _ = socket.write_all(answer.as_bytes()).await;
                let _ = socket.shutdown().await;
            }
        })
        .await
    }

    /// The requests so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// How often a model was asked.
    pub(crate) fn asked(&self, model: &str) -> usize {
        self.heard()
            .iter()
            .filter(|heard| heard.model() == model)
            .count()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The head of an answer in server-sent events that ends with its connection, and these events.
pub(crate) fn sse(events: &[&str]) -> String {
    let events: String = events
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{events}"
    )
}

async fn hear(socket: &mut TcpStream) -> Option<Heard> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec())
        .ok()?
        .to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0);
    while bytes.len() < end + length {
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8(bytes[end..].to_vec()).ok()?;
    Some(Heard { head, body })
}
