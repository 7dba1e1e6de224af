//! Where the live log goes: a file, such as standard output, systemd's journal or syslog.

use std::fs::File;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use rustix::event::{PollFd, PollFlags, poll};

const JOURNAL: &str = "/run/systemd/journal/socket";
const SYSLOG: &str = "/dev/log";

/// What is written to a file at once, so that progress shows in the meantime.
const CHUNK: usize = 16 << 10;

/// How long a log daemon may take nothing.
const PATIENCE: Duration = Duration::from_millis(200);

/// `LOG_INFO`, syslog(3).
const INFO: u8 = 6;
/// `LOG_DAEMON | LOG_INFO`.
const PRIORITY: u8 = (3 << 3) | INFO;

/// What takes lines, in a thread that may wait for it.
pub trait Destination: Send {
    /// Writes some of the lines, of which there is at least one.
    ///
    /// # Errors
    /// It will never take any again.
    fn write(&mut self, lines: &[u8]) -> io::Result<Written>;
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes that are done with.
    pub bytes: usize,
    /// Lines among them that it did not take.
    pub dropped: u64,
}

/// An open file: the bytes as they are.
pub struct FileDestination(File);

impl FileDestination {
    /// # Errors
    /// The descriptor can't be duplicated.
    pub fn new(file: impl AsFd) -> io::Result<FileDestination> {
        Ok(FileDestination(File::from(
            file.as_fd().try_clone_to_owned()?,
        )))
    }
}

impl Destination for FileDestination {
    fn write(&mut self, lines: &[u8]) -> io::Result<Written> {
        loop {
            match self.0.write(&lines[..lines.len().min(CHUNK)]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => return Ok(Written { bytes, dropped: 0 }),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // Another process has made the file non-blocking for all that share it.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None)?;
                }
                Err(e) => return Err(e),
            }
        }
    }
}

/// A log daemon that takes a datagram a line. One that is away, as while it restarts, costs the
/// lines of that time.
pub struct LogDaemon {
    socket: Socket,
    host: String,
    pid: u32,
}

enum Socket {
    /// <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>
    Journal(UnixDatagram, PathBuf),
    /// As syslog(3) writes to the daemon of this host.
    Syslog(UnixDatagram, PathBuf),
    /// RFC 5424 over UDP, RFC 5426.
    Remote(UdpSocket),
}

impl LogDaemon {
    /// systemd's journal on this host.
    ///
    /// # Errors
    /// It is not there.
    pub fn journal() -> io::Result<LogDaemon> {
        let path = Path::new(JOURNAL);
        LogDaemon::new(Socket::Journal(local(path)?, path.into()), "")
    }

    /// The syslog daemon of this host.
    ///
    /// # Errors
    /// It is not there.
    pub fn syslog() -> io::Result<LogDaemon> {
        let path = Path::new(SYSLOG);
        LogDaemon::new(Socket::Syslog(local(path)?, path.into()), "")
    }

    /// The syslog daemon at an address; `host` is this host's name.
    ///
    /// # Errors
    /// There is no way to the address.
    pub fn remote(address: SocketAddr, host: &str) -> io::Result<LogDaemon> {
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(address)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        LogDaemon::new(Socket::Remote(socket), host)
    }

    fn new(socket: Socket, host: &str) -> io::Result<LogDaemon> {
        // RFC 5424, section 6.2.4: printable ASCII, 255 at most; "-" stands for none
        let host: String = host
            .chars()
            .filter(char::is_ascii_graphic)
            .take(255)
            .collect();
        Ok(LogDaemon {
            socket,
            host: if host.is_empty() {
                "-".to_owned()
            } else {
                host
            },
            pid: std::process::id(),
        })
    }

