//! The most that one attempt can use, and what a request may ask for where somebody answers for that.

mod media;
mod members;

use self::media::Media;
use super::{ModelRequest, Operation, Usage};
use crate::{
    catalog::{Deployment, Money, ServiceClass, Thinking},
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

/// More than any provider counts for one picture.
const PER_PICTURE: u64 = 50_000;

/// What a provider may add to a prompt, beyond a token per byte of JSON: its template, and what it tells its models unasked, which for
/// some are several hundred tokens.
const OVERHEAD: u64 = 1_024;

/// What a provider may say to a model about tools as such, beside the tools of the request.
const TOOLS: u64 = 1_024;

impl TokenBound {
    /// The bound of `request` at `deployment`.
    ///
    /// Tokens of text never outnumber its UTF-8 bytes, so the body's length bounds the input; with a file, a clip or a recording it
    /// is the context window. The output is bounded by the request's own limit, else by the one that it is sent with
    /// ([`Deployment::cap`]), else by the model's, times `n`; what a model
    /// thinks beside it ([`Thinking::Beside`]) by the `thinking_budget`, else by the context window.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if a limit has the wrong type, or if nothing bounds the input or the output.
    pub fn of(request: &ModelRequest, deployment: &Deployment) -> Result<Self, Error> {
        let body = &request.body;
        Ok(Self {
            input: input(body, deployment)?,
            output: match request.op {
                Operation::Chat => output(body, deployment)?,
                Operation::Embeddings => 0,
            },
            class: asked_class(body),
        })
    }

    /// Whether `request` asks `deployment` for nothing but tokens, which the bound bounds and the price prices.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid), and names the member, if it asks for something that has a price of its own,
    /// that lets the provider ask another model, or that this code has never heard of. Another deployment may do it.
    pub fn covers(request: &ModelRequest, deployment: &Deployment) -> Result<(), Error> {
        members::only_tokens(&request.body, deployment)
    }

    /// The first member of `body` that lets a provider ask another model than it is told to.
    #[must_use]
    pub fn choosing(body: &RawObject) -> Option<&str> {
        members::choosing(body)
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

    /// As much of `usage` as is within the bound. Input and output are told apart: too much of one is no word about the other.
    #[must_use]
    pub fn clamp(&self, usage: Usage) -> Usage {
        let mut within = usage;
        if usage.total_input() > self.input {
            within = Usage {
                output: usage.output,
                reasoning: usage.reasoning,
                ..Usage::new(self.input, 0)
            };
        }
        if usage.total_output() > self.output {
            (within.output, within.reasoning) = (self.output, 0);
        }
        within
    }

    /// The bound of who has used just that much, in whatever buckets.
    pub(super) fn narrowed(self, usage: &Usage) -> Self {
        Self {
            input: usage.total_input(),
            output: usage.total_output(),
            ..self
        }
    }
}

fn input(body: &RawObject, deployment: &Deployment) -> Result<u64, Error> {
    let text = body.as_bytes().len() as u64 + OVERHEAD;
    let media = media(body);
    let tools = ["tools", "functions"].iter().any(|m| body.get(m).is_some());
    let said = text
        .saturating_add(PER_PICTURE.saturating_mul(media.pictures))
        .saturating_add(if tools { TOOLS } else { 0 });
    match (media.files + media.others, deployment.context_window) {
        (0, _) => Ok(said),
        (_, Some(window)) => Ok(said.max(window)),
        (_, None) => Err(Error::invalid(format!(
            "nothing bounds the input of `{}`: its configuration needs a `context_window` for files, clips and recordings",
            deployment.model
        ))
        .param("messages")
        .elsewhere()),
    }
}

/// What a prompt refers to instead of saying it.
pub(crate) fn media(body: &RawObject) -> Media {
    let packed = body.once(|body| {
        // Some providers embed messages, so both are looked for.
        let mut media = body
            .get("messages")
            .map(media::in_messages)
            .unwrap_or_default();
        media += body.get("input").map(media::in_input).unwrap_or_default();
        media.packed()
    });
    Media::unpacked(packed)
}

fn output(body: &RawObject, deployment: &Deployment) -> Result<u64, Error> {
    let limits = output_limits(body)?;
    let within_window = |tokens: u64| tokens.min(deployment.context_window.unwrap_or(u64::MAX));
    let each = match effective_limit(limits) {
        // It is what the provider is sent, whatever a list says that the model can do.
        Some(asked) => within_window(asked),
        // A limit beside one of zero may be what a provider is sent in the end.
        None => match deployment.cap(body.as_bytes().len()) {
            Some(cap) => cap,
            None => by_itself(deployment)?.max(within_window(
                limits.into_iter().flatten().max().unwrap_or(0),
            )),
        },
    };
    let each = with_thinking(each, body, deployment)?;
    // What was foretold and comes otherwise is paid for as well.
    let foretold = body.get("prediction").map_or(0, |text| text.len() as u64);
    let n = body.get_as::<u64>("n")?.unwrap_or(1).max(1);
    Ok(each.saturating_add(foretold).saturating_mul(n))
}

/// The most that a model answers that is sent no limit. Whoever wants more of it than its vendor speaks of may know better.
fn by_itself(deployment: &Deployment) -> Result<u64, Error> {
    let listed = deployment.max_output;
    let most = listed.map(|listed| listed.max(deployment.output_cap.unwrap_or(0)));
    most.or(deployment.context_window).ok_or_else(|| {
        Error::invalid(format!(
            "nothing bounds the output of `{}`: set `max_tokens`, or `max_output` in its configuration",
            deployment.model
        ))
        .param("max_tokens")
        .elsewhere()
    })
}

/// The bound of an answer with what is thought for it, where the limit of an answer may not count that.
fn with_thinking(answer: u64, body: &RawObject, deployment: &Deployment) -> Result<u64, Error> {
    let window = deployment.context_window;
    // Zero, and what is below it, is no budget.
    let budget = body.get_as::<i64>("thinking_budget")?;
    match (budget.filter(|budget| *budget > 0), deployment.thinking) {
        // Who takes such a budget may do so beside the limit, also where it is not known.
        (Some(budget), _) => {
            let both = answer.saturating_add(budget.unsigned_abs());
            Ok(both.min(window.unwrap_or(u64::MAX)).max(answer))
        }
        (None, Thinking::Within) => Ok(answer),
        // Models think unasked there, too.
        (None, Thinking::Beside) => window.map(|window| window.max(answer)).ok_or_else(|| {
            Error::invalid(format!(
                "nothing bounds what `{}` thinks: set `thinking_budget`, or `context_window` in its configuration",
                deployment.model
            ))
            .param("thinking_budget")
            .elsewhere()
        }),
    }
}

/// The output limit that a request sets.
pub(crate) fn output_limit(body: &RawObject) -> Result<Option<u64>, Error> {
    output_limits(body).map(effective_limit)
}

/// What limits under both names come to: the larger one, for a provider may go by either. Zero is none, under either: there are
/// servers that take it so.
pub(crate) fn effective_limit(limits: [Option<u64>; 2]) -> Option<u64> {
    match limits.contains(&Some(0)) {
        true => None,
        false => limits.into_iter().flatten().max(),
    }
}

/// The output limits that a request sets, under the newer name and the older one.
pub(crate) fn output_limits(body: &RawObject) -> Result<[Option<u64>; 2], Error> {
    Ok([
        body.get_as("max_completion_tokens")?,
        body.get_as("max_tokens")?,
    ])
}

fn asked_class(body: &RawObject) -> ServiceClass {
    let asked = body.get_as::<String>("service_tier").ok().flatten();
    asked.map_or_else(ServiceClass::default, |name| {
        ServiceClass::from_service_tier(&name)
    })
}
