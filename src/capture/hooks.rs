//! The hooks: which there are, what each is for, and which of them this kernel
//! takes. Nothing is read off a version number: a hook is offered if it really
//! loads and attaches.

use std::fmt;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Mutex;

use anyhow::{Context, Result, anyhow, bail};
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{Link, PrintLevel, ProgramMut};

use super::preflight::Namespace;
use super::{Options, kernel, skel};

/// How the errno of an attempt that fails at once is learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookSet {
    /// Kernel probes on the TCP dial itself: whichever way it was asked for.
    Kprobe,
    /// The tracepoints of connect(2): kernels without kprobes.
    Portable,
}

impl HookSet {
    pub fn as_str(self) -> &'static str {
        match self {
            HookSet::Kprobe => "kprobe",
            HookSet::Portable => "portable",
        }
    }
}

impl fmt::Display for HookSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Clone, Copy)]
enum Attach {
    /// To the root of the cgroup2 hierarchy.
    Cgroup,
    /// To a tracepoint through BTF.
    Trace,
    /// To a tracepoint of a system call.
    Syscall(&'static str),
    /// To a kernel function's return.
    Return(&'static str),
    /// To a kernel function, which has had several names.
    Entry(&'static [&'static str]),
    /// To nothing: it runs when it is read, once for each of these.
    Iterator(Over),
}

#[derive(Clone, Copy)]
enum Over {
    /// The files of all processes.
    Files,
    /// The elements of the owner map.
    Owners,
    /// The elements of the table of flows.
    Flows,
}

pub struct Hook {
    program: &'static str,
    /// Programs that do the same, for when the kernel skips the first one.
    copies: &'static [&'static str],
    /// As the kernel names it.
    pub name: &'static str,
    /// What is seen through it.
    pub purpose: &'static str,
    /// Whether its set, or recording as a whole, can be true without it.
    pub required: bool,
    /// None: of both sets.
    set: Option<HookSet>,
    /// Of use without the others of its set.
    apart: bool,
    attach: Attach,
}

impl Hook {
    const fn new(
        program: &'static str,
        name: &'static str,
        attach: Attach,
        purpose: &'static str,
    ) -> Hook {
        let set = match attach {
            Attach::Cgroup | Attach::Trace | Attach::Iterator(_) => None,
            Attach::Syscall(_) => Some(HookSet::Portable),
            Attach::Return(_) | Attach::Entry(_) => Some(HookSet::Kprobe),
        };
        Hook {
            program,
            copies: &[],
            name,
            purpose,
            required: true,
            set,
            apart: false,
            attach,
        }
    }

    /// Of this set, and of use without what else that has.
    const fn apart(mut self, set: HookSet) -> Hook {
        self.set = Some(set);
        self.apart = true;
        self.optional()
    }

    const fn copied(mut self, copies: &'static [&'static str]) -> Hook {
        self.copies = copies;
        self
    }

    const fn optional(mut self) -> Hook {
        self.required = false;
        self
    }

    fn programs(&self) -> impl Iterator<Item = &'static str> {
        [self.program]
            .into_iter()
            .chain(self.copies.iter().copied())
    }

    fn has(&self, program: impl PartialEq<&'static str>) -> bool {
        self.programs().any(|own| program == own)
    }

    fn is_of(&self, set: HookSet) -> bool {
        self.set.is_none_or(|own| own == set)
    }
}

