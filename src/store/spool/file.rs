use std::{
    collections::HashMap,
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Left, Spool, Topic,
    files::{Files, failed},
    writer::{ROOM, Shared, Writer},
};
use crate::{
    error::Error,
    store::{Durability, StoreFuture, lock},
};

/// A spool in a folder of files, written by a thread of its own; what comes at the same time shares a sync.
///
/// A file lasts until all that is in it is done with, or copied to the newest. They hold what was said, so only the user that runs
/// this process can read them, and what is done with is overwritten or removed within seconds; beside what cannot go yet as much may
/// stay, and 16 MiB.
pub struct FileSpool {
    shared: Arc<Shared>,
    left: Mutex<HashMap<u8, Vec<Left>>>,
}

impl FileSpool {
    /// Opens the spool in `folder`, which is made if it is missing and belongs to this process until it is closed.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if the folder cannot be used, belongs to another process, or is damaged.
    /// The message says which, and what to do.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        Self::with_room(folder, ROOM)
    }

    fn with_room(folder: &Path, room: u64) -> Result<Self, Error> {
        std::fs::create_dir_all(folder).map_err(|e| failed(folder, e))?;
        let lock = lock::take(folder)?.ok_or_else(|| {
            let folder = folder.display();
            Error::internal(format!(
                "the spool {folder} is in use by another rungs process"
            ))
        })?;
        let found = Files::open(folder)?;
        let mut left: HashMap<u8, Vec<Left>> = HashMap::new();
        for (number, kind, bytes) in found.left {
            left.entry(kind).or_default().push((number, bytes));
        }
        let shared = Arc::new(Shared::new(found.next, room));
        Writer::start(Arc::clone(&shared), found.files, lock)?;
        Ok(Self {
            shared,
            left: Mutex::new(left),
        })
    }

    /// Writes what was taken, takes no more, and gives the folder free. May be called more than once.
    pub async fn close(&self) {
        self.shared.close();
        self.shared.ended().await;
    }
}

impl Spool for FileSpool {
    fn add(&self, topic: Topic, record: Vec<u8>) -> u64 {
        self.shared.add(topic as u8, record)
    }

    fn done(&self, numbers: &[u64]) {
        self.shared.done(numbers);
    }

    fn has_room(&self) -> bool {
        self.shared.has_room()
    }

    fn survives(&self, what: Durability) -> Option<StoreFuture<'static, ()>> {
        self.shared.survives(what)
    }

    fn left(&self, topic: Topic) -> Vec<Left> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.remove(&(topic as u8)).unwrap_or_default()
    }
}

impl Drop for FileSpool {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl fmt::Debug for FileSpool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSpool")
            .field("has_room", &self.has_room())
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "failpoints")]
#[cfg(test)]
mod tests {
    use std::{path::PathBuf, time::Duration};

    use tokio::sync::Mutex;

    use super::*;

    /// One test at a time: a fail point is the whole program's.
    static ALONE: Mutex<()> = Mutex::const_new(());

