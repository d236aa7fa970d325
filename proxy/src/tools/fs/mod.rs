//! Tools of files: everything happens in [`Roots`](crate::sandbox::Roots).

mod fs_list;
mod fs_read;
mod fs_write;

use std::sync::Arc;

use super::{Tool, Workshop};

/// All of them, in the order in which they are listed.
pub(super) fn all(workshop: &Arc<Workshop>) -> Vec<Arc<dyn Tool>> {
    vec![
        Arc::new(fs_read::FsRead::new(workshop.clone())),
        Arc::new(fs_write::FsWrite::new(workshop.clone())),
        Arc::new(fs_list::FsList::new(workshop.clone())),
    ]
}
