//! `rungs check`: read a configuration and say what is wrong with it, offline.

use std::process::ExitCode;

use super::world;
use crate::{cli::ConfigArgs, config::Catalog};

/// Prints the warnings and a summary; errors are the caller's to print.
pub(crate) fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let config = world::load(args)?;
    for warning in &config.warnings {
        println!("warning: {warning}");
    }
    // Keys in the store cannot be seen offline; a bind that only they allow is accepted here and checked again at the start.
    config.check_bind(true)?;
    let catalog = Catalog::new(&config);
    println!(
        "ok: {} providers, {} models, tiers {}",
        config.providers.len(),
        catalog.deployments().len(),
        catalog
            .tiers()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" "),
    );
    Ok(ExitCode::SUCCESS)
}
