//! Jails with both walls and with each alone, and who is left of what ran in them.

use std::{fs, time::Duration};

use super::Folder;
use crate::sandbox::{Ended, Jail, Limits, policy::Wall};

pub(super) async fn sh(jail: &Jail, script: &str) -> Ended {
    run(jail, &["/bin/sh", "-c", script]).await
}

pub(super) async fn run(jail: &Jail, argv: &[&str]) -> Ended {
    let ended = jail.run(argv, |_| {}).await.expect("it can be started");
    assert_eq!(
        ended.missing, [""; 0],
        "the tests want a kernel with all walls"
    );
    ended
}

pub(super) fn jail(folder: &Folder) -> Jail {
    Jail::new(folder.path()).limits(limits())
}

/// The jail with both walls, and with each alone: which one was taken away.
pub(super) fn jails(folder: &Folder) -> [(Option<Wall>, Jail); 3] {
    [None, Some(Wall::Namespaces), Some(Wall::Kernel)].map(|without| {
        let jail = jail(folder);
        let jail = match without {
            None => jail,
            Some(wall) => jail.without(wall),
        };
        (without, jail)
    })
}

pub(super) fn limits() -> Limits {
    Limits {
        seconds: 30,
        ..Limits::default()
    }
}

/// How many processes there are whose arguments have `mark` in them.
pub(super) fn alive(mark: &str) -> usize {
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    let commands = all.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    commands
        .filter(|command| String::from_utf8_lossy(command).contains(mark))
        .count()
}

/// Waits for what other processes do; for no longer than it must.
pub(super) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..400 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    unreachable!("in vain: {what}");
}

pub(super) fn mark() -> String {
    // A time to sleep for that nobody else sleeps for.
    format!("7{}", fastrand::u32(100_000..999_999))
}
