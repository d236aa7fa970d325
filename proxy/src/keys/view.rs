use std::{collections::HashMap, path::Path, sync::Arc, time::SystemTime};

use rungs::{
    Error,
    catalog::{Money, Tier},
    model::OnExhaust,
    store::{
        AccountBalance, Balance, Budget, KeyRecord, Ledger, OnStoreDown, Role, journal::under_way,
        postgres::PostgresKeys, sqlite::SqliteKeys,
    },
};
use serde::Serialize;

use super::rfc3339;
use crate::accounts::{self, Book};

/// A key as it is shown: all but its secret.
#[derive(Debug, Serialize)]
pub(crate) struct KeyView {
    id: String,
    name: String,
    role: Role,
    tenant: String,
    parent: Option<String>,
    project: Option<String>,
    models: Vec<String>,
    max_tier: Option<Tier>,
    routes: Vec<String>,
    budgets: Vec<BudgetView>,
    warn_at: Option<u8>,
    on_exhaust: OnExhaust,
    on_store_down: OnStoreDown,
    rpm: Option<u64>,
    tpm: Option<u64>,
    created: String,
    expires: Option<String>,
    #[serde(skip)]
    expired: bool,
    /// Until when the secret before the last rotation opens.
    grace: Option<String>,
    revoked: bool,
    revoked_at: Option<String>,
}

/// A budget and how it stands.
#[derive(Debug, Serialize)]
pub(crate) struct BudgetView {
    budget: Budget,
    limit: Money,
    posted: Money,
    reserved: Money,
    resets: Option<String>,
    /// The database could not be asked: more may have been spent by other processes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

/// Where it is written what was spent.
pub(crate) enum Books<'a> {
    /// The gateway's own.
    Running(&'a Book, &'a dyn Ledger),
    /// A database on which a gateway may run, and the folder of its journal, which tells what is under way.
    File(&'a SqliteKeys, &'a Path),
    /// A database that processes share. What they hold they have out in leases.
    Database(&'a PostgresKeys),
}

impl KeyView {
    /// A key, with how its budgets stand.
    pub(crate) async fn of(key: KeyRecord, books: &Books<'_>) -> Result<Self, Error> {
        let standings = books.stand_alone(&key).await?;
        Ok(Self::with(key, standings))
    }

    /// A key that was just made or changed. That it cannot be told how its budgets stand is no reason to say that it was not.
    pub(crate) async fn changed(key: KeyRecord, books: &Books<'_>) -> Self {
        let standings = books.stand_alone(&key).await.unwrap_or_else(|error| {
            tracing::warn!(%error, key = key.id, "how the budgets of the key stand cannot be read");
            unread(&key)
        });
        Self::with(key, standings)
    }

    /// The same of many, where the books are asked once.
    pub(crate) async fn all(keys: Vec<KeyRecord>, books: &Books<'_>) -> Result<Vec<Self>, Error> {
        let standings = books.stand(&keys).await?;
        let views = keys.into_iter().zip(standings);
        Ok(views.map(|(key, own)| Self::with(key, own)).collect())
    }

