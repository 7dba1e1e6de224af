//! Sockets that are older than the recorder. The kernel lists them with their processes, in
//! every namespace; those that lead out get the entry that connect would have created, so that
//! their packets and their end have an owner.
//!
//! Of several processes that have a socket the owner is the one that most likely began it: of the
//! user who created it, and started first. Any user can send a socket to another's process; so one that
//! only other users' processes have is of no known process until it is used.

use std::collections::HashSet;
use std::os::fd::OwnedFd;

use anyhow::Result;
use libbpf_rs::{MapCore, MapFlags};
use rustix::net::sockopt::socket_cookie;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::Capture;
use super::decode::{UNKNOWN_COMM, endpoint, owner, protocol, source};
use super::event::{FlowKey, MountNamespace, Owner};
use super::listing::Listed;
use super::skel::types;
use super::socket_diag;
use super::tables::{Table, Tables, flow_key_bytes, raw_peer};
use crate::model::{Endpoint, Protocol};

/// EGRETS_SHARES and SUBORDINATE_IDS of bpf/share.h.
const SHARES: u32 = types::egrets_size::EGRETS_SHARES.0;
const SUBORDINATE_IDS: u32 = 16;

/// How the BPF programs treat a socket (enum egrets_sock_kind).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Tcp,
    /// What a process has of an MPTCP connection. Its paths are [`Kind::Tcp`].
    Mptcp,
    Udp,
    /// Another protocol, with headers that the kernel writes.
    Other,
    Raw,
}

/// A socket with a destination, or one that may get one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSocket {
    pub owner: Owner,
    /// Another process that has it: of those the one that started last.
    pub shared_pid: Option<u32>,
    pub cookie: u64,
    pub kind: Kind,
    pub protocol: Protocol,
    pub src: Option<Endpoint>,
    pub dst: Endpoint,
    /// TCP: a connection, not just an attempt.
    pub established: bool,
    /// SCTP: what it sends may be associations that begin only now.
    pub listening: bool,
    /// TCP: payload sent and received before.
    pub bytes: Option<(u64, u64)>,
    /// Whose table entry it is: bpf/share.h.
    pub share: u32,
}

impl Capture {
    /// Creates entries for the sockets that were open before the hooks were attached, and
    /// returns them: TCP connections that were not accepted, UDP sockets that are connected,
    /// and those of other protocols. With them come those of no process, which have entries.
    ///
    /// # Errors
    /// The iterator can't be read.
    pub fn adopt_open_sockets(&mut self) -> Result<Vec<OpenSocket>> {
        let found = outgoing(&self.tables.open_socks()?);
        let mut adopted: Vec<OpenSocket> = Vec::new();
        for socket in found {
            if self.adopt(&socket) {
                adopted.push(socket);
            }
        }
        // The entry of one that was closed meanwhile would never be deleted.
        let open = self.tables.open_socks()?;
        self.tables.forget_listed();
        let still: HashSet<u64> = open
            .iter()
            .map(|listed| &listed.raw)
            .filter(|raw| !is_closed(raw))
            .map(|raw| raw.cookie)
            .collect();
        adopted.retain(|socket| {
            let open = still.contains(&socket.cookie);
            if !open {
                self.disown(socket);
            }
            open
        });
        adopted.append(&mut self.unowned);
        let tcp = adopted.iter().filter(|socket| socket.kind == Kind::Tcp);
        for socket in tcp {
            self.counters.track_tcp(socket.cookie);
            self.older.insert(socket.cookie);
        }
        self.detach_unneeded();
        Ok(adopted)
    }

