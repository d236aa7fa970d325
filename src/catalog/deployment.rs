use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{ClassPrices, Price, ServiceClass, Tier};

/// The unique name of a deployment, `provider/model`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct DeploymentId(Arc<str>);

impl DeploymentId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for DeploymentId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl From<String> for DeploymentId {
    fn from(id: String) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something a deployment is able to do, or good at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Capability {
    /// Ordinary conversation.
    General = 1,
    /// Writing and changing code.
    Code = 2,
    /// Problems that take several steps.
    Reasoning = 4,
    /// Images in the prompt.
    Vision = 8,
    /// Text to vectors; such a deployment does not chat.
    Embeddings = 16,
}

/// A set of capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Capabilities(u8);

impl Capabilities {
    /// Whether all of `other` are in the set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The set with one more.
    #[must_use]
    pub const fn with(self, capability: Capability) -> Self {
        Self(self.0 | capability as u8)
    }

    /// How many there are.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl From<Capability> for Capabilities {
    fn from(one: Capability) -> Self {
        Self(one as u8)
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(all: I) -> Self {
        all.into_iter().fold(Self::default(), Self::with)
    }
}

/// Whether the limit of an answer bounds what is thought for it as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Thinking {
    /// It does: thoughts are tokens of the answer.
    #[default]
    Within,
    /// It does not: a model may think as much as it likes, or as its `thinking_budget` says, and the answer comes on top.
    Beside,
}

/// The fewest bytes of a prompt that a token stands for, on the average.
const BYTES_PER_TOKEN: u64 = 2;

/// One model at one provider with one price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// `provider/model`, unique.
    pub id: DeploymentId,
    /// The name clients ask for; several deployments may share one.
    pub model: Arc<str>,
    /// The provider's configured name.
    pub provider: Arc<str>,
    /// The name the provider knows it by.
    pub upstream: Arc<str>,
    /// Its rung.
    pub tier: Tier,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Prompt and answer together, in tokens, if known.
    pub context_window: Option<u64>,
    /// The longest answer that the model gives, in tokens, if its vendor says so: calls need not repeat it.
    pub max_output: Option<u64>,
    /// The longest answer that is wanted of it, in tokens: calls that set no limit are sent with this one.
    pub output_cap: Option<u64>,
    /// `None` is *unknown*, which is never free.
    pub price: Option<Price>,
    /// What it charges for answers that come sooner or later than usual.
    pub class_prices: ClassPrices,
    /// Which price list the prices are from; it is written on the ledger.
    pub price_version: Option<Arc<str>>,
    /// Members of a request, beside those that every provider has, that cost nothing there.
    pub free_members: Arc<[Box<str>]>,
    /// Whether the limit of an answer bounds its thoughts there.
    pub thinking: Thinking,
    /// Order within a tier; lower goes first.
    pub priority: i32,
}

impl Deployment {
    /// A deployment of `model` at `provider` under the same name, in tier `L0`, general, without a known price.
    #[must_use]
    pub fn new(provider: &str, model: &str) -> Self {
        Self {
            id: format!("{provider}/{model}").into(),
            model: model.into(),
            provider: provider.into(),
            upstream: model.into(),
            tier: Tier::L0,
            capabilities: Capability::General.into(),
            context_window: None,
            max_output: None,
            output_cap: None,
            price: None,
            class_prices: ClassPrices::default(),
            price_version: None,
            free_members: Arc::default(),
            thinking: Thinking::default(),
            priority: 0,
        }
    }

    /// The longest answer, in tokens, that is wanted of it, else that its vendor speaks of.
    #[must_use]
    pub fn longest_answer(&self) -> Option<u64> {
        self.output_cap.or(self.max_output)
    }

    /// The limit that a prompt of so many bytes is sent with if it sets none. There is none where both may not fit the context window,
    /// which some servers refuse: then the provider gives what the window leaves.
    #[must_use]
    pub fn cap(&self, prompt: usize) -> Option<u64> {
        self.output_cap.filter(|cap| self.fits(prompt, *cap))
    }

    /// Whether a prompt of so many bytes leaves room for an answer of so many tokens, by all experience.
    pub(crate) fn fits(&self, prompt: usize, answer: u64) -> bool {
        let prompt = prompt as u64 / BYTES_PER_TOKEN;
        let window = self.context_window;
        window.is_none_or(|window| prompt.saturating_add(answer) <= window)
    }

    /// Puts it on another rung.
    #[must_use]
    pub fn tier(mut self, tier: Tier) -> Self {
        self.tier = tier;
        self
    }

    /// Sets its price.
    #[must_use]
    pub fn price(mut self, price: Price) -> Self {
        self.price = Some(price);
        self
    }

    /// Sets what it can do.
    #[must_use]
    pub fn capabilities(mut self, all: impl IntoIterator<Item = Capability>) -> Self {
        self.capabilities = all.into_iter().collect();
        self
    }

    /// The price of `class`, if it is known. Waiting is never dearer than the usual; whoever does not wait may pay more.
    #[must_use]
    pub fn price_for(&self, class: ServiceClass) -> Option<&Price> {
        let own = match class {
            ServiceClass::Standard => None,
            ServiceClass::Batch => self.class_prices.batch.as_ref(),
            ServiceClass::Flex => self.class_prices.flex.as_ref(),
            ServiceClass::Priority if self.is_free() => None,
            ServiceClass::Priority => return self.class_prices.priority.as_ref(),
        };
        own.or(self.price.as_ref())
    }

    /// Whether it is known to cost nothing.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.price.is_some_and(|price| price.is_free())
    }
}
