use std::{
    io::Read,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use super::{PATIENCE, secrets::Secrets};

/// A gateway that did not start.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: ExitStatus,
    pub(crate) text: String,
}

/// An empty folder of its own.
pub(crate) fn folder() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!(
        "gateway-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The command in a folder, with nothing of this computer's environment.
pub(super) fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rungs"));
    command.args(args).current_dir(folder).env_clear();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs the command to its end in `folder`: its status, standard output and standard error.
pub(crate) fn run(folder: &Path, args: &[&str]) -> (ExitStatus, String, String) {
    let output = command(folder, args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status, text(output.stdout), text(output.stderr))
}

impl Refused {
    /// What `serve` says to a configuration that it does not start with.
    pub(crate) fn by(config: &str, args: &[&str]) -> Self {
        let folder = folder();
        std::fs::write(folder.join("rungs.toml"), config).unwrap();
        let refused = Self::in_folder(&folder, args);
        let _ = std::fs::remove_dir_all(folder);
        refused
    }

    /// What `serve` says in a folder in which it does not start.
    pub(crate) fn in_folder(folder: &Path, args: &[&str]) -> Self {
        let mut child = command(folder, &[&["serve"], args].concat())
            .spawn()
            .unwrap();
        let (done, ended) = mpsc::channel();
        let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = err.read_to_string(&mut text);
            let _ = out.read_to_string(&mut text);
            let _ = done.send(text);
        });
        let Ok(text) = ended.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            panic!("it started in {}", folder.display());
        };
        let status = child.wait().unwrap();
        let secrets = Secrets::default();
        secrets.learn_from(folder);
        secrets.must_not_be_in("a refusal to start", &text);
        Self { status, text }
    }
}
