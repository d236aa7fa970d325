//! Tools of files: everything happens in [`Roots`](crate::sandbox::Roots).

mod fs_list;
mod fs_read;
mod fs_write;

use std::sync::Arc;

use super::{Typed, Workshop};

/// All of them, in the order in which they are listed.
pub(super) fn all(workshop: &Arc<Workshop>) -> Vec<Typed> {
    vec![
        fs_read::tool(workshop),
        fs_write::tool(workshop),
        fs_list::tool(workshop),
    ]
}
