//! Flows that a release left: the rest of a long list, and those of a closed socket whose
//! SCTP associations go on.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::capture::decode;
use crate::capture::event::{FlowEnd, FlowKey};
use crate::capture::skel::types;
use crate::capture::tables::{Tables, read};

/// How long a closed socket may wait for the end of its associations.
const LINGER: Duration = Duration::from_secs(300);
/// And how many sockets: beyond that the oldest ends.
const MAX_LINGERING: usize = 16_384;

/// A list of flows, from this one on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chain {
    first: FlowKey,
    shared_pid: Option<u32>,
}

#[derive(Debug, Default)]
pub struct Chains {
    /// To end now.
    released: Vec<Chain>,
    /// To end at that time, the earliest first.
    lingering: VecDeque<(Instant, Chain)>,
}

impl Chains {
    pub fn add(&mut self, first: FlowKey, shared_pid: Option<u32>, lingers: bool) {
        let chain = Chain { first, shared_pid };
        match lingers {
            true => self.lingering.push_back((Instant::now() + LINGER, chain)),
            false => self.released.push(chain),
        }
    }

    /// Deletes the flows that are due, each with its last counters.
    pub fn end(&mut self, tables: &Tables, now: Instant) -> Vec<FlowEnd> {
        let mut ended = Vec::new();
        for chain in self.released.drain(..) {
            end_from(tables, chain.first, chain.shared_pid, &mut ended);
        }
        while let Some(chain) = self.next_lingering(now) {
            end_lingering(tables, chain, &mut ended);
        }
        ended
    }

    fn next_lingering(&mut self, now: Instant) -> Option<Chain> {
        let (until, chain) = *self.lingering.front()?;
        let is_due = until <= now || self.lingering.len() > MAX_LINGERING;
        if !is_due {
            return None;
        }
        self.lingering.pop_front();
        Some(chain)
    }
}

fn end_from(tables: &Tables, first: FlowKey, shared_pid: Option<u32>, ended: &mut Vec<FlowEnd>) {
    let mut at = Some(first);
    while let Some((end, next)) = at.and_then(|key| tables.end_flow(key, shared_pid)) {
        ended.push(end);
        at = next;
    }
}

/// Begins at the socket's newest flow, which may be newer than the release.
fn end_lingering(tables: &Tables, chain: Chain, ended: &mut Vec<FlowEnd>) {
    let cookie = chain.first.cookie;
    let socks = &tables.skel.maps.socks;
    let key = cookie.to_ne_bytes();
    let sock: Option<types::egrets_sock> = read(socks, &key);
    let newest = sock.map(|sock| decode::flow_key(cookie, &sock.newest_flow));
    tables.delete_sock(cookie);
    end_from(
        tables,
        newest.unwrap_or(chain.first),
        chain.shared_pid,
        ended,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Protocol, UNKNOWN};

    fn flow(cookie: u64) -> FlowKey {
        FlowKey {
            cookie,
            protocol: Protocol::SCTP,
            dst: UNKNOWN,
            route: 0,
        }
    }

    #[test]
    fn lingering_socket_ends_after_its_time_or_when_there_are_too_many() {
        let mut chains = Chains::default();
        for cookie in 0..=MAX_LINGERING as u64 {
            chains.add(flow(cookie), None, true);
        }
        let now = Instant::now();
        let first = chains.next_lingering(now).map(|chain| chain.first);
        assert_eq!(first, Some(flow(0)));
        assert_eq!(chains.next_lingering(now), None);
        let second = chains.next_lingering(now + LINGER);
        assert_eq!(second.map(|chain| chain.first), Some(flow(1)));
    }
}
