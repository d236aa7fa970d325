//! What whoever makes or changes a key may say about it. These are all members there are: others are refused.

use std::time::SystemTime;

use rungs::{
    Error,
    catalog::Tier,
    model::OnExhaust,
    store::{Budget, KeyRecord, OnStoreDown, Role, Window, Zone},
};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Map, Value};

use super::{Expiry, Scope};

/// What can be said of a key now and changed later. What is not given stays; `null` takes away what a key can be without.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Terms {
    #[serde(deserialize_with = "something")]
    pub(crate) name: Option<String>,
    #[serde(deserialize_with = "given")]
    pub(crate) project: Option<Option<String>>,
    #[serde(deserialize_with = "something")]
    pub(crate) models: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    pub(crate) max_tier: Option<Option<Tier>>,
    #[serde(deserialize_with = "something")]
    pub(crate) routes: Option<Vec<Scope>>,
    #[serde(deserialize_with = "something")]
    pub(crate) budgets: Option<BudgetTexts>,
    /// Where the budgets have their midnight that name no time zone themselves.
    #[serde(deserialize_with = "something")]
    pub(crate) tz: Option<Zone>,
    #[serde(deserialize_with = "given")]
    pub(crate) warn_at: Option<Option<u8>>,
    #[serde(deserialize_with = "something")]
    pub(crate) on_exhaust: Option<OnExhaust>,
    #[serde(deserialize_with = "something")]
    pub(crate) on_store_down: Option<OnStoreDown>,
    #[serde(deserialize_with = "given")]
    pub(crate) rpm: Option<Option<u64>>,
    #[serde(deserialize_with = "given")]
    pub(crate) tpm: Option<Option<u64>>,
    #[serde(deserialize_with = "given")]
    pub(crate) expires: Option<Option<Expiry>>,
}

/// A key to be made: its terms, and what never changes. The role is no member: the API makes keys that call models.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub(crate) struct NewKey {
    pub(crate) tenant: Option<String>,
    pub(crate) parent: Option<String>,
    pub(crate) role: Role,
    pub(crate) terms: Terms,
}

/// Budgets as people write them, one text or a list, each one that can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Texts")]
pub(crate) struct BudgetTexts(Vec<String>);

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "budgets are texts like \"1/day\", one or a list of them"
)]
enum Texts {
    One(String),
    More(Vec<String>),
}

fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    d: D,
) -> Result<Option<Option<T>>, D::Error> {
    Deserialize::deserialize(d).map(Some)
}

/// Not `null`, which would look like a change and be none.
fn something<'de, T: Deserialize<'de>, D: Deserializer<'de>>(d: D) -> Result<Option<T>, D::Error> {
    let given = Option::deserialize(d)?.map(Some);
    given.ok_or_else(|| {
        D::Error::custom("null is nothing that it can be: leave it out, or say what it is to be")
    })
}

impl Terms {
    /// Puts what is given into `key`. Budgets that name no time zone get that of `tz`, or else that of the budgets that they replace,
    /// or else `zone`.
    pub(super) fn apply(&self, key: &mut KeyRecord, zone: &Zone, now: SystemTime) {
        fn set<T: Clone>(to: &mut T, given: Option<&T>) {
            if let Some(given) = given {
                to.clone_from(given);
            }
        }
        set(&mut key.name, self.name.as_ref());
        set(&mut key.project, self.project.as_ref());
        set(&mut key.models, self.models.as_ref());
        set(&mut key.max_tier, self.max_tier.as_ref());
        set(&mut key.warn_at, self.warn_at.as_ref());
        set(&mut key.on_exhaust, self.on_exhaust.as_ref());
        set(&mut key.on_store_down, self.on_store_down.as_ref());
        set(&mut key.rpm, self.rpm.as_ref());
        set(&mut key.tpm, self.tpm.as_ref());
        if let Some(routes) = &self.routes {
            key.routes = routes.iter().map(|scope| scope.as_str().into()).collect();
        }
        if let Some(expires) = self.expires {
            key.expires = expires.map(|expiry| expiry.moment(now));
        }
        match (&self.budgets, &self.tz) {
            (Some(budgets), Some(zone)) => key.budgets = budgets.in_zone(zone),
            (Some(budgets), None) => {
                // One over all time has no midnight.
                let mut before = key.budgets.iter().map(|budget| &budget.window);
                let before = before.find(|window| **window != Window::TOTAL);
                let before = before.map(Window::zone);
                key.budgets = budgets.in_zone(&before.unwrap_or(zone).clone());
            }
            (None, Some(zone)) => {
                let budgets = std::mem::take(&mut key.budgets).into_iter();
                key.budgets = budgets.map(|b| b.in_zone(zone.clone())).collect();
            }
            (None, None) => {}
        }
    }
}

/// What a key is never without, so that `null` takes nothing away from one that is there. In a new one it says nothing.
const NEVER_NULL: [&str; 7] = [
    "name",
    "models",
    "routes",
    "budgets",
    "tz",
    "on_exhaust",
    "on_store_down",
];

impl TryFrom<Map<String, Value>> for NewKey {
    type Error = serde_json::Error;

    fn try_from(mut members: Map<String, Value>) -> Result<Self, serde_json::Error> {
        members.retain(|name, value| !value.is_null() || !NEVER_NULL.contains(&&**name));
        let mut take = |name| {
            let value = members.remove(name).unwrap_or_default();
            Option::<String>::deserialize(value)
        };
        Ok(Self {
            tenant: take("tenant")?,
            parent: take("parent")?,
            role: Role::User,
            terms: Terms::deserialize(Value::Object(members))?,
        })
    }
}

impl BudgetTexts {
    /// The budgets; those that name no time zone are in `zone`.
    pub(crate) fn in_zone(&self, zone: &Zone) -> Vec<Budget> {
        let read = |text: &String| {
            let budget: Budget = text.parse().ok()?;
            Some(match text.contains(' ') {
                true => budget,
                false => budget.in_zone(zone.clone()),
            })
        };
        self.0.iter().filter_map(read).collect()
    }
}

impl TryFrom<Vec<String>> for BudgetTexts {
    type Error = Error;

    fn try_from(texts: Vec<String>) -> Result<Self, Error> {
        for text in &texts {
            text.parse::<Budget>()?;
        }
        Ok(Self(texts))
    }
}

impl TryFrom<Texts> for BudgetTexts {
    type Error = Error;

    fn try_from(texts: Texts) -> Result<Self, Error> {
        Self::try_from(match texts {
            Texts::One(text) => vec![text],
            Texts::More(texts) => texts,
        })
    }
}
