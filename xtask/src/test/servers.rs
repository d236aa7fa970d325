//! The programs that tests start for themselves, servers most of all. What is missing is installed where that can be done without
//! asking anybody; else its package is named. Tests never skip what needs a server.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::must_succeed;

/// Where Debian keeps PostgreSQL's programs, a folder per version.
const POSTGRESQL: &str = "/usr/lib/postgresql";

/// What a package's scripts ask before they start a service.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Makes sure that all programs are there.
pub(super) fn require() -> Result<()> {
    require_all(missing)
}

/// Makes sure that these programs of Debian's packages are there.
pub(crate) fn require_programs(programs: &[(&str, &'static str)]) -> Result<()> {
    require_all(|| {
        let missing = programs.iter().filter(|(program, _)| !on_path(program));
        missing.map(|(_, package)| *package).collect()
    })
}

fn require_all(look: impl Fn() -> Vec<&'static str>) -> Result<()> {
    let missing = look();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root() || !is_program(Path::new("/usr/bin/apt-get")) {
        bail!(
            "the packages {} are needed; as root: apt-get install {}",
            missing.join(" and "),
            missing.join(" ")
        );
    }
    println!("\n> installing {}", missing.join(", "));
    let policy = NoServices::begin()?;
    must_succeed(&mut apt_get(&["update"]))?;
    must_succeed(apt_get(&["install", "--yes", "--no-install-recommends"]).args(&missing))?;
    drop(policy);
    let missing = look();
    anyhow::ensure!(
        missing.is_empty(),
        "still missing after the installation: {}",
        missing.join(", ")
    );
    Ok(())
}

/// The packages whose programs are not there.
fn missing() -> Vec<&'static str> {
    let mut missing = Vec::new();
    if !on_path("redis-server") {
        missing.push("redis-server");
    }
    if !has_postgresql() {
        missing.push("postgresql");
    }
    // The code agent's tests repair projects whose own tests these run.
    for (program, package) in [("node", "nodejs"), ("python3", "python3")] {
        if !on_path(program) {
            missing.push(package);
        }
    }
    missing
}

fn has_postgresql() -> bool {
    let versions = fs::read_dir(POSTGRESQL).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|v| v.path().join("bin")).collect();
    folders.extend(path_folders());
    folders
        .iter()
        .any(|bin| ["initdb", "postgres"].map(|p| is_program(&bin.join(p))) == [true; 2])
}

fn on_path(program: &str) -> bool {
    path_folders().iter().any(|f| is_program(&f.join(program)))
}

fn path_folders() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).collect()
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// While it lives, no package starts a service: tests start their own servers, and nobody asked for others.
struct NoServices {
    written: bool,
}

impl NoServices {
    fn begin() -> Result<Self> {
        // A policy that is there already was somebody's decision.
        let written = !Path::new(POLICY).exists();
        if written {
            let deny = || {
                fs::write(POLICY, "#!/bin/sh\nexit 101\n")?;
                fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))
            };
            deny().with_context(|| format!("write {POLICY}"))?;
        }
        Ok(Self { written })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.written {
            fs::remove_file(POLICY).ok();
        }
    }
}
