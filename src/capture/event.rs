//! The kernel's records as typed events. Bytes in, events out; a record that is
//! too short or of no known kind is an error, never a panic.

use std::net::IpAddr;
use std::num::NonZeroUsize;

use super::skel::types;
use crate::model::{Endpoint, Protocol, unmapped};

macro_rules! plain {
    ($($name:ident),*) => {$(
        // SAFETY: generated from the C struct of bpf/egrets.h, #[repr(C)], made
        // of integers and arrays of them alone, so any bytes are a valid value.
        unsafe impl plain::Plain for types::$name {}
    )*};
}
plain!(
    egrets_header,
    egrets_fork,
    egrets_exec,
    egrets_exit,
    egrets_connect,
    egrets_errno,
    egrets_state,
    egrets_release,
    egrets_flow_end,
    egrets_association,
    egrets_dns,
    egrets_cgroup,
    egrets_flow,
    egrets_flow_key,
    egrets_sock,
    egrets_sender,
    egrets_open,
    egrets_tcp_counters
);

/// EGRETS_PATH_MAX of bpf/egrets.h, which is as much as the kernel's tracepoints have
/// (TRACE_CGROUP_PATH_LEN, kernel/cgroup/cgroup-internal.h).
const PATH_MAX: usize = 1024;

/// AUDIT_UID_UNSET, include/uapi/linux/audit.h.
pub const NO_LOGIN: u32 = u32::MAX;

/// Both 0 where it is not known: the process was ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct MountNamespace {
    /// Never used again, as inode numbers are at once.
    pub id: u64,
    pub inode: u32,
}

/// Process that owns a socket, read in its own context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub pid: u32,
    pub tid: u32,
    pub uid: u32,
    /// Who had logged in, as audit keeps it; None where nobody had.
    pub login_uid: Option<u32>,
    /// Nanoseconds since boot.
    pub start_ns: u64,
    /// Counts its execs, and those of its ancestors before the forks.
    pub exec_id: u64,
    /// In the cgroup2 hierarchy.
    pub cgroup_id: u64,
    pub netns: u32,
    pub netns_cookie: u64,
    pub mntns: MountNamespace,
    pub comm: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    pub owner: Owner,
    pub ppid: u32,
    pub parent_start_ns: u64,
    /// Pid of its session's leader, setsid(2).
    pub session: u32,
    /// Absolute, as the process' own root shows it.
    pub exe: Option<String>,
    pub argv: Vec<String>,
    /// Bytes of argv that were not kept.
    pub argv_cut: u32,
}

/// A TCP attempt, or a flow with its first packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    pub owner: Owner,
    pub cookie: u64,
    pub protocol: Protocol,
    pub src: Option<Endpoint>,
    pub dst: Endpoint,
    /// From a raw socket.
    pub raw: bool,
    /// A process other than the owner that was seen to use the socket.
    pub shared_pid: Option<u32>,
}

/// What the kernel side knows a flow by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// Of its socket.
    pub cookie: u64,
    pub protocol: Protocol,
    pub dst: Endpoint,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    pub cookie: u64,
    pub src: Option<Endpoint>,
    /// `sk_err`; 0 for none.
    pub err: i32,
    /// Payload sent and received.
    pub bytes: Option<(u64, u64)>,
    /// Of a close: whether there was a connection.
    pub was_open: bool,
    /// As [`Connect::shared_pid`].
    pub shared_pid: Option<u32>,
}

/// What a flow has come to, at its end or so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowEnd {
    pub key: FlowKey,
    pub bytes: FlowBytes,
    /// As [`Connect::shared_pid`].
    pub shared_pid: Option<u32>,
}

/// A flow's counters.
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
    /// When its last packet passed, nanoseconds since boot.
    pub last_ns: u64,
}

/// DNS messages over UDP, or a segment of TCP with any part of such messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    pub owner: Owner,
    pub cookie: u64,
    pub server: Endpoint,
    pub ingress: bool,
    /// None over UDP.
    pub segment: Option<Segment>,
    /// The whole packet or segment, or nothing where it could not be copied.
    pub payload: Vec<u8>,
    /// Over UDP: of each message but the last, where the packet is one of several
    /// (UDP_SEGMENT, UDP_GRO).
    pub each: Option<NonZeroUsize>,
}

