//! The spool: what is not done with is found again, whole and in order, whenever its process ended.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rungs::{
    ErrorKind,
    store::{
        Durability, Spool, Topic,
        spool::{FileSpool, Left},
    },
};

use crate::dir::Dir;

async fn safe(spool: &FileSpool, what: Durability) {
    if let Some(safe) = spool.survives(what) {
        safe.await.expect("it is written");
    }
}

fn open(folder: &Path) -> FileSpool {
    FileSpool::open(folder).expect("a spool")
}

/// What the next process finds, if this one is killed now.
fn found(spool: &Path, copy: &Path) -> Vec<Left> {
    fs::create_dir_all(copy).expect("a folder");
    for file in files(spool) {
        fs::copy(&file, copy.join(file.file_name().expect("a name"))).expect("it is copied");
    }
    open(copy).left(Topic::Turns)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(folder)
        .expect("a folder")
        .map(|file| file.expect("a file").path());
    let mut files: Vec<_> = all
        .filter(|file| file.extension().is_some_and(|e| e == "spool"))
        .collect();
    files.sort();
    files
}

fn size(folder: &Path) -> u64 {
    let sizes = files(folder).into_iter();
    sizes
        .map(|file| fs::metadata(file).expect("a file").len())
        .sum()
}

#[tokio::test]
async fn what_is_not_done_with_is_found_by_the_next_process() {
    let dir = Dir::new("spool-left");
    let folder = dir.0.join("spool");
    let spool = open(&folder);
    assert!(spool.left(Topic::Turns).is_empty());
    let numbers = ["a", "b", "c"].map(|text| spool.add(Topic::Turns, text.into()));
    spool.add(Topic::Names, b"name".to_vec());
    spool.done(&numbers[1..2]);
    safe(&spool, Durability::Crash).await;
    assert_eq!(
        FileSpool::open(&folder).unwrap_err().kind(),
        ErrorKind::Internal,
        "it is in use"
    );
    spool.close().await;

    let spool = open(&folder);
    let left = spool.left(Topic::Turns);
    assert_eq!(
        left,
        [(numbers[0], b"a".to_vec()), (numbers[2], b"c".to_vec())]
    );
    assert!(spool.left(Topic::Turns).is_empty(), "told once");
    assert_eq!(spool.left(Topic::Names).len(), 1);
    let next = spool.add(Topic::Turns, b"d".to_vec());
    assert!(next > numbers[2], "a number is never used twice");
    spool.done(&[numbers[0], next]);
    spool.close().await;
    assert_eq!(
        open(&folder).left(Topic::Turns),
        [(numbers[2], b"c".to_vec())]
    );
}

#[tokio::test]
async fn what_was_told_to_be_safe_is_there_if_the_process_is_killed_now() {
    let dir = Dir::new("spool-safe");
    let folder = dir.0.join("spool");
    let spool = open(&folder);
    for n in 0..50_u32 {
        let number = spool.add(Topic::Turns, n.to_string().into());
        let what = [Durability::Crash, Durability::PowerLoss][n as usize % 2];
        safe(&spool, what).await;
        let last = found(&folder, &dir.0.join(format!("copy-{n}"))).pop();
        assert_eq!(last, Some((number, n.to_string().into())));
        if n % 3 == 0 {
            spool.done(&[number]);
            safe(&spool, Durability::Crash).await;
            let left = found(&folder, &dir.0.join(format!("done-{n}")));
            assert!(left.iter().all(|(left, _)| *left != number));
        }
    }
}

#[tokio::test]
async fn a_torn_end_is_cut_off_and_written_over() {
    let dir = Dir::new("spool-torn");
    let folder = dir.0.join("spool");
    let spool = open(&folder);
    for n in 0..4_u32 {
        spool.add(Topic::Turns, vec![b'x'; n as usize * 10]);
    }
    spool.close().await;
    let whole = fs::read(&files(&folder)[0]).expect("a file");
    for cut in 0..whole.len() {
        let copy = dir.0.join(format!("cut-{cut}"));
        fs::create_dir_all(&copy).expect("a folder");
        fs::write(copy.join("000000000001.spool"), &whole[..cut]).expect("it is written");
        let spool = open(&copy);
        let before = spool.left(Topic::Turns);
        assert!(before.len() < 4);
        let number = spool.add(Topic::Turns, b"behind it".to_vec());
        spool.close().await;
        let mut after = open(&copy).left(Topic::Turns);
        assert_eq!(
            after.pop(),
            Some((number, b"behind it".to_vec())),
            "cut at {cut}"
        );
        assert_eq!(after, before);
    }
}

#[tokio::test]
async fn files_go_when_nothing_in_them_is_needed() {
    let dir = Dir::new("spool-files");
    let folder = dir.0.join("spool");
    let spool = open(&folder);
    let old = spool.add(Topic::Turns, b"old".to_vec());
    let mut last = 0;
    for n in 0..40 {
        let number = spool.add(Topic::Turns, vec![n; 1 << 20]);
        safe(&spool, Durability::PowerLoss).await;
        if last > 0 {
            spool.done(&[last]);
        }
        last = number;
    }
    safe(&spool, Durability::Crash).await;
    let left = found(&folder, &dir.0.join("copy"));
    assert_eq!(
        left.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
        [old, last]
    );
    assert!(
        size(&folder) < 26 << 20,
        "what is done with does not pile up behind what stays: {}",
        size(&folder)
    );
    spool.done(&[old, last]);
    let start = Instant::now();
    while size(&folder) > 0 {
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "what was said is gone soon"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    safe(&spool, Durability::PowerLoss).await;
    assert!(
        spool.survives(Durability::PowerLoss).is_none(),
        "nothing is left to be safe"
    );
}

#[tokio::test]
async fn what_a_kill_kept_from_going_goes_at_the_start_with_what_says_that_it_is_done_last() {
    let dir = Dir::new("spool-kept");
    let (whole, folder) = (dir.0.join("whole"), dir.0.join("spool"));
    let spool = open(&whole);
    let number = spool.add(Topic::Turns, b"said".to_vec());
    spool.done(&[number]);
    spool.close().await;
    let bytes = fs::read(&files(&whole)[0]).expect("a file");
    let done = bytes.len() - (bytes.len() - b"said".len()) / 2;
    fs::create_dir_all(&folder).expect("a folder");
    for (name, bytes) in [("1", &bytes[..done]), ("2", &bytes[done..])] {
        fs::write(folder.join(format!("00000000000{name}.spool")), bytes).expect("it is written");
    }
    let spool = open(&folder);
    assert!(spool.left(Topic::Turns).is_empty());
    let start = Instant::now();
    while size(&folder) > 0 {
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "what was said is gone soon"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(found(&folder, &dir.0.join("copy")).is_empty());
}

#[tokio::test]
async fn a_damaged_file_stops_the_start_by_name() {
    let dir = Dir::new("spool-damaged");
    let folder = dir.0.join("spool");
    let spool = open(&folder);
    for n in 0..6 {
        spool.add(Topic::Turns, vec![n; 1 << 20]);
        safe(&spool, Durability::Crash).await;
    }
    spool.close().await;
    let first = files(&folder)[0].clone();
    let mut bytes = fs::read(&first).expect("a file");
    bytes[100] ^= 1;
    fs::write(&first, bytes).expect("it is written");
    let error = FileSpool::open(&folder).unwrap_err();
    assert!(error.message().contains("000000000001.spool"), "{error}");
    assert!(files(&folder).len() > 1, "nothing was changed");
}
