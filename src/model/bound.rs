use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::{ModelRequest, Operation};
use crate::{
    catalog::{Deployment, Money},
    error::Error,
};

/// The most tokens that one attempt can use: what a budget reserves, and what an attempt of unknown usage is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenBound {
    /// Input tokens at most.
    pub input: u64,
    /// Output tokens at most.
    pub output: u64,
}

/// More than any provider counts for one picture, file or clip that is referred to rather than included.
const PER_MEDIUM: u64 = 50_000;

/// Template tokens that a provider may add around a prompt, beyond one per byte of JSON.
const OVERHEAD: u64 = 64;

impl TokenBound {
    /// The bound of `request` at `deployment`.
    ///
    /// Tokens of text never outnumber its UTF-8 bytes, so the body's length bounds the input. The output is bounded by the
    /// request's own limit, else by the deployment's, times `n`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if a limit has the wrong type, or if nothing bounds the output.
    pub fn of(request: &ModelRequest, deployment: &Deployment) -> Result<Self, Error> {
        let body = &request.body;
        let input = body.as_bytes().len() as u64 + OVERHEAD + PER_MEDIUM * media(body.as_bytes());
        if request.op == Operation::Embeddings {
            return Ok(Self { input, output: 0 });
        }
        let asked = match body.get_as::<u64>("max_completion_tokens")? {
            Some(limit) => Some(limit),
            None => body.get_as::<u64>("max_tokens")?,
        };
        let own = deployment.max_output.or(deployment.context_window);
        let each = match (asked, own) {
            (Some(asked), Some(own)) => asked.min(own),
            (Some(limit), None) | (None, Some(limit)) => limit,
            (None, None) => {
                return Err(Error::invalid(format!(
                    "nothing bounds the output of `{}`: set `max_tokens`, or `max_output` in its configuration",
                    deployment.model
                ))
                .param("max_tokens"));
            }
        };
        let n = body.get_as::<u64>("n")?.unwrap_or(1);
        Ok(Self {
            input,
            output: each.saturating_mul(n),
        })
    }

    /// What the bound costs at `deployment`'s price; nothing if the price is not known.
    #[must_use]
    pub fn cost(&self, deployment: &Deployment) -> Money {
        deployment.price.map_or(Money::ZERO, |price| {
            price.worst_case(self.input, self.output)
        })
    }
}

fn media(body: &[u8]) -> u64 {
    static KINDS: LazyLock<[Finder<'static>; 3]> =
        LazyLock::new(|| ["\"image_url\"", "\"input_audio\"", "\"file\""].map(Finder::new));
    KINDS
        .iter()
        .map(|kind| kind.find_iter(body).count() as u64)
        .sum()
}