impl Dns {
    /// The messages of a packet over UDP.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        let each = self.each.map_or(self.payload.len(), NonZeroUsize::get);
        let (first, rest) = self.payload.split_at(each.min(self.payload.len()));
        std::iter::once(first).chain(rest.chunks(each.max(1)))
    }
}

/// Where a segment belongs in its connection: sequence numbers, RFC 9293.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Of the first byte.
    pub seq: u32,
    /// Of the first byte that is expected from the other side.
    pub ack: u32,
    /// Bytes that it had, copied or not.
    pub len: u32,
}

/// What a TCP connection has carried so far.
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
        /// Who made it, pid and start: its parent, or with CLONE_PARENT a sibling.
        from: (u32, u64),
        /// As [`Exec::session`].
        session: u32,
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
    /// A TCP socket went without any change of state, or a socket with more flows
    /// than the kernel side ends at once: `next` is the first one left.
    Release {
        cookie: u64,
        next: Option<FlowKey>,
        /// The kernel side still waits for the end of what `next` begins.
        lingers: bool,
        shared_pid: Option<u32>,
    },
    Flow(Connect),
    FlowEnd(FlowEnd),
    /// The peer has answered a flow of SCTP or DCCP.
    Association {
        key: FlowKey,
        refused: bool,
    },
    Dns(Dns),
    /// `hierarchy` is 0 for cgroup2; no path where it was too long.
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

/// What happened, and when: nanoseconds since boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub ns: u64,
    pub kind: EventKind,
}

/// A record that egrets cannot read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

impl From<plain::Error> for Unreadable {
    fn from(_: plain::Error) -> Self {
        Unreadable
    }
}

/// Reads one record of the ring buffer.
pub fn decode(bytes: &[u8]) -> Result<Event, Unreadable> {
    use types::egrets_kind as raw_kind;
    let header: types::egrets_header = fixed(bytes)?;
    let kind = match raw_kind(header.kind) {
        raw_kind::EGRETS_FORK => {
            let r: types::egrets_fork = fixed(bytes)?;
            EventKind::Fork {
                pid: r.tgid,
                start_ns: r.start_ns,
                ppid: r.parent_tgid,
                parent_start_ns: r.parent_start_ns,
                from: (r.from_tgid, r.from_start_ns),
                session: r.session,
            }
        }
        raw_kind::EGRETS_EXEC => EventKind::Exec(exec(bytes)?),
        raw_kind::EGRETS_EXIT => {
            let r: types::egrets_exit = fixed(bytes)?;
            EventKind::Exit {
                pid: r.tgid,
                start_ns: r.start_ns,
            }
        }
        raw_kind::EGRETS_CONNECT => EventKind::Connect(connect(bytes)?),
        raw_kind::EGRETS_FLOW => EventKind::Flow(connect(bytes)?),
        raw_kind::EGRETS_ERRNO => {
            let r: types::egrets_errno = fixed(bytes)?;
            EventKind::Errno {
                cookie: r.cookie,
                errno: r.err as i32,
            }
        }
        raw_kind::EGRETS_ESTABLISHED => EventKind::Established(state(bytes)?),
        raw_kind::EGRETS_CLOSE => EventKind::Close(state(bytes)?),
        raw_kind::EGRETS_RELEASE => {
            let r: types::egrets_release = fixed(bytes)?;
            EventKind::Release {
                cookie: r.cookie,
                next: (r.has_next != 0).then(|| flow(r.cookie, &r.next)),
                lingers: r.lingers != 0,
                shared_pid: pid(r.shared_tgid),
            }
        }
        raw_kind::EGRETS_FLOW_END => {
            let r: types::egrets_flow_end = fixed(bytes)?;
            EventKind::FlowEnd(FlowEnd {
                key: flow(r.cookie, &r.dst),
                shared_pid: pid(r.shared_tgid),
                bytes: FlowBytes {
                    tx: r.tx_bytes,
                    rx: r.rx_bytes,
                    tx_packets: r.tx_packets,
                    rx_packets: r.rx_packets,
                    last_ns: r.last_ts,
                },
            })
        }
        raw_kind::EGRETS_ASSOCIATION => {
            let r: types::egrets_association = fixed(bytes)?;
            EventKind::Association {
                key: flow(r.cookie, &r.dst),
                refused: r.refused != 0,
            }
        }
        raw_kind::EGRETS_DNS => {
            let r: types::egrets_dns = fixed(bytes)?;
            EventKind::Dns(Dns {
                owner: owner(&r.owner),
                cookie: r.cookie,
                server: endpoint(&r.server),
                ingress: r.ingress != 0,
                segment: (r.tcp != 0).then_some(Segment {
                    seq: r.seq,
                    ack: r.ack,
                    len: r.wire_len,
                }),
                payload: tail::<types::egrets_dns>(bytes, 0, r.len)?.to_vec(),
                each: NonZeroUsize::new(r.each.into()),
            })
        }
        raw_kind::EGRETS_CGROUP => {
            let (r, path) = cgroup(bytes)?;
            EventKind::Cgroup {
                id: r.cgroup_id,
                hierarchy: r.hierarchy,
                path,
            }
        }
        raw_kind::EGRETS_ATTACH => {
            let (r, path) = cgroup(bytes)?;
            EventKind::Attach {
                pid: r.tgid,
                start_ns: r.start_ns,
                hierarchy: r.hierarchy,
                path,
            }
        }
        _ => return Err(Unreadable),
    };
    Ok(Event {
        ns: header.ts,
        kind,
    })
}

