//! What keeps a server running, from its start to its end and over again.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use rmcp::{RoleClient, service::Peer};
use rungs::{Error, ErrorKind};

use super::{
    Health, Server,
    call::Line,
    listing::Listing,
    server::Up,
    session::{self, Client, Opening, Session},
    visible::line,
};

/// The pause before a server is started again; it doubles each time,
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A server that has run so long is started again without a longer pause.
const STEADY: Duration = Duration::from_secs(60);

/// How long the end of a connection may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// How often a server is asked for its tools although it does not say that they have changed.
const ASK_AGAIN: Duration = Duration::from_secs(300);

/// The least time between two questions for its tools, however often it says that they have changed; and between two looks at what
/// was approved.
const BETWEEN: Duration = Duration::from_secs(1);

impl Server {
    /// Keeps it running until it is stopped.
    pub(super) async fn keep(self: Arc<Self>) {
        let name = self.config.name.to_string();
        let mut failures = 0_u32;
        let mut opening = Opening::Newest;
        while !self.stop.is_cancelled() {
            let began = Instant::now();
            let opened = tokio::select! {
                opened = Session::open(&self.config, opening, &self.tasks) => opened,
                () = self.stop.cancelled() => break,
            };
            let (why, steady) = match opened {
                Ok(session) => (self.attend(session).await, began.elapsed() >= STEADY),
                Err(error) => {
                    let in_vain = opening;
                    opening = opening.other();
                    if in_vain == Opening::Newest {
                        continue;
                    }
                    (error.message().to_owned(), false)
                }
            };
            if self.stop.is_cancelled() {
                break;
            }
            metrics::gauge!("rungs_mcp_up", "server" => name.clone()).set(0);
            failures = match steady {
                true => 0,
                false => failures.saturating_add(1),
            };
            let pause = pause(failures);
            tracing::warn!(server = name, why, pause = ?pause, "an MCP server is away");
            metrics::counter!("rungs_mcp_restarts_total", "server" => name.clone()).increment(1);
            self.is(Health::Down {
                why: why.into(),
                again: began.max(Instant::now()) + pause,
            });
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// Lists the tools of a running server, again and again, until it ends; says why it did.
    async fn attend(&self, session: Session) -> String {
        let Session {
            running,
            client,
            process,
        } = session;
        let peer = running.peer().clone();
        let end = running.cancellation_token();
        let mut ended = Box::pin(running.waiting());
        let (why, is_open) = tokio::select! {
            _ = &mut ended => ("it ended".to_owned(), false),
            () = self.stop.cancelled() => ("it is stopped".to_owned(), true),
            error = self.list_again_and_again(&peer, &client) => (line(error.message()), true),
            never = self.tell_of_approvals() => match never {},
        };
        // Its standard input ends with the transport; then it has a moment to end by itself.
        if is_open {
            end.cancel();
            let _ = tokio::time::timeout(FAREWELL, ended).await;
        }
        let Some(mut process) = process else {
            return why;
        };
        let words = process.last_words().await;
        process.stop().await;
        match words {
            Some(words) => format!("{why}; it said: {words}"),
            None => why,
        }
    }

    /// Tells of what an operator has agreed to meanwhile, from another process.
    async fn tell_of_approvals(&self) -> Infallible {
        let mut seen = self.pins.version();
        loop {
            tokio::time::sleep(BETWEEN).await;
            let now = self.pins.version();
            if now != seen {
                seen = now;
                self.changes.send_replace(());
            }
        }
    }

    async fn list_again_and_again(&self, peer: &Peer<RoleClient>, client: &Client) -> Error {
        let mut subscription = session::changes(peer).await;
        loop {
            let listed = tokio::time::timeout(self.config.start, session::tools(peer)).await;
            let late = || Err(Error::new(ErrorKind::Timeout, "it does not list its tools"));
            let tools = match listed.unwrap_or_else(|_| late()) {
                Ok(tools) => tools,
                Err(error) => return error,
            };
            let listing = Listing::of(&self.config, tools);
            match self.reviewed(listing).await {
                Ok(listing) => self.publish(listing, peer, client),
                Err(error) => return error,
            }
            tokio::time::sleep(BETWEEN).await;
            let told = async {
                match &mut subscription {
                    Some(changes) => matches!(changes.next().await, Ok(Some(_))),
                    None => std::future::pending().await,
                }
            };
            let lost = tokio::select! {
                () = client.changed.notified() => false,
                told = told => !told,
                () = tokio::time::sleep(ASK_AGAIN) => false,
            };
            if lost {
                subscription = None;
            }
        }
    }

    /// A listing without the tools that are beyond what is remembered of a server.
    async fn reviewed(&self, mut listing: Listing) -> Result<Listing, Error> {
        let pins = Arc::clone(&self.pins);
        let (name, tools) = (self.config.name.clone(), listing.tools.clone());
        let reviewed = tokio::task::spawn_blocking(move || pins.review(&name, &tools)).await;
        let without_room = reviewed
            .map_err(|e| Error::internal("what was approved was not looked at").with_source(e))??;
        let why = "has a new name, and 1,024 names of its server's tools are remembered already";
        listing.refuse_all(&without_room, why);
        Ok(listing)
    }

    fn publish(&self, listing: Listing, peer: &Peer<RoleClient>, client: &Client) {
        let name = &self.config.name;
        let agreed = self.agreed(&listing).len();
        for refused in &listing.refused {
            tracing::warn!(server = %name, tool = refused.name, why = refused.why, "a tool is not mounted");
        }
        let waiting = listing.tools.len() - agreed;
        // Another one of its name may run by now.
        if !self.stop.is_cancelled() {
            metrics::gauge!("rungs_mcp_up", "server" => name.to_string()).set(1);
        }
        metrics::gauge!("rungs_mcp_quarantined", "server" => name.to_string()).set(waiting as f64);
        let about = about(peer);
        tracing::info!(server = %name, about, tools = agreed, waiting, "an MCP server is up");
        self.is(Health::Up(Arc::new(Up {
            about,
            listing,
            line: Line {
                peer: peer.clone(),
                progress: client.progress.clone(),
                tasks: self.tasks.clone(),
            },
        })));
    }
}

fn about(peer: &Peer<RoleClient>) -> String {
    let Some(info) = peer.peer_info() else {
        return String::new();
    };
    let revision = &info.protocol_version;
    match &info.server_info {
        Some(server) => line(&format!(
            "{} {}, revision {revision}",
            server.name, server.version
        )),
        None => line(&format!("revision {revision}")),
    }
}

/// How long to wait after so many failures in a row.
fn pause(failures: u32) -> Duration {
    let doubled = 1_u32
        .checked_shl(failures.saturating_sub(1))
        .unwrap_or(u32::MAX);
    FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_have_an_end() {
        let seconds = |failures| pause(failures).as_secs_f64();
        assert_eq!([0, 1, 2, 3].map(seconds), [0.5, 0.5, 1.0, 2.0]);
        assert_eq!([8, 32, 33, u32::MAX].map(seconds), [60.0; 4]);
    }
}
