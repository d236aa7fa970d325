//! `cargo xtask dist`: the programs as they are released. The compiler lays them out after a trial run, so that what runs often is
//! short and lies together.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::workspace::{cargo, must_succeed, root, target_dir};

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
    let (traces, trial) = (folder.join("traces"), folder.join("trial"));
    let flag = format!("-Cprofile-generate={}", traces.display());
    let trial = compiler.build(&trial, &flag)?;
    let profile = match profile_of(&folder, &trial)? {
        Some(profile) => profile,
        None => {
            let _ = fs::remove_dir_all(&traces);
            run_trial(&trial)?;
            compiler.merge(&traces, &folder)?
        }
    };
    let flag = format!("-Cprofile-use={}", profile.display());
    compiler.build(&folder, &flag)
}

/// The same loads as in the comparison, for a few seconds.
fn run_trial(programs: &Programs) -> Result<()> {
    let trial = [
        ["--rounds", "1"],
        ["--requests", "4000"],
        ["--streams", "300"],
        ["--paced", "10"],
    ];
    let mut command = Command::new(&programs.load);
    command.args(["compare", "--rungs"]).arg(&programs.rungs);
    must_succeed(command.args(trial.concat()))
}

/// The profile in `folder` that was made by a trial run of these programs.
fn profile_of(folder: &Path, trial: &Programs) -> Result<Option<PathBuf>> {
    let built = fs::metadata(&trial.rungs)?.modified()?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "profdata") {
            if fs::metadata(&path)?.modified()? > built {
                return Ok(Some(path));
            }
            fs::remove_file(&path)?;
        }
    }
    Ok(None)
}

struct Compiler {
    host: String,
    /// Merges what trial runs have traced.
    profdata: PathBuf,
}

impl Compiler {
    /// The compiler that cargo uses, with the tool that comes with it; rustup is asked for that if it is missing.
    fn find() -> Result<Self> {
        let version = said(&["-vV"])?;
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        let host = host.context("rustc says for which host it is")?.to_owned();
        let root = PathBuf::from(said(&["--print", "sysroot"])?.trim());
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
        must_succeed(command.env("RUSTFLAGS", flag))?;
        Ok(Programs::within(&folder.join(&self.host).join("dist")))
    }

    /// Merge `traces` into a profile in `folder`. Its name tells its content, so that cargo builds anew after another one.
    fn merge(&self, traces: &Path, folder: &Path) -> Result<PathBuf> {
        let merged = folder.join("merged");
        let mut command = Command::new(&self.profdata);
        let command = command.arg("merge").arg("-o").arg(&merged).arg(traces);
        must_succeed(command)?;
        let name = blake3::hash(&fs::read(&merged)?).to_hex();
        let profile = folder.join(&name[..16]).with_extension("profdata");
        fs::rename(&merged, &profile)?;
        Ok(profile)
    }
}

/// What rustc says.
fn said(arguments: &[&str]) -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    let output = command.args(arguments).current_dir(root()?).output();
    Ok(String::from_utf8(output.context("start rustc")?.stdout)?)
}
