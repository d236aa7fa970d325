//! Each wall is tested alone too: the first one is taken away, the second must hold.

#[cfg(feature = "one-wall")]
mod ends;
mod files;
mod git;
#[cfg(feature = "one-wall")]
mod jails;
#[cfg(feature = "one-wall")]
mod limits;
#[cfg(feature = "one-wall")]
mod ordinary;
#[cfg(feature = "one-wall")]
mod programs;
mod world;

use std::{
    path::{Path, PathBuf},
    sync::LazyLock,
    time::SystemTime,
};

/// The gateway's program, which lies beside the tests.
///
/// It must be as new as the code of the walls: `cargo test -p rungs-proxy` builds it, with `--bin rungs` alone cargo does not.
pub(super) fn gateway() -> &'static Path {
    static GATEWAY: LazyLock<PathBuf> = LazyLock::new(|| {
        let tests = std::env::current_exe().expect("the tests' program");
        let folder = tests.ancestors().nth(2).expect("target/debug");
        let gateway = folder.join("rungs");
        let built = |path: &Path| path.metadata().and_then(|facts| facts.modified()).ok();
        let code = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sandbox/inside");
        let newest = std::fs::read_dir(code).expect("the code").flatten();
        let newest = newest.filter_map(|file| built(&file.path())).max();
        assert!(
            built(&gateway) >= newest.max(Some(SystemTime::UNIX_EPOCH)),
            "{} is missing or too old: cargo build -p rungs-proxy --all-features",
            gateway.display()
        );
        gateway
    });
    &GATEWAY
}

/// A new folder, removed with what is in it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let name = format!("rungs-test-{}", uuid::Uuid::now_v7());
        let path = std::env::temp_dir().canonicalize().unwrap().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}
