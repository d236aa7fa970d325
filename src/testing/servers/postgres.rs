use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use super::process::{Folder, Process, free_port};

/// How often another port is tried when somebody else was faster.
const TRIES: u32 = 5;

/// The account that runs the server where the tests run as root, which PostgreSQL refuses.
const ACCOUNT: &str = "postgres";

const PACKAGE: &str = "postgresql";

/// Whether a server waits for its disk. A killed server loses nothing either way; only a computer that dies does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// As in production.
    On,
    /// Faster.
    Off,
}

/// A PostgreSQL of one's own, from the newest version that is installed. Anybody on this computer may use it.
///
/// Methods block for as long as the server takes: making one takes about a second, the rest milliseconds.
#[derive(Debug)]
pub struct PostgresServer {
    programs: PathBuf,
    owner: Option<Owner>,
    port: u16,
    settings: Vec<String>,
    databases: AtomicU32,
    /// Before the folder, so that it has ended when the folder goes.
    process: Option<Process>,
    folder: Folder,
}

/// Whom the server's files belong to, if not to us.
#[derive(Debug, Clone, Copy)]
struct Owner {
    user: u32,
    group: u32,
}

impl PostgresServer {
    /// Makes and starts an empty one that does not wait for the disk.
    ///
    /// # Errors
    /// When PostgreSQL is not installed, or does not start.
    pub fn start() -> io::Result<Self> {
        Self::with(Fsync::Off, &[])
    }

    /// The same with more settings, such as `max_connections=5`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn with(fsync: Fsync, settings: &[&str]) -> io::Result<Self> {
        let folder = Folder::new("postgres")?;
        let settings = settings.iter().map(|&s| s.to_owned());
        let fsync = match fsync {
            Fsync::On => "fsync=on",
            Fsync::Off => "fsync=off",
        };
        let mut server = Self {
            programs: programs()?,
            owner: owner(folder.path())?,
            port: 0,
            settings: [fsync.to_owned()].into_iter().chain(settings).collect(),
            databases: AtomicU32::new(0),
            process: None,
            folder,
        };
        server.make()?;
        let mut tries = 0;
        loop {
            tries += 1;
            server.port = free_port()?;
            match server.restart() {
                Ok(()) => return Ok(server),
                Err(error) if tries >= TRIES => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// Makes a new, empty database: `postgres://rungs@127.0.0.1:<port>/db1`.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn database(&self) -> io::Result<String> {
        let name = format!("db{}", self.databases.fetch_add(1, Ordering::Relaxed) + 1);
        self.query("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(format!("postgres://rungs@127.0.0.1:{}/{name}", self.port))
    }

    /// What `psql` says to a statement, without headings.
    ///
    /// # Errors
    /// When the server does not answer, or with an error.
    pub fn query(&self, database: &str, sql: &str) -> io::Result<String> {
        let port = self.port.to_string();
        let output = Command::new(self.programs.join("psql"))
            .env("PGCONNECT_TIMEOUT", "2")
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &port,
                "-U",
                "rungs",
                "-d",
                database,
            ])
            .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .output()?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => Err(io::Error::other(
                String::from_utf8_lossy(&output.stderr).into_owned(),
            )),
        }
    }

    /// Ends it as a crash would: connections break, and the next start recovers from the log.
    ///
    /// # Errors
    /// When it does not run.
    pub fn stop(&mut self) -> io::Result<()> {
        let mut process = self.process.take().ok_or(io::ErrorKind::NotConnected)?;
        process.signal("QUIT")?;
        process.wait()
    }

    /// Starts it again on the same port with the same data.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart(&mut self) -> io::Result<()> {
        self.process = None;
        let data = self.data();
        let mut command = self.command("postgres");
        command.arg("-D").arg(&data);
        let fixed = [
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            "shared_buffers=32MB".to_owned(),
        ];
        for setting in fixed.iter().chain(&self.settings) {
            command.arg("-c").arg(setting);
        }
        let log = self.folder.path().join("log");
        let mut process = Process::start(&mut command, PACKAGE, &log)?;
        // Another's server may have taken the port: only one with our data is ours.
        let ours = data.to_string_lossy();
        let started = process.wait_until(|| {
            self.query("postgres", "SHOW data_directory")
                .is_ok_and(|folder| folder == ours)
        });
        started.map_err(|error| {
            let log = fs::read_to_string(&log).unwrap_or_default();
            io::Error::other(format!("PostgreSQL did not start: {error}\n{log}"))
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Stops it in its tracks, with every connection: they stay open, and nothing answers any more.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> io::Result<()> {
        self.signal_all("STOP")
    }

    /// Lets it go on, with all that has arrived in the meantime.
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self) -> io::Result<()> {
        self.signal_all("CONT")
    }

    fn signal_all(&self, name: &str) -> io::Result<()> {
        let process = self.process.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        process.signal(name)?;
        let id = process.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        for child in children.split_whitespace() {
            // One that has just ended needs no signal.
            let _ = Command::new("kill").args(["-s", name, child]).status()?;
        }
        Ok(())
    }

    fn make(&self) -> io::Result<()> {
        if let Some(owner) = self.owner {
            chown(self.folder.path(), Some(owner.user), Some(owner.group))?;
        }
        let output = self
            .command("initdb")
            .arg("-D")
            .arg(self.data())
            .args(["-U", "rungs", "-A", "trust", "-E", "UTF8"])
            .args(["--no-locale", "--no-sync"])
            .output()?;
        match output.status.success() {
            true => Ok(()),
            false => Err(io::Error::other(format!(
                "initdb failed: {}",
                String::from_utf8_lossy(&output.stderr)
            ))),
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// One of the server's programs, as an account that it accepts.
    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = match self.owner {
            None => Command::new(program),
            Some(Owner { user, group }) => {
                let mut command = Command::new("setpriv");
                command
                    .arg(format!("--reuid={user}"))
                    .arg(format!("--regid={group}"))
                    .arg("--clear-groups")
                    .arg(program);
                command
            }
        };
        command.current_dir(self.folder.path());
        command
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // A frozen one first has to wake up; SIGKILL would leave its children behind.
        let _ = self.thaw();
        let _ = self.stop();
    }
}

/// Where the newest installed version keeps its programs: many distributions keep `initdb` out of the search path.
fn programs() -> io::Result<PathBuf> {
    let newest = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            let programs = entry.path().join("bin");
            is_program(&programs.join("initdb")).then_some((version, programs))
        })
        .max();
    let in_path = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).find(|folder| is_program(&folder.join("initdb")))
    };
    newest.map(|(_, programs)| programs).or_else(in_path).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("there is no `initdb`: install the package `{PACKAGE}`, or run `cargo xtask test`, which does"),
        )
    })
}

fn is_program(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// Another owner for the server if we are root.
fn owner(ours: &Path) -> io::Result<Option<Owner>> {
    if fs::metadata(ours)?.uid() != 0 {
        return Ok(None);
    }
    let id = |flag: &str| -> io::Result<u32> {
        let output = Command::new("id")
            .args([OsStr::new(flag), OsStr::new(ACCOUNT)])
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        text.trim().parse().map_err(|_| {
            io::Error::other(format!(
                "PostgreSQL does not run as root, and there is no account `{ACCOUNT}` to run it as"
            ))
        })
    };
    Ok(Some(Owner {
        user: id("-u")?,
        group: id("-g")?,
    }))
}