    /// False if a hook has created the entry before.
    pub(super) fn adopt(&mut self, socket: &OpenSocket) -> bool {
        let end = raw_peer(socket.flow());
        let is_udp = socket.kind == Kind::Udp;
        let is_unowned = socket.owner.pid == 0;
        let kind = match socket.kind {
            Kind::Tcp | Kind::Mptcp | Kind::Udp => types::egrets_sock_kind::EGRETS_PLAIN,
            Kind::Other => types::egrets_sock_kind::EGRETS_OTHER,
            Kind::Raw => types::egrets_sock_kind::EGRETS_RAW,
        };
        let sock = types::egrets_sock {
            owner: raw_owner(&socket.owner),
            last_dst: end,
            newest_flow: end,
            flow_count: is_udp.into(),
            kind: kind.0 as u8,
            dns: self.dns_ports.contains(&socket.dst.port).into(),
            established: socket.established.into(),
            share: socket.share as u16,
            unowned: is_unowned.into(),
            shared_tgid: socket.shared_pid.unwrap_or_default(),
            ..Default::default()
        };
        // SAFETY: plain data without padding: pads are fields.
        let value = unsafe { plain::as_bytes(&sock) };
        let key = socket.cookie.to_ne_bytes();
        let maps = &self.tables.skel.maps;
        if !self.tables.take_share(
            Table::Socks,
            socket.share,
            max(types::egrets_size::EGRETS_SOCKS),
        ) {
            return false;
        }
        let created = maps.socks.update(&key, value, MapFlags::NO_EXIST);
        if created.is_ok() && is_unowned {
            self.tables.add_unowned();
        }
        if created.is_err() {
            self.tables.give_back(Table::Socks, socket.share);
        }
        let has_room = |flows| self.tables.take_share(Table::Flows, socket.share, flows);
        if created.is_ok() && is_udp && has_room(max(types::egrets_size::EGRETS_FLOWS)) {
            let flow = types::egrets_flow {
                state: types::egrets_flow_state::FLOW_PENDING.0,
                share: socket.share as u16,
                ..Default::default()
            };
            // SAFETY: as above.
            let value = unsafe { plain::as_bytes(&flow) };
            let key = flow_key_bytes(socket.flow());
            if maps.flows.update(&key, value, MapFlags::NO_EXIST).is_err() {
                self.tables.give_back(Table::Flows, socket.share);
            }
        }
        created.is_ok()
    }

    fn disown(&mut self, socket: &OpenSocket) {
        self.tables.delete_sock(socket.cookie);
        self.tables.end_flow(socket.flow(), None);
    }
}

impl OpenSocket {
    /// The flow to the address that it is connected to.
    fn flow(&self) -> FlowKey {
        FlowKey {
            cookie: self.cookie,
            protocol: self.protocol,
            dst: self.dst,
            route: 0,
        }
    }
}

/// Entries of a table.
fn max(size: types::egrets_size) -> u32 {
    size.0
}

/// Makes the kernel assign a cookie to each socket that has none. Later, egrets has not the
/// privileges for it.
///
/// # Errors
/// The sockets can't be listed.
pub(super) fn assign_cookies(tables: &mut Tables) -> Result<()> {
    let open = tables.open_socks()?;
    let (paths, files): (Vec<_>, Vec<_>) = open
        .iter()
        .filter(|listed| listed.raw.cookie == 0)
        .partition(|listed| listed.raw.is_path != 0);
    for listed in files {
        let _ = copy_of(listed).map(socket_cookie);
    }
    if !paths.is_empty() {
        socket_diag::assign_cookies(paths.into_iter().filter_map(|listed| {
            let raw = &listed.raw;
            let ends = [&raw.src, &raw.dst].map(|end| (end.addr, end.port));
            Some((copy_of(listed)?, ends))
        }));
    }
    Ok(())
}

/// The socket, or that of whose connection it is a path, through a copy of a process' descriptor.
/// One that all its processes have closed meanwhile needs none.
pub(super) fn copy_of(listed: &Listed) -> Option<OwnedFd> {
    let copy_from = |pid: u32, fd: u32, flags| {
        let process = pidfd_open(Pid::from_raw(pid as i32)?, flags).ok()?;
        pidfd_getfd(&process, fd as i32, PidfdGetfdFlags::empty()).ok()
    };
    // The first thread may have ended. PIDFD_THREAD: Linux 6.9.
    let thread = PidfdFlags::from_bits_retain(libc::O_EXCL as u32);
    let mut holders = std::iter::once(listed.holder()).chain(listed.other);
    holders.find_map(|holder| {
        let copy = copy_from(holder.tgid, holder.fd, PidfdFlags::empty())
            .or_else(|| copy_from(holder.tid, holder.fd, thread))?;
        let stat = rustix::fs::fstat(&copy).ok()?;
        (stat.st_ino == listed.raw.inode).then_some(copy)
    })
}

