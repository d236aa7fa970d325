//! Git in a jail, with everything off by which a repository can say what is to be run.
//!
//! A repository is as hostile as whoever wrote it: its configuration names programs for nearly everything. Two walls: what it may say is
//! overridden here, and in the jail git can start no program, write no file and open no socket.

use std::path::{Path, PathBuf};

use rungs::{Error, ErrorKind};

use super::{
    jail::{Ended, Jail},
    policy::{Limits, Walls},
    roots::Protected,
};

/// Where git is looked for.
const PROGRAMS: [&str; 3] = ["/usr/local/bin/git", "/usr/bin/git", "/bin/git"];

/// The most filters that a repository may name.
const FILTERS: usize = 64;

/// Said on each command line, where it wins over the repository's configuration.
const OVERRIDES: [&str; 9] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.alternateRefsCommand=false",
    "core.sshCommand=false",
    "core.untrackedCache=false",
    "credential.helper=",
    "diff.ignoreSubmodules=all",
    "submodule.recurse=false",
];

/// A repository whose `.git` is right in a root.
#[derive(Debug)]
pub(crate) struct Git {
    root: PathBuf,
    program: PathBuf,
    jail: Jail,
    /// What it says nothing about.
    hidden: Vec<PathBuf>,
    #[cfg(test)]
    pub(super) overrides: bool,
}

/// What git has printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Printed {
    pub(crate) text: String,
    /// Whether there was more.
    pub(crate) more: bool,
}

impl Git {
    /// The repository at `root`, but for what is `hidden`.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] without git, [`ErrorKind::NotFound`] without a repository.
    pub(crate) fn new(root: &Path, walls: Walls, hidden: &Protected) -> Result<Self, Error> {
        let program = PROGRAMS.iter().map(Path::new).find(|path| path.exists());
        let program = program.and_then(|path| path.canonicalize().ok());
        let program = program.ok_or_else(|| {
            Error::new(
                ErrorKind::Unavailable,
                "there is no git in /usr/local/bin or /usr/bin",
            )
        })?;
        // A file there points to a repository elsewhere, and a link could: neither is in the root.
        if !root
            .join(".git")
            .symlink_metadata()
            .is_ok_and(|facts| facts.is_dir())
        {
            return Err(Error::new(
                ErrorKind::NotFound,
                "the root is not the top folder of a git repository",
            ));
        }
        let limits = Limits {
            seconds: 20,
            memory: 1 << 30,
            processes: 8,
            written: 16 << 20,
            output: 512 << 10,
        };
        let mut jail = Jail::new(root)
            .only_program(&program)
            .hiding(hidden.existing())
            .limits(limits)
            .walls(walls);
        for (name, value) in [
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ALLOW_PROTOCOL", "file"),
        ] {
            jail = jail.env(name, value);
        }
        Ok(Self {
            root: root.to_owned(),
            program,
            jail,
            hidden: hidden.names().to_vec(),
            #[cfg(test)]
            overrides: true,
        })
    }

    /// What has changed, as `git status --porcelain=v1 -z --branch` says it.
    pub(crate) async fn status(&self) -> Result<Printed, Error> {
        let arguments = [
            "status",
            "--porcelain=v1",
            "-z",
            "--branch",
            "--untracked-files=all",
            "--ignore-submodules=all",
            "--",
        ];
        let mut arguments = arguments.map(String::from).to_vec();
        arguments.extend(self.but_hidden());
        self.print(arguments).await
    }

    /// Differences, with the count of lines of each file before them: between two revisions, one and the files, or the index and the
    /// files; of `paths` if there are any.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for what is no name of a revision.
    pub(crate) async fn diff(
        &self,
        staged: bool,
        revisions: &[String],
        paths: &[super::Place],
    ) -> Result<Printed, Error> {
        let mut arguments = [
            "diff",
            "--no-color",
            "--numstat",
            "--patch",
            "--ignore-submodules=all",
        ]
        .map(String::from)
        .to_vec();
        if self.is_guarded() {
            arguments.extend(["--no-ext-diff", "--no-textconv"].map(String::from));
        }
        arguments.extend(staged.then(|| "--cached".into()));
        for revision in revisions {
            arguments.push(self.revision(revision)?);
        }
        arguments.push("--".into());
        let literal = |place: &super::Place| format!(":(top,literal){}", place.to_text());
        arguments.extend(paths.iter().map(literal));
        arguments.extend(self.but_hidden());
        self.print(arguments).await
    }

