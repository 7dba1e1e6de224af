//! Landlock, for threads that parse what containers and daemons wrote, and for the process that
//! answers browsers.
//!
//! Not for a recorder: a process in a Landlock domain may not read /proc/PID/exe, root or ns
//! of those outside of it (the kernel asks whether it might trace them), and attribution needs
//! these.

use std::path::Path;

use anyhow::Result;
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetCreatedAttr, Scope, path_beneath_rules,
};

/// The newest rights that are asked for; an older kernel denies what it knows of them.
const NEWEST: ABI = ABI::V6;

/// From here on this thread creates, writes, removes and runs no file, and makes no TCP
/// connection; it may read, and connect to the sockets of daemons.
#[cfg(feature = "record")]
pub fn write_nothing() {
    if let Err(e) = restrict() {
        log::debug!("Landlock: {e:#}");
    }
}

/// From here on this thread and those that it starts open nothing but these files, and those below
/// these directories, for reading, and make no TCP connection.
pub fn read_only(files: &[&Path]) -> Result<()> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .add_rules(path_beneath_rules(files, read))?
        .restrict_self()?;
    Ok(())
}

#[cfg(feature = "record")]
fn restrict() -> Result<()> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_write(NEWEST) | AccessFs::Execute)?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .restrict_self()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "record")]
    #[test]
    fn a_thread_that_writes_nothing_still_reads_and_connects_to_daemons() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("daemon");
        let _daemon = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "text").unwrap();
        // SAFETY: asks for the version alone.
        let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0, 0, 1) };
        std::thread::spawn(move || {
            write_nothing();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), "text");
            std::os::unix::net::UnixStream::connect(&socket).unwrap();
            let written = std::fs::write(&file, "other");
            assert_eq!(written.is_err(), abi > 0, "Landlock ABI {abi}");
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_thread_that_reads_some_files_opens_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| dir.path().join(name));
        for file in [&one, &other] {
            std::fs::write(file, "text").unwrap();
        }
        // SAFETY: asks for the version alone.
        let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0, 0, 1) };
        std::thread::spawn(move || {
            read_only(&[&one]).unwrap();
            assert_eq!(std::fs::read_to_string(&one).unwrap(), "text");
            for refused in [
                std::fs::read_to_string(&other).is_err(),
                std::fs::write(&one, "new").is_err(),
            ] {
                assert_eq!(refused, abi > 0, "Landlock ABI {abi}");
            }
        })
        .join()
        .unwrap();
    }
}