/// In the order in which they are attached, a set's own before the others: a call's
/// return before its entry, so that no entry waits for a return that is not followed;
/// processes before sockets, so that no socket is seen without its process' exec.
#[rustfmt::skip]
pub static HOOKS: [Hook; 26] = {
    use Attach::{Cgroup, Entry, Iterator, Return, Syscall, Trace};
    use Over::{Files, Flows, Owners};
    const ERRNO: &str = "errno of failed attempts";
    const POLICY: &str = "errno of a cgroup's refusal";
    [
        Hook::new("egrets_fork", "tp_btf/sched_process_fork", Trace, "parents of processes").copied(&["egrets_fork_2", "egrets_fork_3"]).optional(),
        Hook::new("egrets_exec", "tp_btf/sched_process_exec", Trace, "executables and arguments").copied(&["egrets_exec_2", "egrets_exec_3"]).optional(),
        Hook::new("egrets_exit", "tp_btf/sched_process_exit", Trace, "ends of processes").copied(&["egrets_exit_2", "egrets_exit_3"]).optional(),
        Hook::new("egrets_cgroup_mkdir", "tp_btf/cgroup_mkdir", Trace, "containers as they come").optional(),
        Hook::new("egrets_cgroup_attach", "tp_btf/cgroup_attach_task", Trace, "containers on cgroup v1").optional(),
        Hook::new("egrets_set_state", "tp_btf/inet_sock_set_state", Trace, "TCP outcomes and bytes").copied(&["egrets_set_state_2", "egrets_set_state_3"]),
        Hook::new("egrets_v4_dialled", "kretprobe/tcp_v4_connect", Return("tcp_v4_connect"), ERRNO),
        Hook::new("egrets_v6_dialled", "kretprobe/tcp_v6_connect", Return("tcp_v6_connect"), ERRNO),
        Hook::new("egrets_v4_policy", "kretprobe/tcp_v4_pre_connect", Return("tcp_v4_pre_connect"), POLICY),
        Hook::new("egrets_v6_policy", "kretprobe/tcp_v6_pre_connect", Return("tcp_v6_pre_connect"), POLICY),
        Hook::new("egrets_connect_exit", "syscalls/sys_exit_connect", Syscall("sys_exit_connect"), ERRNO).optional(),
        Hook::new("egrets_connect_enter", "syscalls/sys_enter_connect", Syscall("sys_enter_connect"), ERRNO).optional(),
        Hook::new("egrets_sock_release", "cgroup/sock_release", Cgroup, "ends of sockets"),
        Hook::new("egrets_ingress", "cgroup_skb/ingress", Cgroup, "DNS answers, bytes of flows"),
        Hook::new("egrets_egress", "cgroup_skb/egress", Cgroup, "DNS queries, flows"),
        Hook::new("egrets_sock_create", "cgroup/sock_create", Cgroup, "ICMP, raw IP, SCTP and the like").optional(),
        Hook::new("egrets_sendmsg4", "cgroup/sendmsg4", Cgroup, "UDP destinations, IPv4"),
        Hook::new("egrets_sendmsg6", "cgroup/sendmsg6", Cgroup, "UDP destinations, IPv6"),
        Hook::new("egrets_connect4", "cgroup/connect4", Cgroup, "TCP attempts, IPv4"),
        Hook::new("egrets_connect6", "cgroup/connect6", Cgroup, "TCP attempts, IPv6"),
        Hook::new("egrets_frame", "tp_btf/net_dev_queue", Trace, "packet sockets").optional(),
        Hook::new("egrets_direct_frame", "kprobe/__dev_direct_xmit", Entry(&["__dev_direct_xmit", "dev_direct_xmit"]), "packet sockets that bypass queues").apart(HookSet::Kprobe),
        Hook::new("egrets_frames_returned", "tp_btf/sock_send_length", Trace, "packet sockets that bypass queues").apart(HookSet::Portable),
        Hook::new(OPEN_SOCKETS, "iter/task_file", Iterator(Files), "sockets that are open already").optional(),
        Hook::new("egrets_tcp_bytes", "iter/bpf_map_elem", Iterator(Owners), "TCP bytes while connections are open").optional(),
        Hook::new("egrets_orphans", "iter/bpf_map_elem", Iterator(Flows), "flows that a socket left").optional(),
    ]
};

const OPEN_SOCKETS: &str = "egrets_open_sockets";

