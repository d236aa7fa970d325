//! Paths that try to leave their root, with both walls and with the second one alone.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::world::{SECRET, World};
use crate::sandbox::{Place, Protected, Reach, Roots};

#[tokio::test]
async fn two_hundred_ways_out_and_none_leads_there() {
    let world = World::new();
    let escapes = world.escapes();
    assert!(escapes.len() >= 200, "{}", escapes.len());
    let roots = world.roots();
    let alone = Roots::without_first_wall(&[world.root()]);
    for path in &escapes {
        if let Ok(place) = Place::parse(path) {
            try_all(&roots, place, path).await;
        }
        // Past the check of the text, and past cap-std too: the kernel's fence alone.
        try_all(&roots, Place::unchecked(path), path).await;
        try_all(&alone, Place::unchecked(path), path).await;
    }
    for file in ["secret.txt", "outside/secret.txt", "root-twin/secret.txt"] {
        assert_eq!(
            fs::read_to_string(world.folder.path().join(file)).unwrap(),
            SECRET
        );
    }
    let names = |folder: &Path| fs::read_dir(folder).unwrap().count();
    assert_eq!(names(&world.folder.path().join("outside")), 1);
    assert_eq!(names(&world.folder.path().join("root-twin")), 1);
    assert_eq!(names(world.folder.path()), 4);
}

async fn try_all(roots: &Roots, place: Place, path: &str) {
    if let Ok(read) = roots.read(None, place.clone(), 1, None).await {
        assert!(
            read.text == "inside" || read.text == "written",
            "{path:?} was read: {}",
            read.text
        );
    }
    if let Ok(listing) = roots.list(None, place.clone(), 2, 100).await {
        let secret = listing
            .entries
            .iter()
            .find(|entry| entry.path.ends_with("secret.txt"));
        assert_eq!(secret, None, "{path:?} was listed");
    }
    // Something may be written, as long as it is in the root.
    let _ = roots.write(None, place, "written".into()).await;
}

#[tokio::test]
async fn what_is_in_the_root_works_with_either_wall() {
    let world = World::new();
    for roots in [world.roots(), Roots::without_first_wall(&[world.root()])] {
        let place = Place::parse("new/deep/file.txt").unwrap();
        roots
            .write(None, place.clone(), "a\nb\nc\n".into())
            .await
            .unwrap();
        let part = roots.read(None, place.clone(), 2, Some(1)).await.unwrap();
        assert_eq!((&*part.text, part.size, part.more), ("b\n", 6, true));
        assert!(!roots.write(None, place, "again".into()).await.unwrap());
        let listing = roots
            .list(None, Place::parse("new").unwrap(), 3, 100)
            .await
            .unwrap();
        let paths: Vec<&str> = listing.entries.iter().map(|entry| &*entry.path).collect();
        assert_eq!(paths, ["new/deep", "new/deep/file.txt"]);
    }
    // An absolute link leads out by its very text, wherever it leads: the kernel alone would let it pass.
    symlink(world.root().join("file.txt"), world.root().join("absolute")).unwrap();
    let absolute = Place::parse("absolute").unwrap();
    let alone = Roots::without_first_wall(&[world.root()]);
    let read = alone.read(None, absolute.clone(), 1, None).await.unwrap();
    assert_eq!(read.text, "inside");
    let roots = world.roots();
    assert!(roots.read(None, absolute, 1, None).await.is_err());
    // A link that stays is followed to read, and never to write.
    let link = Place::parse("inner/deep.txt").unwrap();
    assert_eq!(
        roots.read(None, link.clone(), 1, None).await.unwrap().text,
        "inside"
    );
    assert!(roots.write(None, link, "x".into()).await.is_err());
}

/// Set for the process that may open few files only.
const FEW_FILES: &str = "RUNGS_TEST_FEW_FILES";

#[tokio::test]
async fn a_wide_folder_is_listed_with_few_files_open() {
    if std::env::var_os(FEW_FILES).is_none() {
        let again = std::process::Command::new("sh")
            .args(["-c", "ulimit -n 100 && exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "sandbox::tests::files::a_wide_folder_is_listed_with_few_files_open",
            ])
            .env(FEW_FILES, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&again.stdout);
        assert!(
            again.status.success() && said.contains("1 passed"),
            "{said}"
        );
        return;
    }
    let world = World::new();
    for n in 0..300 {
        world.folder.write(&format!("root/wide/{n}/file"), "");
    }
    let wide = Place::parse("wide").unwrap();
    let listing = world.roots().list(None, wide, 2, 2000).await.unwrap();
    assert_eq!((listing.entries.len(), listing.more), (600, false));
}

#[tokio::test]
async fn lines_far_into_a_large_file_are_not_looked_for() {
    let world = World::new();
    let file = fs::File::create(world.root().join("large")).unwrap();
    // A hole: it takes no room, and has no lines.
    file.set_len(1 << 40).unwrap();
    let large = Place::parse("large").unwrap();
    let read = world.roots().read(None, large, 2, Some(1)).await;
    let error = read.unwrap_err();
    assert_eq!(error.get_param(), Some("first_line"));
    assert!(error.message().contains("64 MiB"), "{error}");
}

