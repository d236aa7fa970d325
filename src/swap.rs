//! Replaces a running stack: the new one is built and checked first, then swapped in at once.
//!
//! Calls under way finish on the stack they began on. What must survive a swap (permits, breakers, budgets, stores) is not part
//! of a stack: it is handed to each new one.
//!
//! ```
//! use rungs::{swap::Swap, testing::{Reply, Scripted, ask}};
//! use tower::{ServiceExt, util::BoxCloneSyncService};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let stack = Swap::new(BoxCloneSyncService::new(Scripted::new(Reply::text("old"))));
//! let new = Scripted::new(Reply::text("new"));
//! stack.replace(BoxCloneSyncService::new(new.clone()));
//! stack.oneshot(ask("which?")).await?;
//! assert_eq!(new.calls(), 1);
//! # Ok::<(), rungs::Error>(()) }).unwrap();
//! ```

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use arc_swap::ArcSwap;
use tower::ServiceExt;
use tower::util::Oneshot;
use tower_service::Service;

use crate::{
    error::Error,
    model::{BoxModelService, ModelRequest, ModelResponse},
};

/// A stack that can be replaced while it runs. Clones share it.
#[derive(Clone)]
pub struct Swap(Arc<ArcSwap<BoxModelService>>);

impl Swap {
    /// Starts with `stack`.
    #[must_use]
    pub fn new(stack: BoxModelService) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(stack)))
    }

    /// Sends every later call to `stack`.
    pub fn replace(&self, stack: BoxModelService) {
        self.0.store(Arc::new(stack));
    }
}

impl Service<ModelRequest> for Swap {
    type Response = ModelResponse;
    type Error = Error;
    type Future = Oneshot<BoxModelService, ModelRequest>;

    /// Always ready: the stack that a call goes to is chosen when it comes.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: ModelRequest) -> Self::Future {
        BoxModelService::clone(&self.0.load()).oneshot(request)
    }
}

impl fmt::Debug for Swap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Swap")
    }
}
