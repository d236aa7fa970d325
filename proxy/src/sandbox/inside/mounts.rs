//! The root that a jailed program sees: what it needs of the system and what its policy names. Nothing else is there.

use std::{
    cmp::Reverse,
    ffi::CString,
    fs, io,
    os::{fd::OwnedFd, unix::fs::symlink},
    path::{Path, PathBuf},
};

use rustix::{
    fs::CWD,
    mount::{
        MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_bind,
        mount_bind_recursive, mount_remount, move_mount, open_tree, unmount,
    },
    process::{chdir, pivot_root},
};

use super::system::{DEVICES, FACTS, SYSTEM};
use crate::sandbox::policy::Policy;

/// Folders that everybody writes to: what lies there belongs to others, so it gets empty ones.
const SHARED: [&str; 2] = ["/tmp", "/dev/shm"];

/// Where programs find the files that they were started with.
const OPENED: [(&str, &str); 4] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// Flags of every mount in it.
const TAME: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// Something that is in the root.
struct Part {
    path: PathBuf,
    source: Source,
}

impl Part {
    fn is_read_only(&self) -> bool {
        matches!(&self.source, Source::Given { access, .. } if *access == Access::Read)
    }
}

enum Source {
    /// A file or folder of the computer, with what is mounted in it: a copy of the mounts, which are nowhere yet.
    Given { tree: OwnedFd, access: Access },
    /// An empty folder in memory.
    Memory,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Access {
    Read,
    Change,
    /// It is a device: it does not matter who may change its file.
    Device,
}

/// Moves this process into a root of its own. In it `/proc` can still be written; it wants to be [sealed](seal).
pub(super) fn own_root(policy: &Policy) -> io::Result<()> {
    let parts = parts(policy)?;
    // Any folder will do to build it on, and this one is nobody else's.
    let base = &*policy.scratch;
    mount("tmpfs", base, "tmpfs", TAME, Some(c"mode=755,size=1m"))?;
    for link in SYSTEM.map(Path::new) {
        if !link.is_symlink() {
            continue;
        }
        symlink(fs::read_link(link)?, below(base, link))?;
    }
    own_proc(&below(base, Path::new("/proc")))?;
    let most = policy.limits.written.min(policy.limits.memory / 2);
    // A file without a byte takes memory too.
    let files = most / 1024;
    let memory = CString::new(format!("size={most},nr_inodes={files},mode=1777"))?;
    for Part { path, source } in &parts {
        let place = below(base, path);
        match source {
            Source::Memory => {
                make(&place, true)?;
                mount("tmpfs", &place, "tmpfs", TAME, Some(memory.as_c_str()))?;
            }
            Source::Given { tree, .. } => {
                make(&place, path.is_dir())?;
                let whole = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
                move_mount(tree, "", CWD, &place, whole)?;
            }
        }
    }
    for place in places(policy) {
        hide(&below(base, &place))?;
    }
    for (link, target) in OPENED {
        let link = below(base, Path::new(link));
        if link.symlink_metadata().is_err() {
            symlink(target, link)?;
        }
    }
    // Afterwards: in what can only be read no place for another part could be made.
    for mounted in mounts()? {
        let around = parts
            .iter()
            .filter(|part| mounted.path.starts_with(below(base, &part.path)));
        let nearest = around.max_by_key(|part| depth(&part.path));
        if nearest.is_some_and(Part::is_read_only) {
            mounted.seal()?;
        }
    }
    chdir(base)?;
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    chdir("/")?;
    mount_remount("/", MountFlags::BIND | MountFlags::RDONLY | TAME, "")?;
    Ok(())
}

/// Where what is hidden would be: also under the other name of what is linked.
fn places(policy: &Policy) -> Vec<PathBuf> {
    let named = policy.named_to_read().chain(policy.named_to_change());
    let linked: Vec<_> = named
        .filter_map(|path| Some((path, path.canonicalize().ok()?)))
        .filter(|(path, real)| **path != *real)
        .collect();
    let hidden = policy.hidden.iter();
    let by_links = hidden.clone().flat_map(|hidden| {
        let below =
            |(path, real): &(&PathBuf, PathBuf)| Some(path.join(hidden.strip_prefix(real).ok()?));
        linked.iter().filter_map(below).collect::<Vec<_>>()
    });
    hidden.cloned().chain(by_links).collect()
}

/// Puts something empty before what is at `place`, if anything is.
fn hide(place: &Path) -> io::Result<()> {
    match place.symlink_metadata() {
        Ok(facts) if facts.is_dir() => {
            let flags = TAME | MountFlags::RDONLY;
            Ok(mount(
                "tmpfs",
                place,
                "tmpfs",
                flags,
                Some(c"mode=555,size=4k"),
            )?)
        }
        Ok(facts) if facts.is_file() => Ok(mount_bind("/dev/null", place)?),
        _ => Ok(()),
    }
}

/// Where `path` is while the root is built on `base`.
fn below(base: &Path, path: &Path) -> PathBuf {
    base.join(path.strip_prefix("/").unwrap_or(path))
}

/// All parts, what lies in another behind it. What another has in it with the same rights is no part of its own.
fn parts(policy: &Policy) -> io::Result<Vec<Part>> {
    let system = SYSTEM.iter().chain(&FACTS).chain(&["/sys"]).map(Path::new);
    let read = policy.named_to_read().map(|path| &**path);
    let change = policy.named_to_change().map(|path| &**path);
    let devices = DEVICES.iter().map(Path::new);
    let named = { system.chain(read) }.map(|path| (path, Access::Read));
    let named = named.chain(change.map(|path| (path, Access::Change)));
    let named = named.chain(devices.map(|path| (path, Access::Device)));
    let mut wanted = Vec::new();
    for (path, access) in named {
        let Ok(real) = path.canonicalize() else {
            continue;
        };
        // What has a link in its path is there by both names, but for the links that the root has itself.
        let is_linked = |top: &str| path.starts_with(top) && Path::new(top).is_symlink();
        if !SYSTEM.into_iter().any(is_linked) {
            wanted.push((path.to_owned(), access));
        }
        wanted.push((real, access));
    }
    // What lies in another comes behind it, and of the same the one that may do more is first.
    wanted.sort_by_key(|(path, access)| (depth(path), path.clone(), Reverse(*access)));
    let mut parts: Vec<Part> = Vec::new();
    for (path, access) in wanted {
        let is_in = |part: &Part| match part.source {
            Source::Given { access: given, .. } => {
                let hidden = shared(&path) != shared(&part.path);
                path.starts_with(&part.path) && given >= access && !hidden
            }
            Source::Memory => false,
        };
        if !parts.iter().any(is_in) {
            let copy = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_RECURSIVE;
            let tree = open_tree(CWD, &path, copy | OpenTreeFlags::OPEN_TREE_CLOEXEC)?;
            let source = Source::Given { tree, access };
            parts.push(Part { path, source });
        }
    }
    for path in SHARED.map(PathBuf::from) {
        if !parts.iter().any(|part| part.path == path) {
            let source = Source::Memory;
            parts.push(Part { path, source });
        }
    }
    parts.sort_by_key(|part| depth(&part.path));
    Ok(parts)
}

/// The shared folder that a path is in.
fn shared(path: &Path) -> Option<&str> {
    SHARED.into_iter().find(|shared| path.starts_with(shared))
}

fn depth(path: &Path) -> usize {
    path.components().count()
}

/// Makes a folder or a file to mount something on, if there is none.
fn make(place: &Path, is_folder: bool) -> io::Result<()> {
    match (place.exists(), is_folder, place.parent()) {
        (true, ..) => Ok(()),
        (false, true, _) => fs::create_dir_all(place),
        (false, false, parent) => {
            parent.map_or(Ok(()), fs::create_dir_all)?;
            fs::File::create(place).map(drop)
        }
    }
}

/// Mounts a list of this namespace's processes alone. Containers that hide parts of `/proc` do not allow it; then other processes can be
/// seen by number, and no more: they are another namespace's.
fn own_proc(place: &Path) -> io::Result<()> {
    fs::create_dir_all(place)?;
    let flags = TAME | MountFlags::NOEXEC;
    if mount("proc", place, "proc", flags, None).is_err() {
        mount_bind_recursive("/proc", place)?;
    }
    Ok(())
}

/// Lets nobody write to what is mounted at `path` or below.
pub(super) fn seal(path: &Path) -> io::Result<()> {
    let below = { mounts()?.into_iter() }.filter(|mounted| mounted.path.starts_with(path));
    below.into_iter().try_for_each(|mounted| mounted.seal())
}

/// A mount that there is.
struct Mounted {
    path: PathBuf,
    /// What it is not allowed already, which must be said again.
    flags: MountFlags,
}

impl Mounted {
    fn seal(&self) -> io::Result<()> {
        let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | self.flags;
        Ok(mount_remount(&self.path, flags, "")?)
    }
}

/// All mounts of this process, in the order in which they were made.
fn mounts() -> io::Result<Vec<Mounted>> {
    let list = fs::read_to_string("/proc/self/mountinfo")?;
    let mounted = |line: &str| {
        let mut fields = line.split(' ').skip(4);
        let (path, options) = (fields.next()?, fields.next()?);
        let flag = |option| match option {
            "nodev" => MountFlags::NODEV,
            "noexec" => MountFlags::NOEXEC,
            _ => MountFlags::empty(),
        };
        Some(Mounted {
            path: unescaped(path).into(),
            flags: options.split(',').map(flag).collect(),
        })
    };
    Ok(list.lines().filter_map(mounted).collect())
}

/// A path without the escapes that the kernel writes in place of spaces and the like: `\040`.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part
            .get(..3)
            .and_then(|code| u8::from_str_radix(code, 8).ok());
        match code {
            Some(code) => {
                plain.push(code.into());
                plain.push_str(&part[3..]);
            }
            None => plain.push_str(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_escapes_are_read() {
        assert_eq!(unescaped("/a\\040b\\134/c"), "/a b\\/c");
    }
}
