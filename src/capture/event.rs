//! Events: what the BPF programs report, as Rust types.

use std::net::IpAddr;
use std::num::NonZeroUsize;

use crate::model::{Action, Endpoint, ExeFile, Protocol, VerdictRule};

/// Both fields are 0 if unknown: the process was exiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct MountNamespace {
    /// Never reused, unlike inode numbers.
    pub id: u64,
    pub inode: u32,
}

/// The process behind an event, read in its own context. Its pid is 0 where no process is known,
/// but the user who created the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub pid: u32,
    pub tid: u32,
    /// The real user id.
    pub uid: u32,
    /// The effective one.
    pub euid: u32,
    /// Audit's loginuid; None without a login.
    pub login_uid: Option<u32>,
    /// Nanoseconds since boot.
    pub start_ns: u64,
    /// Execs so far, those of its ancestors before the forks included.
    pub exec_id: u64,
    /// In the cgroup2 hierarchy.
    pub cgroup_id: u64,
    pub netns: u32,
    pub netns_cookie: u64,
    pub mntns: MountNamespace,
    /// Its user or pid namespace is not the host's.
    pub foreign: bool,
    pub comm: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    pub owner: Owner,
    pub ppid: u32,
    pub parent_start_ns: u64,
    /// Pid of the session leader, setsid(2).
    pub session: u32,
    /// From the root of its mount namespace; with `…` in place of a beginning that is not known.
    pub exe: Option<String>,
    pub exe_file: ExeFile,
    pub argv: Vec<String>,
    /// Bytes of argv that were cut.
    pub argv_cut: u32,
}

/// A TCP attempt, or a flow's first packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    pub owner: Owner,
    pub cookie: u64,
    pub protocol: Protocol,
    pub src: Option<Endpoint>,
    pub dst: Endpoint,
    /// From a raw socket.
    pub raw: bool,
    /// A process other than the owner that used the socket.
    pub shared_pid: Option<u32>,
    /// A flow whose peer sent first.
    pub inbound: bool,
    /// Netfilter refused the flow's packet.
    pub denied: bool,
    /// Where a source route sends the packet first.
    pub first_hop: Option<IpAddr>,
    /// Kind of the route, or its hash: part of the flow's key.
    pub route: u32,
}

impl Connect {
    /// The key of a flow.
    pub fn flow_key(&self) -> FlowKey {
        FlowKey {
            cookie: self.cookie,
            protocol: self.protocol,
            dst: self.dst,
            route: self.route,
        }
    }
}

/// Key of a flow in the BPF maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// The socket's.
    pub cookie: u64,
    pub protocol: Protocol,
    pub dst: Endpoint,
    /// As [`Connect::route`].
    pub route: u32,
}

/// A change of a TCP socket's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    pub cookie: u64,
    pub src: Option<Endpoint>,
    /// `sk_err`; 0 for none.
    pub err: i32,
    /// Payload sent and received.
    pub bytes: Option<(u64, u64)>,
    /// Close: whether there was a connection.
    pub was_open: bool,
    /// As [`Connect::shared_pid`].
    pub shared_pid: Option<u32>,
}

/// A flow's counters, at its end or so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowEnd {
    pub key: FlowKey,
    pub bytes: FlowBytes,
    /// As [`Connect::shared_pid`].
    pub shared_pid: Option<u32>,
}

/// Bytes and packets of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowBytes {
    /// Payload sent.
    pub tx: u64,
    /// Payload received.
    pub rx: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Time of the last packet, nanoseconds since boot.
    pub last_ns: u64,
}

/// What the policy decides on a TCP attempt or a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Of a TCP attempt, the cookie alone counts.
    pub key: FlowKey,
    /// Pid and start, as in [`Owner`].
    pub process: (u32, u64),
    /// Of the policy's rules.
    pub generation: u32,
    pub rule: VerdictRule,
    pub action: Action,
    pub enforced: bool,
    /// On what an open connection says.
    pub said: bool,
}

/// DNS messages over UDP, or a TCP segment with any part of such messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    pub owner: Owner,
    pub cookie: u64,
    pub server: Endpoint,
    pub ingress: bool,
    /// Netfilter refused the packet.
    pub denied: bool,
    /// None over UDP.
    pub segment: Option<Segment>,
    /// The whole packet or segment; empty if it could not be copied.
    pub payload: Vec<u8>,
    /// UDP: size of each message but the last, if the packet has several (UDP_SEGMENT,
    /// UDP_GRO).
    pub message_size: Option<NonZeroUsize>,
}

