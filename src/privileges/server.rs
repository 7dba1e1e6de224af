//! What a process may do that answers browsers: it has opened all that it reads.

use std::path::Path;

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, set_no_new_privs};

use super::capabilities::hold_only;
use super::{landlock, syscalls};

/// From here on this process, which has one thread, has no capability, opens nothing but `files`
/// (also those below, of a directory) for reading, begins no connection and starts no program.
///
/// # Errors
///
/// The kernel refuses to drop capabilities.
pub fn only_answer(files: &[&Path]) -> Result<()> {
    hold_only(CapabilitySet::empty()).context("can't drop the capabilities")?;
    set_no_new_privs(true).context("no_new_privs")?;
    // A dump of memory would hold what others looked up, and the token.
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).context("no core dumps")?;
    // A kernel without them serves as well.
    if let Err(e) = landlock::read_only(files) {
        log::debug!("Landlock: {e:#}");
    }
    if let Err(e) = syscalls::filter_server() {
        log::warn!("system calls are not filtered: {e:#}");
    }
    Ok(())
}
