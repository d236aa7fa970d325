//! A control group: the kernel lets all that is in it be so many tasks and no more. It holds for root too, whom the limit of a user
//! (`RLIMIT_NPROC`) does not bind, and with a namespace of processes or without.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::process::getpid;

/// A group below the one that this process is in; removed when this is dropped, if nobody is in it then.
pub(super) struct Group {
    own: PathBuf,
    home: PathBuf,
}

impl Group {
    /// Moves this process into a new group for at most `most` tasks: whom it starts are in it too. `None` where it may not, for groups are
    /// root's, and of whom root gives them to.
    pub(super) fn enter(most: u64) -> Option<Self> {
        let home = home()?;
        let own = home.join(format!("rungs-{}", getpid().as_raw_nonzero()));
        // Of one that was killed, and had this number.
        let _ = fs::remove_dir(&own);
        fs::create_dir(&own).ok()?;
        let group = Self { own, home };
        let entered = group
            .count()
            .and_then(|()| group.cap(most))
            .and_then(|()| join(&group.own));
        entered.ok().map(|()| group)
    }

    /// Moves this process back: who watches is not among those that are counted.
    pub(super) fn leave(&self) {
        let _ = join(&self.home);
    }

    /// Lets nobody in it start another.
    pub(super) fn close(&self) {
        // Without it who ends them has to be faster than they multiply.
        let _ = self.cap(0);
    }

    fn cap(&self, most: u64) -> io::Result<()> {
        fs::write(self.own.join("pids.max"), most.to_string())
    }

    /// Has the kernel count in the second version of groups, where that is to be switched on. Only in a group of threads it may be where
    /// processes are in the group above, as we are.
    fn count(&self) -> io::Result<()> {
        if self.own.join("pids.max").exists() {
            return Ok(());
        }
        fs::write(self.own.join("cgroup.type"), "threaded")?;
        fs::write(self.home.join("cgroup.subtree_control"), "+pids")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.leave();
        let _ = fs::remove_dir(&self.own);
    }
}

fn join(group: &Path) -> io::Result<()> {
    fs::write(group.join("cgroup.procs"), "0")
}

/// The group that this process is in, of the hierarchy that counts tasks.
fn home() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    find(&groups, &mounts)
}

/// The same, from what the kernel says of a process's groups and mounts.
fn find(groups: &str, mounts: &str) -> Option<PathBuf> {
    let group = |wanted: &str| {
        groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let mut controllers = fields.next()?.split(',');
            let path = fields.next()?;
            controllers.any(|name| name == wanted).then_some(path)
        })
    };
    let mounted = |kind: &str, option: &str, path: &str| {
        mounts.lines().find_map(|line| {
            let (place, what) = line.split_once(" - ")?;
            let mut what = what.split(' ');
            let is_it = what.next()? == kind && what.nth(1)?.split(',').any(|o| o == option);
            let mut place = place.split(' ').skip(3);
            let (root, at) = (place.next()?, place.next()?);
            let below = Path::new(path).strip_prefix(root).ok()?;
            is_it.then(|| Path::new(at).join(below))
        })
    };
    match group("pids") {
        Some(path) => mounted("cgroup", "pids", path),
        None => mounted("cgroup2", "rw", group("")?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_groups_are_found() {
        let first = "9:name=systemd:/\n8:cpu,pids:/a/b\n0::/c\n";
        let second = "0::/system.slice/x\n";
        let mounts = "30 23 0:28 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
                      31 23 0:29 /a /sys/fs/cgroup/pids rw,relatime shared:1 - cgroup cgroup rw,cpu,pids\n\
                      32 23 0:30 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n";
        let found = |groups| find(groups, mounts);
        assert_eq!(found(first), Some("/sys/fs/cgroup/pids/b".into()));
        let unified = "/sys/fs/cgroup/unified/system.slice/x";
        assert_eq!(found(second), Some(unified.into()));
        assert_eq!(found(""), None);
    }
}
