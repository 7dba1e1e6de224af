//! What is read from iterators: the bytes of open TCP connections, and the sockets
//! that were open before egrets. The kernel lists them with their processes,
//! in every namespace; those that lead out are entered where connect would have
//! entered them, so that their packets and their end find their owner.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use libbpf_rs::{Iter, Link, MapCore, MapFlags};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::event::{FlowKey, NO_LOGIN, Owner, TcpCounters, endpoint, owner, source};
use super::skel::types;
use super::{Capture, flow_key, raw_peer};
use crate::model::{Endpoint, Protocol};

/// What the kernel side does with a socket (enum egrets_sock_kind).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Tcp,
    Udp,
    /// Another one whose headers the kernel writes.
    Other,
    Raw,
}

/// A socket that leads to somewhere, or may do so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSocket {
    pub owner: Owner,
    pub cookie: u64,
    pub kind: Kind,
    pub protocol: Protocol,
    pub src: Option<Endpoint>,
    pub dst: Endpoint,
    /// TCP: whether there is a connection, and not only an attempt.
    pub established: bool,
}

impl Capture {
    /// Enters the sockets that were open before the hooks were attached, and gives
    /// them: TCP connections that were not accepted from somebody, UDP sockets that are
    /// connected, and those of other protocols.
    ///
    /// # Errors
    /// The iterator can't be read.
    pub fn adopt_open_sockets(&mut self) -> Result<Vec<OpenSocket>> {
        for raw in self.read_open()?.iter().filter(|raw| raw.cookie == 0) {
            make_cookie(raw);
        }
        let found = outgoing(&self.read_open()?);
        let mut adopted: Vec<OpenSocket> = Vec::new();
        for socket in found {
            if self.adopt(&socket) {
                adopted.push(socket);
            }
        }
        // One that was closed before it was entered would stay for ever.
        let still: HashSet<u64> = self.read_open()?.iter().map(|raw| raw.cookie).collect();
        adopted.retain(|socket| {
            let open = still.contains(&socket.cookie);
            if !open {
                self.disown(socket);
            }
            open
        });
        Ok(adopted)
    }

    fn read_open(&self) -> Result<Vec<types::egrets_open>> {
        read_all(self.iterators.files.as_ref()).context("the list of open sockets can't be read")
    }

    /// What each TCP connection that is open has carried so far, by the kernel's own
    /// counters.
    ///
    /// # Errors
    /// The iterator can't be read.
    pub fn carried(&self) -> Result<Vec<TcpCounters>> {
        let raw = self.read_owners()?;
        let carried = raw
            .iter()
            .filter(|raw| raw.gone == 0)
            .map(|raw| TcpCounters {
                cookie: raw.cookie,
                tx: raw.tx_bytes,
                rx: raw.rx_bytes,
            });
        Ok(carried.collect())
    }

    pub(super) fn read_owners(&self) -> Result<Vec<types::egrets_tcp_counters>> {
        let owners = self.iterators.owners.as_ref();
        read_all(owners).context("the bytes of open connections can't be read")
    }

    /// Whether it was entered: not where a hook has been quicker.
    fn adopt(&mut self, socket: &OpenSocket) -> bool {
        let end = raw_peer(socket.flow());
        let is_udp = socket.kind == Kind::Udp;
        let kind = match socket.kind {
            Kind::Tcp | Kind::Udp => types::egrets_sock_kind::EGRETS_PLAIN,
            Kind::Other => types::egrets_sock_kind::EGRETS_OTHER,
            Kind::Raw => types::egrets_sock_kind::EGRETS_RAW,
        };
        let sock = types::egrets_sock {
            owner: raw_owner(&socket.owner),
            last: end,
            head: end,
            flows: is_udp.into(),
            kind: kind.0 as u8,
            dns: self.dns_ports.contains(&socket.dst.port).into(),
            established: socket.established.into(),
            ..Default::default()
        };
        // SAFETY: plain data; what padding there is are fields of its own.
        let value = unsafe { plain::as_bytes(&sock) };
        let key = socket.cookie.to_ne_bytes();
        let entered = self.skel.maps.socks.update(&key, value, MapFlags::NO_EXIST);
        if entered.is_ok() && is_udp {
            let flow = types::egrets_flow::default(); // EGRETS_FLOW_NOTED
            // SAFETY: as above.
            let value = unsafe { plain::as_bytes(&flow) };
            let key = flow_key(socket.flow());
            let _ = self.skel.maps.flows.update(&key, value, MapFlags::NO_EXIST);
        }
        entered.is_ok()
    }

