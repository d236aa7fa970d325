use std::sync::Arc;

use rungs::{
    catalog::Money,
    store::{Budget, Zone},
};
use serde::Deserialize;

use super::error::Faults;
use crate::keys::BudgetTexts;

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
#[derive(Debug, Clone, Default, Deserialize)]
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
    /// A call that costs more leaves a warning in the log.
    pub(crate) alert: Option<Money>,
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
}

/// `[[project]]` as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProjectSpec {
    name: String,
    #[serde(rename = "budget")]
    budgets: BudgetTexts,
    tz: Option<Zone>,
}

/// Keys that share budgets.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    /// Its name, unique.
    pub(crate) name: Arc<str>,
    /// Its budgets, all in force at once.
    pub(crate) budgets: Vec<Budget>,
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
        projects.push(Project {
            name: spec.name.as_str().into(),
            budgets,
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
