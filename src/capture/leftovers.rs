//! What no hook has told the end of: sockets that a policy refused after they were noted,
//! sockets of the kernel's own, and flows that a socket's release did not find.

use std::collections::HashSet;

use anyhow::{Context, Result};
use libbpf_rs::MapCore;

use super::Capture;
use super::event::{self, FlowEnd, FlowKey};
use super::open::read_all;
use super::skel::types;

/// What a sweep found, for the next one.
#[derive(Debug, Default)]
pub struct Leftovers {
    sockets: HashSet<u64>,
    flows: HashSet<FlowKey>,
}

impl Capture {
    /// Forgets the sockets that are no more and ends the flows that belong to nobody, if
    /// the last sweep had found them too: what a release has just told may be in the ring buffer
    /// still. Gives the cookies of those sockets, whose flows the next sweeps find, and the
    /// flows.
    ///
    /// # Errors
    /// An iterator can't be read.
    pub fn sweep(&mut self, before: &mut Leftovers) -> Result<(Vec<u64>, Vec<FlowEnd>)> {
        let owners = self.read_owners()?;
        let gone = owners.iter().filter(|raw| raw.gone != 0);
        let orphans: Vec<types::egrets_flow_key> = read_all(self.iterators.flows.as_ref())
            .context("the flows that sockets left can't be read")?;
        let found = Leftovers {
            sockets: gone.map(|raw| raw.cookie).collect(),
            flows: orphans
                .iter()
                .map(|key| event::flow(key.cookie, &key.peer))
                .collect(),
        };
        let sockets: Vec<u64> = found
            .sockets
            .intersection(&before.sockets)
            .copied()
            .collect();
        for cookie in &sockets {
            let _ = self.skel.maps.socks.delete(&cookie.to_ne_bytes());
        }
        let flows = found.flows.intersection(&before.flows);
        let flows = flows.filter_map(|key| self.end_flow(*key, None));
        let flows = flows.map(|(end, _)| end).collect();
        *before = found;
        Ok((sockets, flows))
    }
}
