//! TCP attempts and flows.

use std::net::IpAddr;
use std::rc::Rc;

use super::{Endpoint, Name, Process, Protocol, UNKNOWN};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Connected,
    Refused,
    Timeout,
    Unreachable,
    /// Connected, then broken off by the peer.
    Reset,
    Denied,
    InProgress,
    Failed,
    /// Of what has no connections: a packet left.
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

    /// What an attempt that ended with this errno came to.
    pub fn of_errno(errno: i32) -> Outcome {
        match errno {
            libc::ECONNREFUSED => Outcome::Refused,
            libc::ETIMEDOUT => Outcome::Timeout,
            libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EHOSTDOWN => {
                Outcome::Unreachable
            }
            libc::ECONNRESET => Outcome::Reset,
            libc::EPERM | libc::EACCES => Outcome::Denied,
            _ => Outcome::Failed,
        }
    }
}

/// A TCP attempt or a flow of another protocol, as far as it is known.
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
    /// Positive, of `<errno.h>`.
    pub errno: Option<i32>,
    pub latency_us: Option<i64>,
    pub tx_bytes: Option<u64>,
    pub rx_bytes: Option<u64>,
    /// Packets of a flow.
    pub tx_packets: Option<u64>,
    pub rx_packets: Option<u64>,
    pub duration_us: Option<i64>,
    /// Older than the recording, which found it open.
    pub already_open: bool,
    /// From a raw socket: the process wrote its headers itself.
    pub raw: bool,
    /// Another process than the owner that was seen to use the socket.
    pub shared_pid: Option<u32>,
}

impl Connection {
    /// None where it can't be told: a frame that has no IP packet in it.
    pub fn dst_ip(&self) -> Option<IpAddr> {
        (self.dst.ip != UNKNOWN.ip).then_some(self.dst.ip)
    }

    pub fn dst_port(&self) -> Option<u16> {
        Some(self.dst.port).filter(|port| *port != 0)
    }

    pub fn src_port(&self) -> Option<u16> {
        self.src.map(|src| src.port).filter(|port| *port != 0)
    }
}

/// How far a connection that is open has come.
#[derive(Debug, Clone)]
pub struct Progress {
    pub connection: Connection,
    /// When its bytes were read.
    pub ts: i64,
    /// Whether it is time for a line of it in the live log.
    pub due: bool,
}

/// The name of an errno, as in `<errno.h>`; `E<number>` for one without.
pub fn errno_name(errno: i32) -> String {
    let name = match errno {
        libc::EPERM => "EPERM",
        libc::EINTR => "EINTR",
        libc::EAGAIN => "EAGAIN",
        libc::ENOMEM => "ENOMEM",
        libc::EACCES => "EACCES",
        libc::EFAULT => "EFAULT",
        libc::EINVAL => "EINVAL",
        libc::EPIPE => "EPIPE",
        libc::EPROTOTYPE => "EPROTOTYPE",
        libc::EPROTONOSUPPORT => "EPROTONOSUPPORT",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        libc::EAFNOSUPPORT => "EAFNOSUPPORT",
        libc::EADDRINUSE => "EADDRINUSE",
        libc::EADDRNOTAVAIL => "EADDRNOTAVAIL",
        libc::ENETDOWN => "ENETDOWN",
        libc::ENETUNREACH => "ENETUNREACH",
        libc::ENETRESET => "ENETRESET",
        libc::ECONNABORTED => "ECONNABORTED",
        libc::ECONNRESET => "ECONNRESET",
        libc::ENOBUFS => "ENOBUFS",
        libc::EISCONN => "EISCONN",
        libc::ETIMEDOUT => "ETIMEDOUT",
        libc::ECONNREFUSED => "ECONNREFUSED",
        libc::EHOSTDOWN => "EHOSTDOWN",
        libc::EHOSTUNREACH => "EHOSTUNREACH",
        libc::EALREADY => "EALREADY",
        libc::EPROTO => "EPROTO",
        libc::ENOPROTOOPT => "ENOPROTOOPT",
        libc::EMSGSIZE => "EMSGSIZE",
        other => return format!("E{other}"),
    };
    name.to_string()
}
