//! The ends of packet sockets, which no hook tells of: each sender is looked for among the
//! files of the processes that were seen to use it.

use std::collections::HashSet;
use std::time::Duration;

use libbpf_rs::{MapCore, MapFlags};
use procfs::ProcError;
use procfs::process::{FDTarget, Process};

use super::Capture;
use super::event::{self, FlowEnd};
use super::preflight::Namespace;
use super::skel::types;

/// EGRETS_SENDER, bpf/egrets.h.
const SENDER: u64 = 1 << 63;
/// After which a sender has ended whose process can't be looked at.
const IDLE: Duration = Duration::from_secs(60);

impl Capture {
    /// Ends the flows of the packet sockets that are closed by `now_ns`, since boot, and
    /// were so the last time, which `noticed` keeps: what they sent last may be in the ring
    /// buffer still.
    pub fn end_closed_senders(&mut self, now_ns: u64, noticed: &mut HashSet<u64>) -> Vec<FlowEnd> {
        let keys: Vec<Vec<u8>> = self.skel.maps.senders.keys().collect();
        let mut ended = Vec::new();
        for key in keys {
            let Some((id, sender)) = self.sender(&key) else {
                continue;
            };
            let head = (sender.flows > 0).then(|| event::flow(id, &sender.head));
            let last_ns = head.and_then(|head| self.flow_bytes(head));
            let idle = last_ns.is_none_or(|bytes| {
                Duration::from_nanos(now_ns.saturating_sub(bytes.last_ns)) > IDLE
            });
            if is_open(id & !SENDER, &sender).unwrap_or(!idle) {
                continue;
            }
            if noticed.insert(id) {
                continue;
            }
            noticed.remove(&id);
            let other_pid = event::pid(sender.other_tgid);
            let flows = head.map(|head| self.end_flows(head)).unwrap_or_default();
            ended.extend(flows.into_iter().map(|(key, bytes)| FlowEnd {
                key,
                bytes,
                other_pid,
            }));
            let _ = self.skel.maps.senders.delete(&key);
        }
        ended
    }

    fn sender(&self, key: &[u8]) -> Option<(u64, types::egrets_sock)> {
        let id = u64::from_ne_bytes(key.try_into().ok()?);
        let senders = &self.skel.maps.senders;
        let value = senders.lookup(key, MapFlags::ANY).ok().flatten()?;
        let mut sender = types::egrets_sock::default();
        plain::copy_from_bytes(&mut sender, &value).ok()?;
        Some((id, sender))
    }
}

/// Whether a process that used the socket still has it. None where that can't be told.
fn is_open(inode: u64, sender: &types::egrets_sock) -> Option<bool> {
    if !Namespace::Pid.is_initial() {
        return None;
    }
    let holders = [sender.owner.tgid, sender.other_tgid];
    let mut known = true;
    for pid in holders.into_iter().filter(|pid| *pid != 0) {
        match Process::new(pid as i32).and_then(|process| process.fd()) {
            Ok(files) => {
                let is_it = |file: &procfs::process::FDInfo| matches!(file.target, FDTarget::Socket(of) if of == inode);
                if files.flatten().any(|file| is_it(&file)) {
                    return Some(true);
                }
            }
            Err(ProcError::NotFound(_)) => {}
            Err(_) => known = false,
        }
    }
    known.then_some(false)
}
