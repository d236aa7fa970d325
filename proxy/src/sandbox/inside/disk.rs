//! What a program has on the disk. What its processes say that they have written is not all: those that nobody waits for take their word
//! with them, and room can be taken without a byte.

use std::{
    collections::HashSet,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

use crate::sandbox::policy::Policy;

/// How much longer than it has computed it waits until the next look: folders of builds are large.
const PAUSE: u32 = 10;

/// Every file counts with so many bytes more, for an empty one takes room too.
const FILE: u64 = 512;

/// The places that a program may change, and how large they were.
pub(super) struct Disk {
    places: Vec<PathBuf>,
    before: u64,
    next: Instant,
}

impl Disk {
    pub(super) fn new(policy: &Policy) -> Self {
        let named: Vec<_> = policy.named_to_change().collect();
        let within = |path: &Path| {
            named
                .iter()
                .any(|other| path != **other && path.starts_with(other))
        };
        let places = named.iter().filter(|path| !within(path));
        let places: Vec<PathBuf> = places.map(|path| (*path).clone()).collect();
        Self {
            before: size(&places, &[]),
            places,
            next: Instant::now(),
        }
    }

    /// By how much they have grown with what the processes `pids` hold open that has no name any more; `None` if it is too soon to look again.
    pub(super) fn grown(&mut self, pids: &[i32]) -> Option<u64> {
        if Instant::now() < self.next {
            return None;
        }
        // That it has to wait for a disk on which others write is no reason to look less often.
        let began = computed();
        let now = size(&self.places, pids);
        self.next = Instant::now() + computed().saturating_sub(began) * PAUSE;
        Some(now.saturating_sub(self.before))
    }
}

/// For how long this thread has computed.
fn computed() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// How much room is taken in `places`, and by files without a name. One with several names is one file.
fn size(places: &[PathBuf], pids: &[i32]) -> u64 {
    let mut seen = HashSet::new();
    let mut once = |facts: &Metadata| match facts.nlink() == 1 || facts.is_dir() {
        true => room(facts),
        false if seen.insert((facts.dev(), facts.ino())) => room(facts),
        false => 0,
    };
    let mut sum = 0;
    let mut waiting: Vec<PathBuf> = places.to_vec();
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(facts) = entry.metadata() else {
                continue;
            };
            sum += once(&facts);
            if facts.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    for pid in pids {
        let open = fs::read_dir(format!("/proc/{pid}/fd"));
        let open = open.into_iter().flatten().flatten();
        let facts = open.filter_map(|file| file.path().metadata().ok());
        let nameless = facts.filter(|facts| facts.is_file() && facts.nlink() == 0);
        sum += nameless.map(|facts| once(&facts)).sum::<u64>();
    }
    sum
}

/// Blocks of the kernel have 512 bytes, whatever those of the disk have.
fn room(facts: &Metadata) -> u64 {
    facts.blocks() * 512 + FILE
}