    fn disown(&mut self, socket: &OpenSocket) {
        let maps = &self.skel.maps;
        let _ = maps.socks.delete(&socket.cookie.to_ne_bytes());
        let _ = maps.flows.delete(&flow_key(socket.flow()));
    }
}

impl OpenSocket {
    /// The flow to where it is connected.
    fn flow(&self) -> FlowKey {
        FlowKey {
            cookie: self.cookie,
            protocol: self.protocol,
            dst: self.dst,
        }
    }
}

/// All that an iterator writes; nothing where this kernel has it not.
pub(super) fn read_all<T: plain::Plain + Default>(iterator: Option<&Link>) -> Result<Vec<T>> {
    let Some(link) = iterator else {
        return Ok(Vec::new());
    };
    let mut bytes = Vec::new();
    Iter::new(link)?.read_to_end(&mut bytes)?;
    let records = bytes.chunks_exact(size_of::<T>());
    Ok(records
        .filter_map(|record| {
            let mut raw = T::default();
            plain::copy_from_bytes(&mut raw, record).ok()?;
            Some(raw)
        })
        .collect())
}

/// Asks for the socket's cookie, which makes the kernel give it one: getsockopt
/// through a copy of its process' descriptor. Who is gone meanwhile needs none.
fn make_cookie(raw: &types::egrets_open) {
    let ask = || -> Option<u64> {
        let pid = Pid::from_raw(raw.owner.tgid as i32)?;
        let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        let copy = pidfd_getfd(&process, raw.fd as i32, PidfdGetfdFlags::empty()).ok()?;
        let stat = rustix::fs::fstat(&copy).ok()?;
        (stat.st_ino == raw.inode)
            .then(|| rustix::net::sockopt::socket_cookie(copy.as_fd()).ok())
            .flatten()
    };
    ask();
}

/// None of MPTCP.
fn kind(raw: &types::egrets_open) -> Option<Kind> {
    const MPTCP: i32 = 262;
    match (raw.sock_type.into(), raw.protocol.into()) {
        (libc::SOCK_STREAM, libc::IPPROTO_TCP) => Some(Kind::Tcp),
        (libc::SOCK_DGRAM, libc::IPPROTO_UDP) => Some(Kind::Udp),
        (libc::SOCK_STREAM, MPTCP) => None,
        (libc::SOCK_RAW, _) => Some(Kind::Raw),
        _ => Some(Kind::Other),
    }
}

