use std::{
    fs::File,
    io::{Read, Seek, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

use crate::{error::Error, store::Chain};

/// How far the table `journals` says that a journal has arrived; `None` if nothing has.
pub(super) fn told(
    journal: &str,
    seq: i64,
    chain: Option<&[u8]>,
) -> Result<Option<(u64, Chain)>, Error> {
    match (u64::try_from(seq), chain.map(Chain::try_from)) {
        (Ok(0), None) => Ok(None),
        (Ok(seq @ 1..), Some(Ok(chain))) => Ok(Some((seq, chain))),
        // As if nothing had arrived, all of it would be sent again.
        _ => Err(Error::internal(format!(
            "the table journals is damaged: what it says of the journal {journal}, row {seq} with a chain of {} bytes, nobody wrote. \
             Nothing was changed; restore the database together with the journal",
            chain.map_or(0, <[u8]>::len)
        ))),
    }
}

/// How far a journal has arrived, as of the last batch that was known to. Synced, because the journal lets go of rows that have: what is
/// older than all it still has would not fit it.
pub(super) struct ArrivedFile(Mutex<(File, Option<(u64, Chain)>)>);

const CHECK: usize = 16;
const LENGTH: usize = 8 + 16 + CHECK;

impl ArrivedFile {
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("arrived");
        let opened = || {
            std::fs::create_dir_all(folder)?;
            let mut options = File::options();
            options.create(true).truncate(false).read(true).write(true);
            let mut file = options.open(&path)?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok((file, read(&bytes)))
        };
        let opened = opened().map_err(|e: std::io::Error| {
            Error::internal(format!("cannot use {}: {e}", path.display())).with_source(e)
        })?;
        Ok(Self(Mutex::new(opened)))
    }

    /// `None` if nothing is known.
    pub(super) fn last(&self) -> Option<(u64, Chain)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    pub(super) fn write(&self, seq: u64, chain: &Chain) -> Result<(), Error> {
        let mut arrived = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend_from_slice(&seq.to_le_bytes());
        bytes.extend_from_slice(chain);
        bytes.extend_from_slice(&check(&bytes));
        let (file, last) = &mut *arrived;
        file.rewind()
            .and_then(|()| file.write_all(&bytes))
            .and_then(|()| file.sync_data())
            .map_err(|e| {
                Error::internal("it cannot be written down how far the journal has arrived")
                    .with_source(e)
            })?;
        *last = Some((seq, *chain));
        Ok(())
    }
}

fn read(bytes: &[u8]) -> Option<(u64, Chain)> {
    let (told, told_check) = bytes.get(..LENGTH)?.split_at(LENGTH - CHECK);
    if check(told) != told_check {
        return None;
    }
    let (seq, chain) = told.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*seq), chain.try_into().ok()?))
}

fn check(bytes: &[u8]) -> [u8; CHECK] {
    let mut check = [0; CHECK];
    check.copy_from_slice(&blake3::hash(bytes).as_bytes()[..CHECK]);
    check
}
