//! `cargo xtask dist`: the programs as they are released. The compiler lays them out after a trial run, so that what runs often is
//! short and lies together.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::workspace::{cargo, must_succeed, root, said, target_dir};

/// The programs that are measured, and of which the first is released.
pub(crate) struct Programs {
    pub(crate) rungs: PathBuf,
    pub(crate) load: PathBuf,
}

impl Programs {
    pub(crate) fn within(folder: &Path) -> Self {
        Self {
            rungs: folder.join("rungs"),
            load: folder.join("rungs-load"),
        }
    }

    /// Tells these programs, and what the trial asks of them, from others.
    fn fingerprint(&self) -> Result<String> {
        let mut hasher = blake3::Hasher::new();
        for program in [&self.rungs, &self.load] {
            hasher.update(&fs::read(program)?);
        }
        hasher.update(TRIAL.as_bytes());
        Ok(hasher.finalize().to_hex()[..16].to_owned())
    }
}

/// What `cargo build` builds them from.
pub(crate) const PACKAGES: [&str; 4] = ["-p", "rungs-proxy", "-p", "rungs-load"];

/// Build them and say where they are.
pub(crate) fn run() -> Result<ExitCode> {
    println!("{}", build()?.rungs.display());
    Ok(ExitCode::SUCCESS)
}

/// Build for a trial run, make it, and build after what it showed.
pub(crate) fn build() -> Result<Programs> {
    let compiler = Compiler::find()?;
    let folder = target_dir()?.join("trained");
    let traces = folder.join("traces");
    let flag = format!("-Cprofile-generate={}", traces.display());
    let trial = compiler.build(&folder.join("trial"), &flag)?;
    // Its name says of which trial it is, so that cargo builds anew after another one.
    let profile = folder.join(trial.fingerprint()?).with_extension("profdata");
    if !profile.exists() {
        run_trial(&trial, &traces)?;
        compiler.merge(&traces, &profile)?;
    }
    let flag = format!("-Cprofile-use={}", profile.display());
    compiler.build(&folder, &flag)
}

/// The loads of the comparison, for a few seconds.
const TRIAL: &str = "--rounds 1 --requests 4000 --streams 300 --paced 10";

fn run_trial(programs: &Programs, traces: &Path) -> Result<()> {
    if traces.exists() {
        fs::remove_dir_all(traces).with_context(|| format!("remove {}", traces.display()))?;
    }
    let mut command = Command::new(&programs.load);
    command.args(["compare", "--rungs"]).arg(&programs.rungs);
    must_succeed(command.args(TRIAL.split(' ')).stdout(Stdio::null()))
}

struct Compiler {
    host: String,
    /// Merges what trial runs have traced.
    profdata: PathBuf,
}

impl Compiler {
    /// The compiler that cargo uses, with the tool that comes with it; rustup is asked for that if it is missing.
    fn find() -> Result<Self> {
        let version = rustc(&["-vV"])?;
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        let host = host.context("rustc says for which host it is")?.to_owned();
        let root = PathBuf::from(rustc(&["--print", "sysroot"])?.trim());
        let tools = root.join("lib/rustlib").join(&host).join("bin");
        let profdata = tools.join("llvm-profdata");
        if !profdata.exists() {
            let mut rustup = Command::new("rustup");
            must_succeed(rustup.args(["component", "add", "llvm-tools"]))?;
        }
        Ok(Self { host, profdata })
    }

    /// Build the programs in `folder` with one more flag for the compiler.
    fn build(&self, folder: &Path, flag: &str) -> Result<Programs> {
        // With a target, build scripts and macros are built without the flag.
        let mut command = cargo(&["build", "--profile", "dist", "--target", &self.host])?;
        command.args(PACKAGES).arg("--target-dir").arg(folder);
        must_succeed(command.env("CARGO_ENCODED_RUSTFLAGS", flag))?;
        Ok(Programs::within(&folder.join(&self.host).join("dist")))
    }

    /// Merge `traces` into a profile.
    fn merge(&self, traces: &Path, profile: &Path) -> Result<()> {
        let mut command = Command::new(&self.profdata);
        must_succeed(command.arg("merge").arg("-o").arg(profile).arg(traces))
    }
}

/// What rustc says.
fn rustc(arguments: &[&str]) -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    said(Command::new(rustc).args(arguments).current_dir(root()?))
}
