//! Ends of packet sockets, which no hook reports: each is looked for among the files of the
//! processes that used it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use libbpf_rs::MapCore;
use procfs::ProcError;
use procfs::process::{FDTarget, Process};

use crate::capture::decode;
use crate::capture::event::{FlowEnd, FlowKey};
use crate::capture::preflight::Namespace;
use crate::capture::skel::types;
use crate::capture::tables::{Tables, read};

/// PACKET_SOCK_ID, bpf/egrets.h.
const PACKET_SOCK_ID: u64 = 1 << types::egrets_packet_sock_id::EGRETS_PACKET_SOCK_BIT.0;
/// A socket whose process can't be inspected ends after this time without traffic.
const IDLE: Duration = Duration::from_secs(60);
/// Files inspected in one round, so that a process with many does not stall the reader.
const MAX_FILES: usize = 16_384;

/// What a round leaves to the next one.
#[derive(Debug, Default)]
pub struct PacketSockets {
    /// Found closed once.
    closed: HashSet<u64>,
    /// Index of the socket that comes first, so that each has its turn.
    start: usize,
}

impl PacketSockets {
    /// Ends the flows of the sockets that are closed at `now_ns`, since boot, and were so in
    /// the last round: the report of their last frame may still be in the ring buffer.
    pub fn end_closed(&mut self, tables: &Tables, now_ns: u64) -> Vec<FlowEnd> {
        let packet_socks = &tables.skel.maps.packet_socks;
        let mut keys: Vec<Vec<u8>> = packet_socks.keys().collect();
        let first = self.start.checked_rem(keys.len()).unwrap_or_default();
        keys.rotate_left(first);
        let mut holders = Holders::new(MAX_FILES);
        let mut ended = HashMap::new();
        self.start = 0;
        for (i, key) in keys.iter().enumerate() {
            let Some((id, socket)) = packet_sock(tables, key) else {
                continue;
            };
            let idle = Duration::from_nanos(now_ns.saturating_sub(socket.last_ts)) > IDLE;
            let inode = id & !PACKET_SOCK_ID;
            let is_open = holders.have(inode, &socket.sock).unwrap_or(!idle);
            if holders.left == 0 && self.start == 0 {
                self.start = first + i.max(1);
            }
            if is_open {
                self.closed.remove(&id);
            } else if !self.closed.insert(id) {
                self.closed.remove(&id);
                tables.delete_packet_sock(key, &socket.sock);
                ended.insert(id, decode::pid(socket.sock.shared_tgid));
            }
        }
        end_flows(tables, &ended)
    }
}

/// Ends all flows of these sockets, each with the other process that used the socket.
fn end_flows(tables: &Tables, sockets: &HashMap<u64, Option<u32>>) -> Vec<FlowEnd> {
    if sockets.is_empty() {
        return Vec::new();
    }
    let keys = tables.skel.maps.packet_flows.keys();
    let keys = keys.filter_map(|bytes| {
        let key: types::egrets_flow_key = decode::value(&bytes)?;
        let shared_pid = sockets.get(&key.cookie)?;
        Some((decode::flow_key(key.cookie, &key.peer), *shared_pid))
    });
    let keys: Vec<(FlowKey, Option<u32>)> = keys.collect(); // before any is deleted
    let ended = keys
        .into_iter()
        .filter_map(|(key, shared_pid)| tables.end_flow(key, shared_pid));
    ended.map(|(end, _)| end).collect()
}

fn packet_sock(tables: &Tables, key: &[u8]) -> Option<(u64, types::egrets_packet_sock)> {
    let id = u64::from_ne_bytes(key.try_into().ok()?);
    Some((id, read(&tables.skel.maps.packet_socks, key)?))
}

/// Sockets of the processes that use packet sockets, each process read once in a round.
struct Holders {
    read: HashMap<u32, Sockets>,
    /// Files that may still be inspected.
    left: usize,
}

#[derive(Default)]
struct Sockets {
    inodes: HashSet<u64>,
    others: Others,
}

/// Whether the process may have other sockets.
#[derive(Default, Clone, Copy)]
enum Others {
    #[default]
    None,
    /// The process can't be inspected.
    Hidden,
    /// It has more files than were inspected.
    Unread,
}

impl Holders {
    fn new(left: usize) -> Holders {
        Holders {
            read: HashMap::new(),
            left,
        }
    }

    /// Whether a process that used the socket still has it, or may have it among the files
    /// that were not inspected. None if that is unknown.
    fn have(&mut self, inode: u64, sock: &types::egrets_sock) -> Option<bool> {
        if !Namespace::Pid.is_initial() {
            return None;
        }
        let pids = [sock.owner.tgid, sock.shared_tgid];
        let mut known = true;
        for pid in pids.into_iter().filter(|pid| *pid != 0) {
            let left = &mut self.left;
            let sockets = self.read.entry(pid).or_insert_with(|| sockets(pid, left));
            match sockets.others {
                _ if sockets.inodes.contains(&inode) => return Some(true),
                Others::Unread => return Some(true),
                Others::Hidden => known = false,
                Others::None => {}
            }
        }
        known.then_some(false)
    }
}

/// Of a process, among at most `left` files.
fn sockets(pid: u32, left: &mut usize) -> Sockets {
    let mut found = Sockets::default();
    match Process::new(pid as i32).and_then(|process| process.fd()) {
        Ok(files) => {
            for file in files {
                if *left == 0 {
                    found.others = Others::Unread;
                    break;
                }
                *left -= 1;
                if let Ok(file) = file
                    && let FDTarget::Socket(inode) = file.target
                {
                    found.inodes.insert(inode);
                }
            }
        }
        Err(ProcError::NotFound(_)) => {}
        Err(_) => found.others = Others::Hidden,
    }
    found
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn socket_is_open_while_its_process_has_it_or_has_uninspected_files() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let link = std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap();
        let link = link.to_str().unwrap().to_owned();
        let inode: u64 = link["socket:[".len()..link.len() - 1].parse().unwrap();
        let sock = types::egrets_sock {
            owner: types::egrets_owner {
                tgid: std::process::id(),
                ..Default::default()
            },
            ..Default::default()
        };
        let have = |files| Holders::new(files).have(inode, &sock);
        assert_eq!(have(MAX_FILES), Some(true));
        drop(socket);
        assert_eq!(have(MAX_FILES), Some(false));
        assert_eq!(have(1), Some(true), "it may be one of the others");
    }
}
