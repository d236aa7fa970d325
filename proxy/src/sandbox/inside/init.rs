//! The process that builds the walls around itself and starts the program within them.

use std::{
    fs, io,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

use rustix::{
    process::{
        Pid, Resource, Rlimit, Signal, WaitOptions, chdir, nice, prlimit,
        set_parent_process_death_signal, setrlimit, setsid, wait,
    },
    thread::{CapabilitySet, capabilities, remove_capability_from_bounding_set, set_capabilities},
};

use super::{
    Refusal, Role, mounts, namespaces, syscalls,
    system::{DEVICES, FACTS, KERNEL, LOADERS, SYSTEM},
    tell,
};
use crate::sandbox::{
    landlock::{Fence, Fenced},
    policy::{Limits, Network, Policy, Report, Wall, Walls},
};

/// Runs the program to its end and says how it ended.
pub(super) fn run(policy: &Policy, role: Role, argv: &[String]) -> Result<(), Refusal> {
    // A supervisor that is killed takes this process along, and this one, as the init of its namespace, all others.
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(Refusal::of("it would outlive its supervisor"))?;
    setsid().map_err(Refusal::of("no session of its own"))?;
    // Whoever multiplies shall not starve who watches it.
    let _ = nice(19);
    close_inherited().map_err(Refusal::of("open files could not be closed"))?;
    if role == Role::Isolated {
        isolate(policy)?;
    }
    chdir(&*policy.folder).map_err(Refusal::of("its folder cannot be entered"))?;
    limit(&policy.limits).map_err(Refusal::of("its limits could not be set"))?;
    for capability in CapabilitySet::all().iter() {
        // Nobody who is not root has any, and may not take away what they do not have.
        let _ = remove_capability_from_bounding_set(capability);
    }
    hand_on_none().map_err(Refusal::of("it would keep rights"))?;
    if policy.has(Wall::Kernel) {
        fence(policy, role)?;
        // Where there is no network of its own, its loopback address would be everybody's.
        let network = match role {
            Role::Isolated => policy.network,
            _ => Network::Off,
        };
        syscalls::filter(network).map_err(Refusal)?;
    }
    let (program, arguments) = argv
        .split_first()
        .ok_or_else(|| Refusal("there is no program".into()))?;
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .spawn();
    let child = match child {
        Ok(child) => child.id().cast_signed(),
        Err(error) => {
            tell(&Report::NotFound(format!("`{program}`: {error}")));
            return Ok(());
        }
    };
    // Of this process's own memory more is reserved than many a limit. A program that is gone already needs none.
    let memory = Rlimit {
        current: Some(policy.limits.memory),
        maximum: Some(policy.limits.memory),
    };
    let _ = prlimit(Pid::from_raw(child), Resource::Data, memory);
    // As init it also buries what others have left.
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid.as_raw_nonzero().get() == child => {
                tell(&ended(ExitStatus::from_raw(status.as_raw())));
                return Ok(());
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Refusal::of("its end was missed")(error)),
        }
    }
}

fn isolate(policy: &Policy) -> Result<(), Refusal> {
    namespaces::own_mounts().map_err(Refusal::of("no mounts of its own"))?;
    mounts::own_root(policy).map_err(Refusal::of("no root of its own"))?;
    namespaces::cap_tasks(policy.limits.tasks());
    mounts::seal(Path::new("/proc")).map_err(Refusal::of("/proc could not be sealed"))?;
    match policy.network {
        Network::Off => Ok(()),
        Network::Loopback => namespaces::loopback_up().map_err(Refusal::of("no loopback address")),
    }
}

/// Lets the program have none of the rights that this process was handed on.
fn hand_on_none() -> rustix::io::Result<()> {
    let mut rights = capabilities(None)?;
    rights.inheritable = CapabilitySet::empty();
    set_capabilities(None, rights)
}

/// Closes what whoever started the gateway has left open: through an open file no wall is passed, for it is behind it.
fn close_inherited() -> io::Result<()> {
    let numbers: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2)
        .collect();
    for number in numbers {
        // The one that the list was read from is closed already.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}

fn limit(limits: &Limits) -> io::Result<()> {
    for (resource, most) in [
        (Resource::Core, 0),
        (Resource::Fsize, limits.written),
        (Resource::Nproc, limits.tasks()),
        (Resource::Nofile, 4096),
    ] {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        setrlimit(resource, limit)?;
    }
    Ok(())
}

fn fence(policy: &Policy, role: Role) -> Result<(), Refusal> {
    let mut fence = Fence::default();
    let run_any = policy.programs.is_empty();
    let readable = policy.readable.iter().map(|path| &**path);
    let readable = SYSTEM
        .iter()
        .map(Path::new)
        .chain(readable)
        .chain([&*policy.folder]);
    for path in readable {
        fence.read_around(path, run_any, &policy.hidden);
    }
    let loaders = LOADERS.iter().map(Path::new).filter(|_| !run_any);
    for path in policy.programs.iter().map(|path| &**path).chain(loaders) {
        fence.run(path);
    }
    for path in FACTS.into_iter().chain(KERNEL) {
        fence.read(Path::new(path));
    }
    for path in DEVICES {
        fence.keep(Path::new(path));
    }
    // Emptied for it, unless what it may only read is there again.
    let named = || policy.named_to_read().chain(&policy.writable);
    let is_empty = |shared: &str| !named().any(|path| path.starts_with(shared));
    for path in ["/tmp", "/dev/shm"] {
        if role == Role::Isolated && is_empty(path) {
            fence.keep(Path::new(path));
        }
    }
    for path in policy.named_to_change() {
        match run_any {
            true => fence.change(path),
            false => fence.keep(path),
        };
    }
    match fence.close() {
        Ok(Fenced::Yes) => Ok(()),
        Ok(Fenced::No) if policy.walls == Walls::BestEffort => {
            tell(&Report::Missing("this kernel has no Landlock".into()));
            Ok(())
        }
        Ok(Fenced::No) => Err(Refusal("this kernel has no Landlock".into())),
        Err(error) => Err(Refusal(format!("files could not be fenced in: {error}"))),
    }
}

fn ended(status: ExitStatus) -> Report {
    match (status.code(), status.signal()) {
        (Some(code), _) => Report::Exited(code),
        (None, signal) => Report::Signalled(signal.unwrap_or(0)),
    }
}