impl Dns {
    /// The messages of a UDP packet.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        let size = self.message_size;
        let size = size.map_or(self.payload.len(), NonZeroUsize::get);
        let (first, rest) = self.payload.split_at(size.min(self.payload.len()));
        std::iter::once(first).chain(rest.chunks(size.max(1)))
    }
}

/// A segment's place in its connection: sequence numbers, RFC 9293.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Of the first byte.
    pub seq: u32,
    /// Next byte expected from the other side.
    pub ack: u32,
    /// Length in bytes, copied or not.
    pub len: u32,
}

/// Some of what a client sends first, as it is before any encryption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    pub cookie: u64,
    pub peer: Endpoint,
    pub kind: PayloadKind,
    /// Where what is of interest begins in the stream of what was sent.
    pub start: u32,
    /// Where these bytes are from there.
    pub offset: u32,
    pub bytes: Vec<u8>,
    /// As [`Dns::message_size`].
    pub message_size: Option<NonZeroUsize>,
}

impl Payload {
    /// That of the flow, if it is a datagram.
    pub fn flow_key(&self) -> FlowKey {
        FlowKey {
            cookie: self.cookie,
            protocol: Protocol::Udp,
            dst: self.peer,
            route: 0,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadKind {
    /// A ClientHello.
    Tls,
    /// A request of HTTP/1.
    Http,
    /// A datagram of QUIC's first ones.
    Quic,
    /// What a client of HTTP/2 sends without TLS.
    Http2,
    /// What a client of a SOCKS proxy sends.
    Socks,
    /// A datagram with a ClientHello of DTLS, or a part of one.
    Dtls,
}

impl PayloadKind {
    pub fn is_datagram(self) -> bool {
        matches!(self, PayloadKind::Quic | PayloadKind::Dtls)
    }
}

/// Bytes of a TCP connection so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpCounters {
    pub cookie: u64,
    /// Payload sent, without retransmissions.
    pub tx: u64,
    /// Payload received.
    pub rx: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    Fork {
        pid: u32,
        start_ns: u64,
        ppid: u32,
        parent_start_ns: u64,
        /// The process that called fork, pid and start: the parent, or with CLONE_PARENT
        /// a sibling.
        creator: (u32, u64),
        /// As [`Exec::session`].
        session: u32,
        /// As [`Owner::uid`].
        uid: u32,
    },
    Exec(Exec),
    Exit {
        pid: u32,
        start_ns: u64,
    },
    Connect(Connect),
    Errno {
        cookie: u64,
        errno: i32,
    },
    Established(State),
    Close(State),
    /// A TCP socket was released without a change of state, or no longer exists; or a
    /// socket with more flows than are ended at once was released: `next` is the first
    /// one left, and the reaper ends them.
    Release {
        cookie: u64,
        next: Option<FlowKey>,
        /// The socket still has SCTP associations.
        lingers: bool,
        shared_pid: Option<u32>,
    },
    Flow(Connect),
    FlowEnd(FlowEnd),
    /// An open flow's counters so far.
    FlowProgress(FlowEnd),
    /// An open TCP connection's counters so far.
    TcpProgress(TcpCounters),
    /// A TCP connection has a source route, to this address first.
    FirstHop {
        cookie: u64,
        hop: IpAddr,
    },
    /// A process uses a TCP connection of which none was known.
    Owner {
        cookie: u64,
        owner: Owner,
    },
    /// The peer has answered an SCTP flow.
    Association {
        key: FlowKey,
        refused: bool,
    },
    Verdict(Verdict),
    Dns(Dns),
    Payload(Payload),
    /// `hierarchy` is 0 for cgroup2. A path that was too long ends in `/…`.
    Cgroup {
        id: u64,
        hierarchy: u32,
        path: Option<String>,
    },
    Attach {
        pid: u32,
        start_ns: u64,
        hierarchy: u32,
        path: Option<String>,
    },
}

/// `ns` is nanoseconds since boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub ns: u64,
    pub kind: EventKind,
}

/// Arguments of a process, each terminated by a NUL.
pub fn arguments(argv: &[u8]) -> Vec<String> {
    if argv.is_empty() {
        return Vec::new();
    }
    argv.strip_suffix(&[0])
        .unwrap_or(argv)
        .split(|b| *b == 0)
        .map(|arg| String::from_utf8_lossy(arg).into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_argument_is_kept() {
        assert_eq!(arguments(b"printf\0\0x\0"), ["printf", "", "x"]);
        assert_eq!(arguments(b"cut-off"), ["cut-off"]);
        assert!(arguments(b"").is_empty());
    }
}
