//! Gives up what only the start takes.

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, capabilities, remove_capability_from_bounding_set, set_no_new_privs,
};

use super::capabilities::{hold, hold_only};
use super::syscalls;

/// What the kernel may ask of a process that reads the maps of programs that it has loaded:
/// nothing since 5.19, CAP_BPF before, unless kernel.unprivileged_bpf_disabled is 0. Tried in
/// this order.
const READERS: [CapabilitySet; 4] = [
    CapabilitySet::empty(),
    CapabilitySet::BPF,
    CapabilitySet::BPF.union(CapabilitySet::PERFMON),
    CapabilitySet::BPF
        .union(CapabilitySet::PERFMON)
        .union(CapabilitySet::NET_ADMIN)
        .union(CapabilitySet::SYS_ADMIN),
];

/// Drops all capabilities but `keep` and what `reads` needs to be true, for this thread and those
/// that it starts: any other has dropped its own. Sets no_new_privs and filters system calls, of
/// all threads: programs can't be started any more.
///
/// # Errors
/// The kernel refuses to drop them, or `reads` is false even with all that is there.
pub fn drop_to(keep: CapabilitySet, mut reads: impl FnMut() -> bool) -> Result<()> {
    let held = capabilities(None).context("own capabilities")?.permitted;
    let mut needed = None;
    for reader in READERS {
        let set = (keep | reader) & held;
        hold(set, held).context("can't drop capabilities")?;
        if reads() {
            needed = Some(set);
            break;
        }
    }
    let needed = needed.context("the BPF maps can't be read after the capabilities are dropped")?;
    narrow_bounding_set(held, needed);
    hold_only(needed).context("can't drop capabilities")?;
    set_no_new_privs(true).context("no_new_privs")?;
    // A dump of memory would hold what others looked up.
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).context("no core dumps")?;
    // A kernel without seccomp records as well.
    if let Err(e) = syscalls::filter() {
        log::warn!("system calls are not filtered: {e:#}");
    }
    Ok(())
}

/// What a program that egrets started could get back, if it could start one.
fn narrow_bounding_set(held: CapabilitySet, needed: CapabilitySet) {
    let may = capabilities(None).is_ok_and(|now| now.permitted.contains(CapabilitySet::SETPCAP));
    if !may {
        return;
    }
    if hold(needed | CapabilitySet::SETPCAP, held).is_err() {
        return;
    }
    for capability in CapabilitySet::all().difference(needed).iter() {
        // One that this kernel does not know.
        let _ = remove_capability_from_bounding_set(capability);
    }
}
