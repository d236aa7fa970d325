use super::{ModelRequest, Operation, Usage, media};
use crate::{
    catalog::{Deployment, Money, ServiceClass},
    error::Error,
    json::RawObject,
};

/// The most tokens that one attempt can use: what a budget reserves, and what an attempt of unknown usage is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenBound {
    /// Input tokens at most.
    pub input: u64,
    /// Output tokens at most.
    pub output: u64,
    /// How soon the answer is asked for.
    pub class: ServiceClass,
}

/// More than any provider counts for one picture, file or clip that is referred to rather than included.
const PER_MEDIUM: u64 = 50_000;

/// Template tokens that a provider may add around a prompt, beyond one per byte of JSON.
const OVERHEAD: u64 = 64;

/// What a provider may say to a model about tools as such, beside the tools of the request.
const TOOLS: u64 = 1_024;

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
        let class = asked_class(body);
        let text = body.as_bytes().len() as u64 + OVERHEAD;
        // Some providers embed messages, so both are looked for.
        let media = body.once(|body| {
            let in_messages = body.get("messages").map_or(0, media::in_messages);
            in_messages + body.get("input").map_or(0, media::in_input)
        });
        let input = text.saturating_add(PER_MEDIUM.saturating_mul(media));
        if request.op == Operation::Embeddings {
            return Ok(Self {
                input,
                output: 0,
                class,
            });
        }
        let tools = ["tools", "functions"].iter().any(|m| body.get(m).is_some());
        let asked = output_limit(body)?;
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
        let n = body.get_as::<u64>("n")?.unwrap_or(1).max(1);
        Ok(Self {
            input: input.saturating_add(if tools { TOOLS } else { 0 }),
            output: each.saturating_mul(n),
            class,
        })
    }

    /// What the bound costs at `deployment`, whichever class of service answers in the end; `None` if a price is not known.
    #[must_use]
    pub fn cost(&self, deployment: &Deployment) -> Option<Money> {
        let worst = |class| {
            let price = deployment.price_for(class)?;
            Some(price.worst_case(self.input, self.output))
        };
        // Who asks to be served sooner may be served as usual instead.
        Some(worst(ServiceClass::Standard)?.max(worst(self.class)?))
    }

    /// Whether that many tokens are within the bound.
    #[must_use]
    pub fn admits(&self, usage: &Usage) -> bool {
        usage.total_input() <= self.input && usage.total_output() <= self.output
    }
}

/// The output limit that a request sets: the larger one if it sets it under both names, for a provider may go by either. Zero is none:
/// there are servers that take it so.
pub(crate) fn output_limit(body: &RawObject) -> Result<Option<u64>, Error> {
    let limits = [
        body.get_as::<u64>("max_completion_tokens")?,
        body.get_as::<u64>("max_tokens")?,
    ];
    Ok(limits
        .into_iter()
        .flatten()
        .max()
        .filter(|limit| *limit > 0))
}

fn asked_class(body: &RawObject) -> ServiceClass {
    let asked = body.get_as::<String>("service_tier").ok().flatten();
    asked.map_or_else(ServiceClass::default, |name| {
        ServiceClass::from_service_tier(&name)
    })
}
