use std::{fs, os::unix::fs::PermissionsExt, process::Command, time::Duration};

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::{agent::edit::parse, sandbox::TempFolder};

fn project(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn open(project: &TempDir) -> Workspace {
    with_links(project, &[])
}

fn with_links(project: &TempDir, links: &[String]) -> Workspace {
    let own = Protected::new([project.path().join("gateway.toml")]);
    Workspace::open(OpenFolder::named(project.path()).unwrap(), links, own).unwrap()
}

fn whole(path: &str, text: &str) -> Vec<Edit> {
    parse(&format!("FILE: {path}\n<<<<<<< WHOLE\n{text}>>>>>>> END"))
        .unwrap()
        .edits
}

/// Every file below a folder with its text.
fn everything(folder: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for entry in ignore::WalkBuilder::new(folder)
        .standard_filters(false)
        .build()
    {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            let path = entry
                .path()
                .strip_prefix(folder)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            all.insert(path, fs::read_to_string(entry.path()).unwrap());
        }
    }
    all
}

const SHOP: [(&str, &str); 8] = [
    ("src/cart.py", "total = 1\n"),
    ("README.md", "# Shop\n"),
    (".gitignore", "build\n"),
    ("build/out.txt", "ignored\n"),
    (".env", "SECRET=canary\n"),
    ("rungs.toml", "[server]\n"),
    // The configuration of this gateway, and what lies beside it.
    ("gateway.toml", "[server]\n"),
    ("gateway.toml.old", "[server]\n"),
];

#[tokio::test]
async fn a_copy_has_what_tests_need_and_models_see_less() {
    let project = project(&SHOP);
    let workspace = open(&project);
    let copied: Vec<_> = everything(workspace.folder()).into_keys().collect();
    assert_eq!(copied, [".gitignore", "README.md", "src/cart.py"]);
    let seen: Vec<_> = workspace.texts().map(|(path, _)| path.as_str()).collect();
    assert_eq!(seen, ["README.md", "src/cart.py"]);
    let folder = workspace.folder().to_owned();
    drop(workspace);
    TempFolder::all_gone();
    assert!(!folder.exists());
}

#[tokio::test]
async fn changes_reach_the_project_at_the_end_and_together() {
    let project = project(&SHOP);
    let before = everything(project.path());
    let mut workspace = open(&project);
    let mut edits = whole("src/cart.py", "total = 2\n");
    edits.extend(whole("src/new/tax.py", "rate = 3\n"));
    assert_eq!(workspace.apply(&edits).await.unwrap(), Ok(()));
    assert_eq!(everything(project.path()), before);
    assert_eq!(
        fs::read_to_string(workspace.folder().join("src/new/tax.py")).unwrap(),
        "rate = 3\n"
    );
    assert_eq!(
        workspace.diff(),
        "--- a/src/cart.py\n+++ b/src/cart.py\n@@ -1 +1 @@\n-total = 1\n+total = 2\n\
         --- /dev/null\n+++ b/src/new/tax.py\n@@ -0,0 +1 @@\n+rate = 3\n"
    );
    workspace.commit().unwrap();
    let after = everything(project.path());
    assert_eq!(after["src/cart.py"], "total = 2\n");
    assert_eq!(after["src/new/tax.py"], "rate = 3\n");
    assert_eq!(
        after.len(),
        before.len() + 1,
        "nothing else is left: {after:?}"
    );
}

#[tokio::test]
async fn what_is_linked_into_the_copy_is_the_projects_own() {
    let project = project(&[
        ("node_modules/x.js", "x\n"),
        (".gitignore", "node_modules\nout\n"),
    ]);
    std::os::unix::fs::symlink("/etc", project.path().join("out")).unwrap();
    let links = ["node_modules", "out", "none"].map(String::from);
    let workspace = with_links(&project, &links);
    let there = project.path().canonicalize().unwrap().join("node_modules");
    assert_eq!(workspace.links(), [there]);
    let copied = |name: &str| workspace.folder().join(name).exists();
    assert_eq!(
        ["node_modules/x.js", "out", "none"].map(copied),
        [true, false, false]
    );
}

#[tokio::test]
async fn an_answer_applies_as_a_whole_or_not_at_all() {
    let project = project(&SHOP);
    let mut workspace = open(&project);
    let mut edits = whole("README.md", "x\n");
    edits.extend(
        parse("FILE: src/cart.py\n<<<<<<< SEARCH\nnone\n=======\n>>>>>>> REPLACE")
            .unwrap()
            .edits,
    );
    assert!(matches!(
        workspace.apply(&edits).await.unwrap(),
        Err(Flaw::Missing { number: 2, .. })
    ));
    assert_eq!(workspace.diff(), "");
}

#[tokio::test]
async fn what_was_not_kept_is_undone_in_the_copy_too() {
    let project = project(&SHOP);
    let mut workspace = open(&project);
    workspace
        .apply(&whole("README.md", "kept\n"))
        .await
        .unwrap()
        .unwrap();
    workspace.keep();
    workspace
        .apply(&whole("README.md", "not\n"))
        .await
        .unwrap()
        .unwrap();
    workspace
        .apply(&whole("more.py", "not\n"))
        .await
        .unwrap()
        .unwrap();
    workspace.roll_back().await.unwrap();
    let copy = everything(workspace.folder());
    assert_eq!(copy["README.md"], "kept\n");
    assert!(!copy.contains_key("more.py"));
}

