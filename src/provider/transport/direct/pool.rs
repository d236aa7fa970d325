//! Connections to providers, and those that wait for their next call.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use foldhash::HashMap;
use futures_util::future::BoxFuture;
use http::{
    HeaderValue, Request, Uri, Version,
    header::HOST,
    uri::{Authority, Scheme},
};
use http_body_util::Full;
use hyper::{client::conn::http2, rt::Executor};
use hyper_util::{
    client::legacy::connect::Connection as _,
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::Instant;

use super::{
    connect::{Connector, Io},
    driven::Driven,
};
use crate::error::{BoxError, Error};

/// How long a connection may wait for its next call.
const IDLE: Duration = Duration::from_secs(90);
/// How often connections that wait are looked at: what a provider has closed is closed here too.
const SWEEP: Duration = Duration::from_secs(10);

/// The connections of one transport, or of one thread of it.
pub(super) struct Pool {
    connector: Connector,
    max_idle: usize,
    hosts: Mutex<HashMap<(Scheme, Authority), Arc<Host>>>,
}

impl Pool {
    pub(super) fn new(connector: Connector, max_idle: usize) -> Self {
        Self {
            connector,
            max_idle,
            hosts: Mutex::default(),
        }
    }

    /// Where a request to `uri` goes.
    ///
    /// # Errors
    /// If the URL names no host.
    pub(super) fn host(&self, uri: &Uri) -> Result<Arc<Host>, Error> {
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(Error::internal("a request without scheme and host"));
        };
        let key = (scheme.clone(), authority.clone());
        let mut hosts = lock(&self.hosts);
        if let Some(host) = hosts.get(&key) {
            return Ok(Arc::clone(host));
        }
        let name = HeaderValue::from_str(authority.as_str())
            .map_err(|e| Error::internal("a host that no header can name").with_source(e))?;
        let host = Arc::new(Host {
            connector: self.connector.clone(),
            name,
            max_idle: self.max_idle,
            idle: Mutex::default(),
        });
        hosts.insert(key, Arc::clone(&host));
        Ok(host)
    }
}

/// A host, and the connections to it that may be used.
pub(super) struct Host {
    connector: Connector,
    name: HeaderValue,
    max_idle: usize,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    /// With the time since when they have been waiting, the latest last.
    http1: Vec<(Box<Driven>, Instant)>,
    /// With the time when it was last taken.
    http2: Option<(Http2, Instant)>,
    swept: bool,
}

impl Idle {
    /// Lets go of a shared connection that is over, or that nobody has needed for long: what lies in between may have forgotten it.
    fn expire(&mut self) {
        self.http2
            .take_if(|(shared, since)| shared.is_closed() || since.elapsed() >= IDLE);
    }
}

/// A connection for any number of calls, which a task drives.
pub(super) type Http2 = http2::SendRequest<Full<Bytes>>;

/// A connection for a call.
pub(super) enum Way {
    Http1(Box<Driven>),
    Http2(Http2),
}

impl Host {
    /// A connection that is open already.
    pub(super) fn open(&self) -> Option<Way> {
        let mut idle = lock(&self.idle);
        idle.expire();
        if let Some((shared, since)) = &mut idle.http2 {
            *since = Instant::now();
            return Some(Way::Http2(shared.clone()));
        }
        while let Some((mut driven, since)) = idle.http1.pop() {
            if since.elapsed() < IDLE && driven.is_still_free() {
                return Some(Way::Http1(driven));
            }
        }
        None
    }

    /// A new connection, in the protocol that the host chooses.
    pub(super) fn connect(self: &Arc<Self>, uri: Uri) -> BoxFuture<'static, Result<Way, BoxError>> {
        let host = Arc::clone(self);
        // Boxed: it is rare, and larger than all the rest of a call.
        Box::pin(async move { host.connected(uri).await })
    }

    async fn connected(self: &Arc<Self>, uri: Uri) -> Result<Way, BoxError> {
        let io: Io = self.connector.connect(uri).await?;
        if !io.connected().is_negotiated_h2() {
            return Ok(Way::Http1(Driven::handshake(io).await?));
        }
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .adaptive_window(true)
            .keep_alive_interval(Duration::from_secs(20))
            .handshake(io)
            .await?;
        // Whoever waits for an answer hears of its end.
        TokioExecutor::new().execute(async move { drop(connection.await) });
        let mut idle = lock(&self.idle);
        idle.http2 = Some((sender.clone(), Instant::now()));
        self.sweep(idle);
        Ok(Way::Http2(sender))
    }

    /// Makes `request` one for the path of `uri` at this host, in HTTP/1.1.
    pub(super) fn address(&self, request: &mut Request<Full<Bytes>>, uri: &Uri) {
        *request.version_mut() = Version::HTTP_11;
        let headers = request.headers_mut();
        if !headers.contains_key(HOST) {
            headers.insert(HOST, self.name.clone());
        }
        let path = uri.path_and_query().cloned();
        *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
    }

    /// Keeps a connection for the next call, if it is fit for one.
    pub(super) fn keep(self: &Arc<Self>, mut driven: Box<Driven>) {
        if !driven.is_free() {
            return;
        }
        let mut idle = lock(&self.idle);
        if idle.http1.len() < self.max_idle {
            idle.http1.push((driven, Instant::now()));
        }
        self.sweep(idle);
    }

    /// Sees to it that somebody sweeps.
    fn sweep(self: &Arc<Self>, mut idle: MutexGuard<'_, Idle>) {
        if std::mem::replace(&mut idle.swept, true) {
            return;
        }
        drop(idle);
        let sweeping = Sweeping(Arc::downgrade(self));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(sweep(sweeping));
        }
    }
}

/// Closes what has waited too long or was closed by the host, until nothing waits any more.
async fn sweep(mut sweeping: Sweeping) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(host) = sweeping.0.upgrade() else {
            return;
        };
        let mut idle = lock(&host.idle);
        idle.http1
            .retain_mut(|(driven, since)| since.elapsed() < IDLE && driven.is_still_free());
        idle.expire();
        if idle.http1.is_empty() && idle.http2.is_none() {
            idle.swept = false;
            sweeping.0 = Weak::new();
            return;
        }
    }
}

/// Says that nobody sweeps any more when the task is dropped with its runtime.
struct Sweeping(Weak<Host>);

impl Drop for Sweeping {
    fn drop(&mut self) {
        if let Some(host) = self.0.upgrade() {
            lock(&host.idle).swept = false;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
