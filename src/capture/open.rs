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

use super::event::{Carried, Owner, endpoint, owner, source};
use super::skel::types;
use super::{Capture, flow_key};
use crate::record::{Endpoint, Protocol};

/// A socket that leads to somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSocket {
    pub owner: Owner,
    pub cookie: u64,
    pub protocol: Protocol,
    pub src: Option<Endpoint>,
    pub dst: Endpoint,
    /// TCP: whether there is a connection, and not only an attempt.
    pub established: bool,
}

impl Capture {
    /// Enters the sockets that were open before the hooks were attached, and gives
    /// them: TCP connections that were not accepted from somebody, and UDP sockets
    /// that are connected.
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
        read_all(self.iterator.as_ref()).context("the list of open sockets can't be read")
    }

    /// What each TCP connection that is open has carried so far, by the kernel's own
    /// counters.
    ///
    /// # Errors
    /// The iterator can't be read.
    pub fn carried(&self) -> Result<Vec<Carried>> {
        let raw: Vec<types::egrets_carried> = read_all(self.carried.as_ref())
            .context("the bytes of open connections can't be read")?;
        let carried = raw.iter().map(|raw| Carried {
            cookie: raw.cookie,
            tx: raw.tx_bytes,
            rx: raw.rx_bytes,
        });
        Ok(carried.collect())
    }

    /// Whether it was entered: not where a hook has been quicker.
    fn adopt(&mut self, socket: &OpenSocket) -> bool {
        let end = types::egrets_endpoint {
            addr: crate::record::mapped(socket.dst.ip),
            port: socket.dst.port,
            ..Default::default()
        };
        let is_udp = socket.protocol == Protocol::Udp;
        let sock = types::egrets_sock {
            owner: raw_owner(&socket.owner),
            last: end,
            head: end,
            flows: is_udp.into(),
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
            let key = flow_key(socket.cookie, socket.dst);
            let _ = self.skel.maps.flows.update(&key, value, MapFlags::NO_EXIST);
        }
        entered.is_ok()
    }

    fn disown(&mut self, socket: &OpenSocket) {
        let maps = &self.skel.maps;
        let _ = maps.socks.delete(&socket.cookie.to_ne_bytes());
        let _ = maps.flows.delete(&flow_key(socket.cookie, socket.dst));
    }
}

/// All that an iterator writes; nothing where this kernel has it not.
fn read_all<T: plain::Plain + Default>(iterator: Option<&Link>) -> Result<Vec<T>> {
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

/// The sockets that lead out, each with the first process that has it.
fn outgoing(all: &[types::egrets_open]) -> Vec<OpenSocket> {
    const TCP: u8 = libc::IPPROTO_TCP as u8;
    // TCP states, include/net/tcp_states.h
    const ESTABLISHED: u32 = 1;
    const SYN_SENT: u32 = 2;
    const CLOSE: u32 = 7;
    const LISTEN: u32 = 10;
    // A connection that comes in has the port that its server listens on.
    let served: HashSet<(u32, u16)> = all
        .iter()
        .filter(|raw| raw.protocol == TCP && raw.state == LISTEN)
        .map(|raw| (raw.owner.netns, raw.src.port))
        .collect();
    let mut found: HashMap<u64, OpenSocket> = HashMap::new();
    for raw in all.iter().filter(|raw| raw.cookie != 0) {
        let is_tcp = raw.protocol == TCP;
        let comes_in = served.contains(&(raw.owner.netns, raw.src.port));
        if raw.dst.port == 0
            || is_tcp && (matches!(raw.state, LISTEN | CLOSE) || comes_in)
            || !is_tcp && raw.state != ESTABLISHED
        {
            continue;
        }
        found.entry(raw.cookie).or_insert_with(|| OpenSocket {
            owner: owner(&raw.owner),
            cookie: raw.cookie,
            protocol: if is_tcp { Protocol::Tcp } else { Protocol::Udp },
            src: source(&raw.src),
            dst: endpoint(&raw.dst),
            established: is_tcp && raw.state != SYN_SENT,
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
        netns: owner.netns,
        mntns_id: owner.mntns.id,
        mntns: owner.mntns.inode,
        comm,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(cookie: u64, protocol: i32, state: u32, ports: (u16, u16)) -> types::egrets_open {
        let end = |port| types::egrets_endpoint {
            addr: crate::record::mapped([192, 0, 2, 1].into()),
            port,
            ..Default::default()
        };
        types::egrets_open {
            cookie,
            protocol: protocol as u8,
            state,
            src: end(ports.0),
            dst: end(ports.1),
            ..Default::default()
        }
    }

    #[test]
    fn only_what_leads_out_is_taken_and_once() {
        let (tcp, udp) = (libc::IPPROTO_TCP, libc::IPPROTO_UDP);
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
        ];
        let mut taken: Vec<(u64, bool)> = outgoing(&all)
            .iter()
            .map(|s| (s.cookie, s.established))
            .collect();
        taken.sort_unstable();
        assert_eq!(taken, [(3, true), (4, false), (6, false)]);
    }
}
