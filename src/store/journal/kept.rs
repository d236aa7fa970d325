use std::{fs, path::Path};

use super::{
    files::{self, failed, there},
    segment::{Head, records},
};
use crate::{error::Error, store::Finding};

/// The rows that the folder of a journal has, for who does not own it: what its store once had, or is still to get.
///
/// A segment goes, or is used again, when all its rows are shipped. So rows before those that are here have been in the store, and
/// those that are here and not in the store were taken out of it, or wait to be shipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    first: u64,
    last: u64,
}

impl Kept {
    /// Looks into `folder`, also while a process writes there; `None` if no row is there that was sealed with `key`. Nothing is changed.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if it cannot be read.
    pub fn read(folder: &Path, key: &[u8; 32]) -> Result<Option<Self>, Error> {
        let numbers = there(files::numbers(folder)).map_err(|e| failed(folder, e))?;
        let mut kept: Option<Self> = None;
        for number in numbers.unwrap_or_default() {
            let path = files::path(folder, number);
            // It may be used again meanwhile: its rows are shipped then.
            let Some(bytes) = there(fs::read(&path)).map_err(|e| failed(&path, e))? else {
                continue;
            };
            if let Some(Self { first, last }) = Self::of_segment(&bytes, key) {
                let first = kept.map_or(first, |kept| kept.first.min(first));
                let last = kept.map_or(last, |kept| kept.last.max(last));
                kept = Some(Self { first, last });
            }
        }
        Ok(kept)
    }

    /// The rows at the beginning of a segment, as far as each continues the one before.
    fn of_segment(bytes: &[u8], key: &[u8; 32]) -> Option<Self> {
        let Head { first, mut chain } = Head::read(bytes)?;
        let sealed = records(bytes).take_while(|(seq, record)| {
            let is_sealed = record.is_sealed(key, &chain, *seq);
            chain = record.chain;
            is_sealed
        });
        // A head alone says nothing: it has no seal.
        let (last, _) = sealed.last()?;
        Some(Self { first, last })
    }

    /// What is wrong with a store that ends with row `end`, looked up after this was read.
    #[must_use]
    pub fn beyond(&self, end: u64) -> Vec<Finding> {
        let Self { first, last } = *self;
        let missing = (end + 1 < first).then(|| Finding::Missing {
            first: end + 1,
            last: first - 1,
        });
        let unshipped = (end < last).then(|| Finding::Unshipped {
            first: first.max(end + 1),
            last,
        });
        missing.into_iter().chain(unshipped).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_store_lacks_is_missing_where_no_segment_has_it() {
        let kept = Kept { first: 5, last: 9 };
        let beyond = |end| {
            let found = kept.beyond(end);
            found.iter().map(Finding::to_string).collect::<Vec<_>>()
        };
        let alone = "in the journal alone: taken out of the database, or not brought there yet";
        let rows = format!("rows 5 to 9 are {alone}");
        assert_eq!(beyond(0), ["rows 1 to 4 are missing", &rows]);
        assert_eq!(beyond(3), ["row 4 is missing", &rows]);
        assert_eq!(beyond(4), [rows]);
        assert_eq!(beyond(8), [format!("row 9 is {alone}")]);
        for end in [9, 10] {
            assert!(beyond(end).is_empty());
        }
    }
}
