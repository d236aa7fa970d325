//! Programs that take all that they can get.

use std::{
    os::unix::fs::MetadataExt,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    Folder,
    jails::{alive, jails, limits, mark, run, sh},
};
use crate::sandbox::{Limits, Verdict, policy::Wall};

/// Doubles until 3000 have begun: whatever fails to stop it, the computer survives.
const BOMB: &str = "
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
left, all = os.pipe()
os.set_blocking(left, False)
os.write(all, b'x' * 3000)
while True:
    try: os.read(left, 1)
    except BlockingIOError: break
    try: os.fork() or os.setsid()
    except OSError: pass
time.sleep(300)
";

/// What somebody else has seen of a bomb.
struct Seen {
    /// The most of its processes at once.
    most: usize,
    /// Programs that were started meanwhile, and how long the slowest of them took.
    started: usize,
    slowest: Duration,
}

/// Starts programs and counts those with `mark` until it is `over`.
fn look(mark: &str, over: &AtomicBool) -> Seen {
    let (most, started, slowest) = (0, 0, Duration::ZERO);
    let mut seen = Seen {
        most,
        started,
        slowest,
    };
    while !over.load(Ordering::Relaxed) {
        let began = Instant::now();
        let status = Command::new("true").status().expect("room for a process");
        assert!(status.success(), "{status}");
        seen.slowest = seen.slowest.max(began.elapsed());
        seen.started += 1;
        seen.most = seen.most.max(alive(mark));
    }
    seen
}

#[tokio::test]
async fn a_fork_bomb_is_ended_and_others_hardly_notice() {
    let folder = Folder::new();
    for (without, jail) in jails(&folder) {
        let jail = jail.limits(Limits {
            seconds: 5,
            processes: 64,
            ..limits()
        });
        let (mark, over) = (mark(), Arc::new(AtomicBool::new(false)));
        let bystander = {
            let (mark, over) = (mark.clone(), Arc::clone(&over));
            thread::spawn(move || look(&mark, &over))
        };
        let began = Instant::now();
        let ended = run(&jail, &["python3", "-c", BOMB, &mark]).await;
        let took = began.elapsed();
        let left = alive(&mark);
        over.store(true, Ordering::Relaxed);
        let seen = bystander.join().unwrap();
        assert!(
            matches!(&ended.verdict, Verdict::OverLimit(what) if what.contains("processes")),
            "without {without:?}: {ended:?}"
        );
        assert_eq!(left, 0, "without {without:?}");
        assert!(took < Duration::from_secs(12), "{took:?}");
        // Eight for each, and its supervisor.
        assert!(seen.most <= 64 * 8 + 1, "{}", seen.most);
        assert!(seen.started > 0 && seen.slowest < Duration::from_secs(3));
    }
}

/// Whether this is Linux 6.14 or newer.
fn namespaces_have_caps() -> bool {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a version");
    let mut version = { kernel.split(['.', '-']) }.map_while(|part| part.parse::<u32>().ok());
    (version.next(), version.next()) >= (Some(6), Some(14))
}

#[tokio::test]
async fn the_kernel_lets_a_program_have_so_many_threads_and_no_more() {
    let folder = Folder::new();
    let many = "import os, threading, time\nthreading.stack_size(65536)\nn = 0\ntry:\n  while n < 3000:\n    threading.Thread(target=time.sleep, args=(9,), daemon=True).start(); n += 1\nexcept RuntimeError: pass\nprint(n, flush=True)\nos._exit(0)";
    for (without, jail) in jails(&folder) {
        let jail = jail.limits(Limits {
            processes: 64,
            ..limits()
        });
        // Also where there are no control groups.
        if without != Some(Wall::Namespaces) && namespaces_have_caps() {
            let cap = sh(&jail, "cat /proc/sys/kernel/pid_max").await;
            assert_eq!(cap.stdout.text, "512\n", "without {without:?}");
        }
        let ended = run(&jail, &["python3", "-c", many]).await;
        let threads: u32 = ended.stdout.text.trim().parse().unwrap();
        assert!(
            (400..=512).contains(&threads),
            "without {without:?}, {threads} threads: whom the kernel binds by no limit of a user wants a control group, or Linux 6.14"
        );
    }
}

#[tokio::test]
async fn who_fills_memory_is_ended() {
    let folder = Folder::new();
    for (without, jail) in jails(&folder) {
        let jail = jail.limits(Limits {
            memory: 256 << 20,
            ..limits()
        });
        let eat = "x = []\nwhile True: x.append(bytearray(16 << 20))";
        let ended = run(&jail, &["python3", "-c", eat]).await;
        // One alone is refused it by the kernel; of many the sum is looked at.
        assert_eq!(
            ended.verdict,
            Verdict::Exited(1),
            "without {without:?}: {ended:?}"
        );
        assert!(ended.stderr.text.contains("MemoryError"), "{ended:?}");
        let many = "import os\nfor i in range(64): os.fork() or (x := bytearray(64 << 20), os.sched_yield(), __import__('time').sleep(9), os._exit(0))\n__import__('time').sleep(9)";
        let ended = run(&jail, &["python3", "-c", many]).await;
        assert!(
            matches!(&ended.verdict, Verdict::OverLimit(what) if what.contains("memory")),
            "without {without:?}: {ended:?}"
        );
    }
}