    fn send(&self, line: &[u8]) -> io::Result<()> {
        let pid = self.pid;
        let (head, end) = match &self.socket {
            // The line has no newline, so its field needs no length.
            Socket::Journal(..) => (
                format!("PRIORITY={INFO}\nSYSLOG_IDENTIFIER=egrets\nSYSLOG_PID={pid}\nMESSAGE="),
                "\n",
            ),
            Socket::Syslog(..) => (format!("<{PRIORITY}>egrets[{pid}]: "), ""),
            Socket::Remote(_) => {
                let time = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
                let host = &self.host;
                (format!("<{PRIORITY}>1 {time} {host} egrets {pid} - - "), "")
            }
        };
        let datagram = [head.as_bytes(), line, end.as_bytes()].concat();
        match &self.socket {
            Socket::Journal(socket, path) | Socket::Syslog(socket, path) => {
                socket.send_to(&datagram, path)?
            }
            Socket::Remote(socket) => socket.send(&datagram)?,
        };
        Ok(())
    }
}

/// A socket to one of this host's daemons, which is there.
fn local(path: &Path) -> io::Result<UnixDatagram> {
    let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
    UnixDatagram::unbound()?.connect(path).map_err(named)?;
    // Not connected from here on, so that a daemon that starts again gets the lines, too.
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

impl Destination for LogDaemon {
    fn write(&mut self, lines: &[u8]) -> io::Result<Written> {
        let length = lines
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(lines.len());
        let is_sent = self.send(&lines[..length]).is_ok();
        Ok(Written {
            bytes: (length + 1).min(lines.len()),
            dropped: u64::from(!is_sent),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 1024];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_local_daemon_gets_a_datagram_a_line_also_after_it_has_started_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let sender = local(&path).unwrap();
        let mut log = LogDaemon::new(Socket::Syslog(sender, path.clone()), "").unwrap();
        let pid = std::process::id();
        let sent = |bytes| Written { bytes, dropped: 0 };
        assert_eq!(log.write(b"one\ntwo\n").unwrap(), sent(4));
        assert_eq!(read(&daemon), format!("<30>egrets[{pid}]: one"));
        drop(daemon);
        let lost = Written {
            bytes: 4,
            dropped: 1,
        };
        assert_eq!(log.write(b"two\n").unwrap(), lost);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(log.write(b"two\n").unwrap(), lost);
        let daemon = UnixDatagram::bind(&path).unwrap();
        assert_eq!(log.write(b"three\n").unwrap(), sent(6));
        assert_eq!(read(&daemon), format!("<30>egrets[{pid}]: three"));
        let sender = local(&path).unwrap();
        let mut log = LogDaemon::new(Socket::Journal(sender, path), "").unwrap();
        log.write(b"four\n").unwrap();
        assert_eq!(
            read(&daemon),
            format!("PRIORITY=6\nSYSLOG_IDENTIFIER=egrets\nSYSLOG_PID={pid}\nMESSAGE=four\n")
        );
    }

    #[test]
    fn a_remote_daemon_gets_messages_of_rfc_5424() {
        let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = daemon.local_addr().unwrap();
        let mut log = LogDaemon::remote(address, "web 1\u{e9}").unwrap();
        log.write(b"one\n").unwrap();
        let mut bytes = [0; 1024];
        let length = daemon.recv(&mut bytes).unwrap();
        let text = std::str::from_utf8(&bytes[..length]).unwrap();
        let parts = Vec::from_iter(text.splitn(8, ' '));
        let pid = std::process::id().to_string();
        assert_eq!(parts[0], "<30>1");
        assert!(
            chrono::DateTime::parse_from_rfc3339(parts[1]).is_ok(),
            "{text}"
        );
        assert_eq!(parts[2..], ["web1", "egrets", &pid, "-", "-", "one"]);
        // too long for a datagram: lost, and the next one is not
        let long = [vec![b'x'; 70_000], vec![b'\n']].concat();
        let lost = Written {
            bytes: 70_001,
            dropped: 1,
        };
        assert_eq!(log.write(&long).unwrap(), lost);
        assert_eq!(log.write(b"two\n").unwrap().dropped, 0);
    }
}