fn kind(raw: &types::egrets_open_sock) -> Kind {
    match (raw.sock_type.into(), raw.protocol.into()) {
        (libc::SOCK_STREAM, libc::IPPROTO_TCP) => Kind::Tcp,
        (libc::SOCK_STREAM, libc::IPPROTO_MPTCP) => Kind::Mptcp,
        (libc::SOCK_DGRAM, libc::IPPROTO_UDP) => Kind::Udp,
        (libc::SOCK_RAW, _) => Kind::Raw,
        _ => Kind::Other,
    }
}

/// A connection that has ended, or a socket without one. Its process may have it still.
fn is_closed(raw: &types::egrets_open_sock) -> bool {
    matches!(kind(raw), Kind::Tcp | Kind::Mptcp)
        && raw.state == types::bpf_tcp_state::BPF_TCP_CLOSE.0
}

/// The sockets that lead out, or may, each with the process that it most likely is of.
fn outgoing(all: &[Listed]) -> Vec<OpenSocket> {
    // SCTP has the same states (include/net/sctp/constants.h).
    use types::bpf_tcp_state as state;
    const ESTABLISHED: u32 = state::BPF_TCP_ESTABLISHED.0;
    const SYN_SENT: u32 = state::BPF_TCP_SYN_SENT.0;
    const LISTEN: u32 = state::BPF_TCP_LISTEN.0;
    let port = |raw: &types::egrets_open_sock| {
        let protocol = match kind(raw) {
            Kind::Mptcp => libc::IPPROTO_TCP as u16,
            _ => raw.protocol,
        };
        (raw.owner.netns, protocol, raw.src.port)
    };
    // An accepted connection has the port that its server listens on.
    let served: HashSet<(u32, u16, u16)> = all
        .iter()
        .map(|listed| &listed.raw)
        .filter(|raw| raw.state == LISTEN)
        .map(port)
        .collect();
    let leads_out = |raw: &types::egrets_open_sock| {
        let comes_in = served.contains(&port(raw)) && raw.dialled == 0;
        match kind(raw) {
            Kind::Tcp => raw.dst.port != 0 && raw.state != LISTEN && !is_closed(raw) && !comes_in,
            // One that was accepted may open paths of its own.
            Kind::Mptcp => raw.state != LISTEN && !is_closed(raw),
            Kind::Udp => raw.dst.port != 0 && raw.state == ESTABLISHED,
            // A listening SCTP socket can open associations, too.
            Kind::Other => !comes_in || raw.state == LISTEN,
            Kind::Raw => true,
        }
    };
    let is_older = |raw: &types::egrets_open_sock| raw.cookie != 0 && raw.known == 0;
    let sockets = all.iter().filter_map(|listed| {
        let raw = &listed.raw;
        if !is_older(raw) || !leads_out(raw) {
            return None;
        }
        let kind = kind(raw);
        let mut socket = OpenSocket {
            owner: owner(&raw.owner),
            shared_pid: listed.shared_pid(),
            cookie: raw.cookie,
            kind,
            protocol: protocol(raw.protocol),
            src: source(&raw.src),
            dst: endpoint(&raw.dst),
            established: kind == Kind::Tcp && raw.state != SYN_SENT,
            listening: raw.state == LISTEN,
            bytes: (raw.has_bytes != 0).then_some((raw.tx_bytes, raw.rx_bytes)),
            share: raw.share,
        };
        if !listed.is_of_its_creator() {
            match (kind, raw.sock_type.into()) {
                // its paths belong to who uses them
                (Kind::Mptcp, _) => return None,
                (Kind::Tcp, _) => {
                    socket.owner = unknown_owner(raw.creator, raw.cgroup_id, raw.owner.netns);
                    socket.shared_pid = Some(raw.owner.tgid);
                    socket.share = share_of(raw.creator);
                }
                // adopt_sender of bpf/sock.h: with its first datagram
                (_, libc::SOCK_DGRAM | libc::SOCK_RAW) => return None,
                _ => {}
            }
        }
        Some(socket)
    });
    sockets.collect()
}

