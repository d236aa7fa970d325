//! A client that speaks in lines, and whoever serves it: this process, or the one that owns the database.
//!
//! The one that serves may end in the middle of a conversation, and another take over: the client's opening is said again to the
//! next one, and what nobody answered any more is answered with an error.

use std::{
    borrow::Cow,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_util::codec::FramedRead;

use super::lines::{Lines, NoLine};

/// How long the answers to what was asked before the client closed its input may take.
const GRACE: Duration = Duration::from_millis(500);

/// A client.
pub(super) struct Client<R, W> {
    lines: FramedRead<R, Lines>,
    out: tokio::sync::Mutex<W>,
    talk: Mutex<Talk>,
}

/// Who ended a conversation.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    ByClient,
    ByServer,
}

/// What a next server must know of a conversation.
#[derive(Default)]
struct Talk {
    /// The client's handshake.
    opening: Vec<String>,
    /// The id of the handshake's request, once it was answered: another answer is not the client's business.
    opened: Option<String>,
    /// Ids of requests without an answer.
    pending: Vec<String>,
    /// Whether the client has closed its input.
    closed: bool,
}

/// What is looked at of a message.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Client<R, W> {
    pub(super) fn new(from: R, to: W) -> Self {
        Self {
            lines: FramedRead::new(from, Lines::default()),
            out: tokio::sync::Mutex::new(to),
            talk: Mutex::default(),
        }
    }

    /// Lets `server` serve the client until one of them ends it.
    ///
    /// # Errors
    /// Those of the client's own streams.
    pub(super) async fn serve_by(
        &mut self,
        server: impl AsyncRead + AsyncWrite,
    ) -> io::Result<Ended> {
        let Self { lines, out, talk } = self;
        let (from, mut to) = tokio::io::split(server);
        let mut from = FramedRead::new(from, Lines::default());
        let mut opening = held(talk).opening.clone().into_iter();

        // Both ways at once: if each waited for the other, full pipes would stop them for good.
        let up = async {
            for line in &mut opening {
                if say(&mut to, &line).await.is_err() {
                    return Ok(Ended::ByServer);
                }
            }
            while let Some(line) = lines.next().await {
                match line? {
                    Ok(line) if line.trim().is_empty() => {}
                    Ok(line) => {
                        held(talk).asks(&line);
                        if say(&mut to, &line).await.is_err() {
                            return Ok(Ended::ByServer);
                        }
                    }
                    Err(wrong) => {
                        let (code, why) = match wrong {
                            NoLine::TooLong => (-32600, "a message is too long"),
                            NoLine::NotText => (-32700, "a message is not UTF-8"),
                        };
                        say(&mut *out.lock().await, &error(None, code, why)).await?;
                    }
                }
            }
            held(talk).closed = true;
            Ok(Ended::ByClient)
        };
        let down = async {
            while let Some(Ok(Ok(line))) = from.next().await {
                if held(talk).hears(&line) {
                    say(&mut *out.lock().await, &line).await?;
                }
                let talk = held(talk);
                if talk.closed && talk.pending.is_empty() {
                    return Ok(Ended::ByClient);
                }
            }
            Ok(Ended::ByServer)
        };

        let mut down = std::pin::pin!(down);
        tokio::select! {
            ended = &mut down => ended,
            ended = up => match ended {
                Ok(Ended::ByClient) if !held(talk).pending.is_empty() => {
                    let _ = tokio::time::timeout(GRACE, down).await;
                    ended
                }
                // What it has said before its end is passed on, and no line is left in the middle.
                Ok(Ended::ByServer) => down.await,
                ended => ended,
            }
        }
    }

    /// Tells the client that what it has asked will not be answered any more.
    pub(super) async fn interrupted(&mut self) -> io::Result<()> {
        const WHY: &str = "the process that served this has ended; ask again";
        let pending = held(&self.talk).give_up();
        let out = self.out.get_mut();
        for id in pending {
            say(out, &error(Some(&id), -32603, WHY)).await?;
        }
        Ok(())
    }
}

impl Talk {
    /// Notes what the client says.
    fn asks(&mut self, line: &str) {
        let Ok(Head { id, method }) = serde_json::from_str(line) else {
            return;
        };
        match method.as_deref() {
            Some("initialize" | "notifications/initialized") => self.opening.push(line.to_owned()),
            Some(_) => {}
            // An answer to a question of the server.
            None => return,
        }
        self.pending.extend(id.map(|id| id.get().to_owned()));
    }

    /// Notes what a server says; whether the client shall hear it.
    fn hears(&mut self, line: &str) -> bool {
        let Ok(Head {
            id: Some(id),
            method: None,
        }) = serde_json::from_str(line)
        else {
            return true;
        };
        let asked = self.pending.iter().position(|pending| pending == id.get());
        match asked {
            Some(at) => {
                self.pending.swap_remove(at);
                let opens = self
                    .opening
                    .first()
                    .is_some_and(|line| is_of(line, id.get()));
                if opens && self.opened.is_none() {
                    self.opened = Some(id.get().to_owned());
                }
                true
            }
            None => self.opened.as_deref() != Some(id.get()),
        }
    }

    /// The requests that the next server will not see.
    fn give_up(&mut self) -> Vec<String> {
        let opening = self.opening.first().cloned();
        let said_again = |id: &String| opening.as_deref().is_some_and(|line| is_of(line, id));
        let (again, lost) = self.pending.drain(..).partition(said_again);
        self.pending = again;
        lost
    }
}

