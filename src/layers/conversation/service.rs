use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::{BoxFuture, Either};
use tower_service::Service;

use super::{
    ConversationLayer, compress::Compression, conversations::Place, seams::Seams, tap::TurnTap,
};
use crate::{
    error::{Error, ErrorKind},
    json::RawObject,
    model::{
        ModelRequest, ModelResponse, ModelService, Operation, Recall,
        chat::{asked, recall},
    },
    store::{ConversationKey, Memory, Remembered},
};

/// The service of [`ConversationLayer`].
#[derive(Debug, Clone)]
pub struct Conversation<S> {
    inner: S,
    layer: Arc<ConversationLayer>,
}

impl<S> Conversation<S> {
    pub(super) fn new(inner: S, layer: ConversationLayer) -> Self {
        Self {
            inner,
            layer: Arc::new(layer),
        }
    }
}

impl<S: ModelService> Service<ModelRequest> for Conversation<S> {
    type Response = ModelResponse;
    type Error = Error;
    type Future = Either<S::Future, BoxFuture<'static, Result<ModelResponse, Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ModelRequest) -> Self::Future {
        let Some(id) = request.ctx.conversation.clone() else {
            return Either::Left(self.inner.call(request));
        };
        if request.op != Operation::Chat {
            return Either::Left(self.inner.call(request));
        }
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let layer = Arc::clone(&self.layer);
        Either::Right(Box::pin(async move {
            let key = ConversationKey::new(Arc::clone(&request.ctx.tenant), id)?;
            layer.go_on(key, request, inner).await
        }))
    }
}

impl ConversationLayer {
    async fn go_on(
        &self,
        key: ConversationKey,
        mut request: ModelRequest,
        mut inner: impl ModelService,
    ) -> Result<ModelResponse, Error> {
        let place: Place = self.conversations.place(key.clone())?;
        let asked = asked(&request.body)?;
        let (memory, mut forgetful) = match self.conversations.load(&key).await {
            Err(error) if may_do_without(&request, &error) => {
                (self.conversations.on_their_way(&key), true)
            }
            memory => (memory?, false),
        };
        if let Some(memory) = memory {
            let missing;
            (request.body, missing) = remembering(&request.body, &memory)?;
            forgetful |= missing;
        }
        let compression = self.summarizer.clone().map(|summarizer| {
            Box::new(Compression {
                summarizer,
                config: self.config,
                cause: request.clone(),
            })
        });
        let ctx = request.ctx.clone();
        let ModelResponse { mut meta, body } = inner.call(request).await?;
        meta.forgetful |= forgetful;
        let tap = TurnTap {
            place,
            ctx,
            asked,
            compression,
            deployment: meta.deployment.as_ref().map(|d| d.id.clone()),
            limit: self.config.answer_limit,
            whole: body.is_whole(),
            data: Vec::new(),
            size: 0,
        };
        let body = body.tap(tap);
        Ok(ModelResponse { meta, body })
    }
}

/// Whether a call goes on though its conversation cannot be loaded.
fn may_do_without(request: &ModelRequest, error: &Error) -> bool {
    request.ctx.recall == Recall::IfThere && error.kind() == ErrorKind::Unavailable
}

/// The request with its summary and the messages since, and whether some of these are missing, because they are not at hand any
/// more: then it does not begin with the result of a tool whose call is among them.
fn remembering(body: &RawObject, memory: &Memory) -> Result<(RawObject, bool), Error> {
    let fresh: Vec<&Remembered> = memory.fresh().collect();
    let whole = fresh
        .first()
        .is_none_or(|first| first.number == memory.summarized() + 1);
    let from = match whole {
        true => 0,
        false => Seams::of(fresh.iter().map(|m| &*m.message)).at_or_behind(0),
    };
    let summary = memory.summary.as_ref().map(|summary| &*summary.text);
    let body = recall(body, summary, fresh[from..].iter().map(|m| &*m.message))?;
    Ok((body, !whole))
}
