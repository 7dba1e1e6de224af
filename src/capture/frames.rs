//! The ends of packet sockets, which no hook tells of: each sender is looked for among the
//! files of the processes that were seen to use it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use libbpf_rs::MapCore;
use procfs::ProcError;
use procfs::process::{FDTarget, Process};

use super::Capture;
use super::event::{self, FlowEnd, FlowKey};
use super::preflight::Namespace;
use super::skel::types;

/// EGRETS_SENDER, bpf/egrets.h.
const SENDER: u64 = 1 << 63;
/// After which a sender has ended whose process can't be looked at.
const IDLE: Duration = Duration::from_secs(60);
/// Files looked at in one round: whoever has many must not hold up the reader.
const FILES: usize = 16_384;

/// What a round leaves to the next one.
#[derive(Debug, Default)]
pub struct Rounds {
    /// Found closed once.
    closed: HashSet<u64>,
    /// Which sender comes first, so that each one's turn comes.
    start: usize,
}

impl Capture {
    /// Ends the flows of the packet sockets that are closed by `now_ns`, since boot, and
    /// were so the last time: what they sent last may be in the ring buffer still.
    pub fn end_closed_senders(&mut self, now_ns: u64, rounds: &mut Rounds) -> Vec<FlowEnd> {
        let mut keys: Vec<Vec<u8>> = self.skel.maps.senders.keys().collect();
        let first = rounds.start.checked_rem(keys.len()).unwrap_or_default();
        keys.rotate_left(first);
        let mut holders = Holders::new(FILES);
        let mut ended = HashMap::new();
        rounds.start = 0;
        for (i, key) in keys.iter().enumerate() {
            let Some((id, sender)) = self.sender(key) else {
                continue;
            };
            let idle = Duration::from_nanos(now_ns.saturating_sub(sender.last_ts)) > IDLE;
            let is_open = holders.have(id & !SENDER, &sender.sock).unwrap_or(!idle);
            if holders.left == 0 && rounds.start == 0 {
                rounds.start = first + i.max(1);
            }
            if is_open {
                rounds.closed.remove(&id);
            } else if !rounds.closed.insert(id) {
                rounds.closed.remove(&id);
                let _ = self.skel.maps.senders.delete(key);
                ended.insert(id, event::pid(sender.sock.shared_tgid));
            }
        }
        self.end_frames(&ended)
    }

    /// Ends all flows of these senders, each with its other process.
    fn end_frames(&mut self, senders: &HashMap<u64, Option<u32>>) -> Vec<FlowEnd> {
        if senders.is_empty() {
            return Vec::new();
        }
        let keys: Vec<(FlowKey, Option<u32>)> = self
            .skel
            .maps
            .frames
            .keys()
            .filter_map(|bytes| {
                let mut key = types::egrets_flow_key::default();
                plain::copy_from_bytes(&mut key, &bytes).ok()?;
                let shared_pid = senders.get(&key.cookie)?;
                Some((event::flow(key.cookie, &key.peer), *shared_pid))
            })
            .collect();
        keys.into_iter()
            .filter_map(|(key, shared_pid)| self.end_flow(key, shared_pid))
            .map(|(end, _)| end)
            .collect()
    }

    fn sender(&self, key: &[u8]) -> Option<(u64, types::egrets_sender)> {
        let id = u64::from_ne_bytes(key.try_into().ok()?);
        Some((id, super::read(&self.skel.maps.senders, key)?))
    }
}

/// The sockets of the processes that use packet sockets, each read once in a round.
struct Holders {
    read: HashMap<u32, Sockets>,
    /// Files that may still be looked at.
    left: usize,
}

#[derive(Default)]
struct Sockets {
    inodes: HashSet<u64>,
    /// What there may be beside those.
    rest: Rest,
}

#[derive(Default, Clone, Copy)]
enum Rest {
    #[default]
    None,
    /// The process can't be looked at.
    Hidden,
    /// It has more files than there was time for.
    Unread,
}

impl Holders {
    fn new(left: usize) -> Holders {
        Holders {
            read: HashMap::new(),
            left,
        }
    }

    /// Whether a process that used the socket still has it, or may have it among those
    /// that are not read. None where that can't be told.
    fn have(&mut self, inode: u64, sock: &types::egrets_sock) -> Option<bool> {
        if !Namespace::Pid.is_initial() {
            return None;
        }
        let pids = [sock.owner.tgid, sock.shared_tgid];
        let mut known = true;
        for pid in pids.into_iter().filter(|pid| *pid != 0) {
            let left = &mut self.left;
            let sockets = self.read.entry(pid).or_insert_with(|| sockets(pid, left));
            match sockets.rest {
                _ if sockets.inodes.contains(&inode) => return Some(true),
                Rest::Unread => return Some(true),
                Rest::Hidden => known = false,
                Rest::None => {}
            }
        }
        known.then_some(false)
    }
}

/// Those of a process, of at most `left` files.
fn sockets(pid: u32, left: &mut usize) -> Sockets {
    let mut found = Sockets::default();
    match Process::new(pid as i32).and_then(|process| process.fd()) {
        Ok(files) => {
            for file in files {
                if *left == 0 {
                    found.rest = Rest::Unread;
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
        Err(_) => found.rest = Rest::Hidden,
    }
    found
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_socket_is_open_while_its_process_has_it_or_was_not_read_to_the_end() {
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
        assert_eq!(have(FILES), Some(true));
        drop(socket);
        assert_eq!(have(FILES), Some(false));
        assert_eq!(have(1), Some(true), "it may be one of the others");
    }
}