/// Whether a message has this id.
fn is_of(line: &str, id: &str) -> bool {
    serde_json::from_str::<Head<'_>>(line)
        .is_ok_and(|head| head.id.is_some_and(|own| own.get() == id))
}

fn held(talk: &Mutex<Talk>) -> MutexGuard<'_, Talk> {
    talk.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn say(to: &mut (impl AsyncWrite + Unpin), line: &str) -> io::Result<()> {
    to.write_all(format!("{line}\n").as_bytes()).await?;
    to.flush().await
}

/// A message of JSON-RPC that says what is wrong with the request of this id.
fn error(id: Option<&str>, code: i32, message: &str) -> String {
    let id = id.unwrap_or("null");
    let error = json!({ "code": code, "message": message });
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncBufReadExt, BufReader, DuplexStream, duplex},
        time::timeout,
    };

    use super::*;

    struct End(BufReader<DuplexStream>);

    impl End {
        async fn says(&mut self, line: &str) {
            say(self.0.get_mut(), line).await.unwrap();
        }

        async fn hears(&mut self) -> String {
            let mut line = String::new();
            let heard = timeout(Duration::from_secs(60), self.0.read_line(&mut line)).await;
            heard.expect("something is said").unwrap();
            line.trim_end().to_owned()
        }
    }

    fn pair() -> (DuplexStream, End) {
        let (one, other) = duplex(1 << 16);
        (one, End(BufReader::new(other)))
    }

    const OPEN: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
    const OPENED: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"by":"first"}}"#;
    const READY: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

    #[tokio::test(start_paused = true)]
    async fn another_server_takes_over_in_the_middle() {
        let (stdio, mut user) = pair();
        let (from, to) = tokio::io::split(stdio);
        let mut client = Client::new(from, to);

        let (first, mut server) = pair();
        let talk = async {
            user.says(OPEN).await;
            assert_eq!(server.hears().await, OPEN);
            server.says(OPENED).await;
            assert_eq!(user.hears().await, OPENED);
            user.says(READY).await;
            user.says(r#"{"jsonrpc":"2.0","id":"a","method":"tools/call"}"#)
                .await;
            assert_eq!(server.hears().await, READY);
            server.hears().await;
            drop(server);
        };
        let (ended, ()) = tokio::join!(client.serve_by(first), talk);
        assert_eq!(ended.unwrap(), Ended::ByServer);
        client.interrupted().await.unwrap();
        let lost = user.hears().await;
        assert!(
            lost.contains(r#""id":"a""#) && lost.contains("ask again"),
            "{lost}"
        );

        let (second, mut server) = pair();
        let talk = async {
            assert_eq!(server.hears().await, OPEN);
            server.says(&OPENED.replace("first", "second")).await;
            assert_eq!(server.hears().await, READY);
            let question = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
            user.says(question).await;
            assert_eq!(server.hears().await, question);
            server.says(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).await;
            // The second handshake's answer is not the client's business.
            assert_eq!(
                user.hears().await,
                r#"{"jsonrpc":"2.0","id":1,"result":{}}"#
            );
            drop(user);
        };
        let (ended, ()) = tokio::join!(client.serve_by(second), talk);
        assert_eq!(ended.unwrap(), Ended::ByClient);
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_that_was_never_answered_is_answered_by_the_next() {
        let (stdio, mut user) = pair();
        let (from, to) = tokio::io::split(stdio);
        let mut client = Client::new(from, to);
        let (first, mut server) = pair();
        let talk = async {
            user.says(OPEN).await;
            server.hears().await;
            drop(server);
        };
        assert_eq!(
            tokio::join!(client.serve_by(first), talk).0.unwrap(),
            Ended::ByServer
        );
        client.interrupted().await.unwrap();
        let (second, mut server) = pair();
        let talk = async {
            assert_eq!(server.hears().await, OPEN);
            server.says(OPENED).await;
            assert_eq!(user.hears().await, OPENED);
            drop(user);
        };
        assert_eq!(
            tokio::join!(client.serve_by(second), talk).0.unwrap(),
            Ended::ByClient
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_server_has_said_before_its_end_is_passed_on_to_the_last_line() {
        // Less than a line.
        let (stdio, user) = duplex(16);
        let mut user = End(BufReader::new(user));
        let (from, to) = tokio::io::split(stdio);
        let mut client = Client::new(from, to);
        let (server, mut end) = pair();
        let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress"}"#;
        let talk = async {
            user.says(OPEN).await;
            assert_eq!(end.hears().await, OPEN);
            end.says(OPENED).await;
            end.says(progress).await;
            drop(end);
            user.says(READY).await;
            assert_eq!(user.hears().await, OPENED);
            assert_eq!(user.hears().await, progress);
        };
        let (ended, ()) = tokio::join!(client.serve_by(server), talk);
        assert_eq!(ended.unwrap(), Ended::ByServer);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_before_the_end_of_input_is_answered() {
        let asked: &[u8] =
            b"{\"id\":1,\"method\":\"ping\"}\n\n\xff\n{\"id\":2,\"method\":\"ping\"}";
        let mut out = Vec::new();
        let mut client = Client::new(asked, &mut out);
        let (server, mut end) = pair();
        let answers = async {
            for id in 1..=2 {
                end.hears().await;
                end.says(&format!(r#"{{"id":{id},"result":{{}}}}"#)).await;
            }
            end
        };
        let (ended, _end) = tokio::join!(client.serve_by(server), answers);
        assert_eq!(ended.unwrap(), Ended::ByClient);
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(text.contains("not UTF-8"), "{text}");
    }
}
