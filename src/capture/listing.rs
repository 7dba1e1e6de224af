//! The sockets that processes have, as the kernel lists them: one by one for each process, here once
//! each.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::skel::types;

/// The first process of the host.
const INIT: u32 = 1;

/// A process that has a socket.
#[derive(Clone, Copy)]
pub struct Holder {
    pub tgid: u32,
    pub tid: u32,
    pub fd: u32,
    start_ns: u64,
}

impl Holder {
    fn of(raw: &types::egrets_open_sock) -> Holder {
        Holder {
            tgid: raw.owner.tgid,
            tid: raw.owner.tid,
            fd: raw.fd,
            start_ns: raw.owner.start_ns,
        }
    }
}

/// A socket.
pub struct Listed {
    /// As it is listed for the process that most likely began it.
    pub raw: types::egrets_open_sock,
    /// The one of the others that started last.
    pub other: Option<Holder>,
}

impl Listed {
    fn add(&mut self, raw: types::egrets_open_sock) {
        let known = self.raw.known | raw.known;
        let other = match preference(&raw) < preference(&self.raw) {
            true => Holder::of(&std::mem::replace(&mut self.raw, raw)),
            false => Holder::of(&raw),
        };
        self.raw.known = known;
        let is_newer = |than: Holder| other.start_ns > than.start_ns;
        if other.tgid != self.raw.owner.tgid && self.other.is_none_or(is_newer) {
            self.other = Some(other);
        }
    }

    pub fn holder(&self) -> Holder {
        Holder::of(&self.raw)
    }

    /// Any process of another user may have been sent it, root's excepted: it may have been
    /// any user as it created the socket.
    pub fn is_of_its_creator(&self) -> bool {
        let owner = &self.raw.owner;
        let users = [owner.uid, owner.euid];
        users.contains(&self.raw.creator) || users.contains(&0)
    }

    pub fn shared_pid(&self) -> Option<u32> {
        self.other.map(|holder| holder.tgid)
    }
}

/// Less for a process that more likely began the connection. What starts services keeps their
/// sockets, and begins none.
fn preference(raw: &types::egrets_open_sock) -> (bool, bool, bool, u64) {
    let users = [raw.owner.uid, raw.owner.euid];
    (
        !users.contains(&raw.creator),
        !users.contains(&0),
        raw.owner.tgid == INIT,
        raw.owner.start_ns,
    )
}

type End = ([u8; 16], u16);

/// What identifies a socket: its cookie, or before it has one, the file, and of whose paths it is
/// the ends.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    cookie: u64,
    inode: u64,
    path: Option<[End; 2]>,
}

impl Key {
    fn of(raw: &types::egrets_open_sock) -> Key {
        let path = || [&raw.src, &raw.dst].map(|end| (end.addr, end.port));
        Key {
            cookie: raw.cookie,
            inode: if raw.cookie == 0 { raw.inode } else { 0 },
            path: (raw.cookie == 0 && raw.is_path != 0).then(path),
        }
    }
}

/// The kernel lists a socket for up to nine processes, and more often without room to remember
/// it: a user may have hundreds of thousands that as many processes share.
#[derive(Default)]
pub struct Listing(HashMap<Key, Listed>);

impl Listing {
    pub fn add(&mut self, raw: types::egrets_open_sock) {
        match self.0.entry(Key::of(&raw)) {
            Entry::Occupied(listed) => listed.into_mut().add(raw),
            Entry::Vacant(place) => {
                place.insert(Listed { raw, other: None });
            }
        }
    }

    pub fn into_sockets(self) -> Vec<Listed> {
        self.0.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_that_many_processes_have_is_listed_once() {
        let of = |pid: u32, cookie: u64, inode: u64| {
            let mut raw = types::egrets_open_sock {
                cookie,
                inode,
                fd: pid + 100,
                ..Default::default()
            };
            (raw.owner.tgid, raw.owner.start_ns) = (pid, pid.into());
            raw
        };
        let mut listing = Listing::default();
        for pid in 1..=9 {
            // the first has a cookie, the others have none yet
            for (cookie, inode) in [(7, 1), (0, 2), (0, 3)] {
                listing.add(of(pid, cookie, inode));
            }
        }
        let mut path = of(2, 0, 3);
        path.is_path = 1;
        listing.add(path);
        path.src.port = 1;
        listing.add(path);
        let mut found = listing.into_sockets();
        found.sort_by_key(|s| (s.raw.inode, s.raw.is_path, s.raw.src.port));
        let holders = found.iter().map(|s| {
            let other = s.other.map(|other| (other.tgid, other.fd));
            (s.raw.inode, s.raw.is_path, s.holder().tgid, other)
        });
        // the host's first process comes after all others
        let newest = Some((9, 109));
        let expected = [
            (1, 0, 2, newest),
            (2, 0, 2, newest),
            (3, 0, 2, newest),
            (3, 1, 2, None),
            (3, 1, 2, None),
        ];
        assert!(holders.eq(expected));
    }
}
