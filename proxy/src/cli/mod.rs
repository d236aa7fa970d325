//! The command line.

mod keys;

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::{keys::Age, sandbox::JailArgs};

pub(crate) use self::keys::{
    Clearable, CreateKeyArgs, KeysArgs, KeysVerb, TermsArgs, UpdateKeyArgs,
};

/// An AI gateway: starts each call on the cheapest tier that can carry it, climbs on evidence, counts every nano-dollar.
#[derive(Debug, Parser)]
#[command(name = "rungs", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gateway.
    Serve(ServeArgs),
    /// Run the MCP server on standard input and output, for an MCP client to start; or look after mounted MCP servers.
    Mcp(McpArgs),
    /// Run the gateway on scripted models: no key, no file, nothing to install.
    Demo(DemoArgs),
    /// Check a configuration without starting or asking anything.
    Check(ConfigArgs),
    /// Show how a question would be routed, without asking anybody.
    Explain(ExplainArgs),
    /// Let the code agent change a project, and test what it did.
    Code(CodeArgs),
    /// Make, list, change and take back API keys.
    Keys(KeysArgs),
    /// Export the ledger, check that nobody has changed it, or forget its old rows.
    Ledger(LedgerArgs),
    /// Show who called which tool that does more than read, and what came of it.
    Audit(AuditArgs),
    /// Look after the leases that processes hold on shared budgets.
    Leases(LeasesArgs),
    /// Run a program behind walls; the gateway starts itself so.
    #[command(name = "__jail", hide = true)]
    Jail(JailArgs),
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConfigArgs {
    /// The configuration file; without one, rungs.toml if it exists, and the environment.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Listen here instead of where the configuration says; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
    pub(crate) listen: SocketAddr,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The question.
    pub(crate) question: String,
    /// The model name that a client would ask for.
    #[arg(long, default_value = "auto")]
    pub(crate) model: String,
    /// normal, high or critical.
    #[arg(long, default_value = "normal")]
    pub(crate) quality: String,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// `rungs code`.
#[derive(Debug, Args)]
pub(crate) struct CodeArgs {
    /// What is to be done.
    pub(crate) task: String,
    /// The folder of the project.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub(crate) root: PathBuf,
    /// A file to look at first, below the root; may be given several times.
    #[arg(long = "file", value_name = "FILE")]
    pub(crate) files: Vec<String>,
    /// Which of the configured tests decides.
    #[arg(long, value_name = "NAME", conflicts_with = "command")]
    pub(crate) test: Option<String>,
    /// The highest tier to ask.
    #[arg(long, value_name = "TIER")]
    pub(crate) max_tier: Option<String>,
    /// The most that it may cost, in dollars.
    #[arg(long, value_name = "DOLLARS")]
    pub(crate) budget: Option<String>,
    /// normal, high or critical: from high on, another model reviews the change.
    #[arg(long, default_value = "normal")]
    pub(crate) quality: String,
    /// The model to ask.
    #[arg(long, default_value = "auto")]
    pub(crate) model: String,
    /// Show the change and write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// The command that runs the tests, instead of a configured one: `rungs code "..." -- cargo test`.
    #[arg(last = true, value_name = "TEST")]
    pub(crate) command: Vec<String>,
}

/// `rungs leases`.
#[derive(Debug, Args)]
pub(crate) struct LeasesArgs {
    #[command(subcommand)]
    pub(crate) verb: LeasesVerb,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// What to do with leases.
#[derive(Debug, Subcommand)]
pub(crate) enum LeasesVerb {
    /// Print each process that holds money of shared budgets, and how much is out.
    List,
    /// Close the leases of a process that is gone for good, its folder with it: what was out counts as spent.
    Close {
        /// Its name in the list.
        holder: String,
        /// It is dead, although its leases are good still.
        #[arg(long)]
        sure: bool,
    },
}

/// `rungs mcp`.
#[derive(Debug, Args)]
pub(crate) struct McpArgs {
    #[command(subcommand)]
    pub(crate) verb: Option<McpVerb>,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// What to do with mounted MCP servers.
#[derive(Debug, Subcommand)]
pub(crate) enum McpVerb {
    /// Start each, and print its tools: which are used, which wait for approval, which are not mounted and why.
    List {
        /// Only what this key of the file may see.
        #[arg(long, value_name = "NAME")]
        key: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Agree to what a tool says of itself now, as the list has shown it.
    Approve {
        /// The server.
        server: String,
        /// Its own name for the tool.
        tool: String,
    },
    /// Call a tool, and print its result.
    Call {
        /// Its name in the list, like exa__web_search_exa.
        tool: String,
        /// Its arguments, a JSON object.
        #[arg(default_value = "{}")]
        arguments: String,
        /// As whoever has this key of the file.
        #[arg(long, value_name = "NAME")]
        key: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct LedgerArgs {
    #[command(subcommand)]
    pub(crate) verb: LedgerVerb,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LedgerVerb {
    /// Print each attempt and each cache hit, oldest first.
    Export {
        /// Only those that began within this time, like 1d or 12h.
        #[arg(long)]
        since: Option<Age>,
        /// How they are printed.
        #[arg(long, value_enum, default_value_t)]
        format: ExportFormat,
    },
    /// Walk the chains of all rows, those of the audit too, and name each that was altered or taken out.
    Verify,
    /// Forget old rows; what was spent stays. In PostgreSQL they go by whole months.
    Prune {
        /// Those that began longer ago than this, like 400d.
        #[arg(long, value_name = "AGE")]
        before: Age,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    pub(crate) verb: AuditVerb,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditVerb {
    /// Print each row, oldest first.
    Export {
        /// Only those of this time until now, like 1d or 12h.
        #[arg(long)]
        since: Option<Age>,
        /// How they are printed.
        #[arg(long, value_enum, default_value_t)]
        format: ExportFormat,
    },
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
pub(crate) enum ExportFormat {
    /// One JSON object a line.
    #[default]
    Jsonl,
}
