use std::sync::Arc;

use crate::{
    model::ModelRequest,
    store::{CacheKey, FieldHash},
};

/// Who may be served an answer that was made for somebody else. A key cannot be built without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CacheScope {
    /// Only calls of the same tenant.
    Tenant,
    /// Calls of every tenant. What one tenant asks, and that it asked, can then be seen by others in how fast the same question
    /// is answered: for gateways with one owner only.
    Shared,
}

/// Members that choose how an answer travels, not what it says.
const FORM: [&str; 2] = ["stream", "stream_options"];

impl CacheScope {
    /// The name of a question: it changes with the scope, the tenant (unless [`Shared`](Self::Shared)), the operation, every body
    /// member but `stream` and `stream_options`, the deployments that the model name stands for, the tiers allowed, the
    /// deployments excluded, the quality asked for, and the [epoch](super::CacheLayer::epoch). Machines whose processors differ may
    /// give other names to the same question.
    #[must_use]
    pub fn key(self, epoch: &[u8; 32], request: &ModelRequest) -> CacheKey {
        let mut hash = FieldHash::quick("rungs cache 3");
        hash.field(epoch);
        match self {
            Self::Tenant => {
                hash.field("tenant");
                hash.field(&*request.ctx.tenant);
            }
            Self::Shared => hash.field("shared"),
        }
        hash.field(request.op.as_str());
        let route = &request.route;
        hash.field(route.targets.fingerprint());
        hash.field([route.min_tier.level(), route.max_tier.level()]);
        hash.quality(request.ctx.quality);
        hash.field((route.exclude.len() as u64).to_le_bytes());
        for deployment in &route.exclude {
            hash.field(deployment.as_str());
        }
        hash.pairs(request.body.sorted_except(&FORM));
        // What has no such name is refused below, or never kept.
        let model = request.body.get_as::<Arc<str>>("model");
        CacheKey {
            model: model.ok().flatten().unwrap_or_default(),
            hash: hash.finish(),
        }
    }
}
