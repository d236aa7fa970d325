use std::{
    collections::HashMap,
    fs::{self, File, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
};

use crate::{
    error::Error,
    store::{
        Ledger, Progress,
        lease::{BudgetId, Marks},
    },
};

const MAGIC: &[u8; 8] = b"rungsmk1";
/// Magic, the computer's boot, the holder, the epoch.
const HEAD: usize = 8 + 16 + 16 + 8;
/// The budget's hash, what is used, and that once more with all bits turned.
const SLOT: usize = 16 + 8 + 8;

/// How much of each lease is used, in a file of this holder alone. Its name is synced, and the rest only written: what is written survives the end of
/// the process however it ends. The end of the computer it does not, and then it is not believed: the whole leases count as spent.
pub(super) struct MarkFile {
    file: Option<File>,
    holder: Arc<str>,
    /// Of the process before.
    past: Past,
    slots: usize,
    free: Vec<usize>,
    /// What the process before has left is told, and may be written over.
    begun: bool,
    ledger: Option<Arc<dyn Ledger>>,
}

#[derive(Default)]
struct Past {
    epoch: i64,
    used: HashMap<[u8; 16], i64>,
}

impl MarkFile {
    /// The marks in a folder, which belong to one process at a time. Without a folder nothing is kept, and each start is another
    /// holder's.
    pub(super) fn open(folder: Option<&Path>) -> Result<Self, Error> {
        let Some(folder) = folder else {
            return Ok(Self {
                file: None,
                holder: name(fastrand::u128(..).to_le_bytes()),
                past: Past::default(),
                slots: 0,
                begun: true,
                free: Vec::new(),
                ledger: None,
            });
        };
        let path = folder.join("leases");
        let wrong = |e: io::Error| {
            Error::internal(format!("cannot use {}: {e}", path.display())).with_source(e)
        };
        fs::create_dir_all(folder).map_err(wrong)?;
        let mut options = File::options();
        options.create(true).truncate(false).read(true).write(true);
        let mut file = options.open(&path).map_err(wrong)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::internal(format!(
                    "the folder {} is in use by another rungs process; give each process a folder of its own",
                    folder.display()
                )));
            }
            Err(TryLockError::Error(e)) => return Err(wrong(e)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(wrong)?;
        let (holder, past) = read(&bytes);
        let holder = match holder {
            Some(holder) => name(holder),
            // All rows that have arrived would be sent again, under another name.
            None if has_journal(folder).map_err(wrong)? => {
                return Err(Error::internal(format!(
                    "the file {} does not say under which name the rows of the journal beside it were sent to the database; bring the \
                     file back, or move the whole folder away: then this process begins as another one, and rows of the old journal \
                     that have not arrived are not counted",
                    path.display()
                )));
            }
            None => {
                let holder = name(fastrand::u128(..).to_le_bytes());
                write_head(&mut file, &holder, 0)
                    .and_then(|()| file.sync_all())
                    .and_then(|()| File::open(folder)?.sync_all())
                    .map_err(wrong)?;
                holder
            }
        };
        Ok(Self {
            file: Some(file),
            holder,
            past,
            slots: 0,
            begun: false,
            free: Vec::new(),
            ledger: None,
        })
    }

    /// The name of the holder, the same at each start.
    pub(super) fn holder(&self) -> Arc<str> {
        self.holder.clone()
    }

    /// The ledger whose rows say what was spent.
    pub(super) fn recorded_by(&mut self, ledger: Arc<dyn Ledger>) {
        self.ledger = Some(ledger);
    }

    fn progress(&self) -> Progress {
        let ledger = self.ledger.as_ref();
        ledger.map(|ledger| ledger.progress()).unwrap_or_default()
    }

    /// How much of a lease of the process before was used, as far as that is known.
    pub(super) fn used(&self, epoch: i64, id: &BudgetId) -> Option<i64> {
        // A lease without a mark, in a file that is of its epoch, was never used.
        (self.past.epoch == epoch).then(|| self.past.used.get(&hash(id)).copied().unwrap_or(0))
    }

    /// A new epoch, without marks.
    pub(super) fn begin(&mut self, epoch: i64) -> io::Result<()> {
        self.slots = 0;
        self.free.clear();
        self.begun = true;
        if let Some(file) = &mut self.file {
            // In this order a kill between leaves the holder its name, and at worst marks that say too much.
            write_head(file, &self.holder, epoch)?;
            file.set_len(HEAD as u64)?;
        }
        Ok(())
    }

    fn write(&mut self, slot: usize, id: &BudgetId, used: i64) -> io::Result<()> {
        self.write_slot(slot, &hash(id), used)
    }

    fn blank(&mut self, slot: usize) -> io::Result<()> {
        self.write_slot(slot, &[0; 16], 0)
    }

    fn write_slot(&mut self, slot: usize, id: &[u8; 16], used: i64) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let mut bytes = [0; SLOT];
        bytes[..16].copy_from_slice(id);
        bytes[16..24].copy_from_slice(&used.to_le_bytes());
        bytes[24..].copy_from_slice(&(!used).to_le_bytes());
        let at = u64::try_from(HEAD + slot * SLOT).unwrap_or(u64::MAX);
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&bytes)
    }
}

impl Marks for MarkFile {
    fn mark(&mut self, at: Option<usize>, id: &BudgetId, used: i64) -> Option<usize> {
        // Held without a lease while the database is away; `Book::mark_all` makes up for it.
        if !self.begun {
            return None;
        }
        let slot = at.or_else(|| self.free.pop()).unwrap_or(self.slots);
        match self.write(slot, id, used) {
            Ok(()) => {
                self.slots = self.slots.max(slot + 1);
                Some(slot)
            }
            Err(_) => None,
        }
    }

