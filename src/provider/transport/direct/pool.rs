//! Connections to providers, and those that wait for their next call.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use foldhash::HashMap;
use futures_util::{
    FutureExt,
    future::{self, BoxFuture, WeakShared},
};
use http::{
    HeaderValue, Request, Uri, Version,
    header::HOST,
    uri::{Authority, Scheme},
};
use http_body_util::Full;
use hyper_util::client::legacy::connect::Connection as _;
use tokio::time::Instant;

use super::{
    super::error::{Stage, translate},
    connect::{Connector, Io},
    driven::Driven,
    shared::Shared,
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
    /// With the times when they were last taken. The first ones are filled first, so that the last ones can go.
    http2: Vec<(Shared, Instant)>,
    /// Whether the host spoke HTTP/2 the last time.
    shares: bool,
    opening: Option<WeakShared<Opening>>,
    swept: bool,
}

impl Idle {
    /// Lets go of shared connections that are over, or that nobody has needed for long: what lies in between may have forgotten them.
    fn expire(&mut self) {
        self.http2
            .retain(|(shared, since)| !shared.is_over() && since.elapsed() < IDLE);
    }
}

/// Opens a connection for several calls; `None` if it cannot be shared.
type Opening = BoxFuture<'static, Result<Option<Shared>, Error>>;

/// A connection for a call.
pub(super) enum Way {
    Http1(Box<Driven>),
    Http2(Shared),
}

impl Host {
    /// A connection that is open already.
    pub(super) fn open(&self) -> Option<Way> {
        let mut idle = lock(&self.idle);
        idle.expire();
        let mut shared = idle.http2.iter_mut();
        if let Some((shared, since)) = shared.find(|(shared, _)| !shared.is_full()) {
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

    /// A new connection, in the protocol that the host chooses. To a host of HTTP/2 one is opened at a time, for all who wait.
    pub(super) fn connect(self: &Arc<Self>, uri: Uri) -> BoxFuture<'static, Result<Way, Error>> {
        let host = Arc::clone(self);
        // Boxed: it is rare, and larger than all the rest of a call.
        Box::pin(async move {
            loop {
                let Some(opening) = host.opening(&uri) else {
                    return host.connected(uri).await;
                };
                if let Some(shared) = opening.await?.filter(|shared| !shared.is_full()) {
                    return Ok(Way::Http2(shared));
                }
                if let Some(way) = host.open() {
                    return Ok(way);
                }
            }
        })
    }

    /// The connection that is being opened for all who wait; `None` if the host is not known to speak HTTP/2.
    fn opening(self: &Arc<Self>, uri: &Uri) -> Option<future::Shared<Opening>> {
        let mut idle = lock(&self.idle);
        if !idle.shares {
            return None;
        }
        // Gone with those who waited for it.
        let opening = idle.opening.as_ref().and_then(WeakShared::upgrade);
        Some(opening.unwrap_or_else(|| {
            let (host, uri) = (Arc::clone(self), uri.clone());
            let opening = async move {
                let opened = host.connected(uri).await;
                lock(&host.idle).opening = None;
                opened.map(|way| match way {
                    Way::Http2(shared) => Some(shared),
                    // The host has changed its mind. One of those who wait finds it in the pool.
                    Way::Http1(driven) => {
                        host.keep(driven);
                        None
                    }
                })
            };
            let opening = opening.boxed().shared();
            idle.opening = opening.downgrade();
            opening
        }))
    }

    async fn connected(self: &Arc<Self>, uri: Uri) -> Result<Way, Error> {
        let io: Io = self.connector.connect(uri).await.map_err(unreachable)?;
        let shares = io.connected().is_negotiated_h2();
        lock(&self.idle).shares = shares;
        if !shares {
            let driven = Driven::handshake(io).await.map_err(unreachable)?;
            return Ok(Way::Http1(driven));
        }
        let shared = Shared::handshake(io).await.map_err(unreachable)?;
        let mut idle = lock(&self.idle);
        // The first calls open connections of their own. One with room is enough to be kept.
        idle.expire();
        if idle.http2.iter().all(|(shared, _)| shared.is_full()) {
            idle.http2.push((shared.clone(), Instant::now()));
        }
        self.sweep(idle);
        Ok(Way::Http2(shared))
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
        if idle.http1.is_empty() && idle.http2.is_empty() {
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

fn unreachable(error: impl Into<BoxError>) -> Error {
    translate(error, Stage::Connecting)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
