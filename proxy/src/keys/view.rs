use std::{collections::HashMap, sync::Arc, time::SystemTime};

use rungs::{
    Error,
    catalog::{Money, Tier},
    model::OnExhaust,
    store::{
        AccountBalance, Balance, Budget, KeyRecord, Ledger, OnStoreDown, Role,
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

/// How accounts stand that are open in this process, by their names.
type Open = HashMap<Arc<str>, Vec<AccountBalance>>;

/// Where it is written what was spent.
pub(crate) enum Books<'a> {
    /// The gateway's own: what is held is known as well.
    Running(&'a Book, &'a dyn Ledger),
    /// The database alone. What a running gateway holds for calls under way is not in it and counts as nothing.
    File(&'a SqliteKeys),
    /// The same for a database that processes share.
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

    /// The same of many, where what is open is asked for once.
    pub(crate) async fn all(keys: Vec<KeyRecord>, books: &Books<'_>) -> Result<Vec<Self>, Error> {
        let open = books.open(&keys).await?;
        let mut views = Vec::with_capacity(keys.len());
        for key in keys {
            let standings = books.stand(&key, &open).await?;
            views.push(Self::with(key, standings));
        }
        Ok(views)
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
            let BudgetView { budget, posted, .. } = budget;
            line += &format!("  ${posted} of ${budget}");
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
    let unread = budgets.map(|budget| standing(&account, budget, Money::ZERO, true));
    unread.collect()
}

/// How a budget stands of which nothing is known to be held.
fn standing(account: &Arc<str>, budget: &Budget, posted: Money, is_stale: bool) -> AccountBalance {
    AccountBalance {
        account: Arc::clone(account),
        balance: Balance {
            budget: budget.clone(),
            posted,
            reserved: Money::ZERO,
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
    /// How accounts stand that are open in this process.
    async fn open(&self, keys: &[KeyRecord]) -> Result<Open, Error> {
        let mut open = Open::new();
        if let Self::Running(book, _) = self {
            let accounts: Vec<_> = keys.iter().map(|key| accounts::of_key(&key.id)).collect();
            for standing in book.stand(&accounts).await? {
                let account = Arc::clone(&standing.account);
                open.entry(account).or_default().push(standing);
            }
        }
        Ok(open)
    }

    async fn stand_alone(&self, key: &KeyRecord) -> Result<Vec<AccountBalance>, Error> {
        let open = self.open(std::slice::from_ref(key)).await?;
        self.stand(key, &open).await
    }

    async fn stand(&self, key: &KeyRecord, open: &Open) -> Result<Vec<AccountBalance>, Error> {
        let account = accounts::of_key(&key.id);
        if let Some(open) = open.get(&account)
            && open.iter().map(|one| &one.balance.budget).eq(&key.budgets)
        {
            return Ok(open.clone());
        }
        // Nobody has called with it in this process.
        let mut standings = Vec::with_capacity(key.budgets.len());
        for budget in &key.budgets {
            let (since, until) = budget.window.span(SystemTime::now());
            let posted = match self {
                Self::Running(_, ledger) => ledger.spent(&account, since, until).await?,
                Self::File(file) => file.spent(&account, since, until).await?,
                Self::Database(database) => database.spent(&account, since, until).await?,
            };
            standings.push(standing(&account, budget, posted, false));
        }
        Ok(standings)
    }
}