    fn with(key: KeyRecord, standings: Vec<AccountBalance>) -> Self {
        let now = SystemTime::now();
        let grace = key.previous.map(|secret| secret.until);
        Self {
            id: key.id,
            name: key.name,
            role: key.role,
            tenant: key.tenant,
            parent: key.parent,
            project: key.project,
            models: key.models,
            max_tier: key.max_tier,
            routes: key.routes,
            budgets: standings.into_iter().map(BudgetView::of).collect(),
            warn_at: key.warn_at,
            on_exhaust: key.on_exhaust,
            on_store_down: key.on_store_down,
            rpm: key.rpm,
            tpm: key.tpm,
            created: rfc3339(key.created),
            expires: key.expires.map(rfc3339),
            expired: key.expires.is_some_and(|end| end <= now),
            grace: grace.filter(|until| *until > now).map(rfc3339),
            revoked: key.revoked.is_some(),
            revoked_at: key.revoked.map(rfc3339),
        }
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let Self {
            id, name, tenant, ..
        } = self;
        let mut line = format!("{id}  {name}  {tenant}");
        for budget in &self.budgets {
            let BudgetView {
                budget,
                posted,
                reserved,
                ..
            } = budget;
            line += &format!("  ${posted} of ${budget}");
            if !reserved.is_zero() {
                line += &format!(" (${reserved} held)");
            }
        }
        if self.budgets.is_empty() {
            line += "  no budget";
        }
        if self.role == Role::Admin {
            line += "  admin";
        }
        if self.revoked {
            line += "  revoked";
        } else if self.expired {
            line += "  expired";
        }
        line
    }
}

/// When a budget begins anew; `None` if it never does.
pub(crate) fn resets(budget: &Budget) -> Option<String> {
    budget.window.end(SystemTime::now()).map(rfc3339)
}

/// Its budgets where nobody can tell what was spent.
fn unread(key: &KeyRecord) -> Vec<AccountBalance> {
    let account = accounts::of_key(&key.id);
    let budgets = key.budgets.iter();
    let unread = budgets.map(|budget| standing(&account, budget, Money::ZERO, Money::ZERO, true));
    unread.collect()
}

fn standing(
    account: &Arc<str>,
    budget: &Budget,
    posted: Money,
    reserved: Money,
    is_stale: bool,
) -> AccountBalance {
    AccountBalance {
        account: Arc::clone(account),
        balance: Balance {
            budget: budget.clone(),
            posted,
            reserved,
        },
        is_stale,
    }
}

impl BudgetView {
    pub(crate) fn of(standing: AccountBalance) -> Self {
        let balance = standing.balance;
        Self {
            stale: standing.is_stale,
            limit: balance.budget.limit,
            posted: balance.posted,
            reserved: balance.reserved,
            resets: resets(&balance.budget),
            budget: balance.budget,
        }
    }
}

impl Books<'_> {
    /// How the budgets of `keys` stand, key by key.
    async fn stand(&self, keys: &[KeyRecord]) -> Result<Vec<Vec<AccountBalance>>, Error> {
        match self {
            Self::Running(book, ledger) => running(book, *ledger, keys).await,
            Self::File(file, journal) => beside(file, journal, keys).await,
            Self::Database(database) => {
                let budgets = keys.iter().flat_map(|key| {
                    let account = accounts::of_key(&key.id);
                    let budgets = key.budgets.iter();
                    budgets.map(move |budget| (Arc::clone(&account), budget.clone()))
                });
                let mut all = database.stand(budgets.collect()).await?.into_iter();
                let own = |key: &KeyRecord| all.by_ref().take(key.budgets.len()).collect();
                Ok(keys.iter().map(own).collect())
            }
        }
    }

    async fn stand_alone(&self, key: &KeyRecord) -> Result<Vec<AccountBalance>, Error> {
        let all = self.stand(std::slice::from_ref(key)).await?;
        Ok(all.into_iter().flatten().collect())
    }
}

async fn running(
    book: &Book,
    ledger: &dyn Ledger,
    keys: &[KeyRecord],
) -> Result<Vec<Vec<AccountBalance>>, Error> {
    let accounts: Vec<_> = keys.iter().map(|key| accounts::of_key(&key.id)).collect();
    let mut open: HashMap<Arc<str>, Vec<AccountBalance>> = HashMap::new();
    for one in book.stand(&accounts).await? {
        open.entry(Arc::clone(&one.account)).or_default().push(one);
    }
    let mut all = Vec::with_capacity(keys.len());
    for (key, account) in keys.iter().zip(&accounts) {
        let known = open.remove(account).unwrap_or_default();
        if known.iter().map(|one| &one.balance.budget).eq(&key.budgets) {
            all.push(known);
            continue;
        }
        // Nobody has called with it in this process.
        let mut standings = Vec::with_capacity(key.budgets.len());
        for budget in &key.budgets {
            let (since, until) = budget.window.span(SystemTime::now());
            let posted = ledger.spent(account, since, until).await?;
            standings.push(standing(account, budget, posted, Money::ZERO, false));
        }
        all.push(standings);
    }
    Ok(all)
}

async fn beside(
    file: &SqliteKeys,
    journal: &Path,
    keys: &[KeyRecord],
) -> Result<Vec<Vec<AccountBalance>>, Error> {
    // Before what is spent, so that a call that ends meanwhile is not missed. One that has ended and is not shipped yet is in neither.
    let held = under_way(journal)?;
    let mut all = Vec::with_capacity(keys.len());
    for key in keys {
        let account = accounts::of_key(&key.id);
        let mut standings = Vec::with_capacity(key.budgets.len());
        for budget in &key.budgets {
            let (since, until) = budget.window.span(SystemTime::now());
            let posted = file.spent(&account, since, until).await?;
            let held = held.iter().filter(|row| row.is_of(since, until));
            let held = held.filter(|row| row.accounts.contains(&account));
            let reserved = held.map(|row| row.cost).sum();
            standings.push(standing(&account, budget, posted, reserved, false));
        }
        all.push(standings);
    }
    Ok(all)
}
