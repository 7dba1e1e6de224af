//! Who owns a mount namespace.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

/// Inode of the initial user namespace (include/linux/proc_ns.h).
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// Whether a namespace belongs to the initial user namespace: then only root could create it.
/// Any user can create one of a user namespace of their own.
pub fn is_roots(namespace: &OwnedFd) -> io::Result<bool> {
    // SAFETY: the ioctl has no argument, and returns a new descriptor or -1.
    let owner = unsafe { libc::ioctl(namespace.as_raw_fd(), libc::NS_GET_USERNS) };
    if owner < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and belongs to nothing else.
    let owner = File::from(unsafe { OwnedFd::from_raw_fd(owner) });
    Ok(owner.metadata()?.ino() == INITIAL_USER_NAMESPACE)
}
