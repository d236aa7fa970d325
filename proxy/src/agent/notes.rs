//! What the agent writes down in the project for its next job: facts of its own and names of files, nothing that a model said.

use cap_std::fs::Dir;
use rungs::Error;

use super::{
    commit::{self, Changed},
    path::RelPath,
    report::{Outcome, Report},
};

/// The files: path, title.
const FILES: [(&str, &str); 3] = [
    ("docs/ai-orchestrator-notes.md", "Notes of the code agent"),
    ("docs/ai-routing-heuristics.md", "Which tier could do what"),
    (
        "docs/ai-common-bugs-and-fixes.md",
        "What failed, and what guards it now",
    ),
];

/// The most bytes of one file; the oldest entries go first.
const MAX_BYTES: usize = 16 << 10;

/// What a plan gets to read of each, in bytes: the newest entries.
const READ: usize = 2 << 10;

/// Whether a file is one of the agent's own, which models do not write.
pub(super) fn is_note(path: &str) -> bool {
    FILES.iter().any(|(own, _)| path.eq_ignore_ascii_case(own))
}

/// The newest entries of all files; empty if there are none. Blocks.
pub(super) fn read(project: &Dir) -> String {
    let texts = FILES
        .iter()
        .filter_map(|(path, _)| project.read_to_string(path).ok());
    let newest = texts.map(|text| {
        let entries = text.lines().filter(|line| line.starts_with("- "));
        let entries: Vec<&str> = entries.collect();
        fitting(&entries, READ).join("\n")
    });
    newest
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Adds what there is to say about a job. Blocks.
///
/// # Errors
/// When a file cannot be written, or has become another meanwhile.
pub(super) fn write(project: &Dir, task: &str, report: &Report, date: &str) -> Result<(), Error> {
    let entries = entries(task, report, date);
    let mut files = Vec::new();
    for ((path, title), entry) in FILES.into_iter().zip(entries) {
        let (Some(entry), Ok(rel)) = (entry, RelPath::parse(path)) else {
            continue;
        };
        let before = project.read_to_string(path).ok();
        let now = with(before.as_deref().unwrap_or_default(), title, &entry);
        files.push((rel, before, now));
    }
    let changes = files.iter().map(|(path, before, now)| Changed {
        path,
        before: before.as_deref(),
        now,
    });
    commit::write(project, &changes.collect::<Vec<_>>())
}

/// What goes into each file.
fn entries(task: &str, report: &Report, date: &str) -> [Option<String>; 3] {
    const LONGEST: usize = 160;
    let task: String = task.chars().take(LONGEST).collect();
    let task = serde_json::Value::from(task).to_string();
    let (work, routing) = (&report.result, &report.routing);
    let ended = match work.outcome {
        Outcome::Solved => "solved",
        Outcome::Unsolved => "not solved",
        Outcome::Stopped => "stopped by a limit",
    };
    let cost = &report.performance.cost_usd;
    let notes = format!("- {date} {task}: {ended}; {}; ${cost}", routing.summary);
    let mut failed: Vec<String> = Vec::new();
    for step in &routing.steps {
        if let Some(kind) = &step.kind {
            let line = format!("{} ({kind})", step.tier);
            if !failed.contains(&line) {
                failed.push(line);
            }
        }
    }
    let solved = work.outcome == Outcome::Solved;
    let end = routing.end_tier.as_deref().unwrap_or("nobody");
    let files = work.files.join(", ");
    let heuristics = match (solved, failed.is_empty()) {
        (true, true) => format!("- {date} {task}: {end} did it at once"),
        (true, false) => format!("- {date} {task}: {end} did it after {}", failed.join(", ")),
        (false, _) => format!("- {date} {task}: nobody did it: {}", failed.join(", ")),
    };
    let guard = report.quality.test.as_deref();
    let bug = guard.filter(|_| solved && report.quality.tests_before.as_deref() != Some("passed"));
    let bug =
        bug.map(|test| format!("- {date} {task}: fixed in {files}; the tests `{test}` guard it"));
    [Some(notes), Some(heuristics), bug]
}

/// `text` with one more entry at its end, within the limit.
fn with(text: &str, title: &str, entry: &str) -> String {
    let entries = text
        .lines()
        .filter(|line| line.starts_with("- "))
        .chain([entry]);
    let entries: Vec<&str> = entries.collect();
    let head =
        format!("# {title}\n\nKept by the code agent of rungs; the oldest entries go first.\n\n");
    let kept = fitting(&entries, MAX_BYTES - head.len());
    format!("{head}{}\n", kept.join("\n"))
}

/// The last of `entries` that fit into `limit` bytes with a line end each.
fn fitting<'a, 'b>(entries: &'b [&'a str], limit: usize) -> &'b [&'a str] {
    let mut room = limit;
    let fits = entries.iter().rev().take_while(|entry| {
        let fits = entry.len() < room;
        room = room.saturating_sub(entry.len() + 1);
        fits
    });
    let count = fits.count();
    &entries[entries.len() - count..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn entries_are_added_in_order() {
        let once = with("", "Notes", "- a");
        let twice = with(&once, "Notes", "- b");
        assert!(
            twice.starts_with("# Notes\n\n") && twice.ends_with("\n\n- a\n- b\n"),
            "{twice}"
        );
    }

    proptest! {
        #[test]
        fn a_file_of_notes_is_bounded(entries in proptest::collection::vec("- [a-z]{0,900}", 0..60)) {
            let mut text = String::new();
            for entry in &entries {
                text = with(&text, "Notes", entry);
                prop_assert!(text.len() <= MAX_BYTES);
                let last = format!("{entry}\n");
                prop_assert!(text.ends_with(&last));
            }
        }
    }
}
