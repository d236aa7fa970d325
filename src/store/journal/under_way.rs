use std::{collections::HashSet, fs, io, path::Path};

use super::{
    codec::decode,
    files::{self, failed, there},
    intents,
    segment::records,
};
use crate::{error::Error, store::LedgerRow};

/// The attempts under way of the gateway whose journal is in `folder`, each with what it can cost at most; of one that was killed,
/// those that its next start will charge.
///
/// For a program beside the gateway: the folder may belong to another process, and nothing is changed in it. What is being written
/// just then is left out. Where there is no journal, there are none.
///
/// # Errors
/// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the files cannot be read.
pub fn under_way(folder: &Path) -> Result<Vec<LedgerRow>, Error> {
    read(folder).map_err(|e| failed(folder, e))
}

fn read(folder: &Path) -> io::Result<Vec<LedgerRow>> {
    // Before the segments: a slot that says what is over is empty before the segment with its row goes.
    let slots = there(intents::rows(&intents::path(folder)))?;
    let mut begun: Vec<_> = slots.into_iter().flatten().flatten().collect();
    if begun.is_empty() {
        return Ok(begun);
    }
    let mut ended = HashSet::new();
    for number in files::numbers(folder)? {
        // One that has gone since, or is made anew, has rows of long ago.
        let bytes = there(fs::read(files::path(folder, number)))?;
        let bytes = bytes.unwrap_or_default();
        let rows = records(&bytes).filter_map(|(_, record)| decode(record.row));
        ended.extend(rows.map(|row| (row.request, row.attempt)));
    }
    begun.retain(|row| !ended.contains(&(row.request.clone(), row.attempt)));
    Ok(begun)
}
