use serde::Serialize;

use super::{End, TokenBound, Usage};
use crate::{
    catalog::{Deployment, Money},
    error::Error,
};

/// What an attempt is charged: the one rule for the ledger and for budgets, so that they cannot disagree.
///
/// Nothing is charged below zero. Tokens that the request cannot have used are not believed: of input or output, whichever it is, as
/// many as it can have used are charged at their dearest, and it says so. A cost that the provider reports is believed, also above the
/// worst case, because that is what it will bill; then it says so too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// The cost.
    pub cost: Money,
    /// How it is known.
    pub source: CostSource,
    /// The tokens, as far as they are believed; an estimate where the provider did not tell.
    pub usage: Option<Usage>,
    /// What the provider told that it cannot mean, or that it should not have charged.
    pub violation: Option<Violation>,
}

/// How a cost is known. None is an estimate: what nobody tells is charged at its worst case, and [`Unknown`](Self::Unknown).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CostSource {
    /// The provider told the cost itself.
    Reported,
    /// Reported tokens times the price list.
    Computed,
    /// The attempt may have cost something, but nothing tells how much.
    Unknown,
    /// It cost nothing: not sent, refused without an answer, or served from the cache.
    Nothing,
}

impl CostSource {
    /// The name in the ledger.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Computed => "computed",
            Self::Unknown => "unknown",
            Self::Nothing => "nothing",
        }
    }

    /// The source of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Reported, Self::Computed, Self::Unknown, Self::Nothing]
            .into_iter()
            .find(|source| source.as_str() == name)
    }
}

/// How a provider broke the bound of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// It told more tokens than there can be, or a negative number: they were clamped to the bound.
    Tokens,
    /// It charged more than its price list says, or an amount that is none.
    Cost,
}

impl Violation {
    /// The name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Cost => "cost",
        }
    }
}

/// How an attempt ended, as far as its cost goes.
#[derive(Debug, Clone, Copy)]
pub enum Ending<'a> {
    /// With a complete answer.
    Complete(&'a End),
    /// Before its answer began.
    Unanswered(&'a Error),
    /// Within its answer, or nobody waited for it.
    Partial,
}

/// No attempt comes near; a larger amount is a defect of the provider, and believing it would empty a budget.
const ABSURD: Money = Money::from_nanos(10_000 * 1_000_000_000);

impl Charge {
    /// The charge of an attempt at `deployment`.
    ///
    /// `bound` is `None` where nothing bounds the output: no budget lets such an attempt pass. `seen` are the tokens that can be
    /// told from what went over the wire.
    #[must_use]
    pub fn of(
        deployment: &Deployment,
        bound: Option<TokenBound>,
        ending: Ending<'_>,
        seen: Usage,
    ) -> Self {
        let told = match ending {
            Ending::Unanswered(error) if error.is_unbilled() => return Self::nothing(None),
            Ending::Complete(end) => Told::new(deployment, bound, end),
            Ending::Unanswered(_) | Ending::Partial => Told {
                bound,
                ..Told::default()
            },
        };
        let worst = told.bound.and_then(|bound| bound.cost(deployment));
        let mut violation = told.violation;
        let (cost, source) = match (told.reported, told.computed) {
            (Some(cost), _) => (cost, CostSource::Reported),
            (None, Some(cost)) => (cost, CostSource::Computed),
            (None, None) if deployment.is_free() => (Money::ZERO, CostSource::Nothing),
            (None, None) => {
                let usage = told.usage.unwrap_or(seen);
                let least = || deployment.price.map(|price| usage.cost(&price));
                let cost = worst.or_else(least).unwrap_or_default();
                (cost, CostSource::Unknown)
            }
        };
        if worst.is_some_and(|worst| cost > worst) {
            violation = violation.or(Some(Violation::Cost));
        }
        Self {
            cost,
            source,
            usage: told.usage.or(Some(seen)),
            violation,
        }
    }

    /// The charge of what was not sent, refused, or answered from a cache.
    #[must_use]
    pub const fn nothing(usage: Option<Usage>) -> Self {
        Self {
            cost: Money::ZERO,
            source: CostSource::Nothing,
            usage,
            violation: None,
        }
    }

    /// Whether its tokens, and with them its cost, were clamped to the bound of the request.
    #[must_use]
    pub fn is_clamped(&self) -> bool {
        self.violation == Some(Violation::Tokens)
    }
}

/// What the end of an answer tells, as far as it is believed.
#[derive(Default)]
struct Told {
    usage: Option<Usage>,
    reported: Option<Money>,
    computed: Option<Money>,
    /// The bound of the request, or of as much of it as is believed to be used.
    bound: Option<TokenBound>,
    violation: Option<Violation>,
}

impl Told {
    fn new(deployment: &Deployment, bound: Option<TokenBound>, end: &End) -> Self {
        let price = deployment.price_for(end.class);
        let mut told = Self {
            usage: end.usage,
            computed: end.usage.zip(price).map(|(usage, price)| usage.cost(price)),
            bound,
            ..Self::default()
        };
        match end.reported_cost {
            Some(cost) if cost < Money::ZERO || cost > ABSURD => {
                told.violation = Some(Violation::Cost);
            }
            // Servers that do not know what they charge say zero too.
            Some(Money::ZERO) if told.computed != Some(Money::ZERO) => {}
            reported => told.reported = reported,
        }
        let is_unpriced = price.is_none() && deployment.price.is_some();
        if is_unpriced && end.usage.is_some() && told.reported.is_none() {
            // It was served in a class that has no price: its cost is anybody's guess.
            told.violation = Some(Violation::Cost);
        }
        if let (Some(usage), Some(bound)) = (end.usage, bound)
            && !bound.admits(&usage)
        {
            let within = bound.clamp(usage);
            let bound = bound.narrowed(&within);
            let worst = bound.cost(deployment);
            told = Self {
                usage: Some(within),
                // Who is wrong about the tokens is believed about the cost only where it is dearer.
                reported: told.reported.filter(|cost| Some(*cost) > worst),
                computed: None,
                bound: Some(bound),
                violation: Some(Violation::Tokens),
            };
        }
        told
    }
}
