//! The capabilities of a thread, which those that it starts inherit.

use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

/// The calling thread has these from now on, and can't get others back.
pub fn hold_only(set: CapabilitySet) -> io::Result<()> {
    hold(set, set)
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
