//! A connection to a server, over whichever transport.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, Uri};
use rmcp::{
    ClientHandler, RoleClient,
    handler::client::progress::ProgressDispatcher,
    model::{
        ClientCapabilities, ClientConfig, Implementation, PaginatedRequestParams,
        ProgressNotificationParam, ProtocolVersion, SubscriptionFilter, Tool,
    },
    service::{
        ClientInitializeError, ClientLifecycleMode, NotificationContext, Peer, RunningService,
        Subscription, serve_client_with_lifecycle,
    },
    transport::{
        StreamableHttpClientTransport, Transport, async_rw::AsyncRwTransport,
        streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use rungs::{Error, ErrorKind, provider::TransportConfig};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::{listing::MOST_TOOLS, process::Process, visible::line};
use crate::config::{self, Way};

/// The largest message that a server may send, in bytes, beyond what may be passed on of a result: schemas are large too.
const ENVELOPE: usize = 4 << 20;

/// The most pages of tools that are asked for.
const MOST_PAGES: usize = 32;

/// A server that has answered.
pub(super) struct Session {
    pub(super) running: RunningService<RoleClient, Client>,
    pub(super) client: Client,
    /// Its process, if it is one of ours.
    pub(super) process: Option<Process>,
}

/// Our side of a connection: it tells nothing of us, and asks nobody for a server's sake.
#[derive(Debug, Clone, Default)]
pub(super) struct Client {
    /// Told when the server says that its tools have changed.
    pub(super) changed: Arc<Notify>,
    /// Where calls hear how far they are.
    pub(super) progress: ProgressDispatcher,
}

impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        let us = Implementation::new("rungs", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), us)
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }

    async fn on_progress(
        &self,
        said: ProgressNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.progress.handle_notification(said).await;
    }
}

/// How a connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// As of the revision of 2026-07-28; with the older handshake if the server does not know it.
    Newest,
    /// With the older handshake at once, for servers that were slow to answer that question, or answered it with something else.
    Older,
}

impl Session {
    /// Connects, and starts the server first if it is a program. An error is for the log: it tells what a child has said.
    pub(super) async fn open(
        config: &config::Upstream,
        opening: Opening,
        tasks: &TaskTracker,
    ) -> Result<Self, Error> {
        let client = Client::default();
        let largest = config.max_result_bytes.saturating_add(ENVELOPE);
        let (running, process) = match &config.way {
            Way::Command {
                program,
                arguments,
                env,
            } => {
                let (mut process, stdout, stdin) =
                    Process::start(&config.name, program, arguments, env, tasks)?;
                let transport =
                    AsyncRwTransport::new_client(stdout, stdin).with_max_line_length(largest);
                match begin(&client, transport, opening, config.start).await {
                    Ok(running) => (running, Some(process)),
                    Err(why) => {
                        let words = process.last_words().await;
                        let said = words.map(|words| format!("; it said: {words}"));
                        return Err(away(why + &said.unwrap_or_default()));
                    }
                }
            }
            Way::Url {
                url,
                headers,
                allow_private,
            } => {
                let transport = remote(url, headers, *allow_private, largest)?;
                let running = begin(&client, transport, opening, config.start).await;
                (running.map_err(away)?, None)
            }
        };
        Ok(Self {
            running,
            client,
            process,
        })
    }
}

fn remote(
    url: &Uri,
    headers: &HeaderMap,
    allow_private: bool,
    largest: usize,
) -> Result<impl Transport<RoleClient> + use<>, Error> {
    // No connection is kept: a call that finds it closed may have been carried out, and cannot be sent again.
    let rules = TransportConfig::default().max_idle(0);
    let client = match allow_private {
        true => rules.allow_private().reqwest_client(url)?,
        false => rules.reqwest_client(url)?,
    };
    let headers = headers.iter().map(|(n, v)| (n.clone(), v.clone()));
    let options = StreamableHttpClientTransportConfig::with_uri(url.to_string())
        .custom_headers(headers.collect())
        .max_sse_event_size(largest)
        .max_json_response_size(largest);
    Ok(StreamableHttpClientTransport::with_client(client, options))
}

/// The first words with a server; an error says why there are none.
async fn begin(
    client: &Client,
    transport: impl Transport<RoleClient> + 'static,
    opening: Opening,
    patience: Duration,
) -> Result<RunningService<RoleClient, Client>, String> {
    let opened = serve_client_with_lifecycle(client.clone(), transport, opening.mode());
    match tokio::time::timeout(patience, Box::pin(opened)).await {
        Ok(opened) => opened.map_err(|error| line(&reason(&error))),
        Err(_) => Err(format!("it did not answer within {patience:?}")),
    }
}

fn reason(error: &ClientInitializeError) -> String {
    match error {
        ClientInitializeError::LegacyFallbackFailed { fallback, .. } => reason(fallback),
        ClientInitializeError::ConnectionClosed(_) => "it closed the connection".into(),
        ClientInitializeError::TransportError { error, .. } => {
            let first: &(dyn std::error::Error + 'static) = &*error.error;
            let causes = std::iter::successors(Some(first), |&error| error.source());
            causes.last().map_or_else(String::new, ToString::to_string)
        }
        other => other.to_string(),
    }
}

impl Opening {
    /// What to try after this has failed.
    pub(super) fn other(self) -> Self {
        match self {
            Self::Newest => Self::Older,
            Self::Older => Self::Newest,
        }
    }

    fn mode(self) -> ClientLifecycleMode {
        match self {
            Self::Older => ClientLifecycleMode::Initialize,
            Self::Newest => ClientLifecycleMode::Auto {
                preferred_versions: vec![ProtocolVersion::V_2026_07_28],
                legacy_version: Some(ProtocolVersion::LATEST_WITH_INITIALIZE),
            },
        }
    }
}

/// All tools that a server lists, up to a limit.
pub(super) async fn tools(peer: &Peer<RoleClient>) -> Result<Vec<Tool>, Error> {
    let mut tools = Vec::new();
    let mut cursor = None;
    for _ in 0..MOST_PAGES {
        let mut page = PaginatedRequestParams::default();
        page.cursor = cursor;
        let listed = peer.list_tools(Some(page)).await;
        let listed = listed.map_err(|e| away(line(&e.to_string())))?;
        tools.extend(listed.tools);
        cursor = listed.next_cursor;
        if cursor.is_none() && tools.len() <= MOST_TOOLS {
            return Ok(tools);
        }
    }
    Err(away(format!(
        "it lists more than {MOST_TOOLS} tools, or more than {MOST_PAGES} pages of them"
    )))
}

/// The subscription by which servers of the newest revision tell that their tools have changed; older ones just say so.
pub(super) async fn changes(peer: &Peer<RoleClient>) -> Option<Subscription> {
    let info = peer.peer_info()?;
    let tells = info
        .capabilities
        .tools
        .as_ref()
        .and_then(|tools| tools.list_changed);
    if info.protocol_version.has_initialize() || tells != Some(true) {
        return None;
    }
    let filter = SubscriptionFilter::builder().tools_list_changed().build();
    peer.listen(filter).await.ok()
}

fn away(why: String) -> Error {
    Error::new(ErrorKind::Unavailable, why)
}
