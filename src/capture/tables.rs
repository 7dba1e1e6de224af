//! Typed access to the BPF maps, and to the programs that egrets runs itself.

use std::collections::HashSet;
use std::io::{BufReader, ErrorKind, Read};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use libbpf_rs::{Iter, Link, MapCore, MapFlags, MapMut};

use super::event::{FlowEnd, FlowKey};
use super::listing::{Listed, Listing};
use super::skel::{EgretsSkel, types};
use super::{decode, hooks, loss};
use crate::model::{Loss, Protocol, mapped};

/// ROOT_PART and USER_PART of bpf/share.h.
const ROOT_PART: u32 = 2;
const USER_PART: u32 = 8;

/// A table of which each user has a share.
#[derive(Debug, Clone, Copy)]
pub enum Table {
    Socks,
    Flows,
    PacketSocks,
    PacketFlows,
    /// In bytes.
    RingBuffer,
}

/// The loaded BPF object's data.
pub struct Tables {
    pub skel: EgretsSkel<'static>,
    /// The iterator over the files of all processes.
    pub files: Option<Link>,
    /// Whether this kernel runs `egrets_scan_socks`.
    pub can_scan: bool,
}

impl Tables {
    /// An open flow's counters so far; None if it no longer exists.
    pub fn flow_so_far(&self, key: FlowKey) -> Option<FlowEnd> {
        let flow = self.flow(key)?;
        let sockets = match key.protocol {
            Protocol::Packet => &self.skel.maps.packet_socks,
            _ => &self.skel.maps.socks,
        };
        // struct egrets_packet_sock begins with a struct egrets_sock
        let socket: Option<types::egrets_sock> = read(sockets, &key.cookie.to_ne_bytes());
        Some(FlowEnd {
            key,
            bytes: decode::flow_bytes(&flow),
            shared_pid: socket.and_then(|socket| decode::pid(socket.shared_tgid)),
        })
    }

    /// Deletes a flow and returns it, with the next one in its socket's list.
    pub fn end_flow(
        &self,
        key: FlowKey,
        shared_pid: Option<u32>,
    ) -> Option<(FlowEnd, Option<FlowKey>)> {
        let flow = self.flow(key)?;
        if self.flow_map(key).delete(&flow_key_bytes(key)).is_ok() {
            let table = match key.protocol {
                Protocol::Packet => Table::PacketFlows,
                _ => Table::Flows,
            };
            self.give_back(table, flow.share.into());
        }
        let end = FlowEnd {
            key,
            bytes: decode::flow_bytes(&flow),
            shared_pid,
        };
        let next = (flow.has_next != 0).then(|| decode::flow_key(key.cookie, &flow.next));
        Some((end, next))
    }

