//! What all processes below this one take together, as `/proc` tells.

use std::fs;

use rustix::process::{Pid, WaitOptions, getpid, wait};

use super::supervisor::kill;
use crate::sandbox::policy::Limits;

/// Sums over all processes below.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    processes: u64,
    /// Bytes of memory that no file backs.
    memory: u64,
    /// Bytes written, also by processes that have ended.
    written: u64,
}

impl Usage {
    /// What is too much, in words.
    pub(super) fn over(&self, limits: &Limits) -> Option<String> {
        let Limits {
            memory,
            processes,
            written,
            ..
        } = *limits;
        if self.processes > processes {
            return Some(format!("more than {processes} processes"));
        }
        if self.memory > memory {
            return Some(format!("more than {memory} bytes of memory"));
        }
        (self.written > written).then(|| format!("more than {written} bytes written"))
    }
}

/// Looks at all processes below this one.
pub(super) fn below() -> Usage {
    let page = rustix::param::page_size() as u64;
    let mut usage = Usage::default();
    for pid in descendants() {
        usage.processes += 1;
        // Gone meanwhile: then it takes nothing.
        let memory = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
        let mut pages = memory
            .split(' ')
            .map(|field| field.parse::<u64>().unwrap_or(0));
        let (resident, shared) = (pages.nth(1).unwrap_or(0), pages.next().unwrap_or(0));
        usage.memory += resident.saturating_sub(shared) * page;
        let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        let written = io
            .lines()
            .find_map(|line| line.strip_prefix("write_bytes: "));
        usage.written += written.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    }
    usage
}

/// Ends all processes below this one, also those that begin meanwhile, and waits until they are gone.
pub(super) fn kill_all() {
    loop {
        let pids = descendants();
        for pid in pids.iter().copied().filter_map(Pid::from_raw) {
            kill(pid);
        }
        // Those whose parent is gone are ours by now.
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        if pids.is_empty() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

fn descendants() -> Vec<i32> {
    let mut found = children(getpid().as_raw_nonzero().get());
    let mut seen = 0;
    while let Some(pid) = found.get(seen) {
        let more = children(*pid);
        found.extend(more);
        seen += 1;
    }
    found
}

/// The children of all threads of a process.
fn children(pid: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let lists = threads.into_iter().flatten().flatten();
    let lists = lists.map(|thread| fs::read_to_string(thread.path().join("children")));
    let pids = |list: String| {
        list.split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect::<Vec<i32>>()
    };
    lists
        .flat_map(|list| pids(list.unwrap_or_default()))
        .collect()
}
