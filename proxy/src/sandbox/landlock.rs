//! Rules of the kernel for files: what a thread, or a process with its children, can reach at all.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use super::Reach;

/// The newest version of Landlock whose rights are asked for; older kernels give what they have.
const NEWEST: ABI = ABI::V9;

/// A list of what may be reached.
#[derive(Debug, Default, Clone)]
pub(super) struct Fence {
    rules: Vec<(PathBuf, BitFlags<AccessFs>)>,
}

/// What the kernel made of a [`Fence`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fenced {
    /// It holds.
    Yes,
    /// This kernel has no Landlock.
    No,
}

impl Fence {
    /// Files under `path` may be read and folders listed.
    pub(super) fn read(&mut self, path: &Path) -> &mut Self {
        self.rule(path, AccessFs::from_read(NEWEST) & !AccessFs::Execute)
    }

    /// The same for `path` but for what is `hidden` in it: its names can be listed, and no more.
    pub(super) fn read_around(&mut self, path: &Path, run: bool, hidden: &[PathBuf]) {
        let real = path.canonicalize();
        let path = real.as_deref().unwrap_or(path);
        if hidden.iter().any(|hidden| path.starts_with(hidden)) {
            return;
        }
        if !hidden.iter().any(|hidden| hidden.starts_with(path)) {
            match run {
                true => self.run(path),
                false => self.read(path),
            };
            return;
        }
        self.rule(path, AccessFs::ReadDir.into());
        for entry in path.read_dir().into_iter().flatten().flatten() {
            // What a link leads to has a rule of its own, or is nobody's to read.
            if !entry.path().is_symlink() {
                self.read_around(&entry.path(), run, hidden);
            }
        }
    }

    /// And programs under `path` started.
    pub(super) fn run(&mut self, path: &Path) -> &mut Self {
        self.rule(path, AccessFs::from_read(NEWEST))
    }

    /// Everything may be done under `path`.
    pub(super) fn change(&mut self, path: &Path) -> &mut Self {
        self.rule(path, AccessFs::from_all(NEWEST))
    }

    /// Everything but to start programs.
    pub(super) fn keep(&mut self, path: &Path) -> &mut Self {
        self.rule(path, AccessFs::from_all(NEWEST) & !AccessFs::Execute)
    }

    /// What tools may do in a folder.
    pub(super) fn reach(&mut self, path: &Path, reach: Reach) -> &mut Self {
        match reach {
            Reach::Read => self.read(path),
            Reach::Change => self.keep(path),
        }
    }

    fn rule(&mut self, path: &Path, access: BitFlags<AccessFs>) -> &mut Self {
        self.rules.push((path.to_owned(), access));
        self
    }

    /// Puts the calling thread, and what it starts from now on, behind the fence for good. Paths that do not exist are left out.
    pub(super) fn close(&self) -> Result<Fenced, RulesetError> {
        let ruleset = Ruleset::default()
            .handle_access(AccessFs::from_all(NEWEST))?
            .scope(Scope::AbstractUnixSocket)?
            .scope(Scope::Signal)?
            .create()?;
        let status = self.add_to(ruleset)?.restrict_self()?;
        Ok(fenced(&status))
    }

    fn add_to(&self, mut ruleset: RulesetCreated) -> Result<RulesetCreated, RulesetError> {
        for (path, access) in &self.rules {
            // Of a single file only the rights that files have can be given.
            let access = match path.is_dir() {
                true => *access,
                false => *access & AccessFs::from_file(NEWEST),
            };
            if let Ok(opened) = PathFd::new(path) {
                ruleset = ruleset.add_rule(PathBeneath::new(opened, access))?;
            }
        }
        Ok(ruleset)
    }
}

fn fenced(status: &RestrictionStatus) -> Fenced {
    match status.ruleset {
        RulesetStatus::NotEnforced => Fenced::No,
        RulesetStatus::PartiallyEnforced | RulesetStatus::FullyEnforced => Fenced::Yes,
    }
}
