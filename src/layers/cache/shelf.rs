use std::{sync::Arc, time::Duration};

use futures_util::stream;
use tokio::time::Instant;

use super::{
    CacheConfig,
    question::Question,
    tap::{CacheTap, worth_keeping},
};
use crate::{
    catalog::{Deployment, Targets},
    model::{CacheStatus, Frame, ModelBody, ModelRequest, ModelResponse, ResponseMeta},
    store::{CacheEntry, CacheKey, CacheStore, Ledger, LedgerRow},
};

/// Where answers are kept and found, and where it is written down that one was.
pub(super) struct Shelf {
    pub(super) store: Arc<dyn CacheStore>,
    pub(super) config: CacheConfig,
    pub(super) ledger: Option<Arc<dyn Ledger>>,
}

impl Shelf {
    /// The kept answer in the form that `request` wants. A store that fails has nothing.
    pub(super) async fn find(
        &self,
        key: &CacheKey,
        request: &ModelRequest,
    ) -> Option<ModelResponse> {
        let began = Instant::now();
        let entry = match self.store.get(key).await {
            Ok(found) => found?,
            Err(error) => {
                tracing::debug!(error = ?error, "the cache was not readable");
                return None;
            }
        };
        let mut targets = request.route.targets.first().iter();
        let deployment = Arc::clone(targets.find(|d| d.id == entry.deployment)?);
        let verdict = entry.verdict.clone();
        let body = replay(entry, !request.wants_stream())?;
        self.record(request, &deployment, began.elapsed());
        let meta = ResponseMeta {
            deployment: Some(deployment),
            cache: CacheStatus::Hit,
            verdict,
            ..ResponseMeta::default()
        };
        Some(ModelResponse { meta, body })
    }

    /// Lets a tap keep `response`, if what is known before its first frame allows that.
    pub(super) fn keep(
        self: &Arc<Self>,
        key: CacheKey,
        question: Question,
        targets: &Targets,
        mut response: ModelResponse,
    ) -> ModelResponse {
        response.meta.cache = CacheStatus::Miss;
        if let Some(deployment) = worth_keeping(&response.meta, targets) {
            let (verdict, whole) = (response.meta.verdict.clone(), response.body.is_whole());
            let tap = CacheTap::new(Arc::clone(self), key, question, deployment, verdict, whole);
            response.body = response.body.tap(tap);
        }
        response
    }

    /// Writes down a call that needed no attempt of its own.
    pub(super) fn record(&self, request: &ModelRequest, deployment: &Deployment, waited: Duration) {
        if let Some(ledger) = &self.ledger {
            ledger.record(LedgerRow::without_attempt(request, deployment, waited));
        }
    }
}

/// A body that gives a kept answer again, without copying it where the form is the same; `None` if it has no such form.
fn replay(entry: Arc<CacheEntry>, whole: bool) -> Option<ModelBody> {
    let answer = &entry.answer;
    if answer.whole != whole {
        return Some(answer.clone().into_form(whole).ok()?.into_body());
    }
    if let (true, [one]) = (whole, &answer.data[..]) {
        return Some(ModelBody::whole(one.clone(), answer.end.clone()));
    }
    let chunks = answer.data.len();
    let frame = move |at: usize| match entry.answer.data.get(at) {
        Some(data) => Frame::Data(data.clone()),
        None => Frame::End(entry.answer.end.clone()),
    };
    let frames = (0..=chunks).map(move |at| Ok(frame(at)));
    Some(ModelBody::stream(stream::iter(frames)))
}
