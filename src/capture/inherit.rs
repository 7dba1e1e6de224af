//! What a recorder before knew of peers that sent first, from its maps: whether a packet is an
//! answer is decided by that.

use anyhow::Result;
use libbpf_rs::{MapCore, MapFlags};

use super::Capture;
use super::entries::entries;
use super::skel::types;

/// The maps of [`Capture::maps`] that it takes.
pub const INHERITED: [&str; 3] = ["flows", "inbound", "asked"];

impl Capture {
    /// Copies it from maps with these names, of the same layout. To be called as soon as the
    /// programs are attached: a flow that begins before is not known as an answer.
    ///
    /// # Errors
    /// They can't be read.
    pub fn inherit<'a, M: MapCore + 'a>(
        &self,
        before: impl Fn(&str) -> Option<&'a M>,
    ) -> Result<()> {
        let maps = &self.tables.skel.maps;
        if let Some(asked) = before("asked") {
            for (key, when) in entries(asked)? {
                let _ = maps.asked.update(&key, &when, MapFlags::NO_EXIST);
            }
        }
        if let Some(inbound) = before("inbound") {
            for (key, value) in entries(inbound)? {
                if let Some(found) = plain::from_bytes::<types::inbound>(&value).ok().copied() {
                    self.mark_inbound(&key, found.way, found.asked);
                }
            }
        }
        if let Some(flows) = before("flows") {
            for (key, value) in entries(flows)? {
                let flow = plain::from_bytes::<types::egrets_flow>(&value).ok();
                if let Some(flow) = flow.filter(|flow| flow.inbound != 0) {
                    self.mark_inbound(&key, flow.inbound.into(), 0);
                }
            }
        }
        Ok(())
    }

    /// A peer has sent first, that way. Without what it has sent, which was recorded.
    fn mark_inbound(&self, key: &[u8], way: u16, asked: u16) {
        let maps = &self.tables.skel.maps;
        if let Ok(Some(known)) = maps.flows.lookup(key, MapFlags::ANY) {
            let mut flow = types::egrets_flow::default();
            if asked == 0 && plain::copy_from_bytes(&mut flow, &known).is_ok() && flow.inbound == 0
            {
                flow.inbound = way as _;
                // SAFETY: these have no padding: bpf/egrets.h names each gap.
                let bytes = unsafe { plain::as_bytes(&flow) };
                let _ = maps.flows.update(key, bytes, MapFlags::EXIST);
            }
            return;
        }
        let inbound = types::inbound {
            way,
            asked,
            ..Default::default()
        };
        // SAFETY: two numbers of 16 bits behind one of 32 and one of 64 leave no gap.
        let bytes = unsafe { plain::as_bytes(&inbound) };
        let _ = maps.inbound.update(key, bytes, MapFlags::NO_EXIST);
    }
}

// SAFETY: generated from the C struct of bpf/maps.h, #[repr(C)], made of integers alone.
unsafe impl plain::Plain for types::inbound {}
