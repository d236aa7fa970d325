//! Tools of git: two looks, and nothing that changes a repository.

mod git_diff;
mod git_status;

use std::sync::Arc;

use super::{Tool, Workshop};

/// All of them, in the order in which they are listed.
pub(super) fn all(workshop: &Arc<Workshop>) -> Vec<Arc<dyn Tool>> {
    vec![
        Arc::new(git_status::GitStatus::new(workshop.clone())),
        Arc::new(git_diff::GitDiff::new(workshop.clone())),
    ]
}
