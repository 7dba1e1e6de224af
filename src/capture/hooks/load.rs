//! Loads and attaches the hooks that this kernel supports.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use anyhow::{Context, Result, anyhow, bail};
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{Link, PrintLevel, ProgramInput, ProgramMut};

use super::HookSet;
use super::report::{HookReport, LOG_STATS, Size, keep_log, mark, reason, take_log};
use super::table::{Attach, HOOKS, Hook};
use crate::capture::preflight::Namespace;
use crate::capture::{DNS_PORTS, Options, kernel, skel};

pub struct Loaded {
    pub skel: skel::EgretsSkel<'static>,
    /// With the names of their programs.
    pub links: Vec<(&'static str, Link)>,
    /// Those that only TCP connections older than egrets need.
    pub older: Vec<Link>,
    /// The iterator over the files of all processes, if this kernel supports it.
    pub files: Option<Link>,
    /// Whether this kernel runs `egrets_scan_socks`.
    pub can_scan: bool,
    /// The cgroup whose processes are seen.
    pub cgroup: OwnedFd,
    /// Whether that is the root of the hierarchy.
    pub whole: bool,
    pub set: HookSet,
    /// Why it is not the kprobe set, if that was preferred.
    pub no_kprobes: Option<String>,
    /// Of the hooks of the set.
    pub reports: Vec<HookReport>,
}

/// Loads and attaches what the kernel accepts. A hook that is not required is left out with
/// the reason; if no set is given, the kprobe set is used where its required hooks work.
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
            "egrets runs in its own cgroup namespace and sees only the processes in it; run it on the host, or with the host's cgroup and pid namespaces"
        );
    }
    // The set's hooks first: no attempt is seen whose errno is not.
    let (set, mut attached, no_kprobes) = match options.hooks {
        Some(set) => {
            let attached = object.attach_set(set);
            let attached = attached.with_context(|| match set {
                HookSet::Kprobe => {
                    "the kprobe set can't be used: --hooks tracepoint works without it"
                }
                HookSet::Tracepoint => "the tracepoint set can't be used",
            })?;
            (set, attached, None)
        }
        None => match object.attach_set(HookSet::Kprobe) {
            Ok(attached) => (HookSet::Kprobe, attached, None),
            Err(e) => {
                let reason = format!("{e:#}");
                if kernel::has_kprobes() {
                    log::warn!("using the tracepoint hooks: {reason}");
                }
                let attached = object.attach_set(HookSet::Tracepoint)?;
                (HookSet::Tracepoint, attached, Some(reason))
            }
        },
    };
    attached.extend(object.attach(|hook| hook.set.is_none() && is_wanted(hook, options))?);
    let (mut links, mut older, mut files, mut can_scan) = (Vec::new(), Vec::new(), None, false);
    let mut reports = Vec::new();
    for (hook, result) in attached {
        let error = match result {
            Ok(its) => {
                match hook.attach {
                    Attach::Files => files = its.into_iter().next(),
                    Attach::OnDemand => can_scan = true,
                    Attach::WhileOlder => older.extend(its),
                    _ => links.extend(hook.programs().zip(its)),
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
        older,
        files,
        can_scan,
        cgroup: object.cgroup,
        whole,
        set,
        no_kprobes,
        reports,
    })
}

fn is_wanted(hook: &Hook, options: &Options) -> bool {
    options.payload || !hook.has("egrets_payload")
}

/// A hook's links, or why there are none.
type Attached = (&'static Hook, Result<Vec<Link>, String>);

/// The loaded object, before anything is attached.
struct Object {
    skel: skel::EgretsSkel<'static>,
    left_out: Vec<(&'static Hook, String)>,
    /// The verifier's statistics; empty if not requested.
    statistics: String,
    cgroup: OwnedFd,
}

impl Object {
    fn load(options: &Options) -> Result<Object> {
        let mut left_out: Vec<(&'static Hook, String)> = Vec::new();
        let mut statistics = options.sizes;
        let mut typed = kernel::has_typed_task();
        let skel = loop {
            // The skeleton borrows its object for as long as it lives, which is as
            // long as the process does: there is one capture a run.
            let storage = Box::leak(Box::new(MaybeUninit::uninit()));
            let mut open = skel::EgretsSkelBuilder::default()
                .open(storage)
                .context("the BPF object can't be opened")?;
            configure(&mut open, options, typed)?;
            for mut program in open.open_object_mut().progs_mut() {
                let name = program.name();
                let hook = HOOKS.iter().find(|hook| hook.has(name));
                let hook =
                    hook.with_context(|| format!("no hook is defined for program {name:?}"))?;
                let unwanted = options.hooks.is_some_and(|set| !hook.is_in(set))
                    || !is_wanted(hook, options)
                    || left_out.iter().any(|(out, _)| out.program == hook.program);
                program.set_autoload(!unwanted);
                if statistics {
                    program.set_log_level(LOG_STATS);
                }
            }
            take_log();
            let error = match open.load() {
                Ok(skel) => break skel,
                Err(e) => e,
            };
            let log = take_log();
            if statistics {
                // With statistics the verifier gives no reasons.
                statistics = false;
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
            if typed && matches!(hook.attach, Attach::Cgroup) {
                // It only saves time.
                typed = false;
                continue;
            }
            let reason = reason(&log, hook).unwrap_or_else(|| error.to_string());
            // A set may be replaced by the other one: attaching decides.
            if hook.required && hook.set.is_none() {
                bail!(
                    "this kernel refuses {} ({}): {reason}",
                    hook.name,
                    hook.purpose
                );
            }
            left_out.push((hook, reason));
            statistics = options.sizes;
        };
        Ok(Object {
            skel,
            left_out,
            statistics: take_log(),
            cgroup: kernel::cgroup2()?,
        })
    }

    fn attach_set(&mut self, set: HookSet) -> Result<Vec<Attached>> {
        if set == HookSet::Kprobe && !kernel::has_kprobes() {
            bail!("this kernel has no kprobes (CONFIG_KPROBES)");
        }
        if let Some(bss) = self.skel.maps.bss_data.as_deref_mut() {
            bss.all_connects_traced = u32::from(set == HookSet::Kprobe);
        }
        let mut attached = self.attach(|hook| hook.set == Some(set) && !hook.independent)?;
        // They belong together: one without the other would mislead.
        if attached.iter().any(|(_, result)| result.is_err()) {
            for (_, result) in attached.iter_mut().filter(|(_, result)| result.is_ok()) {
                *result = Err("useless without the other".into());
            }
        }
        attached.extend(self.attach(|hook| hook.set == Some(set) && hook.independent)?);
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

    /// Of a hook's program, if statistics were requested.
    fn size(&self, hook: &Hook) -> Option<Size> {
        let (_, log) = self.statistics.split_once(&mark(hook.program))?;
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

fn configure(
    open: &mut skel::OpenEgretsSkel<'static>,
    options: &Options,
    task_is_typed: bool,
) -> Result<()> {
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
    rodata.host_mntns = host_mount_namespace().unwrap_or_default();
    rodata.ring_bytes = ring_bytes.into();
    rodata.task_is_typed = task_is_typed;
    rodata.route_seed = seed();
    let ports = DNS_PORTS.iter().chain(&options.dns_ports);
    for (slot, port) in rodata.dns_ports.iter_mut().zip(ports) {
        *slot = *port;
    }
    Ok(())
}

/// A number that no process can foresee: the hasher's keys are random.
fn seed() -> u32 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0_u8) as u32
}

/// A power of two of pages, as BPF_MAP_TYPE_RINGBUF requires.
fn ring_size(bytes: u32) -> u32 {
    let page = rustix::param::page_size() as u32;
    bytes.clamp(page, 1 << 30).next_power_of_two()
}

/// The pid of egrets itself, whose traffic is left out. The BPF programs see pids of the
/// initial namespace, so in another one it is unknown: 0, and nothing is left out.
fn own_pid() -> Result<u32> {
    let initial = Namespace::Pid.is_initial();
    Ok(if initial { std::process::id() } else { 0 })
}

/// Inode number of the mount namespace of the host's first process, where /proc shows it.
/// Without all of that process' capabilities, egrets may not look; kernel threads are in the
/// same one.
fn host_mount_namespace() -> Option<u32> {
    if !Namespace::Pid.is_initial() {
        return None;
    }
    let inode = |pid: u32| rustix::fs::stat(format!("/proc/{pid}/ns/mnt")).ok();
    let namespace = inode(1).or_else(|| inode(KTHREADD))?;
    u32::try_from(namespace.st_ino).ok()
}

/// The kernel thread that starts the others: kernel/kthread.c.
const KTHREADD: u32 = 2;

/// Runs a program of a socket buffer once, on an empty packet that it does not look at.
///
/// # Errors
/// This kernel does not run it.
pub fn run(program: &ProgramMut<'_>) -> Result<()> {
    // an Ethernet header is the least that the kernel takes, and newer ones want more
    let input = ProgramInput {
        data_in: Some(&[0; 64]),
        ..Default::default()
    };
    program.test_run(input)?;
    Ok(())
}

fn attach(
    skel: &mut skel::EgretsSkel<'static>,
    hook: &Hook,
    cgroup: &OwnedFd,
) -> Result<Vec<Link>> {
    let mut links = Vec::new();
    for name in hook.programs() {
        let program: ProgramMut<'_> = skel
            .object_mut()
            .progs_mut()
            .find(|p| p.name() == name)
            .with_context(|| format!("the BPF object has no program {name}"))?;
        links.push(match hook.attach {
            Attach::Cgroup => program.attach_cgroup(cgroup.as_raw_fd())?,
            Attach::Trace | Attach::WhileOlder => program.attach_trace()?,
            Attach::Files => program.attach()?,
            Attach::OnDemand => {
                // over no sockets: whether this kernel runs it at all
                run(&program)?;
                continue;
            }
            Attach::Syscall(name) => {
                let event = kernel::open_tracepoint("syscalls", name)?;
                // The link owns the descriptor from here on and closes it.
                program.attach_perf_event(std::os::fd::IntoRawFd::into_raw_fd(event))?
            }
            Attach::Return(function) => program.attach_kprobe(true, function)?,
            Attach::Entry(functions) => {
                let mut links = functions.iter().map(|f| program.attach_kprobe(false, f));
                let first = links.by_ref().find_map(Result::ok);
                first.context("this kernel has no such function")?
            }
        });
    }
    Ok(links)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_size_is_a_power_of_two_of_pages() {
        for (requested, rounded) in [
            (1, 4096),
            (4097, 8192),
            (16 << 20, 16 << 20),
            (u32::MAX, 1 << 30),
        ] {
            assert_eq!(ring_size(requested), rounded);
        }
    }
}
