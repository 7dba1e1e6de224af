//! Requests to the recorder of a history: to enforce another policy for a while, to keep it, to
//! go back. They come as datagrams to a socket beside the history, which it binds before it drops
//! its privileges. Only root's are taken, and what became of one is in the history.

use std::ffi::OsStr;
use std::io::{ErrorKind, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags,
    SocketAddrUnix, SocketFlags, SocketType, sockopt,
};

/// With a path, which the kernel limits to 4096 bytes.
const MAX_LEN: usize = 4096 + 32;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Enforce the policy in this file, and go back after this time.
    Apply(PathBuf, Duration),
    /// Keep it.
    Confirm,
    /// Go back now.
    Revert,
}

impl Request {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Request::Apply(file, time) => {
                let mut bytes = format!("apply {} ", time.as_millis()).into_bytes();
                bytes.extend_from_slice(file.as_os_str().as_bytes());
                bytes
            }
            Request::Confirm => b"confirm".to_vec(),
            Request::Revert => b"revert".to_vec(),
        }
    }

    fn parse(bytes: &[u8]) -> Option<Request> {
        let mut words = bytes.splitn(3, |byte| *byte == b' ');
        let request = match (words.next()?, words.next(), words.next()) {
            (b"apply", Some(time), Some(file)) => {
                let time = std::str::from_utf8(time).ok()?.parse().ok()?;
                Request::Apply(OsStr::from_bytes(file).into(), Duration::from_millis(time))
            }
            (b"confirm", None, None) => Request::Confirm,
            (b"revert", None, None) => Request::Revert,
            _ => return None,
        };
        Some(request)
    }
}

/// The recorder's end.
pub struct Inbox {
    socket: OwnedFd,
    path: PathBuf,
}

impl Inbox {
    /// # Errors
    /// The directory can't be written to.
    pub fn bind(path: &Path) -> Result<Inbox> {
        let socket = socket()?;
        sockopt::set_socket_passcred(&socket, true)?;
        // The mode that the file gets.
        rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        // A recorder that was killed leaves its own.
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(e).with_context(|| path.display().to_string());
            }
            _ => {}
        }
        at_short_path(path, |address| rustix::net::bind(&socket, address))
            .with_context(|| path.display().to_string())?;
        Ok(Inbox {
            socket,
            path: path.to_owned(),
        })
    }

    /// The next request of root's.
    pub fn take(&self) -> Option<Request> {
        loop {
            let mut bytes = [0; MAX_LEN];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let received = rustix::net::recvmsg(
                &self.socket,
                &mut [IoSliceMut::new(&mut bytes)],
                &mut ancillary,
                RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC,
            );
            let received = received.ok()?;
            let is_root = ancillary.drain().any(|message| {
                matches!(message, RecvAncillaryMessage::ScmCredentials(sender) if sender.uid.is_root())
            });
            let whole = !received.flags.contains(ReturnFlags::TRUNC);
            let request = bytes.get(..received.bytes).and_then(Request::parse);
            if let Some(request) = request.filter(|_| is_root && whole) {
                return Some(request);
            }
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Sends a request to the recorder that has bound the socket.
///
/// # Errors
/// There is none, or the caller is not root.
pub fn send(path: &Path, request: &Request) -> Result<()> {
    let socket = socket()?;
    let sent = at_short_path(path, |address| {
        rustix::net::sendto(&socket, &request.bytes(), SendFlags::DONTWAIT, address)
    });
    match sent {
        Ok(_) => Ok(()),
        Err(Errno::ACCESS | Errno::PERM) => bail!("only root changes a policy: use sudo"),
        Err(Errno::NOENT | Errno::CONNREFUSED) => bail!(
            "the recorder takes no policy from here: {} is not its socket",
            path.display()
        ),
        Err(Errno::AGAIN) => bail!("the recorder does not take its requests: see its log"),
        Err(e) => Err(e).with_context(|| path.display().to_string()),
    }
}

fn socket() -> rustix::io::Result<OwnedFd> {
    rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )
}

/// A socket's address has room for 107 bytes of a path: the directory's descriptor makes it short.
fn at_short_path<T>(
    path: &Path,
    with: impl FnOnce(&SocketAddrUnix) -> rustix::io::Result<T>,
) -> rustix::io::Result<T> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let name = path.file_name().ok_or(Errno::INVAL)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = rustix::fs::open(dir.unwrap_or(Path::new(".")), flags, Mode::empty())?;
    let short = Path::new("/proc/self/fd").join(open.as_raw_fd().to_string());
    with(&SocketAddrUnix::new(short.join(name))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_through_a_socket_of_roots_alone() {
        let dir = tempfile::tempdir().unwrap();
        // longer than a socket's address
        let dir = dir.path().join("d".repeat(200));
        std::fs::create_dir(&dir).unwrap();
        let path = dir.join("e.db-policy");
        assert!(send(&path, &Request::Confirm).is_err());
        let inbox = Inbox::bind(&path).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::symlink_metadata(&path).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
        let file = PathBuf::from(OsStr::from_bytes(b"/etc/a b\xff\n.yaml"));
        let requests = [
            Request::Apply(file, Duration::from_secs(300)),
            Request::Confirm,
            Request::Revert,
        ];
        for request in &requests {
            send(&path, request).unwrap();
        }
        let root = rustix::process::geteuid().is_root();
        let expected = requests.into_iter().filter(|_| root).map(Some);
        for request in expected.chain([None]) {
            assert_eq!(inbox.take(), request);
        }
        for bad in [
            &b"apply"[..],
            b"apply x /f",
            b"confirm ",
            b"",
            b"revert now",
        ] {
            assert_eq!(Request::parse(bad), None, "{bad:?}");
        }
        // one that was killed leaves its socket, and the next one takes its place
        let left = Inbox::bind(&path).unwrap();
        std::mem::forget(left);
        drop(Inbox::bind(&path).unwrap());
        assert!(!path.exists());
    }
}
