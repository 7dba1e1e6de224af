//! Mount namespaces: what is mounted in one ends with the test, however that ends.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

pub struct MountNamespace(File);

impl MountNamespace {
    /// `prepare` runs in it.
    pub fn new(prepare: impl FnOnce() + Send) -> MountNamespace {
        let enter = || {
            // SAFETY: of this thread alone, and with texts that end with NUL.
            unsafe {
                assert_eq!(libc::unshare(libc::CLONE_NEWNS), 0);
                let (none, root) = (c"none".as_ptr(), c"/".as_ptr());
                let private = libc::MS_REC | libc::MS_PRIVATE;
                assert_eq!(libc::mount(none, root, none, private, std::ptr::null()), 0);
            }
            prepare();
            File::open("/proc/thread-self/ns/mnt").unwrap()
        };
        MountNamespace(thread::scope(|scope| scope.spawn(enter).join().unwrap()))
    }

    /// The command in it.
    pub fn within(&self, mut command: Command) -> Command {
        let namespace = self.0.as_raw_fd();
        let enter = move || {
            // SAFETY: a descriptor that is open until the program starts.
            match unsafe { libc::setns(namespace, libc::CLONE_NEWNS) } {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        };
        // SAFETY: setns(2) alone.
        unsafe { command.pre_exec(enter) };
        command
    }

    pub fn inside<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        let enter = || {
            // SAFETY: of this thread alone.
            unsafe {
                assert_eq!(libc::unshare(libc::CLONE_FS), 0);
                assert_eq!(libc::setns(self.0.as_raw_fd(), libc::CLONE_NEWNS), 0);
            }
            run()
        };
        thread::scope(|scope| scope.spawn(enter).join().unwrap())
    }
}

/// Mounts a file system without a device; to be called in [`MountNamespace::new`].
pub fn mount(kind: &CStr, at: &CStr) {
    let kind = kind.as_ptr();
    // SAFETY: texts that end with NUL.
    let mounted = unsafe { libc::mount(kind, at.as_ptr(), kind, 0, std::ptr::null()) };
    assert_eq!(mounted, 0, "{at:?}: {}", std::io::Error::last_os_error());
}