/// The record's fixed part. Copied, because the ring aligns to 8 bytes and no
/// more is promised of a slice.
fn fixed<T: plain::Plain + Default>(bytes: &[u8]) -> Result<T, Unreadable> {
    let mut record = T::default();
    plain::copy_from_bytes(&mut record, bytes)?;
    Ok(record)
}

/// `len` bytes of what follows the fixed part, from `skip` on.
fn tail<T>(bytes: &[u8], skip: u32, len: u32) -> Result<&[u8], Unreadable> {
    let start = size_of::<T>() + skip as usize;
    bytes.get(start..start + len as usize).ok_or(Unreadable)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn owner(o: &types::egrets_owner) -> Owner {
    let comm = o.comm.split(|b| *b == 0).next().unwrap_or_default();
    Owner {
        pid: o.tgid,
        tid: o.tid,
        uid: o.uid,
        login_uid: (o.login_uid != NO_LOGIN).then_some(o.login_uid),
        start_ns: o.start_ns,
        exec_id: o.exec_id,
        cgroup_id: o.cgroup_id,
        netns: o.netns,
        netns_cookie: o.netns_cookie,
        mntns: MountNamespace {
            id: o.mntns_id,
            inode: o.mntns,
        },
        comm: text(comm),
    }
}

/// An endpoint as the kernel side writes it.
pub fn endpoint(e: &types::egrets_endpoint) -> Endpoint {
    Endpoint {
        ip: unmapped(e.addr),
        port: e.port,
    }
}

/// A flow by its destination as the kernel side writes it.
pub fn flow(cookie: u64, e: &types::egrets_endpoint) -> FlowKey {
    FlowKey {
        cookie,
        protocol: Protocol::of(e.protocol),
        dst: endpoint(e),
    }
}

/// None for none.
pub fn pid(tgid: u32) -> Option<u32> {
    (tgid != 0).then_some(tgid)
}

/// None while the kernel had not chosen the address or the port, which a flow may do
/// without.
pub fn source(e: &types::egrets_endpoint) -> Option<Endpoint> {
    let src = endpoint(e);
    let chosen = match src.ip {
        IpAddr::V4(ip) => !ip.is_unspecified() && (src.port != 0 || e.protocol != 0),
        IpAddr::V6(ip) => src.port != 0 || !ip.is_unspecified() && e.protocol != 0,
    };
    chosen.then_some(src)
}

fn connect(bytes: &[u8]) -> Result<Connect, Unreadable> {
    let r: types::egrets_connect = fixed(bytes)?;
    Ok(Connect {
        owner: owner(&r.owner),
        cookie: r.cookie,
        protocol: Protocol::of(r.dst.protocol),
        src: source(&r.src),
        dst: endpoint(&r.dst),
        raw: r.raw != 0,
        shared_pid: pid(r.shared_tgid),
    })
}

fn state(bytes: &[u8]) -> Result<State, Unreadable> {
    let r: types::egrets_state = fixed(bytes)?;
    Ok(State {
        cookie: r.cookie,
        src: source(&r.src),
        err: r.err as i32,
        bytes: (r.has_bytes != 0).then_some((r.tx_bytes, r.rx_bytes)),
        was_open: r.was_open != 0,
        shared_pid: pid(r.shared_tgid),
    })
}

fn cgroup(bytes: &[u8]) -> Result<(types::egrets_cgroup, Option<String>), Unreadable> {
    let r: types::egrets_cgroup = fixed(bytes)?;
    let path = tail::<types::egrets_cgroup>(bytes, 0, r.path_len)?;
    // A cut one would name what is above the cgroup.
    let whole = path.len() < PATH_MAX - 1;
    Ok((r, whole.then(|| text(path))))
}

fn exec(bytes: &[u8]) -> Result<Exec, Unreadable> {
    let r: types::egrets_exec = fixed(bytes)?;
    let argv = tail::<types::egrets_exec>(bytes, 0, r.argv_len)?;
    let exe = tail::<types::egrets_exec>(bytes, r.argv_len, r.exe_len)?;
    Ok(Exec {
        owner: owner(&r.owner),
        ppid: r.parent_tgid,
        parent_start_ns: r.parent_start_ns,
        session: r.session,
        exe: path_of(exe),
        argv: arguments(argv),
        argv_cut: r.argv_total.saturating_sub(r.argv_len),
    })
}

/// NUL-ended names, the last one of the path first.
fn path_of(names: &[u8]) -> Option<String> {
    let names = names.strip_suffix(&[0])?;
    let mut path = String::new();
    for name in names
        .split(|b| *b == 0)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
    {
        path.push('/');
        path.push_str(&text(name));
    }
    Some(path)
}

/// The arguments of a process, each ended by a NUL.
pub fn arguments(argv: &[u8]) -> Vec<String> {
    if argv.is_empty() {
        return Vec::new();
    }
    argv.strip_suffix(&[0])
        .unwrap_or(argv)
        .split(|b| *b == 0)
        .map(text)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_is_put_together_from_its_last_name_on() {
        assert_eq!(
            path_of(b"curl\0bin\0usr\0").as_deref(),
            Some("/usr/bin/curl")
        );
        assert_eq!(path_of(b""), None);
    }

    #[test]
    fn an_empty_argument_is_an_argument() {
        assert_eq!(arguments(b"printf\0\0x\0"), ["printf", "", "x"]);
        assert_eq!(arguments(b"cut-off"), ["cut-off"]);
        assert!(arguments(b"").is_empty());
    }

    #[test]
    fn a_length_beyond_the_record_is_unreadable() {
        let mut bytes = vec![0u8; size_of::<types::egrets_dns>()];
        bytes[8] = types::egrets_kind::EGRETS_DNS.0 as u8;
        assert!(decode(&bytes).is_ok());
        let len_at = std::mem::offset_of!(types::egrets_dns, len);
        bytes[len_at] = 1;
        assert_eq!(decode(&bytes), Err(Unreadable));
    }

    #[test]
    fn a_packet_of_many_messages_is_each_of_them() {
        let mut bytes = vec![0u8; size_of::<types::egrets_dns>()];
        bytes[8] = types::egrets_kind::EGRETS_DNS.0 as u8;
        bytes.extend(b"onetwo3");
        let len_at = std::mem::offset_of!(types::egrets_dns, len);
        bytes[len_at] = 7;
        let messages = |bytes: &[u8]| match decode(bytes).unwrap().kind {
            EventKind::Dns(dns) => dns.messages().map(<[u8]>::to_vec).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!(messages(&bytes), [b"onetwo3"]);
        bytes[std::mem::offset_of!(types::egrets_dns, each)] = 3;
        assert_eq!(messages(&bytes), [&b"one"[..], b"two", b"3"]);
        bytes[len_at] = 0;
        assert_eq!(messages(&bytes), [b""]);
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_unreadable(kind in 0u8..20, mut bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            if let Some(k) = bytes.get_mut(8..12) {
                k.copy_from_slice(&[kind, 0, 0, 0]);
            }
            let _ = decode(&bytes);
        }
    }
}
