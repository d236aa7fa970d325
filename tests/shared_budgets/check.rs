use crate::{part::Stands, upstream, world::Run};

impl Run<'_> {
    /// Compares what the provider has billed with what was allowed and what was written down, at rest. Returns how many percent of
    /// the budget were spent, or all that is wrong.
    pub(crate) fn check(&self) -> Result<f64, Vec<String>> {
        let bills = self.bills();
        let billed: i64 = bills.iter().sum();
        let limit = self.part.limit;
        let mut wrong = Vec::new();
        let mut must = |holds: bool, what: String| {
            if !holds {
                wrong.push(what);
            }
        };
        must(billed <= limit, format!("overspent: {billed} of {limit}"));
        let ledger = self.ledger();
        must(
            ledger <= limit,
            format!("overspent: {ledger} of {limit} are written down"),
        );
        must(
            bills.iter().all(|bill| *bill <= upstream::held()),
            "a bill beyond its bound".to_owned(),
        );
        let mut used = 0.0_f64;
        for stands in self.stands() {
            let Stands {
                posted,
                reserved,
                excess,
                unexplained,
                ..
            } = stands;
            must(reserved == 0, format!("reserved at rest: {stands:?}"));
            must(
                excess == 0,
                format!("overspent beyond the limit: {stands:?}"),
            );
            must(
                posted + excess == ledger + unexplained,
                format!("posted is not the ledger: {stands:?}"),
            );
            must(
                posted >= billed,
                format!("less than the bill of {billed}: {stands:?}"),
            );
            must(posted <= stands.limit, format!("overspent: {stands:?}"));
            if stands.account == "key:k" {
                used = posted as f64 * 100.0 / limit as f64;
            }
        }
        match wrong.is_empty() {
            true => Ok(used),
            false => Err(wrong),
        }
    }

    /// What the rows of the key sum up to, whoever has budgets.
    fn ledger(&self) -> i64 {
        let sql = "SELECT COALESCE(sum(cost_nanos), 0) FROM llm_calls WHERE key_id = 'k'";
        self.ask(sql).trim().parse().expect("a number")
    }

    fn stands(&self) -> Vec<Stands> {
        if self.is_alone() {
            return self.stands.clone();
        }
        let sql = "SELECT account, limit_nanos, posted_nanos, granted_nanos, excess_nanos, unexplained_nanos FROM budgets";
        let text = self.ask(sql);
        text.lines()
            .map(|line| {
                let cells: Vec<_> = line.split('|').collect();
                let number = |i: usize| cells[i].parse().expect("a number");
                Stands {
                    account: cells[0].to_owned(),
                    limit: number(1),
                    posted: number(2),
                    reserved: number(3),
                    excess: number(4),
                    unexplained: number(5),
                }
            })
            .collect()
    }
}