#[tokio::test]
async fn what_is_no_file_is_not_opened() {
    let world = World::new();
    let pipe = world.root().join("pipe");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let _socket = std::os::unix::net::UnixListener::bind(world.root().join("socket")).unwrap();
    world.folder.write("root/binary", "a\0b");
    fs::write(world.root().join("latin"), [0xe4, 0x0a]).unwrap();
    let roots = world.roots();
    for path in ["pipe", "socket", "folder", "binary", "latin", "none"] {
        let place = Place::parse(path).unwrap();
        assert!(roots.read(None, place, 1, None).await.is_err(), "{path}");
    }
    for path in ["pipe", "socket", "folder", ".git/config", ".bashrc"] {
        let place = Place::parse(path).unwrap();
        assert!(
            roots.write(None, place, "x".into()).await.is_err(),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_gateways_own_files_are_out_of_reach_by_any_name() {
    let world = World::new();
    let own =
        ["rungs.toml", "rungs.db"].map(|name| world.folder.write(&format!("root/{name}"), SECRET));
    world.folder.write("root/rungs.db-wal", SECRET);
    fs::hard_link(&own[0], world.root().join("hard")).unwrap();
    symlink("rungs.toml", world.root().join("soft")).unwrap();
    symlink("rungs.db-wal", world.root().join("soft-wal")).unwrap();
    let roots = Roots::open(&[world.root()], Protected::new(own), Reach::Change).unwrap();
    for path in [
        "rungs.toml",
        "rungs.db",
        "rungs.db-wal",
        "hard",
        "soft",
        "soft-wal",
        "./rungs.db",
    ] {
        let place = Place::parse(path).unwrap();
        assert!(roots.read(None, place, 1, None).await.is_err(), "{path}");
    }
    for path in [
        "rungs.toml",
        "rungs.db",
        "rungs.db-wal",
        "rungs.db-journal",
        "soft",
    ] {
        let place = Place::parse(path).unwrap();
        assert!(
            roots.write(None, place, "x".into()).await.is_err(),
            "{path}"
        );
    }
}

#[tokio::test]
async fn roots_that_are_read_are_not_written_by_either_wall() {
    let world = World::new();
    let roots = Roots::open(&[world.root()], Protected::default(), Reach::Read).unwrap();
    let place = Place::parse("file.txt").unwrap();
    let refused = roots.write(None, place.clone(), "x".into()).await;
    assert_eq!(refused.unwrap_err().message(), "files may only be read");
    assert_eq!(
        roots.read(None, place, 1, None).await.unwrap().text,
        "inside"
    );
}

#[tokio::test]
async fn r21_a_folder_is_named_as_roots_are_and_none_leads_out() {
    let world = World::new();
    world.folder.write("other/folder/deep.txt", "inside");
    let other = world.folder.path().join("other");
    let open = |paths: &[std::path::PathBuf]| {
        Roots::open(paths, Protected::default(), Reach::Read).unwrap()
    };
    let roots = open(&[world.root(), other.clone()]);
    for (text, path) in [
        ("", world.root()),
        (".", world.root()),
        ("root", world.root()),
        ("folder", world.root().join("folder")),
        ("root/folder/", world.root().join("folder")),
        ("inner", world.root().join("folder")),
        ("other", other.clone()),
        ("other/folder", other.join("folder")),
    ] {
        let opened = roots.folder(text).await.unwrap();
        assert_eq!(opened.path().unwrap(), path, "{text}");
    }
    let more = ["file.txt", "none", "others", "other/..", "root/../other"];
    let escapes = world.escapes();
    for text in escapes.iter().map(String::as_str).chain(more) {
        let Ok(opened) = roots.folder(text).await else {
            continue;
        };
        let path = opened.path().unwrap();
        assert!(path.starts_with(world.root()), "{text:?} is {path:?}");
    }
    let error = roots.folder("no-folder").await.unwrap_err();
    assert_eq!(error.get_param(), Some("root"));
    // It stays the one that was found, whoever moves another into its place.
    let opened = roots.folder("folder").await.unwrap();
    fs::rename(world.root().join("folder"), world.root().join("away")).unwrap();
    symlink("../outside", world.root().join("folder")).unwrap();
    assert_eq!(opened.dir().read_to_string("deep.txt").unwrap(), "inside");
    assert!(opened.dir().open("secret.txt").is_err());
}

/// Somebody swaps a folder for a link while it is read and written. `RUNGS_RACES` says how often; `cargo xtask escapes` makes 100,000
/// rounds of it.
#[tokio::test]
async fn a_link_that_is_swapped_in_meanwhile_leads_nowhere() {
    let rounds = std::env::var("RUNGS_RACES")
        .ok()
        .and_then(|rounds| rounds.parse().ok());
    let rounds: usize = rounds.unwrap_or(2_000);
    let world = World::new();
    world.folder.write("root/a/secret.txt", "inside");
    symlink("../outside", world.root().join("b")).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let swapper = {
        let (done, root) = (done.clone(), world.root());
        std::thread::spawn(move || {
            let mut swaps = 0_u64;
            let (a, b) = (root.join("a"), root.join("b"));
            while !done.load(Ordering::Relaxed) {
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(rustix::fs::CWD, &a, rustix::fs::CWD, &b, exchange)
                    .unwrap();
                swaps += 1;
            }
            swaps
        })
    };
    let place = Place::parse("a/secret.txt").unwrap();
    let mut inside = 0;
    for roots in [world.roots(), Roots::without_first_wall(&[world.root()])] {
        for round in 0..rounds / 2 {
            if let Ok(read) = roots.read(None, place.clone(), 1, None).await {
                assert_eq!(read.text, "inside", "round {round}");
                inside += 1;
            }
            if round % 64 == 0 {
                let _ = roots.write(None, place.clone(), "inside".into()).await;
            }
        }
    }
    done.store(true, Ordering::Relaxed);
    let swaps = swapper.join().unwrap();
    assert!(
        swaps > 10 && inside > 10,
        "a race needs two: {swaps} swaps, {inside} reads"
    );
    assert_eq!(
        fs::read_to_string(world.folder.path().join("outside/secret.txt")).unwrap(),
        SECRET
    );
}
