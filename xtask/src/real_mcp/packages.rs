//! The packages, and how each is installed and started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace::must_succeed;

/// A published MCP server.
pub(super) struct Package {
    /// The name that it is mounted under.
    pub(super) name: &'static str,
    pub(super) registry: Registry,
    /// Its name there.
    pub(super) package: &'static str,
    pub(super) version: &'static str,
    /// Its program, and what it is started with. `{folder}` is an empty folder.
    program: &'static str,
    arguments: &'static [&'static str],
    /// The variable that has to hold a key; any will do to list tools.
    key: Option<&'static str>,
    /// How many tools this version lists.
    pub(super) tools: usize,
}

/// Where it comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Registry {
    Npm,
    Pypi,
}

pub(super) const PACKAGES: [Package; 11] = [
    Package {
        arguments: &[
            "--headless",
            "--no-sandbox",
            "--isolated",
            "--executable-path",
            "/usr/bin/chromium",
        ],
        ..npm(
            "playwright",
            "@playwright/mcp",
            "0.0.83",
            "playwright-mcp",
            25,
        )
    },
    Package {
        key: Some("EXA_API_KEY"),
        ..npm("exa", "exa-mcp-server", "3.4.1", "exa-mcp-server", 2)
    },
    Package {
        key: Some("BAIDU_MAP_API_KEY"),
        ..npm(
            "baidu-map",
            "@baidumap/mcp-server-baidu-map",
            "1.0.5",
            "mcp-server-baidu-map",
            10,
        )
    },
    npm(
        "everything",
        "@modelcontextprotocol/server-everything",
        "2026.8.31",
        "mcp-server-everything",
        13,
    ),
    Package {
        arguments: &["{folder}"],
        ..npm(
            "filesystem",
            "@modelcontextprotocol/server-filesystem",
            "2026.8.31",
            "mcp-server-filesystem",
            14,
        )
    },
    npm(
        "memory",
        "@modelcontextprotocol/server-memory",
        "2026.8.31",
        "mcp-server-memory",
        9,
    ),
    Package {
        key: Some("KAGI_API_KEY"),
        ..pypi("kagi", "kagimcp", "1.0.2", "kagimcp", 2)
    },
    Package {
        arguments: &["-c", "import e2b_mcp_server as m; m.main()"],
        key: Some("E2B_API_KEY"),
        ..pypi("e2b", "e2b-mcp-server", "0.1.1", "python", 1)
    },
    pypi(
        "time",
        "mcp-server-time",
        "2026.10.19",
        "mcp-server-time",
        2,
    ),
    pypi("git", "mcp-server-git", "2026.10.19", "mcp-server-git", 12),
    pypi(
        "fetch",
        "mcp-server-fetch",
        "2026.10.24",
        "mcp-server-fetch",
        1,
    ),
];

const fn npm(
    name: &'static str,
    package: &'static str,
    version: &'static str,
    program: &'static str,
    tools: usize,
) -> Package {
    Package {
        name,
        registry: Registry::Npm,
        package,
        version,
        program,
        arguments: &[],
        key: None,
        tools,
    }
}

const fn pypi(
    name: &'static str,
    package: &'static str,
    version: &'static str,
    program: &'static str,
    tools: usize,
) -> Package {
    Package {
        registry: Registry::Pypi,
        ..npm(name, package, version, program, tools)
    }
}

impl Package {
    /// Installs it below `folder`, once.
    pub(super) fn install(&self, folder: &Path) -> Result<()> {
        let home = self.home(folder);
        let installed = home.join(format!("{}.installed", self.version));
        if installed.exists() {
            return Ok(());
        }
        fs::create_dir_all(&home).with_context(|| format!("create {}", home.display()))?;
        match self.registry {
            Registry::Npm => {
                let spec = format!("{}@{}", self.package, self.version);
                let install = ["install", "--no-audit", "--no-fund", "--prefix"];
                // A folder of its own, also below this project's: npm looks for one further up.
                must_succeed(Command::new("npm").args(install).arg(&home).arg(spec))?;
            }
            Registry::Pypi => {
                // Each has its own: their dependencies exclude each other.
                must_succeed(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
                let spec = format!("{}=={}", self.package, self.version);
                let install = [
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--ignore-requires-python",
                ];
                must_succeed(
                    Command::new(home.join("bin/python"))
                        .args(install)
                        .arg(spec),
                )?;
            }
        }
        fs::write(&installed, "").with_context(|| format!("write {}", installed.display()))
    }

    /// Its entry in a configuration.
    pub(super) fn entry(&self, folder: &Path) -> String {
        let programs = match self.registry {
            Registry::Npm => "node_modules/.bin",
            Registry::Pypi => "bin",
        };
        let program = self.home(folder).join(programs).join(self.program);
        let empty = folder.join("empty").display().to_string();
        let mut command = vec![program.display().to_string()];
        command.extend(
            self.arguments
                .iter()
                .map(|argument| argument.replace("{folder}", &empty)),
        );
        let env = self
            .key
            .map(|key| format!("env = {{ {key} = \"of-nobody-at-all\" }}\n"));
        format!(
            "[[mcp]]\nname = \"{}\"\ncommand = {command:?}\nstart_seconds = 120\n{}\n",
            self.name,
            env.unwrap_or_default()
        )
    }

    fn home(&self, folder: &Path) -> PathBuf {
        folder.join(self.name)
    }
}
