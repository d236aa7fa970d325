mod flight;
mod hit;
mod keep;
mod key;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::join_all};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};

use super::*;
use crate::{
    Error, ErrorKind,
    catalog::{Deployment, Money, Targets, Tier},
    json::RawObject,
    model::{
        Agreement, CacheStatus, CacheUse, Call, CallContext, Collected, End, FinishReason, Frame,
        ModelBody, ModelRequest, ModelResponse, Operation, Quality, RouteHint, Verdict,
    },
    store::{CacheEntry, CacheKey, CacheStore, Intent, Ledger, LedgerRow, RowStatus, StoreFuture},
    testing::{Reply, Scripted, ask, ask_stream},
};

#[derive(Default)]
struct Store(Mutex<HashMap<CacheKey, (Arc<CacheEntry>, Instant)>>);

impl Store {
    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl CacheStore for Store {
    fn get<'a>(&'a self, key: &'a CacheKey) -> StoreFuture<'a, Option<Arc<CacheEntry>>> {
        let entries = self.0.lock().unwrap();
        let live = entries.get(key).filter(|(_, end)| *end > Instant::now());
        let found = live.map(|(entry, _)| entry.clone());
        async move { Ok(found) }.boxed()
    }

    fn put(&self, key: CacheKey, entry: Arc<CacheEntry>, ttl: Duration) {
        let mut entries = self.0.lock().unwrap();
        entries.insert(key, (entry, Instant::now() + ttl));
    }
}

#[derive(Default)]
struct Rows(Mutex<Vec<LedgerRow>>);

impl Ledger for Rows {
    fn end(&self, _: Intent, row: LedgerRow) {
        self.0.lock().unwrap().push(row);
    }
    fn flush(&self) -> StoreFuture<'_, ()> {
        async { Ok(()) }.boxed()
    }
    fn spent<'a>(
        &'a self,
        _: &'a str,
        _: SystemTime,
        _: Option<SystemTime>,
    ) -> StoreFuture<'a, Money> {
        async { Ok(Money::ZERO) }.boxed()
    }
}

fn cached<S>(store: &Arc<Store>, inner: S) -> Cache<S> {
    CacheLayer::new(store.clone(), CacheScope::Tenant).layer(inner)
}

fn to(provider: &Scripted, mut request: ModelRequest) -> ModelRequest {
    request.route = RouteHint::to(Targets::new([provider.deployment()]));
    request
}

fn with_deadline(mut request: ModelRequest, after: Duration) -> ModelRequest {
    let mut call = Call::new("test");
    call.deadline = Some(Instant::now() + after);
    request.ctx = CallContext::new(call);
    request
}

async fn read(response: ModelResponse) -> Collected {
    response.body.collect(1 << 20).await.unwrap()
}

async fn data(body: &mut ModelBody) -> Bytes {
    match body.next().await {
        Some(Ok(Frame::Data(data))) => data,
        other => unreachable!("{other:?} is no data"),
    }
}

/// A service that answers anew each time with what `change` makes of a complete answer.
fn answering(
    provider: &Scripted,
    change: impl Fn(&mut ModelResponse) + Clone + Send + 'static,
) -> impl crate::model::ModelService {
    let provider = provider.clone();
    service_fn(move |request| {
        let (provider, change) = (provider.clone(), change.clone());
        async move {
            let mut response = provider.oneshot(request).await?;
            change(&mut response);
            Ok::<_, Error>(response)
        }
        .boxed()
    })
}

const SECOND: Duration = Duration::from_secs(1);
