//! However a program ends, and whoever goes away meanwhile: nothing of it is left.

use std::{
    fs,
    path::PathBuf,
    sync::OnceLock,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{
    Folder,
    jails::{alive, jails, limits, mark, sh, until},
};
use crate::sandbox::{Limits, Verdict};

#[tokio::test]
async fn who_is_not_done_in_time_is_ended_with_all_children() {
    let (folder, mark) = (Folder::new(), mark());
    let script = format!(
        "(setsid sleep {mark} &) ; (trap '' TERM; sleep {mark}) & echo begun; sleep {mark}"
    );
    for (without, jail) in jails(&folder) {
        let jail = jail.limits(Limits {
            seconds: 1,
            ..limits()
        });
        let began = Instant::now();
        let ended = sh(&jail, &script).await;
        assert_eq!(ended.verdict, Verdict::TimedOut, "without {without:?}");
        assert_eq!(ended.stdout.text, "begun\n");
        assert!(began.elapsed() < Duration::from_secs(10));
        assert_eq!(alive(&mark), 0, "without {without:?} a child is left");
    }
}

#[tokio::test]
async fn nobody_outlives_a_program_that_ends() {
    let (folder, mark) = (Folder::new(), mark());
    let script = format!("(setsid sleep {mark} >/dev/null 2>&1 &) ; echo done");
    for (without, jail) in jails(&folder) {
        let ended = sh(&jail, &script).await;
        assert_eq!(ended.verdict, Verdict::Exited(0), "without {without:?}");
        assert_eq!(alive(&mark), 0, "without {without:?} a child is left");
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_no_process_and_no_file() {
    let (folder, mark) = (Folder::new(), mark());
    folder.write("own.txt", "mine");
    // Some that have left the session, deaf to signals, write as fast as they can into what is about to be removed.
    let writes = format!(
        "trap '' TERM HUP INT; n=0; while :; do mkdir $TMPDIR/$$.$n; echo half > $TMPDIR/$$.$n/file; n=$((n+1)); done # {mark}"
    );
    let script = format!(
        "for n in 1 2 3; do setsid sh -c \"$writes\" & done; sleep 0.3; echo $TMPDIR; echo x > own.txt; sleep {mark}"
    );
    for (without, jail) in jails(&folder) {
        let jail = jail.env("writes", &writes);
        let (scratch, writing) = (OnceLock::new(), Notify::new());
        let argv = ["/bin/sh", "-c", &script];
        tokio::select! {
            ended = jail.run(&argv, |line| {
                scratch.get_or_init(|| PathBuf::from(line));
                writing.notify_one();
            }) => unreachable!("it ended: {ended:?}"),
            () = writing.notified() => {}
        }
        let scratch = scratch.into_inner().unwrap();
        assert!(scratch.starts_with(std::env::temp_dir()), "{scratch:?}");
        until("the end of all processes", || alive(&mark) == 0).await;
        until("the end of its files", || !scratch.exists()).await;
        let left = fs::read_dir(folder.path()).unwrap().count();
        let own = fs::read_to_string(folder.path().join("own.txt")).unwrap();
        assert_eq!((left, &*own), (1, "mine"), "without {without:?}");
    }
}

#[tokio::test]
async fn a_call_may_be_dropped_while_the_walls_are_built() {
    let (folder, mark) = (Folder::new(), mark());
    let script = format!("(setsid sleep {mark} &) ; sleep {mark}");
    let argv = ["/bin/sh", "-c", &script];
    for (_, jail) in jails(&folder) {
        for moment in 0..12 {
            let soon = Duration::from_millis(moment * 4);
            let run = tokio::time::timeout(soon, jail.run(&argv, |_| {}));
            assert!(run.await.is_err(), "it ended by itself");
        }
        until("the end of all processes", || alive(&mark) == 0).await;
    }
}
