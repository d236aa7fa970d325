//! Tools of git: two looks, and nothing that changes a repository.

mod git_diff;
mod git_status;

use std::sync::Arc;

use rungs::Error;

use super::{Caller, Typed, Workshop};
use crate::sandbox::Git;

/// All of them, in the order in which they are listed.
pub(super) fn all(workshop: &Arc<Workshop>) -> Vec<Typed> {
    vec![git_status::tool(workshop), git_diff::tool(workshop)]
}

/// The repository in a caller's root; in the first one if none is named.
fn repository(workshop: &Workshop, caller: &Caller, root: Option<&str>) -> Result<Git, Error> {
    let roots = workshop.roots(&caller.principal)?;
    let sandbox = workshop.tools().sandbox;
    Git::new(roots.path(root)?, sandbox, &workshop.protected())
}
