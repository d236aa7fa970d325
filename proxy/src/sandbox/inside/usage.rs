//! What all processes below this one take together, as `/proc` tells.

use std::{
    fs,
    io::{self, BufRead},
    path::Path,
};

use rustix::process::{Pid, WaitOptions, getpid, wait};

use super::{disk::Disk, supervisor::kill};
use crate::sandbox::policy::Limits;

/// How many processes are killed before the next are looked for.
const AT_ONCE: usize = 256;

/// What all processes below this one take too much of, in words.
///
/// It stops at the first process too many: whoever multiplies shall not be able to make this slow by it.
pub(super) fn over(limits: &Limits, disk: &mut Disk) -> Option<String> {
    let Limits {
        memory,
        processes,
        written,
        ..
    } = *limits;
    let most = usize::try_from(processes).unwrap_or(usize::MAX);
    let pids = descendants(most.saturating_add(1));
    if pids.len() > most {
        return Some(format!("more than {processes} processes"));
    }
    if pids.iter().map(|pid| resident(*pid)).sum::<u64>() > memory {
        return Some(format!("more than {memory} bytes of memory"));
    }
    let wrote = pids.iter().map(|pid| written_by(*pid)).sum::<u64>();
    let wrote = wrote.max(disk.grown(&pids).unwrap_or(0));
    (wrote > written).then(|| format!("more than {written} bytes written"))
}

/// Bytes of a process's memory that no file backs. Who is gone meanwhile takes nothing.
fn resident(pid: i32) -> u64 {
    let pages = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let mut pages = pages
        .split(' ')
        .map(|field| field.parse::<u64>().unwrap_or(0));
    let (resident, shared) = (pages.nth(1).unwrap_or(0), pages.next().unwrap_or(0));
    resident.saturating_sub(shared) * rustix::param::page_size() as u64
}

/// Bytes that a process has written, and those of its children that have ended.
fn written_by(pid: i32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    io.lines()
        .find_map(|line| line.strip_prefix("write_bytes: "))
        .and_then(|bytes| bytes.parse().ok())
        .unwrap_or(0)
}

/// Ends all processes below this one, also those that begin meanwhile, and waits until they are gone.
pub(super) fn kill_all() {
    loop {
        let pids = descendants(AT_ONCE);
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

/// All processes below this one, parents first, or the first `most` of them.
fn descendants(most: usize) -> Vec<i32> {
    let mut found = children(getpid().as_raw_nonzero().get(), most);
    let mut seen = 0;
    while let Some(pid) = found.get(seen)
        && found.len() < most
    {
        let more = children(*pid, most - found.len());
        found.extend(more);
        seen += 1;
    }
    found
}

/// The children of all threads of a process, or the first `most` of them: to list thousands that come and go takes the kernel
/// longer than they take to double.
fn children(pid: i32, most: usize) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let lists = threads.into_iter().flatten().flatten();
    let pids = lists.flat_map(|thread| pids(&thread.path().join("children"), most));
    pids.take(most).collect()
}

/// The first `most` numbers of a list.
fn pids(list: &Path, most: usize) -> Vec<i32> {
    let Ok(list) = fs::File::open(list) else {
        return Vec::new();
    };
    let words = io::BufReader::with_capacity(256, list).split(b' ');
    let words = words
        .map_while(Result::ok)
        .map_while(|word| String::from_utf8(word).ok());
    words
        .map_while(|word| word.parse().ok())
        .take(most)
        .collect()
}