    /// A folder for a spool.
    fn folder(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("rungs-{name}-{}", std::process::id()))
    }

    /// A spool in a folder of its own.
    fn spool(name: &str) -> (PathBuf, FileSpool) {
        let folder = folder(name);
        let spool = FileSpool::open(&folder).expect("a spool");
        (folder, spool)
    }

    #[tokio::test]
    async fn there_is_no_more_room_than_on_the_disk_and_in_memory_together() {
        const ROOM: u64 = 16 << 20;
        let _alone = ALONE.lock().await;
        let folder = folder("spool-room");
        let spool = FileSpool::with_room(&folder, ROOM).expect("a spool");
        let mut needed = Vec::new();
        for _ in 0..3 {
            needed.push(spool.add(Topic::Turns, vec![1; 5 << 20]));
            assert!(is_safe(&spool, Durability::Crash).await);
            assert!(spool.has_room());
        }
        needed.push(spool.add(Topic::Turns, vec![1; 1 << 20]));
        assert!(!spool.has_room(), "it is not written, or it is");
        assert!(is_safe(&spool, Durability::Crash).await);
        assert!(!spool.has_room(), "all of it is needed");
        spool.close().await;

        let spool = FileSpool::with_room(&folder, ROOM).expect("a spool");
        assert!(!spool.has_room(), "also after a restart");
        spool.done(&needed);
        assert!(is_safe(&spool, Durability::Crash).await);
        assert!(spool.has_room());
        spool.close().await;
        std::fs::remove_dir_all(folder).unwrap();
    }

    /// The names that the next process finds, if this one is killed now and so much of the last file is torn off.
    fn found(spool: &Path, copy: &Path, torn: usize) -> Vec<Left> {
        let _ = std::fs::remove_dir_all(copy);
        std::fs::create_dir_all(copy).unwrap();
        let files = std::fs::read_dir(spool).unwrap();
        let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|kind| kind == "spool"));
        files.sort();
        let last = files.pop().unwrap();
        for file in files {
            std::fs::hard_link(&file, copy.join(file.file_name().unwrap())).unwrap();
        }
        let bytes = std::fs::read(&last).unwrap();
        let bytes = &bytes[..bytes.len() - torn];
        std::fs::write(copy.join(last.file_name().unwrap()), bytes).unwrap();
        let left = Files::open(copy).unwrap().left.into_iter();
        let names = left.filter(|(_, kind, _)| *kind == Topic::Names as u8);
        names.map(|(number, _, bytes)| (number, bytes)).collect()
    }

    #[tokio::test]
    async fn what_stays_is_found_once_wherever_the_process_is_killed_while_it_is_copied() {
        const ROOM: u64 = 64 << 20;
        let _alone = ALONE.lock().await;
        let (folder, copy) = (folder("spool-stays"), folder("spool-stays-copy"));
        let spool = FileSpool::with_room(&folder, ROOM).expect("a spool");
        let stays: Vec<Left> = (0..3_u8)
            .map(|n| {
                let record = vec![n; 100_000];
                (spool.add(Topic::Names, record.clone()), record)
            })
            .collect();
        assert!(is_safe(&spool, Durability::Crash).await);
        let copied = Arc::new(Mutex::new(Vec::new()));
        // A copy is torn off at its end, or at its begin; what was synced is not.
        let places: [(_, &'static [usize]); 2] = [
            ("spool.copied", &[0, 1, 250_000]),
            ("spool.after_write", &[0]),
        ];
        for (place, torn) in places {
            let (folder, copy, copied) = (folder.clone(), copy.clone(), Arc::clone(&copied));
            let looking = move || {
                let mut copied = copied.blocking_lock();
                copied.extend(
                    torn.iter()
                        .map(|torn| (place, found(&folder, &copy, *torn))),
                );
            };
            fail::cfg_callback(place, looking).unwrap();
        }
        let mut last = 0;
        for n in 0..40_u8 {
            assert!(
                spool.has_room(),
                "{n}: names that stay keep no room from turns"
            );
            let number = spool.add(Topic::Turns, vec![n; 3 << 20]);
            spool.done(&[last]);
            last = number;
            assert!(is_safe(&spool, Durability::Crash).await);
        }
        fail::cfg("spool.copied", "off").unwrap();
        fail::cfg("spool.after_write", "off").unwrap();
        spool.close().await;
        let copied = copied.lock().await;
        let copies = copied.iter().filter(|(place, _)| *place == "spool.copied");
        assert!(copies.count() > 3 * 3, "they were copied again and again");
        for (place, found) in copied.iter() {
            assert_eq!(found, &stays, "{place}");
        }
        let spool = FileSpool::with_room(&folder, ROOM).expect("a spool");
        assert_eq!(spool.left(Topic::Names), stays);
        spool.close().await;
        for folder in [folder, copy] {
            std::fs::remove_dir_all(folder).unwrap();
        }
    }

    async fn is_safe(spool: &FileSpool, what: Durability) -> bool {
        match spool.survives(what) {
            Some(safe) => safe.await.is_ok(),
            None => true,
        }
    }

    #[tokio::test]
    async fn a_sync_that_failed_is_never_believed_again() {
        let _alone = ALONE.lock().await;
        let (folder, long) = spool("spool-turn");
        long.add(Topic::Turns, vec![1; 5 << 20]);
        assert!(is_safe(&long, Durability::Crash).await);
        fail::cfg("spool.sync", "1*return->off").unwrap();
        // It goes into the next file, after this one was synced.
        long.add(Topic::Turns, vec![2]);
        is_safe(&long, Durability::Crash).await;
        for _ in 0..2 {
            assert!(!is_safe(&long, Durability::PowerLoss).await);
            assert!(!long.has_room(), "nothing more begins");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        long.close().await;
        std::fs::remove_dir_all(folder).unwrap();

        let (folder, spent) = spool("spool-spent");
        let number = spent.add(Topic::Turns, vec![1]);
        assert!(is_safe(&spent, Durability::PowerLoss).await);
        fail::cfg("spool.sync", "return").unwrap();
        spent.done(&[number]);
        for _ in 0..500 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if !spent.has_room() {
                break;
            }
        }
        assert!(!spent.has_room(), "an emptied file is synced too");
        fail::cfg("spool.sync", "off").unwrap();
        spent.close().await;
        std::fs::remove_dir_all(folder).unwrap();
    }
}
