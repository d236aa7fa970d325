//! `rungs mcp`: the MCP server on standard input and output.

use std::process::ExitCode;

use super::{
    serve::{runtime, stop_signal},
    world,
};
use crate::{cli::ConfigArgs, log, mcp::stdio};

/// Serves one client until it closes its input. The log goes to standard error, or to `log.file`.
pub(crate) fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let mut config = world::load_with_models(args)?;
    config.listen_nowhere();
    let _log = log::start(&config.log)?;
    world::say(&config);
    world::say_where(&config);
    let key = std::env::var("RUNGS_API_KEY").ok();
    let key = key.filter(|key| !key.is_empty()).map(Into::into);
    let runtime = runtime()?;
    let served = runtime.block_on(stdio::run(&config, key, async {
        let signal = stop_signal().await;
        tracing::info!(signal, "signal");
    }));
    // Where standard input is no pipe, a thread may still be reading it.
    runtime.shutdown_background();
    served.map(|()| ExitCode::SUCCESS)
}