    fn forget(&mut self, at: usize) {
        // The lease may come again in another slot, and must not be found twice.
        if self.blank(at).is_ok() {
            self.free.push(at);
        }
    }

    fn taken(&self) -> u64 {
        self.progress().taken
    }

    fn written(&self) -> u64 {
        self.progress().written
    }
}

fn write_head(file: &mut File, holder: &str, epoch: i64) -> io::Result<()> {
    let holder = u128::from_str_radix(holder, 16).unwrap_or_default();
    let mut head = Vec::with_capacity(HEAD);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&boot().unwrap_or_default());
    head.extend_from_slice(&holder.to_be_bytes());
    head.extend_from_slice(&epoch.to_le_bytes());
    file.rewind()?;
    file.write_all(&head)
}

/// Whether there is a journal in the folder. The name is on the disk before it begins.
fn has_journal(folder: &Path) -> io::Result<bool> {
    match fs::read_dir(folder.join("journal")) {
        Ok(mut files) => Ok(files.next().is_some()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// The holder of a file, and its marks if they can be believed.
fn read(bytes: &[u8]) -> (Option<[u8; 16]>, Past) {
    let Some((head, slots)) = bytes.split_first_chunk::<HEAD>() else {
        return (None, Past::default());
    };
    if !head.starts_with(MAGIC) {
        return (None, Past::default());
    }
    let part = |from: usize| -> [u8; 16] { head[from..from + 16].try_into().unwrap_or_default() };
    let holder = u128::from_be_bytes(part(24)).to_le_bytes();
    if boot() != Some(part(8)) {
        return (Some(holder), Past::default());
    }
    let number = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().unwrap_or_default());
    let mut past = Past {
        epoch: number(&head[40..]),
        used: HashMap::new(),
    };
    for slot in slots.chunks_exact(SLOT) {
        let used = number(&slot[16..24]);
        if used != !number(&slot[24..]) {
            // One mark that is damaged is reason to believe none.
            return (Some(holder), Past::default());
        }
        // One that was written twice is believed where it says more.
        let id = slot[..16].try_into().unwrap_or_default();
        let told = past.used.entry(id).or_insert(used);
        *told = used.max(*told);
    }
    (Some(holder), past)
}

fn name(holder: [u8; 16]) -> Arc<str> {
    format!("{:032x}", u128::from_le_bytes(holder)).into()
}

fn hash(id: &BudgetId) -> [u8; 16] {
    let start = super::rows::millis(id.start).to_le_bytes();
    let mut hasher = blake3::Hasher::new();
    for part in [id.account.as_bytes(), id.span.as_bytes(), &start] {
        hasher.update(part).update(&[0]);
    }
    let mut hash = [0; 16];
    hash.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    hash
}

/// Names the time since the computer was started; the page cache is as old.
fn boot() -> Option<[u8; 16]> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: String = id.trim().chars().filter(|c| *c != '-').collect();
    Some(u128::from_str_radix(&digits, 16).ok()?.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> BudgetId {
        BudgetId {
            account: "key:k".into(),
            span: "day".into(),
            start: std::time::SystemTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn what_could_not_be_written_is_no_mark() {
        let dir = tempfile::tempdir().unwrap();
        let mut marks = MarkFile::open(Some(dir.path())).unwrap();
        marks.begin(7).unwrap();
        let at = marks.mark(None, &id(), 5);
        assert_eq!(at, Some(0));
        let written = marks
            .file
            .replace(File::open(dir.path().join("leases")).unwrap());
        assert_eq!(marks.mark(at, &id(), 9), None);
        drop((marks, written));
        let marks = MarkFile::open(Some(dir.path())).unwrap();
        assert_eq!(marks.used(7, &id()), Some(5));
    }

    #[test]
    fn a_lease_that_comes_again_is_found_once() {
        let dir = tempfile::tempdir().unwrap();
        let other = BudgetId {
            account: "key:other".into(),
            ..id()
        };
        let mut marks = MarkFile::open(Some(dir.path())).unwrap();
        marks.begin(7).unwrap();
        let [first, second] = [marks.mark(None, &other, 1), marks.mark(None, &id(), 50)];
        for at in [second, first].into_iter().flatten() {
            marks.forget(at);
        }
        assert_eq!(marks.mark(None, &id(), 7), first, "in another slot");
        drop(marks);
        let marks = MarkFile::open(Some(dir.path())).unwrap();
        assert_eq!(marks.used(7, &id()), Some(7));
        assert_eq!(marks.used(7, &other), Some(0));
    }

    #[test]
    fn what_the_process_before_has_left_is_not_written_over_before_it_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let id = id();
        let mut before = MarkFile::open(Some(dir.path())).unwrap();
        before.begin(7).unwrap();
        assert_eq!(before.mark(None, &id, 9), Some(0));
        drop(before);
        let mut marks = MarkFile::open(Some(dir.path())).unwrap();
        assert_eq!(marks.mark(None, &id, 1), None);
        drop(marks);
        let mut marks = MarkFile::open(Some(dir.path())).unwrap();
        assert_eq!(marks.used(7, &id), Some(9));
        marks.begin(8).unwrap();
        assert_eq!(marks.mark(None, &id, 1), Some(0));
    }
}
