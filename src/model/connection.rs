//! TCP connections and flows.

use std::net::IpAddr;
use std::rc::Rc;

use nix::errno::Errno;

use super::{Endpoint, Geo, Name, Process, Protocol, UNKNOWN, Verdict, WireName, WireNames};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Connected,
    Refused,
    Timeout,
    Unreachable,
    /// The peer reset the connection.
    Reset,
    Denied,
    InProgress,
    Failed,
    /// A packet was sent, by a protocol without connections.
    Sent,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Connected => "connected",
            Outcome::Refused => "refused",
            Outcome::Timeout => "timeout",
            Outcome::Unreachable => "unreachable",
            Outcome::Reset => "reset",
            Outcome::Denied => "denied",
            Outcome::InProgress => "in_progress",
            Outcome::Failed => "failed",
            Outcome::Sent => "sent",
        }
    }

    /// The outcome of an attempt that ended with this errno.
    pub fn of_errno(errno: i32) -> Outcome {
        match Errno::from_raw(errno) {
            Errno::ECONNREFUSED => Outcome::Refused,
            Errno::ETIMEDOUT => Outcome::Timeout,
            Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::ENETDOWN | Errno::EHOSTDOWN => {
                Outcome::Unreachable
            }
            Errno::ECONNRESET => Outcome::Reset,
            Errno::EPERM | Errno::EACCES => Outcome::Denied,
            _ => Outcome::Failed,
        }
    }
}

/// A TCP attempt or a flow of another protocol, as far as it is known yet.
#[derive(Debug, Clone)]
pub struct Connection {
    /// From 1, within the run; see [`Run::connection_id`](super::Run::connection_id).
    pub number: u64,
    pub ts: i64,
    pub process: Rc<Process>,
    pub tid: u32,
    pub protocol: Protocol,
    pub src: Option<Endpoint>,
    pub dst: Endpoint,
    pub name: Option<Name>,
    pub outcome: Outcome,
    /// As in `<errno.h>`, positive.
    pub errno: Option<i32>,
    pub latency_us: Option<i64>,
    pub tx_bytes: Option<u64>,
    pub rx_bytes: Option<u64>,
    /// Of flows only, like `rx_packets`.
    pub tx_packets: Option<u64>,
    pub rx_packets: Option<u64>,
    pub duration_us: Option<i64>,
    /// It was open before the recording.
    pub already_open: bool,
    /// From a raw socket: the process writes the headers.
    pub raw: bool,
    /// A process other than the owner that was seen to use the socket.
    pub shared_pid: Option<u32>,
    /// The peer sent first.
    pub inbound: bool,
    /// Where a source route sends the packets first.
    pub first_hop: Option<IpAddr>,
    /// Payload sent and received since a connection was made that was open before the
    /// recording.
    pub total_bytes: Option<(u64, u64)>,
    /// None: no policy, or an answer to a peer that sent first.
    pub verdict: Option<Verdict>,
    /// The names that it has sent itself.
    pub wire: Option<Rc<WireNames>>,
    /// Where its destination is.
    pub geo: Option<Rc<Geo>>,
}

impl Connection {
    /// None where it is unknown: a frame without an IP packet.
    pub fn dst_ip(&self) -> Option<IpAddr> {
        (self.dst.ip != UNKNOWN.ip).then_some(self.dst.ip)
    }

    pub fn geo(&self) -> Option<&Geo> {
        self.geo.as_deref()
    }

    pub fn direction(&self) -> &'static str {
        match self.inbound {
            true => "in",
            false => "out",
        }
    }

    /// The server name that TLS has sent.
    pub fn sni(&self) -> Option<&str> {
        Some(&*self.wire.as_ref()?.sni.as_ref()?.text)
    }

    pub fn sni_ech(&self) -> Option<bool> {
        let wire = self.wire.as_ref()?;
        (wire.sni.is_some() || wire.alpn.is_some()).then_some(wire.sni_ech)
    }

    pub fn alpn(&self) -> Option<&str> {
        self.wire.as_ref()?.alpn.as_deref()
    }

    pub fn http_host(&self) -> Option<&str> {
        Some(&*self.wire.as_ref()?.http_host.as_ref()?.text)
    }

    /// Where a proxy was asked to connect to.
    pub fn proxied(&self) -> Option<(&WireName, u16)> {
        let (host, port) = self.wire.as_ref()?.proxied.as_ref()?;
        Some((host, *port))
    }

    pub fn dst_port(&self) -> Option<u16> {
        Some(self.dst.port).filter(|port| *port != 0)
    }

    pub fn src_port(&self) -> Option<u16> {
        self.src.map(|src| src.port).filter(|port| *port != 0)
    }
}

/// New counters of an open connection.
#[derive(Debug, Clone)]
pub struct Progress {
    pub connection: Connection,
    /// When its bytes were read.
    pub ts: i64,
    /// Whether the live log shows this one.
    pub due: bool,
}

/// The name of an errno, as in `<errno.h>`; `E<number>` for one without.
pub fn errno_name(errno: i32) -> String {
    match Errno::from_raw(errno) {
        Errno::UnknownErrno => format!("E{errno}"),
        known => format!("{known:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errnos_have_their_names() {
        for (errno, name) in [
            (1, "EPERM"),
            (11, "EAGAIN"),
            (95, "EOPNOTSUPP"),
            (111, "ECONNREFUSED"),
            (113, "EHOSTUNREACH"),
            (133, "EHWPOISON"), // the last one
            (134, "E134"),
            (512, "E512"), // ERESTARTSYS, which no program sees
        ] {
            assert_eq!(errno_name(errno), name);
        }
        let is_name = |name: &str| {
            let word = name.strip_prefix('E');
            word.is_some_and(|w| {
                w.bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
            })
        };
        for errno in 1..=133 {
            assert!(is_name(&errno_name(errno)), "{}", errno_name(errno));
        }
    }
}