/// As `fill_unknown_owner` of bpf/owner.h: of a socket's creator.
pub(super) fn unknown_owner(uid: u32, cgroup_id: u64, netns: u32) -> Owner {
    Owner {
        pid: 0,
        tid: 0,
        uid,
        euid: uid,
        login_uid: None,
        start_ns: 0,
        exec_id: 0,
        cgroup_id,
        netns,
        netns_cookie: 0,
        mntns: MountNamespace::default(),
        foreign: true,
        comm: UNKNOWN_COMM.into(),
    }
}

/// As `share_of_uid` of bpf/share.h.
pub(super) fn share_of(uid: u32) -> u32 {
    let id = match uid >> SUBORDINATE_IDS {
        0 => uid,
        range => SHARES / 2 + range,
    };
    match id % SHARES {
        // root's alone
        0 if id != 0 => SHARES - 1,
        id => id,
    }
}

const NO_LOGIN: types::egrets_login = types::egrets_login::EGRETS_NO_LOGIN;

fn raw_owner(owner: &Owner) -> types::egrets_owner {
    let mut comm = [0; types::egrets_size::EGRETS_COMM_LEN.0 as usize];
    for (to, from) in comm.iter_mut().zip(owner.comm.bytes()) {
        *to = from;
    }
    types::egrets_owner {
        start_ns: owner.start_ns,
        exec_id: owner.exec_id,
        cgroup_id: owner.cgroup_id,
        netns_cookie: owner.netns_cookie,
        tgid: owner.pid,
        tid: owner.tid,
        uid: owner.uid,
        euid: owner.euid,
        login_uid: owner.login_uid.unwrap_or(NO_LOGIN.0),
        netns: owner.netns,
        mntns_id: owner.mntns.id,
        mntns: owner.mntns.inode,
        foreign: owner.foreign.into(),
        comm,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::listing::Listing;

    fn raw(
        cookie: u64,
        kind: (i32, i32),
        state: u32,
        ports: (u16, u16),
    ) -> types::egrets_open_sock {
        let end = |port| types::egrets_endpoint {
            addr: crate::model::mapped([192, 0, 2, 1].into()),
            port,
            ..Default::default()
        };
        types::egrets_open_sock {
            cookie,
            sock_type: kind.0 as u16,
            protocol: kind.1 as u16,
            state,
            src: end(ports.0),
            dst: end(ports.1),
            ..Default::default()
        }
    }

    fn listing(all: impl IntoIterator<Item = types::egrets_open_sock>) -> Vec<Listed> {
        let mut listing = Listing::default();
        all.into_iter().for_each(|raw| listing.add(raw));
        listing.into_sockets()
    }

    #[test]
    fn owner_survives_a_round_trip_through_the_socket_map() {
        for login_uid in [NO_LOGIN.0, 0, 1000] {
            let raw = types::egrets_owner {
                start_ns: 1,
                exec_id: 2,
                cgroup_id: 3,
                netns_cookie: 4,
                mntns_id: 5,
                tgid: 6,
                tid: 7,
                uid: 8,
                netns: 9,
                mntns: 10,
                foreign: 1,
                euid: 0,
                login_uid,
                comm: *b"curl\0\0\0\0\0\0\0\0\0\0\0\0",
            };
            let read = owner(&raw);
            assert_eq!(read.login_uid.is_none(), login_uid == NO_LOGIN.0);
            assert_eq!(owner(&raw_owner(&read)), read);
        }
    }

    #[test]
    fn owner_of_a_socket_with_several_holders_is_the_first_of_its_creators_processes() {
        let held = |pid: u32, uid: u32, start_ns: u64| {
            let tcp = (libc::SOCK_STREAM, libc::IPPROTO_TCP);
            let mut raw = raw(1, tcp, 1, (40_000, 443));
            raw.creator = 1000;
            (raw.owner.tgid, raw.owner.uid, raw.owner.euid) = (pid, uid, uid);
            raw.owner.start_ns = start_ns;
            raw
        };
        // (pid, user, start); the owner, the other
        for (holders, pid, shared) in [
            // a pid says nothing of when a process started
            (&[(7, 1000, 9), (8, 1000, 3)][..], 8, Some(7)),
            (&[(7, 4, 1), (8, 1000, 3), (9, 1000, 5)], 8, Some(9)),
            (&[(7, 0, 1), (8, 1000, 3)], 8, Some(7)),
            (&[(7, 4, 1), (8, 0, 3)], 8, Some(7)),
            (&[(1, 0, 1), (8, 0, 3)], 8, Some(1)),
            (&[(1, 0, 1)], 1, None),
            (&[(7, 4, 1), (8, 5, 3)], 0, Some(7)),
        ] {
            let all = holders.iter().map(|h| held(h.0, h.1, h.2));
            let found = outgoing(&listing(all));
            let found: Vec<_> = found.iter().map(|s| (s.owner.pid, s.shared_pid)).collect();
            assert_eq!(found, [(pid, shared)], "{holders:?}");
        }
    }

    #[test]
    fn only_sockets_that_may_lead_out_are_adopted_once_each() {
        let tcp = (libc::SOCK_STREAM, libc::IPPROTO_TCP);
        let udp = (libc::SOCK_DGRAM, libc::IPPROTO_UDP);
        let sctp = (libc::SOCK_STREAM, libc::IPPROTO_SCTP);
        let raw_tcp = (libc::SOCK_RAW, libc::IPPROTO_TCP);
        let mptcp = (libc::SOCK_STREAM, libc::IPPROTO_MPTCP);
        // A hook has reported it: its end may have deleted the entry since.
        let mut seen = raw(16, tcp, 1, (40_006, 443));
        seen.known = 1;
        // its process listens on its port, too
        let mut dialled = raw(17, tcp, 1, (80, 50_003));
        dialled.dialled = 1;
        let all = [
            raw(1, tcp, 10, (80, 0)),         // a server
            raw(2, tcp, 1, (80, 50_000)),     // its client's connection
            raw(3, tcp, 1, (40_000, 443)),    // out
            raw(3, tcp, 1, (40_000, 443)),    // the same, inherited
            raw(4, tcp, 2, (40_001, 443)),    // an attempt
            raw(5, tcp, 7, (0, 0)),           // not used yet
            raw(6, udp, 1, (40_002, 53)),     // a resolver's
            raw(7, udp, 7, (5353, 0)),        // not connected
            raw(0, udp, 1, (40_003, 53)),     // without a cookie
            raw(8, sctp, 10, (80, 0)),        // a server, which may also connect
            raw(9, sctp, 1, (80, 50_001)),    // its client's association
            raw(10, sctp, 1, (40_004, 5)),    // out
            raw(11, raw_tcp, 7, (6, 0)),      // may write anything
            raw(12, mptcp, 1, (40_005, 443)), // whose path is
            raw(13, tcp, 1, (40_005, 443)),
            raw(14, mptcp, 10, (81, 0)), // a server, and a path that it accepted
            raw(15, tcp, 1, (81, 50_002)),
            seen,
            dialled,
        ];
        let mut taken: Vec<(u64, bool)> = outgoing(&listing(all))
            .iter()
            .map(|s| (s.cookie, s.established))
            .collect();
        taken.sort_unstable();
        assert_eq!(
            taken,
            [
                (3, true),
                (4, false),
                (6, false),
                (8, false),
                (10, false),
                (11, false),
                (12, false),
                (13, true),
                (17, true)
            ]
        );
    }
}