/// What a program is like, for those who watch it grow.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Bytes of BPF instructions as the kernel keeps them.
    pub bpf_bytes: u32,
    /// Bytes of machine code.
    pub jited_bytes: u32,
    /// Instructions that the verifier has looked at, of the million that it
    /// allows (BPF_COMPLEXITY_LIMIT_INSNS).
    pub verified: u32,
}

/// What became of a hook.
pub struct HookReport {
    pub hook: &'static Hook,
    /// None, or why it is not there.
    pub error: Option<String>,
    /// Of its program; None where that was not loaded, or not asked for.
    pub size: Option<Size>,
}

pub struct Loaded {
    pub skel: skel::EgretsSkel<'static>,
    pub links: Vec<Link>,
    pub iterators: Iterators,
    /// The cgroup whose processes are seen.
    pub cgroup: OwnedFd,
    /// Whether that is the root of all.
    pub whole: bool,
    pub set: HookSet,
    /// Why it is not the kprobe set, where that would have been taken.
    pub no_kprobes: Option<String>,
    /// Of the hooks of the set.
    pub reports: Vec<HookReport>,
}

/// Those that this kernel has.
#[derive(Default)]
pub struct Iterators {
    /// Over the sockets that are open already.
    pub files: Option<Link>,
    /// Over the owner map: the bytes of TCP, and who is no more.
    pub owners: Option<Link>,
    /// Over the flows: those that belong to nobody.
    pub flows: Option<Link>,
}

impl Iterators {
    fn of(&mut self, over: Over) -> &mut Option<Link> {
        match over {
            Over::Files => &mut self.files,
            Over::Owners => &mut self.owners,
            Over::Flows => &mut self.flows,
        }
    }
}

/// libbpf's own words while it loads: they say which program the kernel refused,
/// and, where they are asked for, the verifier's figures.
static LIBBPF_LOG: Mutex<String> = Mutex::new(String::new());

/// BPF_LOG_STATS, include/linux/bpf_verifier.h.
const LOG_STATS: u32 = 4;

