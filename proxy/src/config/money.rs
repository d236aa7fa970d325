use std::sync::Arc;

use rungs::{
    catalog::Money,
    store::{Budget, Zone},
};
use serde::Deserialize;

use super::{World, error::Faults, secret::SecretSpec, webhook::Webhook};
use crate::{accounts::Terms, keys::BudgetTexts};

/// What a budget says to a model without a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unpriced {
    /// It may not be called: nobody knows what it costs.
    #[default]
    Refuse,
    /// It may be called, and counts nothing.
    Allow,
}

/// `[budget]`: money.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BudgetRules {
    /// Caps over all keys together.
    global: BudgetTexts,
    /// Caps for each end user that clients name.
    per_user: BudgetTexts,
    /// Where budgets have their midnight that do not say.
    pub(crate) tz: Zone,
    /// Models without a price.
    pub(crate) unpriced: Unpriced,
    /// Somebody is told of a call that costs more.
    pub(crate) alert: Option<Money>,
    /// At how many percent of a budget there is a warning, for accounts that do not say; 0 is never.
    warn_at: u8,
    /// Who is told beside the log.
    webhook: Option<String>,
    webhook_secret: Option<SecretSpec>,
    webhook_allow_private: bool,
}

impl Default for BudgetRules {
    fn default() -> Self {
        Self {
            global: BudgetTexts::default(),
            per_user: BudgetTexts::default(),
            tz: Zone::default(),
            unpriced: Unpriced::default(),
            alert: None,
            warn_at: 80,
            webhook: None,
            webhook_secret: None,
            webhook_allow_private: false,
        }
    }
}

impl BudgetRules {
    /// Caps over all keys together.
    pub(crate) fn global(&self) -> Vec<Budget> {
        self.global.in_zone(&self.tz)
    }

    /// Caps for each end user.
    pub(crate) fn per_user(&self) -> Vec<Budget> {
        self.per_user.in_zone(&self.tz)
    }

    /// At how many percent of a budget there is a warning, for accounts that do not say.
    pub(crate) fn warn_at(&self) -> Option<u8> {
        (self.warn_at > 0).then_some(self.warn_at)
    }

    /// Checks what only makes sense together, and fetches the webhook's secret.
    pub(super) fn resolve(&self, world: &World<'_>, faults: &mut Faults<'_>) -> Option<Webhook> {
        check_budgets(&self.global(), "budget.global", faults);
        check_budgets(&self.per_user(), "budget.per_user", faults);
        if self.warn_at > 0 {
            check_percent(Some(self.warn_at), "budget.warn_at", faults);
        }
        let Some(url) = &self.webhook else {
            if self.webhook_secret.is_some() {
                faults.at("budget.webhook_secret", "is of no use without `webhook`");
            }
            return None;
        };
        let webhook = Webhook::checked(url, self.webhook_allow_private)
            .map_err(|why| faults.at("budget.webhook", why))
            .ok()?;
        let Some(secret) = &self.webhook_secret else {
            return Some(webhook);
        };
        secret
            .resolve(world)
            .and_then(|secret| webhook.bearer(&secret))
            .map_err(|why| faults.at("budget.webhook_secret", why))
            .ok()
    }
}

/// `[[project]]` as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProjectSpec {
    name: String,
    #[serde(rename = "budget")]
    budgets: BudgetTexts,
    tz: Option<Zone>,
    warn_at: Option<u8>,
}

/// Keys that share budgets.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    /// Its name, unique.
    pub(crate) name: Arc<str>,
    /// Its budgets, and when somebody is warned of them.
    pub(crate) terms: Terms,
}

/// Checks the projects; budgets that name no time zone are in `zone`.
pub(super) fn projects(
    specs: &[ProjectSpec],
    zone: &Zone,
    faults: &mut Faults<'_>,
) -> Vec<Project> {
    let mut projects: Vec<Project> = Vec::new();
    for (n, spec) in specs.iter().enumerate() {
        let path = format!("project[{n}]");
        if spec.name.trim().is_empty() {
            faults.at(&format!("{path}.name"), "is empty");
        }
        if projects.iter().any(|other| *other.name == *spec.name) {
            let what = format_args!("there are two projects `{}`", spec.name);
            faults.at(&format!("{path}.name"), what);
        }
        let budgets = spec.budgets.in_zone(spec.tz.as_ref().unwrap_or(zone));
        check_budgets(&budgets, &format!("{path}.budget"), faults);
        check_percent(spec.warn_at, &format!("{path}.warn_at"), faults);
        projects.push(Project {
            name: spec.name.as_str().into(),
            terms: Terms {
                budgets,
                warn_at: spec.warn_at,
                ..Terms::default()
            },
        });
    }
    projects
}

/// Two budgets over one window are a slip: only the smaller would ever be met.
pub(super) fn check_budgets(budgets: &[Budget], path: &str, faults: &mut Faults<'_>) {
    for (n, budget) in budgets.iter().enumerate() {
        if budgets[..n].iter().any(|b| b.window == budget.window) {
            faults.at(
                path,
                format_args!("there are two budgets per {}", budget.window),
            );
        }
    }
}

/// A mark that no budget can reach, or that is always passed, is a slip.
fn check_percent(percent: Option<u8>, path: &str, faults: &mut Faults<'_>) {
    if percent.is_some_and(|percent| !(1..=100).contains(&percent)) {
        faults.at(path, "is a percentage from 1 to 100");
    }
}
