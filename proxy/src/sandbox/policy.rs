//! What a program in a jail may do; it travels to the process that builds the walls.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything that the walls are built from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Policy {
    /// Where the program starts.
    pub(super) folder: PathBuf,
    /// Files and folders that it may read, and run programs from, beside those of the system.
    pub(super) readable: Vec<PathBuf>,
    /// Those that it may change.
    pub(super) writable: Vec<PathBuf>,
    /// What of all these is not there for it.
    pub(super) hidden: Vec<PathBuf>,
    /// The only programs that it may start; all that it can read if there are none.
    pub(super) programs: Vec<PathBuf>,
    /// A folder of its own for temporary files: its `HOME` and `TMPDIR`.
    pub(super) scratch: PathBuf,
    pub(super) network: Network,
    pub(super) limits: Limits,
    pub(super) walls: Walls,
    /// The wall that a test has taken away. A gateway for use neither says nor reads it.
    #[cfg_attr(not(feature = "one-wall"), serde(skip))]
    pub(super) without: Option<Wall>,
}

/// What stands around a program; each holds alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Wall {
    /// A root, processes and a network of its own.
    Namespaces,
    /// What the kernel refuses it: Landlock and seccomp.
    Kernel,
}

impl Policy {
    /// Whether a wall is built.
    pub(super) fn has(&self, wall: Wall) -> bool {
        self.without != Some(wall)
    }

    /// What it may read.
    pub(super) fn named_to_read(&self) -> impl Iterator<Item = &PathBuf> {
        let given = self.readable.iter().chain(&self.programs);
        [&self.folder].into_iter().chain(given)
    }

    /// What it may change, its own folder for temporary files among it.
    pub(super) fn named_to_change(&self) -> impl Iterator<Item = &PathBuf> {
        self.writable.iter().chain([&self.scratch])
    }
}

/// What of a network there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Network {
    /// No socket at all, but pairs of them.
    #[default]
    Off,
    /// A loopback address of its own that nobody else sees.
    Loopback,
}

/// How much a program with all its children may take. Who takes more is killed, with all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// Seconds until it must be done.
    pub(crate) seconds: u64,
    /// Bytes of memory of all processes together.
    pub(crate) memory: u64,
    /// Processes at once.
    pub(crate) processes: u64,
    /// Bytes written to files by all processes together; also the largest file.
    pub(crate) written: u64,
    /// Bytes kept of what it says, each of its two outputs; the rest is counted.
    pub(crate) output: usize,
}

impl Limits {
    /// The most threads of all processes together: what the kernel counts.
    pub(super) fn tasks(&self) -> u64 {
        const THREADS: u64 = 8;
        self.processes.saturating_mul(THREADS)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            seconds: 300,
            memory: 4 << 30,
            processes: 256,
            written: 1 << 30,
            output: 1 << 20,
        }
    }
}

/// What to do on a kernel that does not offer all walls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Walls {
    /// Do not run the program.
    #[default]
    Required,
    /// Run it behind those that there are.
    BestEffort,
}

/// What the processes that build and watch the walls tell the gateway, a line of JSON each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// A wall that this kernel does not offer.
    Missing(String),
    /// The program was not started.
    Refused(String),
    /// It could not be started.
    NotFound(String),
    /// It has ended by itself with this status.
    Exited(i32),
    /// A signal has ended it.
    Signalled(i32),
    /// It took more than it may of what is named.
    OverLimit(String),
}
