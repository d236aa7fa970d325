//! System calls that no tool needs, taken away: those that open networks, look into other processes, or change the kernel.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};

use crate::sandbox::policy::Network;

/// Refused with "not permitted", whatever they are asked.
const NEVER: [i64; 33] = [
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];

/// Said not to exist, so that programs do without. The arguments of `clone3` cannot be looked at; `io_uring` passes by all filters.
const UNKNOWN: [i64; 4] = [
    libc::SYS_clone3,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
];

/// Takes them away from this process and all that it starts, for good.
pub(super) fn filter(network: Network) -> Result<(), String> {
    let mut never: BTreeMap<i64, Vec<SeccompRule>> =
        NEVER.iter().map(|call| (*call, Vec::new())).collect();
    never.insert(libc::SYS_socket, sockets(network)?);
    // A new namespace of users would give all rights within it.
    let user_namespace = SeccompCmpOp::MaskedEq(libc::CLONE_NEWUSER as u64);
    let asks = condition(0, user_namespace, libc::CLONE_NEWUSER as u64)?;
    never.insert(libc::SYS_clone, vec![rule(vec![asks])?]);
    apply(never, libc::EPERM)?;
    let unknown = UNKNOWN.iter().map(|call| (*call, Vec::new()));
    apply(unknown.collect(), libc::ENOSYS)
}

/// Which sockets are refused; an empty list is all of them.
fn sockets(network: Network) -> Result<Vec<SeccompRule>, String> {
    if network == Network::Off {
        return Ok(Vec::new());
    }
    let allowed = [
        libc::AF_UNIX,
        libc::AF_INET,
        libc::AF_INET6,
        libc::AF_NETLINK,
    ];
    let other = allowed.map(|family| condition(0, SeccompCmpOp::Ne, family as u64));
    let other: Result<Vec<_>, String> = other.into_iter().collect();
    Ok(vec![rule(other?)?])
}

fn condition(argument: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompCondition, String> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value).map_err(failed)
}

fn rule(all_of: Vec<SeccompCondition>) -> Result<SeccompRule, String> {
    SeccompRule::new(all_of).map_err(failed)
}

fn apply(calls: BTreeMap<i64, Vec<SeccompRule>>, errno: i32) -> Result<(), String> {
    let refuse = SeccompAction::Errno(errno.cast_unsigned());
    let arch = std::env::consts::ARCH.try_into().map_err(failed)?;
    let filter = SeccompFilter::new(calls, SeccompAction::Allow, refuse, arch).map_err(failed)?;
    let program: BpfProgram = filter.try_into().map_err(failed)?;
    apply_filter(&program).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> String {
    format!("system calls could not be taken away: {error}")
}