    /// Deletes a socket.
    pub fn delete_sock(&self, cookie: u64) {
        let key = cookie.to_ne_bytes();
        let socks = &self.skel.maps.socks;
        let sock: Option<types::egrets_sock> = read(socks, &key);
        if socks.delete(&key).is_ok() {
            self.give_back(Table::Socks, sock.map_or(0, |sock| sock.share.into()));
            if sock.is_some_and(|sock| sock.unowned != 0)
                && let Some(unowned) = self.unowned()
            {
                unowned.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Whether a socket has an entry.
    pub fn has_sock(&self, cookie: u64) -> bool {
        let found = self
            .skel
            .maps
            .socks
            .lookup(&cookie.to_ne_bytes(), MapFlags::ANY);
        found.is_ok_and(|value| value.is_some())
    }

    /// Counts an entry of which no process is known.
    pub fn add_unowned(&self) {
        if let Some(unowned) = self.unowned() {
            unowned.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn unowned(&self) -> Option<&AtomicU32> {
        let bss = self.skel.maps.bss_data.as_deref()?;
        // SAFETY: as in `used`.
        Some(unsafe { AtomicU32::from_ptr(std::ptr::from_ref(&bss.unowned_socks).cast_mut()) })
    }

    /// Deletes a packet socket.
    pub fn delete_packet_sock(&self, key: &[u8], sock: &types::egrets_sock) {
        if self.skel.maps.packet_socks.delete(key).is_ok() {
            self.give_back(Table::PacketSocks, sock.share.into());
        }
    }

    /// Counts an entry for a user, unless the user's share is used up.
    pub fn take_share(&self, table: Table, share: u32, max: u32) -> bool {
        let Some(used) = self.used(table, share) else {
            return false;
        };
        let part = if share == 0 { ROOT_PART } else { USER_PART };
        let has_room = used.load(Ordering::Relaxed) < max / part;
        if has_room {
            used.fetch_add(1, Ordering::Relaxed);
        }
        has_room
    }

    /// Discounts an entry that was deleted.
    pub fn give_back(&self, table: Table, share: u32) {
        self.give_back_many(table, share, 1);
    }

    pub fn give_back_many(&self, table: Table, share: u32, n: u32) {
        if let Some(used) = self.used(table, share) {
            used.fetch_sub(n, Ordering::Relaxed);
        }
    }

    fn used(&self, table: Table, share: u32) -> Option<&AtomicU32> {
        let shared = self.skel.maps.bss_shared_data.as_deref()?;
        let share = shared.shared.shares.get(share as usize)?;
        let used = match table {
            Table::Socks => &share.socks,
            Table::Flows => &share.flows,
            Table::PacketSocks => &share.packet_socks,
            Table::PacketFlows => &share.packet_flows,
            Table::RingBuffer => &share.unread,
        };
        // SAFETY: a valid, aligned pointer into memory that is shared with the BPF programs
        // and lives as long as the object; both sides change it atomically only.
        Some(unsafe { AtomicU32::from_ptr(std::ptr::from_ref(used).cast_mut()) })
    }

    fn flow(&self, key: FlowKey) -> Option<types::egrets_flow> {
        read(self.flow_map(key), &flow_key_bytes(key))
    }

    fn flow_map(&self, key: FlowKey) -> &MapMut<'_> {
        match key.protocol {
            Protocol::Packet => &self.skel.maps.packet_flows,
            _ => &self.skel.maps.flows,
        }
    }

    /// See [`Capture::can_read`](super::Capture::can_read).
    pub fn can_read(&self) -> bool {
        let no_socket = 0_u64.to_ne_bytes();
        self.skel
            .maps
            .socks
            .lookup(&no_socket, MapFlags::ANY)
            .is_ok()
            && (!self.can_scan || hooks::run(&self.skel.progs.egrets_scan_socks).is_ok())
            && self
                .files
                .as_ref()
                .is_none_or(|link| Iter::new(link).is_ok())
    }

    /// Sockets of all processes, once each.
    pub fn open_socks(&mut self) -> Result<Vec<Listed>> {
        if let Some(bss) = self.skel.maps.bss_data.as_deref_mut() {
            bss.listing += 1; // no program reads it now
        }
        let mut listing = Listing::default();
        read_each(self.files.as_ref(), |raw| listing.add(raw))
            .context("the list of open sockets can't be read")?;
        Ok(listing.into_sockets())
    }

    /// Frees what [`open_socks`](Tables::open_socks) remembers from one call to the next.
    pub fn forget_listed(&self) {
        let listed = &self.skel.maps.listed_socks;
        for key in keys(listed).collect::<Vec<_>>() {
            let _ = listed.delete(&key);
        }
    }

    /// Looks at these sockets: the bytes of open TCP connections, and stale entries. Empty if
    /// this kernel refuses the program.
    pub fn scan(&mut self, cookies: &[u64]) -> Result<Vec<types::egrets_scan>> {
        let mut found = Vec::new();
        let slots = self.skel.maps.bss_data.as_deref();
        let slots = slots.map_or(0, |bss| bss.scan.len());
        if !self.can_scan || slots == 0 {
            return Ok(found);
        }
        for batch in cookies.chunks(slots) {
            let bss = self.skel.maps.bss_data.as_deref_mut();
            let bss = bss.context("the BPF object has no data")?;
            for (slot, cookie) in bss.scan.iter_mut().zip(batch) {
                *slot = types::egrets_scan {
                    cookie: *cookie,
                    ..Default::default()
                };
            }
            bss.scan_len = batch.len() as u32;
            hooks::run(&self.skel.progs.egrets_scan_socks).context("sockets can't be scanned")?;
            let bss = self.skel.maps.bss_data.as_deref();
            let slots = bss.iter().flat_map(|bss| &bss.scan).take(batch.len());
            // SAFETY: valid, aligned references; volatile because the program has written
            // there meanwhile.
            let read = slots.map(|slot| unsafe { std::ptr::read_volatile(slot) });
            found.extend(read);
        }
        Ok(found)
    }

    /// Cookies of all entries of the socket map.
    pub fn sock_cookies(&self) -> HashSet<u64> {
        let keys = keys(&self.skel.maps.socks);
        keys.filter_map(|key| Some(u64::from_ne_bytes(key.try_into().ok()?)))
            .collect()
    }

    /// Keys of all entries of the flow map.
    pub fn flow_keys(&self) -> HashSet<FlowKey> {
        let keys = keys(&self.skel.maps.flows);
        keys.filter_map(|key| decode::value::<types::egrets_flow_key>(&key))
            .map(|key| decode::flow_key(key.cookie, &key.peer))
            .collect()
    }

    /// Losses since the programs were loaded.
    pub fn losses(&self) -> Vec<(Loss, u64)> {
        let Some(data) = self.skel.maps.bss_shared_data.as_deref() else {
            return Vec::new();
        };
        let counted = loss::LOSS_KINDS.iter().map(|(kind, loss)| {
            let slot = data.shared.lost.get(kind.0 as usize);
            // SAFETY: a valid, aligned reference; the BPF programs add to it.
            let n = slot.map_or(0, |slot| unsafe { std::ptr::read_volatile(slot) });
            (*loss, n)
        });
        counted.collect()
    }

    /// Whether the next record has to wake the reader.
    pub fn set_reader_idle(&mut self, idle: bool) {
        if let Some(data) = self.skel.maps.bss_shared_data.as_deref_mut() {
            let reader_idle = &mut data.shared.reader_idle;
            // SAFETY: a valid, aligned reference; volatile because the BPF programs
            // read it while the loop here runs.
            unsafe { std::ptr::write_volatile(reader_idle, u32::from(idle)) }
        }
    }
}

/// The keys of a map that changes meanwhile: if the one that was read last is deleted, the
/// kernel begins again at the first, so that some come twice, and the number is bounded.
fn keys(map: &MapMut<'_>) -> impl Iterator<Item = Vec<u8>> {
    map.keys().take(2 * map.max_entries() as usize)
}

/// A map's value; None if there is none.
pub fn read<T: plain::Plain + Default>(map: &MapMut<'_>, key: &[u8]) -> Option<T> {
    decode::value(&map.lookup(key, MapFlags::ANY).ok().flatten()?)
}

/// An iterator's output; nothing if this kernel lacks it.
fn read_each<T: plain::Plain + Default>(
    iterator: Option<&Link>,
    mut each: impl FnMut(T),
) -> Result<()> {
    let Some(link) = iterator else {
        return Ok(());
    };
    let mut input = BufReader::new(Iter::new(link)?);
    let mut record = vec![0; size_of::<T>()];
    loop {
        match input.read_exact(&mut record) {
            Ok(()) => decode::value::<T>(&record).into_iter().for_each(&mut each),
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(e) => return Err(e.into()),
        }
    }
}

/// A flow's destination as the BPF programs write it.
pub fn raw_peer(key: FlowKey) -> types::egrets_endpoint {
    types::egrets_endpoint {
        addr: mapped(key.dst.ip),
        port: key.dst.port,
        protocol: decode::protocol_number(key.protocol),
        route: key.route,
    }
}

pub fn flow_key_bytes(key: FlowKey) -> Vec<u8> {
    let raw = types::egrets_flow_key {
        cookie: key.cookie,
        peer: raw_peer(key),
    };
    // SAFETY: plain data without padding: pad is a field.
    unsafe { plain::as_bytes(&raw) }.to_vec()
}
