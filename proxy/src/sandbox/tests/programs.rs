//! Programs that try to get out of their jail.

use std::{
    fs,
    net::TcpListener,
    os::{
        fd::AsRawFd,
        unix::{fs::symlink, process::CommandExt},
    },
    path::PathBuf,
    process::{Command, Stdio},
};

use super::{
    Folder,
    jails::{jail, jails, sh},
};
use crate::sandbox::{Jail, Network, TempFolder, Verdict, policy::Wall};

#[tokio::test]
async fn a_program_says_what_it_says_and_ends_as_it_ends() {
    let folder = Folder::new();
    let ended = sh(&jail(&folder), "echo out; echo err >&2; exit 7").await;
    assert_eq!(ended.verdict, Verdict::Exited(7));
    assert_eq!(
        (&*ended.stdout.text, &*ended.stderr.text),
        ("out\n", "err\n")
    );
    let ended = sh(&jail(&folder), "kill -9 $$").await;
    assert_eq!(ended.verdict, Verdict::Signalled(9));
    let missing = jail(&folder)
        .run(&["/no/such/program"], |_| {})
        .await
        .unwrap_err();
    assert_eq!(missing.kind(), rungs::ErrorKind::Unavailable);
}

#[tokio::test]
async fn it_reads_its_folder_and_the_system_and_writes_only_where_it_may() {
    let (folder, other) = (Folder::new(), Folder::new());
    folder.write("own.txt", "mine");
    let secret = other.write("secret.txt", "theirs");
    let secret = secret.display();
    for (without, jail) in jails(&folder) {
        let ended = sh(
            &jail,
            "cat own.txt && cat /etc/passwd >/dev/null && echo x > \"$TMPDIR/x\" && cat \"$TMPDIR/x\"",
        )
        .await;
        assert_eq!(ended.stdout.text, "minex\n", "{}", ended.stderr.text);
        for script in [
            format!("cat {secret}"),
            format!("cat /proc/self/root{secret}"),
            format!("echo x > {secret}"),
            format!("rm -f {secret}; test ! -e {secret} && exit 1"),
            "cat /etc/shadow".into(),
            format!("cat /proc/{}/environ", std::process::id()),
            "cat /root/.bashrc /root/.profile".into(),
            "ls /root /home/*".into(),
            "echo x > own.txt".into(),
            "echo x > new.txt".into(),
            "rm own.txt".into(),
            "ln own.txt /tmp/own.txt".into(),
            "chmod 777 own.txt && test -w own.txt && echo x >> own.txt".into(),
            "echo x > /usr/lib/x".into(),
            "echo x > /proc/sys/kernel/core_pattern".into(),
            "echo x > /sys/kernel/uevent_helper".into(),
            "mount -t tmpfs tmpfs /mnt".into(),
            "mount -o remount,rw,bind / && echo x > /x".into(),
            "chroot / true".into(),
        ] {
            let ended = sh(&jail, &script).await;
            assert!(
                !ended.verdict.is_success(),
                "without {without:?}: {script}: {}",
                ended.stdout.text
            );
            assert!(!ended.stdout.text.contains("theirs"), "{script}");
        }
        // Where the second wall stands it gets none at all.
        if without != Some(Wall::Kernel) {
            let own = sh(&jail, "unshare --user true").await;
            assert!(!own.verdict.is_success(), "without {without:?}");
        }
        // In a namespace of users it would have all rights, and within the first wall they are good for nothing.
        let nested = format!(
            "unshare -rm sh -c 'mount -o remount,rw,bind {0} {0}; echo x > {0}/new.txt'",
            folder.path().display()
        );
        assert!(
            !sh(&jail, &nested).await.verdict.is_success(),
            "without {without:?}"
        );
        let ended = sh(
            &jail.writable(folder.path()),
            "echo x > new.txt && cat new.txt && rm new.txt",
        )
        .await;
        assert_eq!(ended.stdout.text, "x\n", "{}", ended.stderr.text);
    }
    assert_eq!(
        fs::read_to_string(folder.path().join("own.txt")).unwrap(),
        "mine"
    );
    assert_eq!(
        fs::read_to_string(other.path().join("secret.txt")).unwrap(),
        "theirs"
    );
}

