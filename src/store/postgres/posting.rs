use std::{collections::BTreeMap, sync::Arc};

use sqlx::{PgConnection, Row};

use super::{
    rows::millis,
    standing::{self, Ids, Locked, lease_columns},
};
use crate::store::{
    LedgerRow,
    lease::{BudgetId, Granted},
};

/// Keeps the birth of a budget, which sums up the ledger, apart from rows that are on their way into it.
const BIRTHS: i64 = 0x7275_6e67_7331;

/// What new rows cost, per account.
type Costs = BTreeMap<Arc<str>, Vec<Cost>>;

#[derive(Clone, Copy)]
struct Cost {
    started: i64,
    nanos: i64,
}

/// A lease of the holder whose rows these are.
struct Lease {
    epoch: i64,
    granted: Granted,
    changed: bool,
}

/// No budget is born until the transaction ends. To be called before rows are inserted.
pub(super) async fn no_births(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock_shared($1)")
        .bind(BIRTHS)
        .execute(connection)
        .await?;
    Ok(())
}

/// No rows arrive until the transaction ends. To be called before budgets are locked.
pub(super) async fn no_rows(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(BIRTHS)
        .execute(connection)
        .await?;
    Ok(())
}

/// Counts rows that were just inserted: moves what they cost from granted to posted, in each budget of each account that pays, over
/// the window in which the attempt began. The sum of both does not change, so this cannot fail on a limit.
pub(super) async fn post(
    connection: &mut PgConnection,
    holder: &str,
    rows: &[&LedgerRow],
) -> Result<(), sqlx::Error> {
    let mut costs = Costs::new();
    for row in rows.iter().filter(|row| row.cost.nanos() > 0) {
        let cost = Cost {
            started: millis(row.started),
            nanos: row.cost.nanos(),
        };
        for account in &*row.accounts {
            costs.entry(account.clone()).or_default().push(cost);
        }
    }
    let starts = || costs.values().flatten().map(|cost| cost.started);
    let (Some(first), Some(last)) = (starts().min(), starts().max()) else {
        return Ok(());
    };
    let accounts: Vec<_> = costs.keys().cloned().collect();
    let mut budgets = standing::lock_during(connection, &accounts, first, last).await?;
    if budgets.is_empty() {
        return Ok(());
    }
    let mut leases = leases(connection, holder, &budgets).await?;
    for budget in &mut budgets {
        let start = millis(budget.id.start);
        let costs = costs.get(&budget.id.account).into_iter().flatten();
        let own = leases.entry(budget.id.clone()).or_default();
        for cost in costs.filter(|c| (start..budget.end_ms).contains(&c.started)) {
            let leased = take(own, *cost);
            budget.standing.post(leased, cost.nanos - leased);
        }
    }
    standing::save(connection, &budgets).await?;
    save(connection, holder, &leases).await
}

/// Takes what an attempt has cost from the lease that it was held from: the newest that was there when it began. No other lease may
/// pay for it: its holder would not know.
fn take(leases: &mut [Lease], cost: Cost) -> i64 {
    let mut newest = leases.iter_mut().rev();
    let own = newest.find(|lease| millis(lease.granted.began) <= cost.started);
    own.map_or(0, |lease| {
        lease.changed = true;
        lease.granted.take(cost.nanos)
    })
}

/// The holder's leases on locked budgets, oldest first.
async fn leases(
    connection: &mut PgConnection,
    holder: &str,
    budgets: &[Locked],
) -> Result<BTreeMap<BudgetId, Vec<Lease>>, sqlx::Error> {
    let ids = Ids::of(budgets.iter().map(|budget| &budget.id));
    let rows = sqlx::query(concat!(
        "SELECT ",
        lease_columns!(),
        " FROM leases \
         JOIN unnest($1::TEXT[], $2::TEXT[], $3::BIGINT[]) AS wanted (account, span, start_ms) USING (account, span, start_ms) \
         WHERE holder = $4 ORDER BY opened_ms",
    ))
    .bind(ids.account)
    .bind(ids.span)
    .bind(ids.start)
    .bind(holder)
    .fetch_all(connection)
    .await?;
    let mut leases: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in &rows {
        leases.entry(standing::id(row)?).or_default().push(Lease {
            epoch: row.try_get("epoch")?,
            granted: standing::granted(row)?,
            changed: false,
        });
    }
    Ok(leases)
}

async fn save(
    connection: &mut PgConnection,
    holder: &str,
    leases: &BTreeMap<BudgetId, Vec<Lease>>,
) -> Result<(), sqlx::Error> {
    let changed = || {
        leases.iter().flat_map(|(id, leases)| {
            let changed = leases.iter().filter(|lease| lease.changed);
            changed.map(move |lease| (id, lease))
        })
    };
    if changed().next().is_none() {
        return Ok(());
    }
    let ids = Ids::of(changed().map(|(id, _)| id));
    let column = |of: fn(&Lease) -> i64| -> Vec<i64> { changed().map(|(_, l)| of(l)).collect() };
    sqlx::query(
        "UPDATE leases SET spent_nanos = n.spent, beyond_nanos = n.beyond FROM \
         unnest($1::TEXT[], $2::TEXT[], $3::BIGINT[], $5::BIGINT[], $6::BIGINT[], $7::BIGINT[]) \
         AS n (account, span, start_ms, epoch, spent, beyond) \
         WHERE leases.account = n.account AND leases.span = n.span AND leases.start_ms = n.start_ms \
         AND leases.epoch = n.epoch AND leases.holder = $4",
    )
    .bind(ids.account)
    .bind(ids.span)
    .bind(ids.start)
    .bind(holder)
    .bind(column(|l| l.epoch))
    .bind(column(|l| l.granted.spent))
    .bind(column(|l| l.granted.beyond))
    .execute(connection)
    .await?;
    Ok(())
}
