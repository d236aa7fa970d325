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

use crate::part::{Book, Calls, End, Part};

/// How long a run may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// One database server, and a database a run; one Redis.
pub(crate) struct World {
    pub(crate) server: RefCell<PostgresServer>,
    redis: RedisServer,
    folder: PathBuf,
}

/// What goes wrong meanwhile.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// A process is killed, and another started in its place.
    Kill,
    /// The database crashes, and is away for a while.
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
    pub(crate) database: String,
    /// Processes that were killed at work.
    pub(crate) killed: usize,
    random: fastrand::Rng,
}

impl World {
    pub(crate) fn new() -> Self {
        static WORLDS: AtomicU32 = AtomicU32::new(0);
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let folder = format!("shared_budgets-{}-{number}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
        Self {
            server: RefCell::new(PostgresServer::start().expect("PostgreSQL starts")),
            redis: RedisServer::start().expect("Redis starts"),
            folder,
        }
    }

    pub(crate) fn run(&self, calls: Calls, book: Book, limit: i64, seed: u64) -> Run<'_> {
        let url = self.server.borrow().database().expect("a database");
        let database = url.rsplit('/').next().unwrap_or_default().to_owned();
        let folder = self.folder.join(&database);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
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
                redis: None,
            },
            database,
            killed: 0,
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
        let sql = format!("DROP DATABASE \"{}\" WITH (FORCE)", self.database);
        let _ = self.world.server.borrow().query("postgres", &sql);
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
                    let mut server = self.world.server.borrow_mut();
                    server.stop().expect("it stops");
                    thread::sleep(Duration::from_millis(self.random.u64(50..600)));
                    server.restart().expect("it starts");
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
        children.into_iter().map(end).collect()
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
        let freed = self.world.server.borrow().query(&self.database, sql);
        freed.expect("they are freed");
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
