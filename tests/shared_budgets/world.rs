use std::{
    cell::RefCell,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use rungs::testing::servers::{PostgresServer, RedisServer};

use crate::{
    part::{Book, Calls, End, Part, Stands},
    watched,
};

/// How long a run may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// Where money is kept; one Redis.
pub(crate) struct World {
    pub(crate) database: Database,
    redis: RedisServer,
    folder: PathBuf,
}

pub(crate) enum Database {
    /// A server, and a database a run.
    Postgres(RefCell<PostgresServer>),
    /// A file a run, of one process.
    Sqlite,
}

/// What goes wrong meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A process is killed, and another started in its place.
    Kill,
    /// The database crashes, and is away for a while; a file is not to be written meanwhile.
    StopDatabase,
    /// A process stands still for so long, and somebody frees its leases because it was not heard of. That is wrong.
    FreezeAndFree(Duration),
    /// Redis stands still for so long.
    FreezeRedis(Duration),
    /// Redis forgets everything.
    FlushRedis,
}

/// One run: processes that share a budget.
pub(crate) struct Run<'a> {
    pub(crate) world: &'a World,
    pub(crate) part: Part,
    /// The name of the database, or of the file.
    pub(crate) database: String,
    /// Processes that were killed at work.
    pub(crate) killed: usize,
    /// How the book of the last process stands, if it is in memory.
    pub(crate) stands: Vec<Stands>,
    random: fastrand::Rng,
}

impl World {
    pub(crate) fn postgres() -> Self {
        let server = PostgresServer::start().expect("PostgreSQL starts");
        Self::new(Database::Postgres(RefCell::new(server)))
    }

    pub(crate) fn sqlite() -> Self {
        Self::new(Database::Sqlite)
    }

