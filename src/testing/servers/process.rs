use std::{
    fs, io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// A folder that goes with its handle.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// A new folder; `name` tells people what it is for.
    pub(super) fn new(name: &str) -> io::Result<Self> {
        loop {
            let unique = format!("rungs-{name}-{:016x}", fastrand::u64(..));
            let folder = std::env::temp_dir().join(unique);
            match fs::create_dir(&folder) {
                Ok(()) => return Ok(Self(folder)),
                // What a test that was killed has left.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A port that nobody listens on. Somebody may take it before a server does: then try another.
pub(super) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// A server's process, killed when dropped.
#[derive(Debug)]
pub(super) struct Process(Child);

impl Process {
    /// Starts `command`; `package` is what to install where it is missing. Its output goes to the file `log`.
    pub(super) fn start(command: &mut Command, package: &str, log: &Path) -> io::Result<Self> {
        let out = fs::File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn();
        child.map(Self).map_err(|error| {
            let program = command.get_program().to_string_lossy();
            let why = format!(
                "cannot start `{program}` ({error}): install the package `{package}`, or run `cargo xtask test`, which does"
            );
            io::Error::new(error.kind(), why)
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Asks `ready` until it says yes. Fails when the process has ended, or takes too long.
    pub(super) fn wait_until(&mut self, mut ready: impl FnMut() -> bool) -> io::Result<()> {
        let start = Instant::now();
        while !ready() {
            if let Some(status) = self.0.try_wait()? {
                return Err(io::Error::other(format!("it ended: {status}")));
            }
            if start.elapsed() > PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Sends a signal such as `STOP`.
    pub(super) fn signal(&self, name: &str) -> io::Result<()> {
        let id = self.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status()?;
        match status.success() {
            true => Ok(()),
            false => Err(io::Error::other(format!("kill -s {name} {id}: {status}"))),
        }
    }

    /// Waits until it has ended by itself, or kills it when that takes too long.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        let start = Instant::now();
        while self.0.try_wait()?.is_none() {
            if start.elapsed() > PATIENCE {
                return self.kill().map(drop);
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Ends it at once, also when it is stopped.
    pub(super) fn kill(&mut self) -> io::Result<ExitStatus> {
        self.0.kill()?;
        self.0.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
