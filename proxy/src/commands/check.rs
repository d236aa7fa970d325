//! `rungs check`: read a configuration and say what is wrong with it, offline.

use std::{collections::BTreeMap, io::Write, process::ExitCode};

use super::{output::Output, world};
use crate::{
    cli::ConfigArgs,
    config::{CONFIGURED, Catalog},
};

/// Prints the warnings and a summary; errors are the caller's to print.
pub(crate) fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let config = world::load(args)?;
    let mut out = Output::default();
    for warning in &config.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    // Keys in the store cannot be seen offline; a bind that only they allow is accepted here and checked again at the start.
    config.check_bind(true)?;
    let catalog = Catalog::new(&config);
    writeln!(
        out,
        "ok: {} providers, {} models, tiers {}",
        config.providers.len(),
        catalog.deployments().len(),
        catalog
            .tiers()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" "),
    )?;
    writeln!(out, "prices: {}", prices(&catalog))?;
    Ok(ExitCode::SUCCESS)
}

/// How many prices come from where.
fn prices(catalog: &Catalog) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for deployment in catalog.deployments() {
        let from = match deployment.price_version.as_deref() {
            Some(CONFIGURED) => "configured".to_owned(),
            Some(version) => format!("from the list {version}"),
            None => "not known".to_owned(),
        };
        *counts.entry(from).or_default() += 1;
    }
    let counts = counts.into_iter().map(|(from, n)| format!("{n} {from}"));
    counts.collect::<Vec<_>>().join(", ")
}
