//! Records of the ring buffer and of the maps as Rust types. Bytes in, events out; a record
//! that is too short or of an unknown kind is an error, never a panic.

use std::net::IpAddr;
use std::num::NonZeroUsize;

use super::event::*;
use super::skel::types;
use crate::model::{Action, Endpoint, ExeFile, ExeView, Protocol, VerdictRule, unmapped};

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
    egrets_payload,
    egrets_cgroup,
    egrets_hop,
    egrets_claim,
    egrets_verdict,
    egrets_flow,
    egrets_flow_key,
    egrets_sock,
    egrets_packet_sock,
    egrets_open_sock,
    egrets_scan
);

/// A malformed record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

impl From<plain::Error> for Unreadable {
    fn from(_: plain::Error) -> Self {
        Unreadable
    }
}

/// The counters that a scan has found of an open connection.
pub fn tcp_counters(entry: &types::egrets_scan) -> Option<TcpCounters> {
    let open = types::egrets_scan_result::EGRETS_SCAN_OPEN.0;
    (entry.result == open).then_some(TcpCounters {
        cookie: entry.cookie,
        tx: entry.tx_bytes,
        rx: entry.rx_bytes,
    })
}

/// The cookie of a socket that a scan has found to be gone.
pub fn stale_cookie(entry: &types::egrets_scan) -> Option<u64> {
    let stale = types::egrets_scan_result::EGRETS_SCAN_STALE.0;
    (entry.result == stale).then_some(entry.cookie)
}

