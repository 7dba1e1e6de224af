//! The hooks: which there are, what each is for, and which of them this kernel
//! takes. Nothing is read off a version number: a hook is offered if it really
//! loads and attaches.

use std::fmt;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Mutex;

use anyhow::{Context, Result, anyhow, bail};
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{Link, PrintLevel, ProgramMut};

use super::{Options, kernel, skel};

/// How the errno of an attempt that fails at once is learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookSet {
    /// The syscall tracepoints: kernels without kprobes.
    Portable,
}

impl HookSet {
    pub fn as_str(self) -> &'static str {
        match self {
            HookSet::Portable => "portable",
        }
    }
}

impl fmt::Display for HookSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

enum Attach {
    /// To the root of the cgroup2 hierarchy.
    Cgroup,
    /// To a tracepoint through BTF.
    Trace,
    /// To a tracepoint of a system call.
    Syscall(&'static str),
}

pub struct Hook {
    program: &'static str,
    /// As the kernel names it.
    pub name: &'static str,
    /// What is seen through it.
    pub purpose: &'static str,
    /// Whether recording can be true without it.
    pub required: bool,
    attach: Attach,
}

macro_rules! hook {
    ($program:literal, $name:literal, $attach:expr, $required:literal, $purpose:literal) => {
        Hook {
            program: $program,
            name: $name,
            purpose: $purpose,
            required: $required,
            attach: $attach,
        }
    };
}

/// Processes come before sockets, so that none is seen without its exec.
pub static HOOKS: [Hook; 15] = [
    hook!(
        "egrets_fork",
        "tp_btf/sched_process_fork",
        Attach::Trace,
        false,
        "parents of processes"
    ),
    hook!(
        "egrets_exec",
        "tp_btf/sched_process_exec",
        Attach::Trace,
        false,
        "executables and arguments"
    ),
    hook!(
        "egrets_exit",
        "tp_btf/sched_process_exit",
        Attach::Trace,
        false,
        "ends of processes"
    ),
    hook!(
        "egrets_cgroup_mkdir",
        "tp_btf/cgroup_mkdir",
        Attach::Trace,
        false,
        "containers as they come"
    ),
    hook!(
        "egrets_cgroup_attach",
        "tp_btf/cgroup_attach_task",
        Attach::Trace,
        false,
        "containers on cgroup v1"
    ),
    hook!(
        "egrets_set_state",
        "tp_btf/inet_sock_set_state",
        Attach::Trace,
        true,
        "TCP outcomes and bytes"
    ),
    hook!(
        "egrets_connect_enter",
        "syscalls/sys_enter_connect",
        Attach::Syscall("sys_enter_connect"),
        false,
        "errno of failed attempts"
    ),
    hook!(
        "egrets_connect_exit",
        "syscalls/sys_exit_connect",
        Attach::Syscall("sys_exit_connect"),
        false,
        "errno of failed attempts"
    ),
    hook!(
        "egrets_sock_release",
        "cgroup/sock_release",
        Attach::Cgroup,
        true,
        "ends of sockets"
    ),
    hook!(
        "egrets_ingress",
        "cgroup_skb/ingress",
        Attach::Cgroup,
        true,
        "DNS answers, UDP bytes"
    ),
    hook!(
        "egrets_egress",
        "cgroup_skb/egress",
        Attach::Cgroup,
        true,
        "DNS queries, UDP flows"
    ),
    hook!(
        "egrets_sendmsg4",
        "cgroup/sendmsg4",
        Attach::Cgroup,
        true,
        "UDP destinations, IPv4"
    ),
    hook!(
        "egrets_sendmsg6",
        "cgroup/sendmsg6",
        Attach::Cgroup,
        true,
        "UDP destinations, IPv6"
    ),
    hook!(
        "egrets_connect4",
        "cgroup/connect4",
        Attach::Cgroup,
        true,
        "TCP attempts, IPv4"
    ),
    hook!(
        "egrets_connect6",
        "cgroup/connect6",
        Attach::Cgroup,
        true,
        "TCP attempts, IPv6"
    ),
];

/// What became of a hook: None, or why it is not there.
pub struct HookReport {
    pub hook: &'static Hook,
    pub error: Option<String>,
}

pub struct Loaded {
    pub skel: skel::EgretsSkel<'static>,
    pub links: Vec<Link>,
    pub set: HookSet,
    pub reports: Vec<HookReport>,
}

/// libbpf's own words while it loads: they say which program the kernel refused.
static LIBBPF_LOG: Mutex<String> = Mutex::new(String::new());

fn keep_log(level: PrintLevel, text: String) {
    log::debug!("{}", text.trim_end());
    if matches!(level, PrintLevel::Warn)
        && let Ok(mut log) = LIBBPF_LOG.lock()
    {
        log.push_str(&text);
    }
}

fn take_log() -> String {
    LIBBPF_LOG
        .lock()
        .map(|mut log| std::mem::take(&mut *log))
        .unwrap_or_default()
}

/// Loads what loads and attaches what attaches. A hook that is not required is
/// left out with its reason.
///
/// # Errors
/// A required hook fails, or the object as a whole does.
pub fn load(options: &Options) -> Result<Loaded> {
    libbpf_rs::set_print(Some((PrintLevel::Debug, keep_log)));
    let mut left_out: Vec<(&'static Hook, String)> = Vec::new();
    let mut skel = loop {
        // The skeleton borrows its object for as long as it lives, which is as
        // long as the process does: there is one capture a run.
        let storage = Box::leak(Box::new(MaybeUninit::uninit()));
        let mut open = skel::EgretsSkelBuilder::default()
            .open(storage)
            .context("the BPF object can't be opened")?;
        configure(&mut open, options)?;
        for mut program in open.open_object_mut().progs_mut() {
            if left_out
                .iter()
                .any(|(hook, _)| program.name() == hook.program)
            {
                program.set_autoload(false);
            }
        }
        take_log();
        let error = match open.load() {
            Ok(skel) => break skel,
            Err(e) => e,
        };
        let log = take_log();
        let culprit = HOOKS.iter().find(|hook| {
            log.contains(&format!("prog '{}': ", hook.program))
                && !left_out.iter().any(|(out, _)| out.program == hook.program)
        });
        match culprit {
            Some(hook) => {
                let reason = reason(&log, hook).unwrap_or_else(|| error.to_string());
                if hook.required {
                    bail!(
                        "this kernel refuses {} ({}): {reason}",
                        hook.name,
                        hook.purpose
                    );
                }
                left_out.push((hook, reason));
            }
            None => {
                return Err(anyhow!(error))
                    .context(format!("the kernel refuses the BPF object: {}", log.trim()));
            }
        }
    };
    let cgroup = kernel::cgroup2()?;
    if !kernel::is_cgroup2_root(&cgroup) {
        log::warn!(
            "this is a cgroup namespace: only the processes in it are seen; run egrets on the host, or with the host's cgroup namespace"
        );
    }
    let mut links = Vec::new();
    let mut reports = Vec::new();
    for hook in &HOOKS {
        let error = match left_out.iter().find(|(out, _)| out.program == hook.program) {
            Some((_, reason)) => Some(reason.clone()),
            None => match attach(&mut skel, hook, &cgroup) {
                Ok(link) => {
                    links.push(link);
                    None
                }
                Err(e) => Some(format!("{e:#}")),
            },
        };
        if let Some(reason) = &error {
            if hook.required {
                bail!(
                    "{} ({}) can't be attached: {reason}",
                    hook.name,
                    hook.purpose
                );
            }
            log::warn!("without {} ({}): {reason}", hook.name, hook.purpose);
        }
        reports.push(HookReport { hook, error });
    }
    Ok(Loaded {
        skel,
        links,
        set: HookSet::Portable,
        reports,
    })
}

fn configure(open: &mut skel::OpenEgretsSkel<'static>, options: &Options) -> Result<()> {
    let ring_bytes = ring_size(options.ring_bytes);
    open.maps
        .events
        .set_max_entries(ring_bytes)
        .context("the ring buffer's size")?;
    let rodata = open
        .maps
        .rodata_data
        .as_deref_mut()
        .context("the BPF object has no settings")?;
    rodata.self_tgid = own_pid()?;
    rodata.wake_bytes = u64::from(ring_bytes / 4);
    Ok(())
}

/// A power of two of pages, as BPF_MAP_TYPE_RINGBUF wants it.
fn ring_size(bytes: u32) -> u32 {
    let page = rustix::param::page_size() as u32;
    bytes.clamp(page, 1 << 30).next_power_of_two()
}

/// egrets' own pid as the kernel side sees it, in the initial pid namespace.
/// In another one its own number means nothing there: then none is left out.
fn own_pid() -> Result<u32> {
    let initial = super::preflight::in_initial_pid_namespace();
    Ok(if initial { std::process::id() } else { 0 })
}

fn attach(skel: &mut skel::EgretsSkel<'static>, hook: &Hook, cgroup: &OwnedFd) -> Result<Link> {
    let program: ProgramMut<'_> = skel
        .object_mut()
        .progs_mut()
        .find(|p| p.name() == hook.program)
        .with_context(|| format!("the BPF object has no program {}", hook.program))?;
    Ok(match hook.attach {
        Attach::Cgroup => program.attach_cgroup(cgroup.as_raw_fd())?,
        Attach::Trace => program.attach_trace()?,
        Attach::Syscall(name) => {
            let event = kernel::open_tracepoint("syscalls", name)?;
            // The link owns the descriptor from here on and closes it.
            program.attach_perf_event(std::os::fd::IntoRawFd::into_raw_fd(event))?
        }
    })
}

/// The words of libbpf's log that say why: the verifier's last ones where it was
/// asked, else libbpf's own.
fn reason(log: &str, hook: &Hook) -> Option<String> {
    let mark = format!("prog '{}': ", hook.program);
    let own = || {
        let lines = log
            .lines()
            .filter_map(|l| l.split_once(&mark).map(|(_, rest)| rest.trim()));
        lines
            .filter(|l| !l.contains("PROG LOAD LOG"))
            .map(str::to_string)
            .next()
    };
    let verdict = || {
        let (_, verifier) = log.split_once(&format!("{mark}-- BEGIN PROG LOAD LOG --"))?;
        let (said, _) = verifier.split_once("\nprocessed ")?;
        Some(said.trim_end().lines().last()?.trim().to_string())
    };
    verdict().or_else(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_of_the_object_has_one_hook() {
        let mut names: Vec<_> = HOOKS.iter().map(|h| h.program).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), HOOKS.len());
    }

    #[test]
    fn a_refusal_is_told_in_the_verifiers_last_words() {
        let hook = &HOOKS[1];
        let log = "libbpf: prog 'egrets_exec': BPF program load failed: -EACCES\n\
                   libbpf: prog 'egrets_exec': -- BEGIN PROG LOAD LOG --\n0: (b7) r0 = 0\n\
                   R3 min value is outside of the allowed memory range\nprocessed 322 insns\n\
                   -- END PROG LOAD LOG --\n";
        let said = "R3 min value is outside of the allowed memory range";
        assert_eq!(reason(log, hook).as_deref(), Some(said));
        let log = "libbpf: prog 'egrets_exec': failed to find kernel BTF type ID of 'x': -3\n";
        let said = "failed to find kernel BTF type ID of 'x': -3";
        assert_eq!(reason(log, hook).as_deref(), Some(said));
        assert_eq!(reason("", hook), None);
    }

    #[test]
    fn a_ring_is_a_power_of_two_of_pages() {
        for (asked, got) in [
            (1, 4096),
            (4097, 8192),
            (16 << 20, 16 << 20),
            (u32::MAX, 1 << 30),
        ] {
            assert_eq!(ring_size(asked), got);
        }
    }
}
