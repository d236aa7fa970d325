//! The process that watches: it starts [`init`](super::init), and ends everything when it must end.

use std::{
    io,
    os::fd::AsFd,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, set_child_subreaper},
};

use super::{JailArgs, Refusal, Role, disk::Disk, group::Group, namespaces, tell, usage};
use crate::sandbox::policy::{Policy, Report, Wall, Walls};

/// How often it looks at what the program takes. Processes can multiply by thousands in a second.
const LOOK: Duration = Duration::from_millis(100);

/// Runs the program to its end, or until the leash is let go.
pub(super) fn run(policy: &Policy, args: &JailArgs) -> Result<(), Refusal> {
    let mut disk = Disk::new(policy);
    // Before: in a namespace of users the rights of root end.
    let group = Group::enter(policy.limits.tasks());
    let entered = policy.has(Wall::Namespaces).then(namespaces::enter);
    let role = match entered {
        None => Role::Exposed,
        Some(Ok(())) => Role::Isolated,
        Some(Err(why)) if policy.walls == Walls::Required => return Err(Refusal(why)),
        Some(Err(why)) => {
            tell(&Report::Missing(why));
            Role::Exposed
        }
    };
    // Without a namespace of processes, who has lost its parent comes here and not to the system's own init.
    set_child_subreaper(Some(getpid())).map_err(Refusal::of("orphans would get away"))?;
    let leash = io::stdin().as_fd().try_clone_to_owned();
    let leash = leash.map_err(Refusal::of("there is no leash"))?;
    let init = Command::new("/proc/self/exe")
        .args(["__jail", role.as_str(), &args.policy, "--"])
        .args(&args.argv)
        .stdin(Stdio::from(leash))
        .spawn();
    if let Some(group) = &group {
        group.leave();
    }
    let mut init = init.map_err(Refusal::of("the walls could not be built"))?;
    let over = watch(&init, policy, &mut disk);
    if let Some(group) = &group {
        group.close();
    }
    // It was this process that ends it, or it has said itself how the program ended.
    let _ = init.kill();
    usage::kill_all();
    let _ = init.wait();
    if let Some(over) = over {
        tell(&Report::OverLimit(over));
    }
    Ok(())
}

/// Returns when init has ended, the leash is let go, or too much is taken: then with what of.
fn watch(init: &Child, policy: &Policy, disk: &mut Disk) -> Option<String> {
    let pid = i32::try_from(init.id()).ok().and_then(Pid::from_raw)?;
    let ended = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    let leash = io::stdin();
    let pause = Timespec {
        tv_sec: 0,
        tv_nsec: LOOK.subsec_nanos().into(),
    };
    loop {
        let mut events = [
            PollFd::new(&ended, PollFlags::IN),
            PollFd::new(&leash, PollFlags::IN | PollFlags::RDHUP),
        ];
        match poll(&mut events, Some(&pause)) {
            Ok(0) => {}
            Err(rustix::io::Errno::INTR) => continue,
            _ => return None,
        }
        if let Some(over) = usage::over(&policy.limits, disk) {
            return Some(over);
        }
    }
}

/// Ends a process; it may have ended.
pub(super) fn kill(pid: Pid) {
    let _ = rustix::process::kill_process(pid, Signal::KILL);
}
