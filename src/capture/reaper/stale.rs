//! Entries whose end no hook reported: sockets that a policy refused after they were entered,
//! sockets of the kernel's own, and flows that a socket's release did not find.

use std::collections::HashSet;

use anyhow::Result;

use crate::capture::decode;
use crate::capture::event::{FlowEnd, FlowKey};
use crate::capture::tables::Tables;

/// What a scan found, for the next one.
#[derive(Debug, Default)]
pub struct StaleScan {
    sockets: HashSet<u64>,
    flows: HashSet<FlowKey>,
}

/// Entries that were deleted.
#[derive(Debug)]
pub struct Stale {
    /// Cookies. The next scans find their flows.
    pub sockets: Vec<u64>,
    pub flows: Vec<FlowEnd>,
}

impl StaleScan {
    /// Deletes the sockets that no longer exist and the flows without a socket, if the last
    /// scan found them too: a release that was just reported may still be in the ring
    /// buffer.
    ///
    /// # Errors
    /// The sockets can't be scanned.
    pub fn scan(&mut self, tables: &mut Tables) -> Result<Stale> {
        // The flows first: a socket's entry comes before its flows and goes after them.
        let mut flows = tables.flow_keys();
        let socks = tables.sock_cookies();
        flows.retain(|key| !socks.contains(&key.cookie));
        let scanned = tables.scan(&Vec::from_iter(socks))?;
        let found = StaleScan {
            sockets: scanned.iter().filter_map(decode::stale_cookie).collect(),
            flows,
        };
        let again = found.sockets.intersection(&self.sockets);
        let sockets: Vec<u64> = again.copied().collect();
        for cookie in &sockets {
            tables.delete_sock(*cookie);
        }
        let again = found.flows.intersection(&self.flows);
        let ended = again.filter_map(|key| tables.end_flow(*key, None));
        let flows = ended.map(|(end, _)| end).collect();
        *self = found;
        Ok(Stale { sockets, flows })
    }
}
