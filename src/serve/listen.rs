//! Where requests come in: an address of this machine alone, or a Unix socket.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::Mode;
use rustix::process::umask;

pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// # Errors
    ///
    /// An address that other machines may reach, unless `remote`; one that is in use.
    pub fn tcp(address: SocketAddr, remote: bool) -> Result<Listener> {
        ensure!(
            remote || address.ip().is_loopback(),
            "other machines may reach {}, and the page would go there unencrypted: let \
             'ssh -L {port}:127.0.0.1:{port} HOST' bring it to your machine, or add --allow-remote",
            address.ip(),
            port = address.port()
        );
        let listener = TcpListener::bind(address).map_err(|e| match e.kind() {
            ErrorKind::AddrInUse => anyhow::anyhow!(
                "another program listens on {address}: choose another port with --listen {}:PORT; \
                 port 0 is any that is free",
                address.ip()
            ),
            _ => anyhow::Error::new(e).context(format!("--listen {address}")),
        })?;
        listener.set_nonblocking(true)?;
        Ok(Listener::Tcp(listener))
    }

    /// A socket that no other user can connect to, root apart. What an earlier run left is
    /// replaced.
    ///
    /// # Errors
    ///
    /// Something else is there, or another process listens on it.
    pub fn unix(path: &Path) -> Result<Listener> {
        let shown = path.display();
        remove_left(path)?;
        let before = umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
        let listener = UnixListener::bind(path);
        umask(before);
        let listener = listener.with_context(|| format!("no socket can be made at {shown}"))?;
        listener.set_nonblocking(true)?;
        Ok(Listener::Unix(listener))
    }

    /// The address that it got.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            Listener::Unix(_) => None,
        }
    }
}

/// Removes a socket on which nothing listens.
fn remove_left(path: &Path) -> Result<()> {
    let shown = path.display();
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e).with_context(|| shown.to_string()),
    };
    ensure!(
        meta.file_type().is_socket() && meta.uid() == rustix::process::geteuid().as_raw(),
        "{shown} exists and is not a socket of yours: choose another path with --socket"
    );
    match UnixStream::connect(path) {
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).with_context(|| format!("{shown} can't be replaced"))
        }
        _ => bail!("another process listens on {shown}: choose another path with --socket"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_other_machines_reach_are_refused_unless_they_are_wanted() {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
            let refused = Listener::tcp(address.parse().unwrap(), false);
            let refused = refused.err().unwrap().to_string();
            assert!(refused.contains("--allow-remote"), "{refused}");
        }
        let address = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::tcp(address, false).unwrap();
        let taken = Listener::tcp(listener.address().unwrap(), false);
        assert!(taken.err().unwrap().to_string().contains("port 0"));
        assert!(Listener::tcp("0.0.0.0:0".parse().unwrap(), true).is_ok());
    }

    #[test]
    fn a_socket_is_the_users_alone_and_replaces_only_one_that_was_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("http");
        let listener = Listener::unix(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let taken = Listener::unix(&path).err().unwrap().to_string();
        assert!(taken.contains("listens"), "{taken}");
        drop(listener);
        Listener::unix(&path).unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "text").unwrap();
        assert!(Listener::unix(&file).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "text");
    }
}