#[tokio::test]
async fn what_was_left_open_is_closed_to_it() {
    let (folder, other) = (Folder::new(), Folder::new());
    let secret = fs::File::open(other.write("secret.txt", "theirs")).unwrap();
    // As by a program that starts the gateway and does not know better.
    rustix::io::fcntl_setfd(&secret, rustix::io::FdFlags::empty()).unwrap();
    let read = format!("import os; print(os.pread({}, 9, 0))", secret.as_raw_fd());
    for (without, jail) in jails(&folder) {
        let ended = jail.run(&["python3", "-c", &read], |_| {}).await.unwrap();
        assert!(
            ended.stderr.text.contains("Bad file descriptor"),
            "without {without:?}: {ended:?}"
        );
    }
}

#[tokio::test]
async fn its_environment_is_its_own() {
    let folder = Folder::new();
    let ended = sh(
        &jail(&folder).env("ASKED", "yes"),
        "env | cut -d= -f1 | sort | tr '\\n' ' '",
    )
    .await;
    let names: Vec<&str> = ended
        .stdout
        .text
        .split_whitespace()
        .filter(|name| *name != "_")
        .collect();
    assert_eq!(names, ["ASKED", "HOME", "LANG", "PATH", "PWD", "TMPDIR"]);
    // Nor can it read that of the gateway, or of anybody.
    let all = "cat /proc/[0-9]*/environ | tr '\\0' '\\n' | grep -c CARGO";
    for (without, jail) in jails(&folder) {
        assert_eq!(
            sh(&jail, all).await.stdout.text,
            "0\n",
            "without {without:?}"
        );
    }
}

#[tokio::test]
async fn it_sees_no_other_process_and_cannot_end_one() {
    let folder = Folder::new();
    let ended = sh(&jail(&folder), "ls -d /proc/[0-9]* | wc -l").await;
    let seen: u32 = ended.stdout.text.trim().parse().unwrap();
    assert!(seen < 6, "{ended:?}");
    let mut bystander = Command::new("cat");
    let bystander = bystander.stdin(Stdio::piped()).process_group(0);
    let mut bystander = bystander.spawn().unwrap();
    let (pid, own) = (bystander.id(), std::process::id());
    for (without, jail) in jails(&folder) {
        // Not everybody: where the walls have a hole, the computer shall survive it.
        let script = format!("kill -9 {pid}; kill -9 -{pid}; kill -9 {own}; kill -9 $PPID");
        // It may have ended those that watch it; then nobody knows how it went.
        let _ = jail.run(&["/bin/sh", "-c", &script], |_| {}).await;
        assert_eq!(bystander.try_wait().unwrap(), None, "without {without:?}");
    }
}

fn with_networks(folder: &Folder) -> impl Iterator<Item = (Jail, Network)> {
    let networks = |(_, jail): (_, Jail)| [(jail.clone(), Network::Off), (jail, Network::Loopback)];
    jails(folder).into_iter().flat_map(networks)
}

#[tokio::test]
async fn it_has_no_network() {
    let folder = Folder::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    let call = format!(
        "import socket; socket.create_connection(('127.0.0.1', {port}), 3).send(b'hello'); print('out')"
    );
    for (jail, network) in with_networks(&folder) {
        let jail = jail.network(network);
        let ended = jail.run(&["python3", "-c", &call], |_| {}).await.unwrap();
        assert!(
            !ended.verdict.is_success() && ended.stdout.text.is_empty(),
            "{ended:?}"
        );
    }
    assert!(listener.accept().is_err(), "somebody has called");
    // A service's socket is a file that lets in whoever may write to it.
    let service = Folder::new();
    let socket = std::os::unix::net::UnixListener::bind(service.path().join("socket")).unwrap();
    socket.set_nonblocking(true).unwrap();
    let call = format!(
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect('{}'); print('out')",
        service.path().join("socket").display()
    );
    for (jail, network) in with_networks(&folder) {
        let jail = jail.network(network);
        let ended = jail.run(&["python3", "-c", &call], |_| {}).await.unwrap();
        assert!(
            !ended.verdict.is_success() && ended.stdout.text.is_empty(),
            "{ended:?}"
        );
    }
    assert!(socket.accept().is_err(), "somebody has called");
}