/// The share, by bpf/share.h, that a record of the ring buffer takes until it is read.
pub fn share(record: &[u8]) -> Option<u32> {
    let header: types::egrets_header = fixed(record).ok()?;
    Some(header.share)
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
                creator: (r.creator_tgid, r.creator_start_ns),
                session: r.session,
                uid: r.uid,
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
                next: (r.has_next != 0).then(|| flow_key(r.cookie, &r.next)),
                lingers: r.lingers != 0,
                shared_pid: pid(r.shared_tgid),
            }
        }
        raw_kind::EGRETS_FLOW_END => {
            let r: types::egrets_flow_end = fixed(bytes)?;
            EventKind::FlowEnd(FlowEnd {
                key: flow_key(r.cookie, &r.dst),
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
                key: flow_key(r.cookie, &r.dst),
                refused: r.refused != 0,
            }
        }
        raw_kind::EGRETS_HOP => {
            let r: types::egrets_hop = fixed(bytes)?;
            EventKind::FirstHop {
                cookie: r.cookie,
                hop: unmapped(r.hop),
            }
        }
        raw_kind::EGRETS_OWNER => {
            let r: types::egrets_claim = fixed(bytes)?;
            EventKind::Owner {
                cookie: r.cookie,
                owner: owner(&r.owner),
            }
        }
        raw_kind::EGRETS_VERDICT => EventKind::Verdict(verdict(bytes)?),
        raw_kind::EGRETS_DNS => {
            let r: types::egrets_dns = fixed(bytes)?;
            EventKind::Dns(Dns {
                owner: owner(&r.owner),
                cookie: r.cookie,
                server: endpoint(&r.server),
                ingress: r.ingress != 0,
                denied: r.denied != 0,
                segment: (r.tcp != 0).then_some(Segment {
                    seq: r.seq,
                    ack: r.ack,
                    len: r.wire_len,
                }),
                payload: tail::<types::egrets_dns>(bytes, 0, r.len)?.to_vec(),
                message_size: NonZeroUsize::new(r.gso_size.into()),
            })
        }
        raw_kind::EGRETS_PAYLOAD => {
            let r: types::egrets_payload = fixed(bytes)?;
            EventKind::Payload(Payload {
                cookie: r.cookie,
                peer: endpoint(&r.peer),
                kind: match types::egrets_payload_kind(r.payload_kind) {
                    types::egrets_payload_kind::EGRETS_PAYLOAD_TLS => PayloadKind::Tls,
                    types::egrets_payload_kind::EGRETS_PAYLOAD_HTTP => PayloadKind::Http,
                    types::egrets_payload_kind::EGRETS_PAYLOAD_QUIC => PayloadKind::Quic,
                    types::egrets_payload_kind::EGRETS_PAYLOAD_HTTP2 => PayloadKind::Http2,
                    types::egrets_payload_kind::EGRETS_PAYLOAD_SOCKS => PayloadKind::Socks,
                    types::egrets_payload_kind::EGRETS_PAYLOAD_DTLS => PayloadKind::Dtls,
                    _ => return Err(Unreadable),
                },
                start: r.start,
                offset: r.offset,
                bytes: tail::<types::egrets_payload>(bytes, 0, r.len)?.to_vec(),
                message_size: usize::try_from(r.gso_size).ok().and_then(NonZeroUsize::new),
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

/// The record's fixed part, copied: a slice promises no alignment.
fn fixed<T: plain::Plain + Default>(bytes: &[u8]) -> Result<T, Unreadable> {
    let mut record = T::default();
    plain::copy_from_bytes(&mut record, bytes)?;
    Ok(record)
}

/// `len` bytes behind the fixed part, after the first `skip`.
fn tail<T>(bytes: &[u8], skip: u32, len: u32) -> Result<&[u8], Unreadable> {
    let start = size_of::<T>() + skip as usize;
    bytes.get(start..start + len as usize).ok_or(Unreadable)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The name of a process that is not known. Its pid is 0, as no other's.
pub const UNKNOWN_COMM: &str = "unknown";

pub fn owner(o: &types::egrets_owner) -> Owner {
    let comm = match o.tgid {
        0 => UNKNOWN_COMM.as_bytes(),
        _ => o.comm.split(|b| *b == 0).next().unwrap_or_default(),
    };
    Owner {
        pid: o.tgid,
        tid: o.tid,
        uid: o.uid,
        euid: o.euid,
        login_uid: (o.login_uid != types::egrets_login::EGRETS_NO_LOGIN.0).then_some(o.login_uid),
        start_ns: o.start_ns,
        exec_id: o.exec_id,
        cgroup_id: o.cgroup_id,
        netns: o.netns,
        netns_cookie: o.netns_cookie,
        mntns: MountNamespace {
            id: o.mntns_id,
            inode: o.mntns,
        },
        foreign: o.foreign != 0,
        comm: text(comm),
    }
}

pub fn endpoint(e: &types::egrets_endpoint) -> Endpoint {
    Endpoint {
        ip: unmapped(e.addr),
        port: e.port,
    }
}

pub fn flow_key(cookie: u64, e: &types::egrets_endpoint) -> FlowKey {
    FlowKey {
        cookie,
        protocol: protocol(e.protocol),
        dst: endpoint(e),
        route: e.route,
    }
}

/// A number of IP's, or of those that bpf/egrets.h adds.
pub fn protocol(number: u16) -> Protocol {
    match types::egrets_protocol(number.into()) {
        types::egrets_protocol::EGRETS_PROTOCOL_PACKET => Protocol::Packet,
        _ => Protocol::of(number),
    }
}

/// The reverse of [`protocol`].
pub fn protocol_number(protocol: Protocol) -> u16 {
    let packet = types::egrets_protocol::EGRETS_PROTOCOL_PACKET.0 as u16;
    protocol.number().unwrap_or(packet)
}

pub fn flow_bytes(flow: &types::egrets_flow) -> FlowBytes {
    FlowBytes {
        tx: flow.tx_bytes,
        rx: flow.rx_bytes,
        tx_packets: flow.tx_packets,
        rx_packets: flow.rx_packets,
        last_ns: flow.last_ts,
    }
}

/// A value of a BPF map or iterator; None if it is too short.
pub fn value<T: plain::Plain + Default>(bytes: &[u8]) -> Option<T> {
    fixed(bytes).ok()
}

/// None for 0.
pub fn pid(tgid: u32) -> Option<u32> {
    (tgid != 0).then_some(tgid)
}

/// None if the kernel had not chosen the address or the port yet. A flow may have no port.
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
        protocol: protocol(r.dst.protocol),
        src: source(&r.src),
        dst: endpoint(&r.dst),
        raw: r.raw != 0,
        shared_pid: pid(r.shared_tgid),
        inbound: r.inbound != 0,
        denied: r.denied != 0,
        first_hop: (r.has_hop != 0).then(|| unmapped(r.hop)),
        route: r.dst.route,
    })
}

fn verdict(bytes: &[u8]) -> Result<Verdict, Unreadable> {
    let r: types::egrets_verdict = fixed(bytes)?;
    Ok(Verdict {
        key: flow_key(r.cookie, &r.dst),
        process: (r.tgid, r.start_ns),
        generation: r.generation,
        rule: rule(r.rule),
        action: action(r.action).ok_or(Unreadable)?,
        enforced: r.enforced != 0,
        said: r.said != 0,
    })
}

fn rule(raw: u16) -> VerdictRule {
    use types::egrets_rule as rule;
    match rule(raw.into()) {
        rule::EGRETS_RULE_DEFAULT => VerdictRule::Default,
        rule::EGRETS_RULE_ESSENTIAL => VerdictRule::Essential,
        rule::EGRETS_RULE_SOURCE_ROUTE => VerdictRule::SourceRouting,
        rule::EGRETS_RULE_UNKNOWN => VerdictRule::UnknownContainer,
        rule::EGRETS_RULE_SNI => VerdictRule::Sni,
        _ => VerdictRule::Index(raw),
    }
}

fn action(raw: u8) -> Option<Action> {
    use types::egrets_action as action;
    Some(match action(raw.into()) {
        action::EGRETS_ALLOW => Action::Allow,
        action::EGRETS_ALERT => Action::Alert,
        action::EGRETS_BLOCK => Action::Block,
        action::EGRETS_SUSPEND => Action::Suspend,
        action::EGRETS_KILL => Action::Kill,
        action::EGRETS_DUMP => Action::Dump,
        _ => return None,
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
    let mut path = text(tail::<types::egrets_cgroup>(bytes, 0, r.path_len)?);
    // The last directory of a path that was cut may be another one.
    if r.path_len >= types::egrets_size::EGRETS_PATH_MAX.0 - 1 {
        path.truncate(path.rfind('/').unwrap_or(0));
        path.push_str("/…");
    }
    Ok((r, (!path.is_empty()).then_some(path)))
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
        exe: exe_path(&r, exe),
        exe_file: exe_file(&r),
        argv: arguments(argv),
        argv_cut: r.argv_total.saturating_sub(r.argv_len),
    })
}

/// As /proc/PID/exe shows it, but for a deleted file's mark and for the `…` of a path whose
/// beginning is missing.
fn exe_path(exec: &types::egrets_exec, names: &[u8]) -> Option<String> {
    let path = path_of(names)?;
    let is_cut = exec.exe_flags & types::egrets_exe_flag::EGRETS_EXE_CUT.0 as u8 != 0;
    Some(match exe_view(exec.exe_view) {
        Some(ExeView::Memory) => format!("{path} (deleted)"),
        _ if is_cut => format!("…{path}"),
        _ => path,
    })
}

fn exe_view(raw: u8) -> Option<ExeView> {
    use types::egrets_exe_view as view;
    match view(raw.into()) {
        view::EGRETS_EXE_HOST => Some(ExeView::Host),
        view::EGRETS_EXE_NAMESPACE => Some(ExeView::Namespace),
        view::EGRETS_EXE_USER => Some(ExeView::UserNamespace),
        view::EGRETS_EXE_DETACHED => Some(ExeView::Detached),
        view::EGRETS_EXE_MEMORY => Some(ExeView::Memory),
        _ => None,
    }
}

fn exe_file(exec: &types::egrets_exec) -> ExeFile {
    use types::egrets_exe_flag as flag;
    let has = |bit: flag| exec.exe_flags & bit.0 as u8 != 0;
    let is_known = exec.exe_ino != 0;
    let deleted = has(flag::EGRETS_EXE_DELETED);
    ExeFile {
        view: exe_view(exec.exe_view).filter(|_| is_known),
        deleted,
        // MAJOR() and MINOR(), include/linux/kdev_t.h
        device: is_known.then_some((exec.exe_dev >> 20, exec.exe_dev & 0xf_ffff)),
        inode: is_known.then_some(exec.exe_ino),
        root_only: is_known
            && !deleted
            && !has(flag::EGRETS_EXE_SHARED)
            && !has(flag::EGRETS_EXE_CUT),
    }
}

/// NUL-terminated components, the last one of the path first.
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn path_is_joined_from_its_last_component() {
        assert_eq!(
            path_of(b"curl\0bin\0usr\0").as_deref(),
            Some("/usr/bin/curl")
        );
        assert_eq!(path_of(b""), None);
    }

    #[test]
    fn length_beyond_the_record_is_unreadable() {
        let mut bytes = vec![0u8; size_of::<types::egrets_dns>()];
        bytes[8] = types::egrets_kind::EGRETS_DNS.0 as u8;
        assert!(decode(&bytes).is_ok());
        let len_at = std::mem::offset_of!(types::egrets_dns, len);
        bytes[len_at] = 1;
        assert_eq!(decode(&bytes), Err(Unreadable));
    }

    #[test]
    fn packet_of_several_messages_is_split() {
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
        bytes[std::mem::offset_of!(types::egrets_dns, gso_size)] = 3;
        assert_eq!(messages(&bytes), [&b"one"[..], b"two", b"3"]);
        bytes[len_at] = 0;
        assert_eq!(messages(&bytes), [b""]);
    }

    #[test]
    fn every_protocol_keeps_its_number() {
        for known in [Protocol::Tcp, Protocol::Ip(253), Protocol::Packet] {
            assert_eq!(protocol(protocol_number(known)), known);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_unreadable(kind in 0u8..24, mut bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            if let Some(k) = bytes.get_mut(8..12) {
                k.copy_from_slice(&[kind, 0, 0, 0]);
            }
            let _ = decode(&bytes);
        }
    }
}
