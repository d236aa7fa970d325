//! Repositories that want something run, with what is overridden, and without.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::Folder;
use crate::sandbox::{Git, Place, Protected, Walls};

/// A repository with one commit, a change, and a program that leaves a canary if it is ever run.
struct Hostile {
    repository: Folder,
    outside: Folder,
}

impl Hostile {
    fn new() -> Self {
        let hostile = Self {
            repository: Folder::new(),
            outside: Folder::new(),
        };
        let folder = &hostile.repository;
        folder.write("a.txt", "one\n");
        hostile.git(&["init", "--quiet", "--initial-branch=main"]);
        hostile.commit("one");
        folder.write("a.txt", "two\n");
        let script = format!(
            "#!/bin/sh\ntouch {0}/canary {1}/canary $HOME/canary\ncat\nexit 0\n",
            folder.path().display(),
            hostile.outside.path().display()
        );
        let program = hostile.outside.write("program", &script);
        std::fs::set_permissions(program, PermissionsExt::from_mode(0o755)).unwrap();
        hostile
    }

    fn program(&self) -> PathBuf {
        self.outside.path().join("program")
    }

    fn git(&self, arguments: &[&str]) {
        let mut git = Command::new("git");
        let git = git
            .args(arguments)
            .current_dir(self.repository.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        assert!(git.status().unwrap().success(), "{arguments:?}");
    }

    /// Commits all that is there.
    fn commit(&self, message: &str) {
        self.git(&["add", "."]);
        let who = ["-c", "user.name=x", "-c", "user.email=x@x"];
        self.git(&[&who[..], &["commit", "--quiet", "-m", message]].concat());
    }

    fn config(&self, key: &str, value: &str) {
        self.git(&["config", key, value]);
    }

    fn canary(&self) -> bool {
        let left = |folder: &Path| folder.join("canary").exists();
        left(self.repository.path()) || left(self.outside.path())
    }

    /// Whether git has the program run when nothing keeps it from it.
    fn plain_git(&self) -> bool {
        for arguments in [&["status"][..], &["diff"]] {
            let mut git = Command::new("git");
            let git = git.args(arguments).current_dir(self.repository.path());
            let git = git.stdout(Stdio::null()).stderr(Stdio::null());
            // A filter that does not answer as one makes it fail, after it was run.
            git.status().unwrap();
        }
        self.canary()
    }

    /// Status and differences, once as always and once with nothing overridden.
    async fn looked_at(&self) {
        for overrides in [true, false] {
            let mut git = Git::new(
                self.repository.path(),
                Walls::Required,
                &Protected::default(),
            )
            .unwrap();
            git.overrides = overrides;
            // With the second wall alone git may fail; it must not do what it is told.
            let status = git.status().await;
            let diff = git.diff(false, &[], &[]).await;
            let staged = git
                .diff(true, &["HEAD".into()], &[Place::parse("a.txt").unwrap()])
                .await;
            if overrides {
                assert!(status.unwrap().text.contains(" M a.txt"));
                assert!(diff.unwrap().text.contains("+two"));
                staged.unwrap();
            }
            assert!(
                !self.canary(),
                "the repository had its program run; overrides: {overrides}"
            );
        }
    }
}

/// When plain git runs what a setting names.
#[derive(PartialEq)]
enum Runs {
    /// Also to look at what has changed.
    Always,
    /// With a terminal or a network, or not at all here.
    Elsewhere,
}

#[tokio::test]
async fn a_repository_runs_nothing() {
    for (what, key, runs) in [
        ("fsmonitor", "core.fsmonitor", Runs::Always),
        ("external diff", "diff.external", Runs::Always),
        ("textconv", "diff.x.textconv", Runs::Always),
        ("diff command", "diff.x.command", Runs::Always),
        ("clean filter", "filter.x.clean", Runs::Always),
        ("process filter", "filter.x.process", Runs::Always),
        ("odd filter", "filter.a=b c.clean", Runs::Elsewhere),
        ("pager", "core.pager", Runs::Elsewhere),
        ("pager of diff", "pager.diff", Runs::Elsewhere),
        ("ssh", "core.sshCommand", Runs::Elsewhere),
        ("refs", "core.alternateRefsCommand", Runs::Elsewhere),
        ("credentials", "credential.helper", Runs::Elsewhere),
    ] {
        let hostile = Hostile::new();
        hostile
            .repository
            .write(".gitattributes", "* diff=x filter=x\n");
        hostile
            .repository
            .write(".git/info/attributes", "* diff=x filter=x\n");
        let program = hostile.program();
        hostile.config(key, &program.to_string_lossy());
        // One that is required and missing makes git fail before it runs anything.
        if key.starts_with("filter.x") {
            hostile.config("filter.x.required", "true");
        }
        hostile.looked_at().await;
        if runs == Runs::Always {
            assert!(
                hostile.plain_git(),
                "nobody has run {what}: this test shows nothing"
            );
        }
    }
}

#[tokio::test]
async fn its_hooks_are_not_run() {
    let hostile = Hostile::new();
    for hook in [
        "post-index-change",
        "fsmonitor-watchman",
        "reference-transaction",
        "query-watchman",
    ] {
        let to = hostile.repository.path().join(".git/hooks").join(hook);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(hostile.program(), to).unwrap();
    }
    hostile.config(
        "core.hooksPath",
        &hostile
            .repository
            .path()
            .join(".git/hooks")
            .to_string_lossy(),
    );
    hostile.looked_at().await;
}

#[tokio::test]
async fn submodules_are_left_alone() {
    let hostile = Hostile::new();
    let inner = hostile.repository.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    for arguments in [
        &["init", "--quiet", "inner"][..],
        &[
            "-C",
            "inner",
            "config",
            "core.fsmonitor",
            &hostile.program().to_string_lossy(),
        ],
    ] {
        hostile.git(arguments);
    }
    hostile.repository.write(
        ".gitmodules",
        "[submodule \"inner\"]\n\tpath = inner\n\turl = ext::sh -c touch% canary\n",
    );
    hostile.config("submodule.recurse", "true");
    hostile.config("diff.ignoreSubmodules", "none");
    hostile.config("protocol.allow", "always");
    hostile.looked_at().await;
}

#[tokio::test]
async fn what_is_elsewhere_is_not_shown() {
    let hostile = Hostile::new();
    let secret = hostile.outside.write("tree/secret.txt", "a secret\n");
    hostile.config("core.worktree", &secret.parent().unwrap().to_string_lossy());
    hostile.config("core.excludesFile", &secret.to_string_lossy());
    hostile.config("include.path", &secret.to_string_lossy());
    for overrides in [true, false] {
        let mut git = Git::new(
            hostile.repository.path(),
            Walls::Required,
            &Protected::default(),
        )
        .unwrap();
        git.overrides = overrides;
        for said in [git.status().await, git.diff(false, &[], &[]).await] {
            let said = said.map_or_else(|error| format!("{error:?}"), |printed| printed.text);
            assert!(
                !said.contains("a secret") && !said.contains("secret.txt:"),
                "{said}"
            );
        }
    }
    // A repository that is a pointer to another is none of the root's.
    let pointer = Folder::new();
    pointer.write(
        ".git",
        &format!("gitdir: {}/.git\n", hostile.repository.path().display()),
    );
    assert!(Git::new(pointer.path(), Walls::Required, &Protected::default()).is_err());
    let link = Folder::new();
    std::os::unix::fs::symlink(
        hostile.repository.path().join(".git"),
        link.path().join(".git"),
    )
    .unwrap();
    assert!(Git::new(link.path(), Walls::Required, &Protected::default()).is_err());
}

#[tokio::test]
async fn what_it_says_of_itself_is_overridden() {
    let hostile = Hostile::new();
    let attributes = hostile.repository.write("attributes", "a.txt binary\n");
    hostile.config("core.attributesFile", &attributes.to_string_lossy());
    for (overrides, shown) in [(true, "-one\n+two"), (false, "Binary files")] {
        let mut git = Git::new(
            hostile.repository.path(),
            Walls::Required,
            &Protected::default(),
        )
        .unwrap();
        git.overrides = overrides;
        let diff = git.diff(false, &[], &[]).await.unwrap().text;
        assert!(diff.contains(shown), "overridden {overrides}: {diff}");
    }
}

#[tokio::test]
async fn a_revision_is_no_option() {
    let hostile = Hostile::new();
    let target = hostile.repository.path().join("canary");
    let output = format!("--output={}", target.display());
    for overrides in [true, false] {
        let mut git = Git::new(
            hostile.repository.path(),
            Walls::Required,
            &Protected::default(),
        )
        .unwrap();
        git.overrides = overrides;
        for name in [
            &*output,
            "--no-index",
            "-O/etc/passwd",
            "--ext-diff",
            "--textconv",
            "HEAD --output=x",
            "HEAD..main",
            ":/x",
            "$(x)",
            "a\nb",
            "",
        ] {
            let said = git.diff(false, &[name.into()], &[]).await;
            assert!(said.is_err() || !overrides, "{name}: {said:?}");
            assert!(!hostile.canary(), "{name}");
        }
    }
    let git = Git::new(
        hostile.repository.path(),
        Walls::Required,
        &Protected::default(),
    )
    .unwrap();
    for name in ["HEAD", "main", "HEAD~0", "@", "main@{0}"] {
        git.diff(false, &[name.into()], &[]).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_hidden_is_in_no_difference_and_no_status() {
    let hostile = Hostile::new();
    let folder = &hostile.repository;
    folder.write("own.toml", "key = \"old canary\"\n");
    folder.write("own[1]", "old canary\n");
    folder.write("own.toml.bak", "old canary\n");
    folder.write("own.toml-d/x", "old canary\n");
    hostile.commit("two");
    // These are not there any more, but they were.
    std::fs::remove_file(folder.path().join("own.toml.bak")).unwrap();
    std::fs::remove_dir_all(folder.path().join("own.toml-d")).unwrap();
    let own = ["own.toml", "own[1]", "own.db"].map(|name| folder.write(name, "new canary\n"));
    let own = Protected::new(own);
    folder.write("a.txt", "three\n");
    let git = Git::new(folder.path(), Walls::Required, &own).unwrap();
    let places = ["a.txt", "own.toml", "own[1]"].map(|path| Place::parse(path).unwrap());
    for printed in [
        git.status().await,
        git.diff(false, &[], &[]).await,
        git.diff(false, &["HEAD~1".into(), "HEAD".into()], &[])
            .await,
        git.diff(false, &[], &places).await,
    ] {
        let text = printed.unwrap().text;
        assert!(text.contains("a.txt"), "{text}");
        assert!(!text.contains("own") && !text.contains("canary"), "{text}");
    }
}
