//! `rungs leases`: for operators of gateways that share a PostgreSQL.

use std::{io::Write, process::ExitCode};

use anyhow::bail;
use rungs::store::postgres::PostgresStore;

use super::{output::Output, serve::runtime, world};
use crate::{
    cli::{LeasesArgs, LeasesVerb},
    config::StoreUrl,
};

/// Works on the configured store, beside the gateways that run on it.
pub(crate) fn run(args: &LeasesArgs) -> anyhow::Result<ExitCode> {
    let config = world::load(&args.config)?;
    let StoreUrl::Postgres(url) = &config.store.url else {
        bail!("only budgets in PostgreSQL are leased: one process holds all of its own");
    };
    runtime()?.block_on(async {
        let store = PostgresStore::new(url.expose(), 1)?;
        let mut out = Output::default();
        match &args.verb {
            LeasesVerb::List => {
                for holder in store.holders().await? {
                    let seen = match holder.silent {
                        Some(silent) => format!("heard of {} s ago", silent.as_secs()),
                        None => "ended in order".to_owned(),
                    };
                    writeln!(out, "{}  {seen}  ${} out", holder.name, holder.out)?;
                }
            }
            LeasesVerb::Close { holder, sure } => match store.close_dead(holder, *sure).await? {
                Some(lost) => writeln!(out, "closed {holder}; ${lost} count as spent")?,
                None => bail!(
                    "there is no holder `{holder}`, or it may be alive: its leases are good still. If you know that it is dead, add --sure"
                ),
            },
        }
        Ok(ExitCode::SUCCESS)
    })
}
