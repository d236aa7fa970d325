//! A socket's path has far fewer bytes than a file's: where it is too long, the system is given a short one to the same place.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::fd::OwnedFd;

/// The most bytes of a socket's path; a zero comes behind them.
const LONGEST: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// A path to a socket that the system takes while this lives.
pub(super) struct SocketPath {
    path: PathBuf,
    _folder: Option<OwnedFd>,
}

impl SocketPath {
    /// The way to the socket at `path`, which need not be there.
    ///
    /// # Errors
    /// It is too long, or its folder cannot be opened.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        if fits(path) {
            return Ok(Self {
                path: path.to_owned(),
                _folder: None,
            });
        }
        let short = Self::by_folder(path)?;
        match fits(&short.path) {
            true => Ok(short),
            false => Err(io::Error::new(
                io::ErrorKind::InvalidFilename,
                format!(
                    "a socket's path has at most {LONGEST} bytes, and {} has more; put the database where its path is shorter",
                    path.display()
                ),
            )),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// By the handle of its folder, which has a name of its own.
    #[cfg(target_os = "linux")]
    fn by_folder(path: &Path) -> io::Result<Self> {
        use std::os::fd::AsRawFd;

        use rustix::fs::{Mode, OFlags, open};

        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidFilename.into());
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = open(folder, flags, Mode::empty())?;
        let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
        Ok(Self {
            path: path.join(name),
            _folder: Some(folder),
        })
    }

    #[cfg(not(target_os = "linux"))]
    fn by_folder(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            _folder: None,
        })
    }
}

fn fits(path: &Path) -> bool {
    path.as_os_str().len() <= LONGEST
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::net::{UnixListener, UnixStream},
    };

    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_socket_may_lie_deeper_than_its_path_may_be_long() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("d".repeat(100)).join("e".repeat(100));
        fs::create_dir_all(&folder).unwrap();
        let socket = folder.join("rungs.db.sock");
        let listener = UnixListener::bind(SocketPath::of(&socket).unwrap().path()).unwrap();
        assert!(socket.exists());
        UnixStream::connect(SocketPath::of(&socket).unwrap().path()).unwrap();
        listener.accept().unwrap();
    }

    #[test]
    fn a_name_that_is_too_long_is_told_with_the_limit() {
        let root = tempfile::tempdir().unwrap();
        let told = SocketPath::of(&root.path().join("n".repeat(200)))
            .err()
            .unwrap();
        assert!(told.to_string().contains(&LONGEST.to_string()), "{told}");
    }
}
