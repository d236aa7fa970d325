//! Namespaces: a program in its own sees no other process, no network and no mount but those that it is given.

use std::fs;

use rustix::{
    io,
    mount::{MountPropagationFlags, mount_change},
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, netlink, recv, send,
        socket_with,
    },
    process::{getegid, geteuid},
    thread::{UnshareFlags, capabilities, configure_capability_in_ambient_set, set_capabilities},
};

/// Moves this process into namespaces of its own; its children are where it cannot see out. The process has one thread.
pub(super) fn enter() -> Result<(), String> {
    // Read before: inside, nobody is anybody until the maps are written.
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let own = UnshareFlags::NEWUSER
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS;
    unshare(own).map_err(|error| match error {
        io::Errno::PERM | io::Errno::NOSPC | io::Errno::NOSYS => format!(
            "namespaces of users are off here ({error}); see the sysctls user.max_user_namespaces and kernel.unprivileged_userns_clone"
        ),
        _ => format!("no namespaces could be made: {error}"),
    })?;
    let write = |file: &str, text: String| {
        fs::write(format!("/proc/self/{file}"), text).map_err(|error| format!("{file}: {error}"))
    };
    // Everybody stays who they are: files have the owner that they have outside.
    write("setgroups", "deny".into())?;
    write("uid_map", format!("{uid} {uid} 1"))?;
    write("gid_map", format!("{gid} {gid} 1"))?;
    hand_on_rights().map_err(|error| format!("rights cannot be handed on: {error}"))
}

/// Lets whom this process starts have its rights, which are good in its namespaces alone: those of who is not root would end with it.
fn hand_on_rights() -> io::Result<()> {
    let mut rights = capabilities(None)?;
    rights.inheritable = rights.permitted;
    set_capabilities(None, rights)?;
    let each = rights.permitted.iter();
    each.into_iter()
        .try_for_each(|right| configure_capability_in_ambient_set(right, true))
}

/// Gives this process mounts of its own; its supervisor goes on seeing those of the computer.
pub(super) fn own_mounts() -> io::Result<()> {
    unshare(UnshareFlags::NEWNS)?;
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
}

#[expect(
    deprecated,
    reason = "unsafe is only what shares no file descriptors any more, which is not asked for"
)]
fn unshare(what: UnshareFlags) -> io::Result<()> {
    rustix::thread::unshare(what)
}

/// Lets this namespace of processes hold no more than `most` of them, threads counted; the kernel's least is 301.
///
/// Kernels before 6.14 cannot. There the limit of a user (`RLIMIT_NPROC`) holds, which the kernel does not apply to root, and the
/// supervisor, which a program may outrun for some seconds.
pub(super) fn cap_tasks(most: u64) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    let mut number = || numbers.next()?.ok();
    // There the number is the whole computer's, and root may write it.
    if (number(), number()) < (Some(6), Some(14)) {
        return;
    }
    let _ = fs::write("/proc/sys/kernel/pid_max", most.max(301).to_string());
}

/// Switches the loopback device of this network namespace on, which alone is in it.
pub(super) fn loopback_up() -> io::Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const REQUEST_WITH_ANSWER: u16 = 0x1 | 0x4;
    const LOOPBACK: u32 = 1;
    const IFF_UP: u32 = 1;
    let mut message = Vec::with_capacity(32);
    // A header: length, type, flags, sequence, sender. Then: family and kind, index, flags, which flags.
    message.extend(32u32.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(REQUEST_WITH_ANSWER.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([0; 4]);
    for word in [LOOPBACK, IFF_UP, IFF_UP] {
        message.extend(word.to_ne_bytes());
    }
    // Of netlink's protocols the first, which is none, is the one about devices.
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    )?;
    bind(&socket, &netlink::SocketAddrNetlink::new(0, 0))?;
    send(&socket, &message, SendFlags::empty())?;
    let mut answer = [0; 64];
    recv(&socket, &mut answer[..], RecvFlags::empty())?;
    // After its header an answer has the error, negated; zero is none.
    let error = i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]);
    match error {
        0 => Ok(()),
        error => Err(io::Errno::from_raw_os_error(-error)),
    }
}
