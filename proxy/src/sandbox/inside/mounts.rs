//! What a jailed program sees under the folders that all programs share: temporary files, and sockets of services.

use std::{ffi::CString, fs, io, os::fd::AsRawFd, path::Path};

use rustix::{
    fs::{Mode, OFlags, open},
    mount::{MountFlags, mount, mount_bind_recursive},
};

use crate::sandbox::policy::Policy;

/// Folders that are emptied: what lies there belongs to others, and to be let in by a service's socket no right of files is needed.
const SHARED: [&str; 4] = ["/tmp", "/var/tmp", "/run", "/dev/shm"];

/// Mounts an empty folder over each of the shared ones; what the policy names in them is there again.
pub(super) fn hide_shared(policy: &Policy) -> io::Result<()> {
    let own = [&policy.folder, &policy.scratch];
    let named = own
        .into_iter()
        .chain(&policy.readable)
        .chain(&policy.writable);
    let mut opened = Vec::new();
    for path in named.filter(|path| is_shared(path) && path.exists()) {
        let handle = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        opened.push((path, path.is_dir(), handle));
    }
    // What lies in another comes after it.
    opened.sort_by_key(|(path, ..)| path.components().count());
    opened.dedup_by(|a, b| a.0 == b.0);
    let size = format!(
        "size={},mode=1777",
        policy.limits.written.min(policy.limits.memory / 2)
    );
    let options = CString::new(size)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    for folder in SHARED.iter().filter(|folder| Path::new(folder).is_dir()) {
        mount("tmpfs", *folder, "tmpfs", flags, Some(options.as_c_str()))?;
    }
    for (path, is_folder, handle) in opened {
        if !path.exists() {
            match (is_folder, path.parent()) {
                (true, _) => fs::create_dir_all(path)?,
                (false, parent) => {
                    parent.map_or(Ok(()), fs::create_dir_all)?;
                    fs::File::create(path)?;
                }
            }
        }
        let number = handle.as_raw_fd();
        mount_bind_recursive(format!("/proc/self/fd/{number}"), path)?;
    }
    Ok(())
}

/// Mounts a list of this namespace's processes alone. Containers that hide parts of `/proc` do not allow it.
pub(super) fn own_proc() -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    Ok(mount("proc", "/proc", "proc", flags, None)?)
}

fn is_shared(path: &Path) -> bool {
    SHARED.iter().any(|shared| path.starts_with(shared))
}
