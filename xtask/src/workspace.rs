//! Where things are: the workspace, its build output, and the cargo that started us.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// The workspace's root folder.
pub(crate) fn root() -> Result<PathBuf> {
    let package = env::var_os("CARGO_MANIFEST_DIR").context("start me through `cargo xtask`")?;
    let root = Path::new(&package).parent();
    Ok(root.context("xtask lies inside the workspace")?.to_owned())
}

/// The build output folder: this program runs from its `debug` folder.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let program = env::current_exe().context("locate the running xtask")?;
    let target = program.ancestors().nth(2);
    Ok(target.context("xtask runs from target/debug")?.to_owned())
}

/// A cargo command in the workspace's root.
pub(crate) fn cargo(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root()?);
    Ok(command)
}

/// Run a command to its end; an error names it when it fails.
pub(crate) fn must_succeed(command: &mut Command) -> Result<()> {
    let line = command_line(command);
    let status = command
        .status()
        .with_context(|| format!("start `{line}`"))?;
    anyhow::ensure!(status.success(), "`{line}` failed ({status})");
    Ok(())
}

/// What a command prints, run to its end; an error names it when it fails.
pub(crate) fn said(command: &mut Command) -> Result<String> {
    let line = command_line(command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("start `{line}`"))?;
    let status = output.status;
    anyhow::ensure!(status.success(), "`{line}` failed ({status})");
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` prints no UTF-8"))
}

/// A command as one would type it, with the program's bare name.
pub(crate) fn command_line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    std::iter::once(name)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