/// Ways to fill a disk by up to 400 MiB, in a folder `place`; the last ones without that any process is known to have written.
const FILLS: [(&str, &str); 5] = [
    (
        "many files",
        "for n in range(400): open(f'{place}/{n}', 'wb').write(bytes(1 << 20)); time.sleep(.01)",
    ),
    (
        "children that nobody waits for",
        "
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for n in range(400):
    if os.fork() == 0: open(f'{place}/{n}', 'wb').write(bytes(1 << 20)); os._exit(0)
    time.sleep(.01)
",
    ),
    (
        "room without a byte",
        "for n in range(400): os.posix_fallocate(os.open(f'{place}/{n}', os.O_CREAT | os.O_RDWR), 0, 1 << 20); time.sleep(.01)",
    ),
    (
        "files without a name",
        "
for n in range(400):
    file = os.open(f'{place}/{n}', os.O_CREAT | os.O_RDWR); os.unlink(f'{place}/{n}')
    os.posix_fallocate(file, 0, 1 << 20); time.sleep(.01)
",
    ),
    (
        "files without a byte",
        "for n in range(8_000): os.close(os.open(f'{place}/{n}', os.O_CREAT | os.O_RDWR))",
    ),
];

/// What files in a folder take of the disk.
fn taken(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).expect("the folder").flatten();
    let facts = files.filter_map(|file| file.metadata().ok());
    facts.map(|facts| facts.blocks() * 512).sum()
}

#[tokio::test]
async fn who_fills_the_disk_is_ended() {
    let folder = Folder::new();
    let small = Limits {
        written: 2 << 20,
        ..limits()
    };
    for (without, jail) in jails(&folder) {
        let jail = jail.limits(small).writable(folder.path());
        for (place, (what, fill)) in FILLS
            .iter()
            .flat_map(|fill| [("os.environ['TMPDIR']", fill), ("'.'", fill)])
        {
            let script =
                format!("import os, signal, time\nplace = {place}\n{fill}\ntime.sleep(20)");
            let ended = run(&jail, &["python3", "-c", &script]).await;
            assert!(
                matches!(&ended.verdict, Verdict::OverLimit(what) if what.contains("written")),
                "without {without:?}, {what} in {place}: {ended:?}"
            );
            let taken = taken(ended.scratch.path()) + taken(folder.path());
            assert!(
                taken < 200 << 20,
                "without {without:?}, {what} in {place}: {taken}"
            );
            for file in std::fs::read_dir(folder.path()).unwrap().flatten() {
                std::fs::remove_file(file.path()).unwrap();
            }
        }
        // A single file has a limit of the kernel.
        let ended = sh(&jail, "head -c 64M /dev/zero > $TMPDIR/large").await;
        let large = ended.scratch.path().join("large").metadata().unwrap();
        assert!(large.len() <= 2 << 20, "{ended:?}");
    }
}

#[tokio::test]
async fn what_everybody_writes_to_is_not_filled() {
    let (folder, mark) = (Folder::new(), mark());
    let fill = format!(
        "
import os
for place in '/tmp', '/dev/shm', '/var/tmp', '/run', '.':
    for size in 1 << 20, 0:
        n = 0
        try:
            while n < 40_000 and n * size < 200 << 20: open(f'{{place}}/{mark}.{{size}}.{{n}}', 'wb').write(bytes(size)); n += 1
        except OSError: pass
        print(n)
"
    );
    for (without, jail) in jails(&folder) {
        let jail = jail.limits(Limits {
            written: 32 << 20,
            ..limits()
        });
        let ended = run(&jail, &["python3", "-c", &fill]).await;
        let made: Vec<u32> = { ended.stdout.text.lines() }
            .map(|n| n.parse().unwrap())
            .collect();
        assert!(
            made.chunks(2)
                .all(|made| made[0] <= 32 && made[1] <= 32 << 10),
            "without {without:?}: {made:?}"
        );
        assert_eq!(made.len(), 10, "{ended:?}");
        for place in ["/tmp", "/dev/shm", "/var/tmp", "/run"] {
            let names = std::fs::read_dir(place).into_iter().flatten().flatten();
            let ours = |name: std::ffi::OsString| name.to_string_lossy().contains(&mark);
            assert!(
                !{ names }.any(|file| ours(file.file_name())),
                "without {without:?}: {place}"
            );
        }
    }
}
