//! Files in places where others may put anything.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd;

use rustix::fs::{CWD, Mode, OFlags, openat};

/// Opens a file to be read that was found with O_PATH: a regular one only. That is known
/// before it is opened: to open a device does something, a watchdog starts, and to open a
/// pipe may wait.
pub fn open(found: &File) -> io::Result<(File, Metadata)> {
    let meta = found.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("no regular file"));
    }
    let path = format!("/proc/self/fd/{}", found.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok((File::from(openat(CWD, path, flags, Mode::empty())?), meta))
}