fn keep_log(level: PrintLevel, text: String) {
    log::debug!("{}", text.trim_end());
    let wanted = matches!(level, PrintLevel::Warn) || text.contains("\nprocessed ");
    if wanted && let Ok(mut log) = LIBBPF_LOG.lock() {
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
/// left out with its reason; without a set named egrets takes the kprobe set where
/// what that requires is to be had.
///
/// # Errors
/// A required hook fails, or the object as a whole does.
pub fn load(options: &Options) -> Result<Loaded> {
    libbpf_rs::set_print(Some((PrintLevel::Debug, keep_log)));
    kernel::join_cgroup_namespace();
    let mut object = Object::load(options)?;
    let whole = kernel::is_cgroup2_root(&object.cgroup);
    if !whole {
        log::warn!(
            "this is a cgroup namespace of its own: only the processes in it are seen; run egrets on the host, or with the host's cgroup and pid namespaces"
        );
    }
    // The set's before the rest: no attempt is seen whose errno is not.
    let (set, mut attached, no_kprobes) = match options.hooks {
        Some(set) => {
            let attached = object.attach_set(set);
            let attached = attached.with_context(|| match set {
                HookSet::Kprobe => {
                    "the kprobe set can't be used: --hooks portable works without it"
                }
                HookSet::Portable => "the portable set can't be used",
            })?;
            (set, attached, None)
        }
        None => match object.attach_set(HookSet::Kprobe) {
            Ok(attached) => (HookSet::Kprobe, attached, None),
            Err(e) => {
                let reason = format!("{e:#}");
                if kernel::has_kprobes() {
                    log::warn!("the portable hooks are used: {reason}");
                }
                let attached = object.attach_set(HookSet::Portable)?;
                (HookSet::Portable, attached, Some(reason))
            }
        },
    };
    attached.extend(object.attach(|hook| hook.set.is_none())?);
    let (mut links, mut iterators) = (Vec::new(), Iterators::default());
    let mut reports = Vec::new();
    for (hook, result) in attached {
        let error = match result {
            Ok(own) => {
                match hook.attach {
                    Attach::Iterator(over) => *iterators.of(over) = own.into_iter().next(),
                    _ => links.extend(own),
                }
                None
            }
            Err(reason) => {
                log::warn!("without {} ({}): {reason}", hook.name, hook.purpose);
                Some(reason)
            }
        };
        let size = object.size(hook);
        reports.push(HookReport { hook, error, size });
    }
    Ok(Loaded {
        skel: object.skel,
        links,
        iterators,
        cgroup: object.cgroup,
        whole,
        set,
        no_kprobes,
        reports,
    })
}

/// A hook's links, or why there are none.
type Attached = (&'static Hook, Result<Vec<Link>, String>);

/// The loaded object, before anything is attached.
struct Object {
    skel: skel::EgretsSkel<'static>,
    left_out: Vec<(&'static Hook, String)>,
    /// The verifier's figures; empty where they were not asked for.
    figures: String,
    cgroup: OwnedFd,
}

impl Object {
    fn load(options: &Options) -> Result<Object> {
        let mut left_out: Vec<(&'static Hook, String)> = Vec::new();
        let mut figures = options.sizes;
        let skel = loop {
            // The skeleton borrows its object for as long as it lives, which is as
            // long as the process does: there is one capture a run.
            let storage = Box::leak(Box::new(MaybeUninit::uninit()));
            let mut open = skel::EgretsSkelBuilder::default()
                .open(storage)
                .context("the BPF object can't be opened")?;
            configure(&mut open, options)?;
            for mut program in open.open_object_mut().progs_mut() {
                let hook = HOOKS.iter().find(|hook| hook.has(program.name()));
                let unwanted = hook.is_none_or(|hook| {
                    options.hooks.is_some_and(|set| !hook.is_of(set))
                        || left_out.iter().any(|(out, _)| out.program == hook.program)
                });
                program.set_autoload(!unwanted);
                if figures {
                    program.set_log_level(LOG_STATS);
                }
            }
            take_log();
            let error = match open.load() {
                Ok(skel) => break skel,
                Err(e) => e,
            };
            let log = take_log();
            if figures {
                // Asked for figures the verifier gives no reasons.
                figures = false;
                continue;
            }
            let culprit = HOOKS.iter().find(|hook| {
                hook.programs().any(|program| log.contains(&mark(program)))
                    && !left_out.iter().any(|(out, _)| out.program == hook.program)
            });
            let Some(hook) = culprit else {
                return Err(anyhow!(error))
                    .context(format!("the kernel refuses the BPF object: {}", log.trim()));
            };
            let reason = reason(&log, hook).unwrap_or_else(|| error.to_string());
            // A set may be given up for the other one: attaching decides.
            if hook.required && hook.set.is_none() {
                bail!(
                    "this kernel refuses {} ({}): {reason}",
                    hook.name,
                    hook.purpose
                );
            }
            left_out.push((hook, reason));
            figures = options.sizes;
        };
        Ok(Object {
            skel,
            left_out,
            figures: take_log(),
            cgroup: kernel::cgroup2()?,
        })
    }

    fn attach_set(&mut self, set: HookSet) -> Result<Vec<Attached>> {
        if set == HookSet::Kprobe && !kernel::has_kprobes() {
            bail!("this kernel has no kprobes (CONFIG_KPROBES)");
        }
        if let Some(bss) = self.skel.maps.bss_data.as_deref_mut() {
            bss.every_dial_returns = u32::from(set == HookSet::Kprobe);
        }
        let mut attached = self.attach(|hook| hook.set == Some(set) && !hook.apart)?;
        // They belong together: one without the other would mislead.
        if attached.iter().any(|(_, result)| result.is_err()) {
            for (_, result) in attached.iter_mut().filter(|(_, result)| result.is_ok()) {
                *result = Err("of no use without the other".into());
            }
        }
        attached.extend(self.attach(|hook| hook.set == Some(set) && hook.apart)?);
        Ok(attached)
    }

    /// Attaches these hooks, in their order.
    fn attach(&mut self, which: impl Fn(&Hook) -> bool) -> Result<Vec<Attached>> {
        let mut attached: Vec<Attached> = Vec::new();
        for hook in HOOKS.iter().filter(|hook| which(hook)) {
            let refused = self
                .left_out
                .iter()
                .find(|(out, _)| out.program == hook.program);
            let result = match refused {
                Some((_, reason)) => Err(reason.clone()),
                None => attach(&mut self.skel, hook, &self.cgroup).map_err(|e| format!("{e:#}")),
            };
            if let Err(reason) = &result
                && hook.required
            {
                bail!(
                    "{} ({}) can't be attached: {reason}",
                    hook.name,
                    hook.purpose
                );
            }
            attached.push((hook, result));
        }
        Ok(attached)
    }

    /// What a hook's program is like, where figures were asked for.
    fn size(&self, hook: &Hook) -> Option<Size> {
        let (_, log) = self.figures.split_once(&mark(hook.program))?;
        let (_, processed) = log.split_once("\nprocessed ")?;
        let (verified, _) = processed.split_once(' ')?;
        let mut programs = self.skel.object().progs();
        let program = programs.find(|p| p.name() == hook.program)?;
        let (bpf_bytes, jited_bytes) = kernel::program_bytes(program.as_fd())?;
        Some(Size {
            bpf_bytes,
            jited_bytes,
            verified: verified.parse().ok()?,
        })
    }
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
    let free = rodata.dns_ports.iter_mut().skip(super::DNS_PORTS.len());
    for (slot, port) in free.zip(&options.dns_ports) {
        *slot = *port;
    }
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
    let initial = Namespace::Pid.is_initial();
    Ok(if initial { std::process::id() } else { 0 })
}

fn attach(
    skel: &mut skel::EgretsSkel<'static>,
    hook: &Hook,
    cgroup: &OwnedFd,
) -> Result<Vec<Link>> {
    let mut links = Vec::new();
    let owners = skel.maps.socks.as_fd().try_clone_to_owned()?;
    let flows = skel.maps.flows.as_fd().try_clone_to_owned()?;
    for name in hook.programs() {
        let program: ProgramMut<'_> = skel
            .object_mut()
            .progs_mut()
            .find(|p| p.name() == name)
            .with_context(|| format!("the BPF object has no program {name}"))?;
        links.push(match hook.attach {
            Attach::Cgroup => program.attach_cgroup(cgroup.as_raw_fd())?,
            Attach::Trace => program.attach_trace()?,
            Attach::Iterator(Over::Files) => program.attach()?,
            Attach::Iterator(Over::Owners) => program.attach_iter(owners.as_fd())?,
            Attach::Iterator(Over::Flows) => program.attach_iter(flows.as_fd())?,
            Attach::Syscall(name) => {
                let event = kernel::open_tracepoint("syscalls", name)?;
                // The link owns the descriptor from here on and closes it.
                program.attach_perf_event(std::os::fd::IntoRawFd::into_raw_fd(event))?
            }
            Attach::Return(function) => program.attach_kprobe(true, function)?,
            Attach::Entry(functions) => {
                let mut links = functions.iter().map(|f| program.attach_kprobe(false, f));
                let named = links.by_ref().find_map(Result::ok);
                named.context("this kernel has no such function")?
            }
        });
    }
    Ok(links)
}

/// How libbpf's log begins what it says of a program.
fn mark(program: &str) -> String {
    format!("prog '{program}': ")
}

/// The words of libbpf's log that say why: the verifier's last ones where it was
/// asked, else libbpf's own.
fn reason(log: &str, hook: &Hook) -> Option<String> {
    let program = hook
        .programs()
        .find(|program| log.contains(&mark(program)))?;
    let mark = mark(program);
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
        let mut names: Vec<_> = HOOKS.iter().flat_map(Hook::programs).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
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
