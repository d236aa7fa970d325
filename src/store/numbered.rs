//! Folders of files that have numbers for names, in the order in which they were begun.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// Where the file of this number and kind is.
pub(super) fn path(folder: &Path, number: u64, kind: &str) -> PathBuf {
    folder.join(format!("{number:012}.{kind}"))
}

/// The numbers of the files of a kind in a folder, in order.
pub(super) fn numbers(folder: &Path, kind: &str) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(kind));
        let number = number.and_then(|name| name.strip_suffix('.'));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The name of a file that was made or renamed lasts as well as what is in it.
pub(super) fn keep_name(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