    fn new(database: Database) -> Self {
        static WORLDS: AtomicU32 = AtomicU32::new(0);
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let name = format!("shared_budgets-{}-{number}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&folder);
        Self {
            database,
            redis: RedisServer::start().expect("Redis starts"),
            folder,
        }
    }

    pub(crate) fn run(&self, calls: Calls, book: Book, limit: i64, seed: u64) -> Run<'_> {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.join(number.to_string());
        fs::create_dir_all(&folder).expect("a folder");
        let (url, database, timeout) = match &self.database {
            Database::Postgres(server) => {
                let url = server.borrow().database().expect("a database");
                let name = url.rsplit('/').next().unwrap_or_default().to_owned();
                (url, name, 300)
            }
            Database::Sqlite => {
                let file = folder.join("rungs.db").display().to_string();
                // Nobody waits for a database.
                (format!("sqlite:{file}"), file, 60)
            }
        };
        Run {
            world: self,
            part: Part {
                url,
                bill: folder.join("bill"),
                folder,
                book,
                calls,
                count: 0,
                limit,
                seed,
                timeout: match calls {
                    Calls::AtOnce => PATIENCE,
                    Calls::Random => Duration::from_millis(timeout),
                },
                redis: None,
            },
            database,
            killed: 0,
            stands: Vec::new(),
            random: fastrand::Rng::with_seed(seed),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A thousand databases would fill a disk.
impl Drop for Run<'_> {
    fn drop(&mut self) {
        if let Database::Postgres(server) = &self.world.database {
            let sql = format!("DROP DATABASE \"{}\" WITH (FORCE)", self.database);
            let _ = server.borrow().query("postgres", &sql);
        }
        let _ = fs::remove_dir_all(&self.part.folder);
    }
}

impl Run<'_> {
    /// With a Redis beside the database.
    pub(crate) fn with_redis(mut self) -> Self {
        self.world.redis.flush().expect("it is empty");
        self.part.redis = Some(self.world.redis.url());
        self
    }

    /// With one that nobody has started.
    pub(crate) fn with_absent_redis(mut self) -> Self {
        self.part.redis = Some("redis://127.0.0.1:1".to_owned());
        self
    }

    /// Lets so many processes play, each so many calls at most.
    pub(crate) fn play(&mut self, processes: usize, count: usize, faults: &[Fault]) -> Vec<End> {
        let mut children: Vec<_> = (0..processes).map(|i| self.start(i, count)).collect();
        if self.part.calls == Calls::AtOnce {
            let ready = |i: usize| self.part.folder.join(format!("{i}/ready")).exists();
            until(|| (0..processes).all(ready));
            fs::write(self.part.folder.join("go"), "").expect("a file");
        }
        for fault in faults {
            thread::sleep(Duration::from_millis(self.random.u64(60..400)));
            let i = self.random.usize(0..processes);
            match *fault {
                Fault::Kill => {
                    let alive = children[i].try_wait().expect("a process").is_none();
                    self.killed += usize::from(alive);
                    children[i].kill().expect("it is killed");
                    children[i].wait().expect("it is dead");
                    self.part.seed += 1_000;
                    children[i] = self.start(i, count);
                }
                Fault::StopDatabase => {
                    let time = Duration::from_millis(self.random.u64(50..600));
                    self.stop_database(time);
                }
                Fault::FreezeRedis(time) => {
                    self.world.redis.freeze().expect("it stands still");
                    thread::sleep(time);
                    self.world.redis.thaw().expect("it goes on");
                }
                Fault::FlushRedis => self.world.redis.flush().expect("it is empty"),
                Fault::FreezeAndFree(time) => {
                    signal(&children[i], "STOP");
                    thread::sleep(time);
                    self.free_all();
                    thread::sleep(time);
                    signal(&children[i], "CONT");
                }
            }
        }
        let ends: Vec<_> = children.into_iter().map(end).collect();
        self.stands = ends.iter().flat_map(|end| end.stands.clone()).collect();
        ends
    }

    fn stop_database(&self, time: Duration) {
        match &self.world.database {
            Database::Postgres(server) => {
                let mut server = server.borrow_mut();
                server.stop().expect("it stops");
                thread::sleep(time);
                server.restart().expect("it starts");
            }
            Database::Sqlite => {
                until(|| self.part.folder.join("0/ready").exists());
                let file = rusqlite::Connection::open(&self.database).expect("a file");
                file.busy_timeout(PATIENCE).expect("it waits");
                file.execute_batch("BEGIN IMMEDIATE").expect("it is ours");
                thread::sleep(time);
                file.execute_batch("ROLLBACK").expect("it was ours");
            }
        }
    }

    fn start(&self, i: usize, count: usize) -> Child {
        let part = Part {
            folder: self.part.folder.join(i.to_string()),
            count,
            seed: self.part.seed * 100 + i as u64,
            ..self.part.clone()
        };
        Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "process", "--ignored", "--nocapture"])
            .envs([part.to_environment()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process")
    }

    /// What a sweeper would do that believes in time: whoever holds a lease is taken for dead.
    fn free_all(&self) {
        let sql = "BEGIN; LOCK TABLE budgets, leases; \
                   UPDATE budgets SET granted_nanos = 0; UPDATE leases SET granted_nanos = spent_nanos; COMMIT";
        self.ask(sql);
    }

    /// What the database answers.
    pub(crate) fn ask(&self, sql: &str) -> String {
        match &self.world.database {
            Database::Postgres(server) => {
                let answer = server.borrow().query(&self.database, sql);
                answer.expect("it answers")
            }
            Database::Sqlite => {
                let file = rusqlite::Connection::open(&self.database).expect("a file");
                let number = file.query_row(sql, (), |row| row.get::<_, i64>(0));
                number.expect("it answers").to_string()
            }
        }
    }

    /// Whether a database belongs to one process.
    pub(crate) fn is_alone(&self) -> bool {
        matches!(self.world.database, Database::Sqlite)
    }

    /// How much of the budget was spent and held when the first call was refused, in percent.
    pub(crate) fn used_when_refused(&self) -> Option<f64> {
        let used = watched::used_when_refused(&self.part.folder.join("book"))?;
        Some(used as f64 * 100.0 / self.part.limit as f64)
    }

    /// What the provider has billed.
    pub(crate) fn bills(&self) -> Vec<i64> {
        let text = fs::read_to_string(&self.part.bill).unwrap_or_default();
        let bills = text.lines().map(|line| line.parse().expect("a bill"));
        bills.collect()
    }
}

fn signal(child: &Child, name: &str) {
    let kill = Command::new("kill")
        .args(["-s", name, &child.id().to_string()])
        .status();
    assert!(kill.expect("kill").success());
}

fn end(mut child: Child) -> End {
    let out = BufReader::new(child.stdout.take().expect("its output"));
    let lines = thread::spawn(move || {
        let lines = out.lines().map_while(Result::ok);
        lines
            .filter_map(|line| Some(line.split_once("END ")?.1.to_owned()))
            .last()
    });
    until(|| child.try_wait().expect("a process").is_some());
    let line = lines.join().expect("its output").expect("how it went");
    serde_json::from_str(&line).expect("how it went")
}

fn until(done: impl FnMut() -> bool) {
    let mut done = done;
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "it takes too long");
        thread::sleep(Duration::from_millis(5));
    }
}