#[tokio::test]
async fn a_loopback_address_of_its_own_works() {
    let folder = Folder::new();
    let talk = "
import socket, threading
server = socket.create_server(('127.0.0.1', 0))
threading.Thread(target=lambda: server.accept()[0].send(b'hello')).start()
print(socket.create_connection(server.getsockname(), 3).recv(5).decode())
";
    let jail = jail(&folder).network(Network::Loopback);
    let ended = jail.run(&["python3", "-c", talk], |_| {}).await.unwrap();
    assert_eq!(ended.stdout.text, "hello\n", "{ended:?}");
}

#[tokio::test]
async fn only_the_named_program_starts() {
    let folder = Folder::new();
    let jail = jail(&folder).only_program("/bin/cat");
    let ended = jail
        .run(&["/bin/cat", "/etc/passwd"], |_| {})
        .await
        .unwrap();
    assert!(ended.verdict.is_success(), "{ended:?}");
    let other = jail.run(&["/bin/sh", "-c", "true"], |_| {}).await;
    assert!(other.is_err(), "{other:?}");
}

#[tokio::test]
async fn what_is_named_may_be_a_link_or_lie_in_another() {
    let (folder, other) = (Folder::new(), Folder::new());
    folder.write("sub/deep.txt", "deep");
    other.write("there.txt", "there");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(other.path(), &link).unwrap();
    for (without, jail) in jails(&folder) {
        // Two that every root has, by names that are links on most systems.
        let jail = ["/bin", "/sbin"].into_iter().fold(jail, Jail::readable);
        let jail = jail
            .readable(&link)
            .readable(folder.path().join("sub"))
            .writable(folder.path());
        let script = "cat link/there.txt sub/deep.txt && echo x > sub/new && ! echo x > link/new";
        let ended = sh(&jail, script).await;
        assert!(ended.verdict.is_success(), "without {without:?}: {ended:?}");
        assert_eq!(ended.stdout.text, "theredeep");
    }
}

#[tokio::test]
async fn what_a_program_leaves_is_read_with_care() {
    let folder = Folder::new();
    let ended = sh(&jail(&folder), "echo {} > $TMPDIR/file; ln -s /etc/passwd $TMPDIR/link; mkfifo $TMPDIR/pipe; mkdir $TMPDIR/dir").await;
    assert_eq!(ended.scratch.read("file").unwrap(), "{}\n");
    for name in ["link", "pipe", "dir", "none"] {
        assert!(ended.scratch.read(name).is_err(), "{name}");
    }
    let path = ended.scratch.path().to_owned();
    drop(ended);
    TempFolder::all_gone();
    assert!(!path.exists());
}

/// What the gateway keeps in a folder that its programs see.
#[tokio::test]
async fn what_is_hidden_is_read_by_nobody() {
    let folder = Folder::new();
    let own = ["own.toml", "a/b/own.db"].map(|path| folder.write(path, "canary\n"));
    folder.write("own/of/it", "canary\n");
    for path in ["other", "a/other", "a/b/other"] {
        folder.write(path, "seen\n");
    }
    for (link, to) in [("way-out", "/"), ("way-round", "own.toml")] {
        symlink(to, folder.path().join(link)).unwrap();
    }
    let hidden = own.into_iter().chain([folder.path().join("own")]);
    let hidden: Vec<PathBuf> = hidden.collect();
    let script = "cat way-round way-out/etc/shadow 2>/dev/null; cat own.toml a/b/own.db own/of/it 2>/dev/null; cat other a/other a/b/other";
    for (without, jail) in jails(&folder) {
        let ended = sh(&jail.hiding(hidden.clone()), script).await;
        assert_eq!(ended.stdout.text, "seen\nseen\nseen\n", "{without:?}");
    }
    // Where it may change the folder around them, too.
    let jail = jail(&folder).writable(folder.path()).hiding(hidden);
    let change =
        "touch new; echo x > own.toml; rm -rf own.toml own; cat own.toml own/of/it; cat other new";
    let ended = sh(&jail, change).await;
    assert_eq!(ended.stdout.text, "seen\n");
    let kept = |path: &str| fs::read_to_string(folder.path().join(path)).unwrap();
    assert_eq!(kept("own.toml") + &kept("own/of/it"), "canary\ncanary\n");
}
