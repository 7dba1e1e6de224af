//! System calls that a recorder has no use for once it has started, nor a process that answers
//! browsers, refused with EPERM. A list of what is refused rather than of what is allowed: another
//! libc must not break recording.

use anyhow::{Result, anyhow};
use libc::c_long;
use seccompiler::{
    BpfProgram, BpfProgramRef, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter_all_threads,
};

const REFUSED: &[c_long] = &[
    // programs, and other processes
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    // namespaces and mounts
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_mount_setattr,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    // the kernel itself
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_personality,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_fanotify_init,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // clock and names
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // identities
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    // files that no recorder makes
    libc::SYS_mknodat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_open_by_handle_at,
];

#[cfg(any(test, feature = "record"))]
const REFUSED_TO_RECORDERS: &[c_long] = &[libc::SYS_listen, libc::SYS_accept, libc::SYS_accept4];

/// It goes on with the sockets that it has, and with those of its peers.
const REFUSED_TO_SERVERS: &[c_long] = &[
    libc::SYS_listen,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_bpf,
];

#[cfg(target_arch = "x86_64")]
const REFUSED_OF_ARCH: &[c_long] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_mknod,
    libc::SYS_link,
    libc::SYS_symlink,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_kexec_file_load,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_OF_ARCH: &[c_long] = &[];

/// Commands of bpf(2) that make, load, attach or find something; reading and writing maps, and
/// running a program that is loaded, stay (`enum bpf_cmd`, include/uapi/linux/bpf.h).
const BPF_REFUSED: &[u64] = &[
    0,  // BPF_MAP_CREATE
    5,  // BPF_PROG_LOAD
    6,  // BPF_OBJ_PIN
    7,  // BPF_OBJ_GET
    8,  // BPF_PROG_ATTACH
    13, // BPF_PROG_GET_FD_BY_ID
    14, // BPF_MAP_GET_FD_BY_ID
    17, // BPF_RAW_TRACEPOINT_OPEN
    18, // BPF_BTF_LOAD
    28, // BPF_LINK_CREATE
    29, // BPF_LINK_UPDATE
    30, // BPF_LINK_GET_FD_BY_ID
    35, // BPF_PROG_BIND_MAP
    36, // BPF_TOKEN_CREATE
];

/// Filters the system calls of all threads, which get no_new_privs with it. This one has it.
#[cfg(feature = "record")]
pub fn filter() -> Result<()> {
    install(apply_filter_all_threads, REFUSED_TO_RECORDERS)
}

/// The same for a process that answers requests.
pub fn filter_server() -> Result<()> {
    install(apply_filter_all_threads, REFUSED_TO_SERVERS)
}

fn install(
    apply: fn(BpfProgramRef) -> Result<(), seccompiler::Error>,
    more: &[c_long],
) -> Result<()> {
    for program in [threads_only()?, refused(more)?] {
        apply(&program).map_err(|e| anyhow!("{e}"))?;
    }
    Ok(())
}

fn refused(more: &[c_long]) -> Result<BpfProgram> {
    let whole = |call: &c_long| (*call, Vec::new());
    let all = REFUSED.iter().chain(REFUSED_OF_ARCH).chain(more);
    let mut calls: Vec<(c_long, Vec<SeccompRule>)> = all.map(whole).collect();
    if !more.contains(&libc::SYS_bpf) {
        let bpf = BPF_REFUSED
            .iter()
            .map(|command| rule(&[(0, SeccompCmpOp::Eq, *command)]))
            .collect::<Result<_>>()?;
        calls.push((libc::SYS_bpf, bpf));
    }
    // Docker's socket is all that it talks to.
    let local = libc::AF_UNIX as u64;
    calls.push((
        libc::SYS_socket,
        vec![rule(&[(0, SeccompCmpOp::Ne, local)])?],
    ));
    // Threads, but no processes.
    let thread = libc::CLONE_THREAD as u64;
    calls.push((
        libc::SYS_clone,
        vec![rule(&[(0, SeccompCmpOp::MaskedEq(thread), 0)])?],
    ));
    compile(calls, libc::EPERM)
}

/// clone3(2) has its flags in memory, where a filter can't see them: without it libc uses
/// clone(2).
fn threads_only() -> Result<BpfProgram> {
    compile(vec![(libc::SYS_clone3, Vec::new())], libc::ENOSYS)
}

/// The conditions, all of them: argument, comparison, value.
fn rule(conditions: &[(u8, SeccompCmpOp, u64)]) -> Result<SeccompRule> {
    let conditions = conditions
        .iter()
        .map(|(argument, op, value)| {
            SeccompCondition::new(*argument, SeccompCmpArgLen::Dword, op.clone(), *value)
        })
        .collect::<Result<_, _>>();
    conditions
        .and_then(SeccompRule::new)
        .map_err(|e| anyhow!("{e}"))
}

fn compile(calls: Vec<(c_long, Vec<SeccompRule>)>, errno: libc::c_int) -> Result<BpfProgram> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|e| anyhow!("{e}"))?;
    let filter = SeccompFilter::new(
        calls.into_iter().collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(errno as u32),
        arch,
    );
    filter
        .and_then(TryInto::try_into)
        .map_err(|e| anyhow!("{e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filtered_thread_starts_threads_and_connects_but_no_processes_or_network() {
        std::thread::spawn(|| {
            rustix::thread::set_no_new_privs(true).unwrap();
            // not of the threads of other tests
            install(seccompiler::apply_filter, REFUSED_TO_RECORDERS).unwrap();
            assert_eq!(std::thread::spawn(|| 7).join().unwrap(), 7);
            let _ = std::os::unix::net::UnixStream::pair().unwrap();
            assert!(std::process::Command::new("true").status().is_err());
            assert!(std::net::UdpSocket::bind("127.0.0.1:0").is_err());
            assert!(std::fs::read("/proc/self/stat").is_ok());
        })
        .join()
        .unwrap();
    }

    #[test]
    fn server_answers_and_begins_nothing() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let peer = std::net::TcpStream::connect(address).unwrap();
        std::thread::spawn(move || {
            rustix::thread::set_no_new_privs(true).unwrap();
            install(seccompiler::apply_filter, REFUSED_TO_SERVERS).unwrap();
            assert_eq!(std::thread::spawn(|| 7).join().unwrap(), 7);
            listener.accept().unwrap();
            assert!(std::net::TcpStream::connect(address).is_err());
            assert!(std::os::unix::net::UnixStream::connect("/run/x").is_err());
            assert!(std::process::Command::new("true").status().is_err());
        })
        .join()
        .unwrap();
        drop(peer);
    }
}