    /// What leaves out the hidden, also as it was at some time, with what lies or lay beside it.
    fn but_hidden(&self) -> impl Iterator<Item = String> {
        let below = self
            .hidden
            .iter()
            .filter_map(|path| path.strip_prefix(&self.root).ok());
        below
            .filter(|path| !path.as_os_str().is_empty())
            .flat_map(|path| {
                let path = path.display().to_string();
                let plain = escaped(&path);
                [
                    format!(":(top,exclude,literal){path}"),
                    format!(":(top,exclude){plain}.*"),
                    format!(":(top,exclude){plain}-*"),
                ]
            })
    }

    /// A name that cannot be taken for an option, a range or a path.
    fn revision(&self, name: &str) -> Result<String, Error> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._/-~^@{}".contains(c);
        let looks_right = name.len() <= 200
            && name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '@')
            && name.chars().all(|c| allowed(c) || c == '_')
            && !name.contains("..");
        match looks_right || !self.is_guarded() {
            true => Ok(name.into()),
            false => {
                Err(Error::invalid("this is no name of a commit, branch or tag").param("from"))
            }
        }
    }

    async fn print(&self, arguments: Vec<String>) -> Result<Printed, Error> {
        let mut jail = self.jail.clone();
        if self.is_guarded() {
            let filters = self.filters().await?;
            jail = jail.env("GIT_CONFIG_COUNT", filters.len().to_string());
            for (n, (key, value)) in filters.into_iter().enumerate() {
                jail = jail
                    .env(format!("GIT_CONFIG_KEY_{n}"), key)
                    .env(format!("GIT_CONFIG_VALUE_{n}"), value);
            }
        }
        let ended = self.run(&jail, arguments).await?;
        if !ended.verdict.is_success() {
            return Err(self.failed(&ended));
        }
        Ok(Printed {
            more: ended.stdout.dropped > 0,
            text: ended.stdout.text,
        })
    }

    /// What switches off each filter that the configuration names: they are programs that git passes changed files through.
    async fn filters(&self) -> Result<Vec<(String, String)>, Error> {
        let list = [
            "config",
            "-z",
            "--name-only",
            "--get-regexp",
            r"^filter\..*\.(clean|smudge|process|required)$",
        ];
        let ended = self
            .run(&self.jail, list.map(String::from).to_vec())
            .await?;
        // Status 1 is: there is none.
        if !matches!(ended.verdict, super::Verdict::Exited(0 | 1)) {
            return Err(self.failed(&ended));
        }
        let names = ended
            .stdout
            .text
            .split('\0')
            .filter(|name| !name.is_empty());
        let off = |name: &str| match name.ends_with(".required") {
            true => (name.to_owned(), "false".to_owned()),
            false => (name.to_owned(), String::new()),
        };
        let filters: Vec<_> = names.map(off).collect();
        match filters.len() > FILTERS {
            true => Err(Error::invalid("the repository names more than 64 filters")),
            false => Ok(filters),
        }
    }

    async fn run(&self, jail: &Jail, arguments: Vec<String>) -> Result<Ended, Error> {
        let root = self.root.to_string_lossy();
        let mut argv = vec![self.program.to_string_lossy().into_owned()];
        argv.push("--no-pager".into());
        argv.push(format!("--git-dir={root}/.git"));
        argv.push(format!("--work-tree={root}"));
        if self.is_guarded() {
            argv.extend(
                OVERRIDES
                    .iter()
                    .flat_map(|said| ["-c".to_owned(), (*said).to_owned()]),
            );
        }
        argv.extend(arguments);
        jail.run(&argv, |_| {}).await
    }

    fn failed(&self, ended: &Ended) -> Error {
        let said = ended.stderr.text.lines().next().unwrap_or_default();
        let said = said.replace(&*self.root.to_string_lossy(), ".");
        match &ended.verdict {
            super::Verdict::TimedOut => Error::new(ErrorKind::Timeout, "git was not done in time"),
            super::Verdict::OverLimit(what) => {
                Error::new(ErrorKind::TooLarge, format!("git took {what}"))
            }
            _ => Error::invalid(format!("git refused: {said}")),
        }
    }

    fn is_guarded(&self) -> bool {
        #[cfg(test)]
        return self.overrides;
        #[cfg(not(test))]
        true
    }
}

/// A path as a pattern that means it alone.
fn escaped(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    for c in path.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}
