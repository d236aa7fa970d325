//! The code agent: a task and a project in, a tested change out.
//!
//! It copies the project, asks the lowest tier for a plan and then for each part of it, applies what is answered to the copy, runs
//! the project's tests there, and climbs a tier only on [evidence](climb::Evidence): an answer that cannot be read, a change that does
//! not apply, tests that fail, a reviewer who disagrees. The project itself is written once, at the end, all or nothing.
//!
//! What models say is text. It can change open files of the copy and ask to see others; it cannot run anything, leave the root, or move a
//! limit: those are the caller's and the configuration's.

mod climb;
mod commit;
mod edit;
mod event;
mod job;
mod map;
mod models;
mod notes;
mod path;
mod plan;
mod prompt;
mod purse;
mod report;
mod review;
mod run;
mod scan;
mod tests_run;
mod work;
mod workspace;

pub(crate) use event::{Event, Watch};
pub(crate) use job::{Job, Wanted};
pub(crate) use report::{Outcome, Report};
pub(crate) use run::run;
