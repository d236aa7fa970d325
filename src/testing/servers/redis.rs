use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::Command,
    time::Duration,
};

use super::process::{Folder, Process, free_port};

/// How often another port is tried when somebody else was faster.
const TRIES: u32 = 5;

/// A Redis of one's own. It keeps nothing on disk unless told by [`save`](Self::save).
///
/// Methods block for as long as the server takes: milliseconds.
#[derive(Debug)]
pub struct RedisServer {
    folder: Folder,
    port: u16,
    mode: &'static [&'static str],
    process: Option<Process>,
}

/// A copy of all that a [`RedisServer`] had at one time.
#[derive(Debug, Clone)]
pub struct RedisData(Vec<u8>);

impl RedisServer {
    /// Starts an empty one.
    ///
    /// # Errors
    /// When `redis-server` is not installed, or does not start.
    pub fn start() -> io::Result<Self> {
        Self::with("")
    }

    /// The same with more lines of configuration, such as `maxmemory-policy allkeys-lru`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn with(configuration: &str) -> io::Result<Self> {
        Self::new(&[], &format!("save \"\"\nappendonly no\n{configuration}"))
    }

    /// Starts a sentinel, with lines of configuration such as `sentinel monitor main 127.0.0.1 6379 1`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn sentinel(configuration: &str) -> io::Result<Self> {
        Self::new(&["--sentinel"], configuration)
    }

    fn new(mode: &'static [&'static str], configuration: &str) -> io::Result<Self> {
        let mut tries = 0;
        loop {
            tries += 1;
            let port = free_port()?;
            let folder = Folder::new("redis")?;
            let lines = format!(
                "bind 127.0.0.1\nport {port}\ndir {}\n{configuration}\n",
                folder.path().display()
            );
            fs::write(folder.path().join("redis.conf"), lines)?;
            let mut server = Self {
                folder,
                port,
                mode,
                process: None,
            };
            match server.restart() {
                Ok(()) => return Ok(server),
                Err(error) if tries >= TRIES || error.kind() == io::ErrorKind::NotFound => {
                    return Err(error);
                }
                Err(_) => {}
            }
        }
    }

    /// `redis://127.0.0.1:<port>/`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Stops it in its tracks: connections stay open, and nothing answers any more.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> io::Result<()> {
        self.running()?.signal("STOP")
    }

    /// Lets it go on, with all that has arrived in the meantime.
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self) -> io::Result<()> {
        self.running()?.signal("CONT")
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn flush(&self) -> io::Result<()> {
        self.command(&["FLUSHALL"]).map(drop)
    }

    /// Ends it at once.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self) -> io::Result<()> {
        let mut process = self.process.take().ok_or(io::ErrorKind::NotConnected)?;
        process.kill().map(drop)
    }

    /// Starts it again on the same port, with what was last [saved](Self::save), if anything was.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart(&mut self) -> io::Result<()> {
        self.process = None;
        let mut command = Command::new("redis-server");
        command
            .arg(self.folder.path().join("redis.conf"))
            .args(self.mode);
        let log = self.folder.path().join("log");
        let mut process = Process::start(&mut command, "redis-server", &log)?;
        // Another's server may have taken the port: only one that says our process is ours.
        let ours = format!("process_id:{}\r\n", process.id());
        let started = process.wait_until(|| {
            self.command(&["INFO", "server"])
                .is_ok_and(|info| info.contains(&ours))
        });
        started.map_err(|error| {
            let log = fs::read_to_string(&log).unwrap_or_default();
            io::Error::other(format!("redis-server did not start: {error}\n{log}"))
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Saves what it has, for the next start and for a [`restart_from`](Self::restart_from).
    ///
    /// # Errors
    /// When it does not answer.
    pub fn save(&self) -> io::Result<RedisData> {
        self.command(&["SAVE"])?;
        fs::read(self.folder.path().join("dump.rdb")).map(RedisData)
    }

    /// Kills it, if it runs, and starts it again with older data: what it acknowledged since is lost.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart_from(&mut self, data: &RedisData) -> io::Result<()> {
        self.process = None;
        fs::write(self.folder.path().join("dump.rdb"), &data.0)?;
        self.restart()
    }

    /// Sends one command and returns the answer: a string's text, or the first line of anything else, without its type.
    ///
    /// # Errors
    /// When it does not answer within a second, or answers with an error.
    pub fn command(&self, words: &[&str]) -> io::Result<String> {
        const PATIENCE: Duration = Duration::from_secs(1);
        let mut socket = TcpStream::connect(("127.0.0.1", self.port))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        socket.write_all(request.as_bytes())?;
        let mut answer = BufReader::new(socket);
        let mut line = String::new();
        answer.read_line(&mut line)?;
        let line = line.trim_end();
        let (kind, rest) = line
            .split_at_checked(1)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        match (kind, rest.parse::<usize>()) {
            ("-", _) => Err(io::Error::other(rest.to_owned())),
            ("$", Ok(length)) => {
                let mut text = vec![0; length];
                answer.read_exact(&mut text)?;
                String::from_utf8(text).map_err(io::Error::other)
            }
            _ => Ok(rest.to_owned()),
        }
    }

    fn running(&self) -> io::Result<&Process> {
        self.process
            .as_ref()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}
