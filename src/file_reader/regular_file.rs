//! Opening files in directories where other users can create anything.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd;

use rustix::fs::{CWD, Mode, OFlags, openat};

/// Opens a file that was found with O_PATH for reading, if it is a regular one. Opening has
/// side effects for others: a watchdog device starts, a pipe may block.
///
/// # Errors
/// It is not a regular file, or can't be opened.
pub fn open(found: &File) -> io::Result<(File, Metadata)> {
    let meta = found.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let path = format!("/proc/self/fd/{}", found.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok((File::from(openat(CWD, path, flags, Mode::empty())?), meta))
}
