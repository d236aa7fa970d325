use tower::util::BoxCloneSyncService;
use tower_service::Service;

use super::{ModelRequest, ModelResponse};
use crate::error::Error;

/// A service that answers model requests: shorthand for the bound that every layer needs.
pub trait ModelService:
    Service<ModelRequest, Response = ModelResponse, Error = Error, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<S> ModelService for S where
    S: Service<ModelRequest, Response = ModelResponse, Error = Error, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// A ring or a leaf, boxed once at its top.
pub type BoxModelService = BoxCloneSyncService<ModelRequest, ModelResponse, Error>;