#[tokio::test]
async fn a_script_that_changes_may_still_be_run() {
    let project = project(&[("run.sh", "exit 1\n"), ("data", "1\n")]);
    let script = project.path().join("run.sh");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let mut workspace = open(&project);
    for name in ["run.sh", "data"] {
        workspace.apply(&whole(name, "x\n")).await.unwrap().unwrap();
    }
    let mode = |name: &str| {
        let facts = fs::metadata(workspace.folder().join(name)).unwrap();
        facts.permissions().mode() & 0o111
    };
    assert_eq!((mode("run.sh"), mode("data")), (0o111, 0));
}

#[tokio::test]
async fn r21_models_change_open_files_below_the_root_only() {
    let project = project(&SHOP);
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("x"), "outside\n").unwrap();
    std::os::unix::fs::symlink(outside.path(), project.path().join("link")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("x"), project.path().join("x.py")).unwrap();
    let mut workspace = open(&project);
    for path in [
        "../x",
        "/etc/passwd",
        "a/../../x",
        ".git/hooks/pre-commit",
        ".github/workflows/ci.yml",
        ".env",
        "rungs.toml",
        "gateway.toml",
        "gateway.toml.new",
        "docs/ai-orchestrator-notes.md",
    ] {
        let flaw = workspace
            .apply(&whole(path, "x\n"))
            .await
            .unwrap()
            .unwrap_err();
        assert!(matches!(flaw, Flaw::Refused { .. }), "{path}: {flaw}");
    }
    // Links are not in the copy; what is made in their place cannot be written over them.
    for path in ["link/x", "x.py"] {
        workspace.apply(&whole(path, "x\n")).await.unwrap().unwrap();
        let error = workspace.commit().unwrap_err();
        assert_eq!(error.kind(), rungs::ErrorKind::Conflict, "{path}: {error}");
        workspace.roll_back().await.unwrap();
    }
    assert_eq!(
        fs::read_to_string(outside.path().join("x")).unwrap(),
        "outside\n"
    );
}

#[tokio::test]
async fn what_somebody_else_changed_is_not_written_over() {
    for (path, text) in [("src/cart.py", "theirs\n"), ("new.py", "theirs\n")] {
        let project = project(&SHOP);
        let mut workspace = open(&project);
        let mut edits = whole("README.md", "ours\n");
        edits.extend(whole(path, "ours\n"));
        workspace.apply(&edits).await.unwrap().unwrap();
        fs::write(project.path().join(path), text).unwrap();
        let before = everything(project.path());
        let error = workspace.commit().unwrap_err();
        assert_eq!(error.kind(), rungs::ErrorKind::Conflict);
        assert!(error.message().contains(path), "{error}");
        assert_eq!(everything(project.path()), before);
    }
}

#[tokio::test]
async fn what_tests_put_in_place_of_a_folder_gives_way_to_its_files() {
    let project = project(&SHOP);
    let mut workspace = open(&project);
    let [folder, cart] = ["src", "src/cart.py"].map(|path| workspace.folder().join(path));
    let in_the_way = || {
        fs::remove_dir_all(&folder).unwrap();
        fs::write(&folder, "a file\n").unwrap();
    };
    in_the_way();
    let mut edits = whole("src/cart.py", "total = 2\n");
    edits.extend(whole("src/new/tax.py", "rate = 3\n"));
    assert_eq!(workspace.apply(&edits).await.unwrap(), Ok(()));
    assert_eq!(fs::read_to_string(&cart).unwrap(), "total = 2\n");
    in_the_way();
    workspace.roll_back().await.unwrap();
    assert_eq!(fs::read_to_string(&cart).unwrap(), "total = 1\n");
    assert!(!folder.join("new/tax.py").exists());
}

#[tokio::test]
async fn what_tests_do_to_the_copy_changes_nothing() {
    let project = project(&SHOP);
    let outside = tempfile::tempdir().unwrap();
    let mut workspace = open(&project);
    fs::remove_dir_all(workspace.folder().join("src")).unwrap();
    std::os::unix::fs::symlink(outside.path(), workspace.folder().join("src")).unwrap();
    assert!(workspace.apply(&whole("src/cart.py", "x\n")).await.is_err());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    // A pipe that nobody reads from, and a folder, in the place of a file.
    let readme = workspace.folder().join("README.md");
    let pipe = || {
        fs::remove_file(&readme).unwrap();
        assert!(
            Command::new("mkfifo")
                .arg(&readme)
                .status()
                .unwrap()
                .success()
        );
    };
    let soon = Duration::from_secs(10);
    pipe();
    let applied = whole("README.md", "x\n");
    let applied = timeout(soon, workspace.apply(&applied)).await;
    assert_eq!(applied.unwrap().unwrap(), Ok(()));
    assert_eq!(fs::read_to_string(&readme).unwrap(), "x\n");
    pipe();
    timeout(soon, workspace.roll_back()).await.unwrap().unwrap();
    assert_eq!(fs::read_to_string(&readme).unwrap(), "# Shop\n");
    fs::remove_file(&readme).unwrap();
    fs::create_dir_all(readme.join("in")).unwrap();
    workspace
        .apply(&whole("README.md", "x\n"))
        .await
        .unwrap()
        .unwrap();
    workspace.roll_back().await.unwrap();
    fs::write(&readme, "tampered\n").unwrap();
    assert_eq!(
        workspace.text(&RelPath::parse("README.md").unwrap()),
        Some("# Shop\n")
    );
}