/// The sockets that lead out, each with the first process that has it.
fn outgoing(all: &[types::egrets_open]) -> Vec<OpenSocket> {
    // TCP states, include/net/tcp_states.h; SCTP and DCCP have the same
    const ESTABLISHED: u32 = 1;
    const SYN_SENT: u32 = 2;
    const CLOSE: u32 = 7;
    const LISTEN: u32 = 10;
    // A connection that comes in has the port that its server listens on.
    let served: HashSet<(u32, u16, u16)> = all
        .iter()
        .filter(|raw| raw.state == LISTEN)
        .map(|raw| (raw.owner.netns, raw.protocol, raw.src.port))
        .collect();
    let mut found: HashMap<u64, OpenSocket> = HashMap::new();
    for raw in all.iter().filter(|raw| raw.cookie != 0) {
        let comes_in = served.contains(&(raw.owner.netns, raw.protocol, raw.src.port));
        let leads_out = match kind(raw) {
            Some(Kind::Tcp) => {
                raw.dst.port != 0 && !matches!(raw.state, LISTEN | CLOSE) && !comes_in
            }
            Some(Kind::Udp) => raw.dst.port != 0 && raw.state == ESTABLISHED,
            Some(Kind::Other) => !comes_in,
            Some(Kind::Raw) => true,
            None => false,
        };
        let Some(kind) = kind(raw).filter(|_| leads_out) else {
            continue;
        };
        found.entry(raw.cookie).or_insert_with(|| OpenSocket {
            owner: owner(&raw.owner),
            cookie: raw.cookie,
            kind,
            protocol: Protocol::of(raw.protocol),
            src: source(&raw.src),
            dst: endpoint(&raw.dst),
            established: kind == Kind::Tcp && raw.state != SYN_SENT,
        });
    }
    found.into_values().collect()
}

fn raw_owner(owner: &Owner) -> types::egrets_owner {
    let mut comm = [0; 16];
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
        login_uid: owner.login_uid.unwrap_or(NO_LOGIN),
        netns: owner.netns,
        mntns_id: owner.mntns.id,
        mntns: owner.mntns.inode,
        comm,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(cookie: u64, kind: (i32, i32), state: u32, ports: (u16, u16)) -> types::egrets_open {
        let end = |port| types::egrets_endpoint {
            addr: crate::model::mapped([192, 0, 2, 1].into()),
            port,
            ..Default::default()
        };
        types::egrets_open {
            cookie,
            sock_type: kind.0 as u16,
            protocol: kind.1 as u16,
            state,
            src: end(ports.0),
            dst: end(ports.1),
            ..Default::default()
        }
    }

    #[test]
    fn an_owner_is_the_same_when_it_is_entered() {
        for login_uid in [NO_LOGIN, 0, 1000] {
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
                login_uid,
                comm: *b"curl\0\0\0\0\0\0\0\0\0\0\0\0",
            };
            let read = owner(&raw);
            assert_eq!(read.login_uid.is_none(), login_uid == NO_LOGIN);
            assert_eq!(owner(&raw_owner(&read)), read);
        }
    }

    #[test]
    fn only_what_leads_out_is_taken_and_once() {
        let tcp = (libc::SOCK_STREAM, libc::IPPROTO_TCP);
        let udp = (libc::SOCK_DGRAM, libc::IPPROTO_UDP);
        let sctp = (libc::SOCK_STREAM, libc::IPPROTO_SCTP);
        let raw_tcp = (libc::SOCK_RAW, libc::IPPROTO_TCP);
        let all = [
            raw(1, tcp, 10, (80, 0)),      // a server
            raw(2, tcp, 1, (80, 50_000)),  // its client's connection
            raw(3, tcp, 1, (40_000, 443)), // out
            raw(3, tcp, 1, (40_000, 443)), // the same, inherited
            raw(4, tcp, 2, (40_001, 443)), // an attempt
            raw(5, tcp, 7, (0, 0)),        // not used yet
            raw(6, udp, 1, (40_002, 53)),  // a resolver's
            raw(7, udp, 7, (5353, 0)),     // not connected
            raw(0, udp, 1, (40_003, 53)),  // without a cookie
            raw(8, sctp, 10, (80, 0)),     // a server
            raw(9, sctp, 1, (80, 50_001)), // its client's association
            raw(10, sctp, 1, (40_004, 5)), // out
            raw(11, raw_tcp, 7, (6, 0)),   // may write anything
        ];
        let mut taken: Vec<(u64, bool)> = outgoing(&all)
            .iter()
            .map(|s| (s.cookie, s.established))
            .collect();
        taken.sort_unstable();
        assert_eq!(
            taken,
            [(3, true), (4, false), (6, false), (10, false), (11, false)]
        );
    }
}
