//! The capabilities of a thread, which those that it starts inherit.

use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

/// The calling thread has these from now on, and can't get others back.
pub fn hold_only(set: CapabilitySet) -> io::Result<()> {
    hold(set, set)
}

/// Runs something with no more rights than the user who called has: without the capabilities that
/// setcap(8) gave the program.
///
/// # Errors
/// The capabilities can't be read or changed.
pub fn as_the_caller<T>(run: impl FnOnce() -> T) -> io::Result<T> {
    if rustix::process::geteuid().is_root() {
        return Ok(run());
    }
    let held = rustix::thread::capabilities(None)?;
    hold(CapabilitySet::empty(), held.permitted)?;
    let result = run();
    set_capabilities(None, held)?;
    Ok(result)
}

/// The calling thread has the effective ones, and can get the permitted ones back. A program that
/// it starts gets none from it.
pub fn hold(effective: CapabilitySet, permitted: CapabilitySet) -> io::Result<()> {
    let sets = CapabilitySets {
        effective,
        permitted,
        inheritable: CapabilitySet::empty(),
    };
    Ok(set_capabilities(None, sets)?)
}
