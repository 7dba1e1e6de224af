//! TCP connections that are older than the recorder and that no process has among its files as it
//! starts: they are on their way through a Unix socket, or io_uring's alone. sock_diag(7) lists
//! them all the same. They are recorded without a process, as their user's, and belong to the first
//! process that is seen to use them (bpf/claim.h).

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::{fstat, stat};

use super::Capture;
use super::adopt::{Kind, OpenSocket, copy_of, share_of, unknown_owner};
use super::skel::types;
use super::socket_diag::{self, TcpSocket};
use super::tables::Tables;
use crate::model::{Endpoint, Protocol, unmapped};

/// How long the network namespaces are gone through: users can make thousands of them. That of
/// egrets comes first, then those of root's, in which containers are, and users' last.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many of them are kept open, and of those how many that one user has made.
const MOST_NAMESPACES: usize = 512;
const MOST_OF_A_USER: usize = 32;

/// TCP sockets by the inode number of their network namespace.
type Listing = HashMap<u32, Vec<TcpSocket>>;

impl Capture {
    /// Creates entries for them. Later, egrets has not the privileges for it: adopting the sockets of
    /// processes returns these, too.
    ///
    /// # Errors
    /// Sockets can't be listed.
    pub(super) fn adopt_unowned(&mut self) -> anyhow::Result<()> {
        let namespaces = Namespaces::find(&mut self.tables)?;
        let listed = namespaces.list(|_| true)?;
        // Only now: what a process gets meanwhile is its file here.
        let files = self.tables.open_socks()?;
        let known: HashSet<u64> = files.iter().map(|listed| listed.raw.cookie).collect();
        let unowned = outgoing(&listed, |cookie| {
            known.contains(&cookie) || self.tables.has_sock(cookie)
        });
        let adopted: Vec<OpenSocket> = unowned.into_iter().filter(|s| self.adopt(s)).collect();
        if adopted.is_empty() {
            return Ok(());
        }
        // The entry of one that was closed meanwhile would never be deleted.
        let inodes: HashSet<u32> = adopted.iter().map(|s| s.owner.netns).collect();
        let again = namespaces.list(|inode| inodes.contains(&inode))?;
        let open: HashSet<u64> = again.values().flatten().map(|s| s.cookie).collect();
        // one that is not listed again tells nothing
        let (open, closed) = adopted
            .into_iter()
            .partition(|s| open.contains(&s.cookie) || !again.contains_key(&s.owner.netns));
        let closed: Vec<OpenSocket> = closed;
        for socket in &closed {
            self.tables.delete_sock(socket.cookie);
        }
        self.unowned = open;
        Ok(())
    }
}

/// Those that lead out and are not known otherwise.
fn outgoing(listed: &Listing, is_known: impl Fn(u64) -> bool) -> Vec<OpenSocket> {
    use types::bpf_tcp_state as state;
    let mut found = Vec::new();
    for (netns, sockets) in listed {
        let is_listening = |s: &&TcpSocket| s.state == state::BPF_TCP_LISTEN.0;
        let served: HashSet<u16> = sockets
            .iter()
            .filter(is_listening)
            .map(|s| s.src.1)
            .collect();
        for s in sockets {
            let comes_in = served.contains(&s.src.1) && !s.dialled;
            // without an inode: closed, or not accepted yet
            if is_listening(&s) || comes_in || s.inode == 0 || s.cookie == 0 || is_known(s.cookie) {
                continue;
            }
            let end = |(address, port)| Endpoint {
                ip: unmapped(address),
                port,
            };
            found.push(OpenSocket {
                owner: unknown_owner(s.uid, s.cgroup_id.unwrap_or_default(), *netns),
                shared_pid: None,
                cookie: s.cookie,
                kind: Kind::Tcp,
                protocol: Protocol::Tcp,
                src: Some(end(s.src)),
                dst: end(s.dst),
                established: s.state != state::BPF_TCP_SYN_SENT.0,
                listening: false,
                bytes: s.bytes,
                share: share_of(s.uid),
            });
        }
    }
    found
}

/// Network namespaces, by inode number. One without a descriptor is egrets' own.
struct Namespaces(Vec<(u32, Option<OwnedFd>)>);

impl Namespaces {
    /// Its own, and those of processes, of their sockets, and of mounts.
    fn find(tables: &mut Tables) -> anyhow::Result<Namespaces> {
        let own = socket_diag::own_namespace()? as u32;
        let own_users = stat("/proc/self/ns/user")?.st_ino;
        let mut found = Namespaces(vec![(own, None)]);
        let mut of_users = Vec::new();
        let mut room = Room::default();
        let mut left_out = false;
        let mut known = HashSet::from([own]);
        let mut add = |namespace: io::Result<OwnedFd>| {
            let namespace = match namespace {
                Ok(namespace) => namespace,
                Err(e) => {
                    // of others the process has ended, or the mount is gone
                    let errno = e.raw_os_error();
                    left_out |= matches!(errno, Some(libc::EMFILE | libc::ENFILE));
                    return;
                }
            };
            let inode = fstat(&namespace).map_or(own, |stat| stat.st_ino as u32);
            if !known.insert(inode) {
                return;
            }
            let maker = maker(&namespace, own_users);
            let list = match maker {
                None => &mut found.0,
                Some(_) => &mut of_users,
            };
            match room.take(maker) {
                true => list.push((inode, Some(namespace))),
                false => left_out = true,
            }
        };
        for process in procfs::process::all_processes()
            .into_iter()
            .flatten()
            .flatten()
        {
            add(open(format!("/proc/{}/ns/net", process.pid)));
        }
        for mount in procfs::process::Process::myself()?.mountinfo()? {
            if mount.fs_type == "nsfs" && mount.root.starts_with("net:") {
                add(open(mount.mount_point));
            }
        }
        let mut of_sockets = HashSet::new();
        for listed in tables.open_socks()? {
            if of_sockets.insert(listed.raw.owner.netns)
                && let Some(socket) = copy_of(&listed)
            {
                add(socket_diag::namespace_of(&socket));
            }
        }
        if left_out {
            warn_of_too_many();
        }
        found.0.append(&mut of_users);
        Ok(found)
    }

    /// The sockets of those that `wanted` takes. One that can't be entered is left out.
    fn list(&self, wanted: impl Fn(u32) -> bool + Sync) -> io::Result<Listing> {
        use types::bpf_tcp_state as state;
        let states = [
            state::BPF_TCP_ESTABLISHED,
            state::BPF_TCP_SYN_SENT,
            state::BPF_TCP_FIN_WAIT1,
            state::BPF_TCP_FIN_WAIT2,
            state::BPF_TCP_CLOSE_WAIT,
            state::BPF_TCP_LAST_ACK,
            state::BPF_TCP_CLOSING,
            state::BPF_TCP_LISTEN,
        ];
        let states = states.iter().fold(0, |bits, one| bits | 1 << one.0);
        // A thread of its own, since it moves from one namespace to the next.
        let list = || -> io::Result<Listing> {
            let begun = Instant::now();
            let mut listing = Listing::new();
            for (inode, namespace) in self.0.iter().filter(|(inode, _)| wanted(*inode)) {
                let Some(namespace) = namespace else {
                    listing.insert(*inode, socket_diag::list(states)?);
                    continue;
                };
                if begun.elapsed() > PATIENCE {
                    warn_of_too_many();
                    break;
                }
                let entered = socket_diag::enter(namespace);
                match entered.and_then(|()| socket_diag::list(states)) {
                    Ok(sockets) => drop(listing.insert(*inode, sockets)),
                    Err(e) => log::debug!("the sockets of a network namespace are not listed: {e}"),
                }
            }
            Ok(listing)
        };
        std::thread::scope(|scope| {
            let thread = scope.spawn(list);
            let failed = || Err(io::Error::other("the thread has failed"));
            thread.join().unwrap_or_else(|_| failed())
        })
    }
}

/// How many namespaces are kept already.
#[derive(Default)]
struct Room {
    of_root: usize,
    of_users: usize,
    by_user: HashMap<u32, usize>,
}

impl Room {
    /// Whether there is some for one more, of a [`maker`].
    fn take(&mut self, maker: Option<u32>) -> bool {
        let all = match maker {
            None => &mut self.of_root,
            Some(_) => &mut self.of_users,
        };
        let own = maker.map(|user| self.by_user.entry(user).or_default());
        if *all == MOST_NAMESPACES || own.as_ref().is_some_and(|own| **own == MOST_OF_A_USER) {
            return false;
        }
        *all += 1;
        if let Some(own) = own {
            *own += 1;
        }
        true
    }
}

/// The user who has made a network namespace in a user namespace, as an id of [`share_of`]. None if
/// that is root, or if it belongs to the user namespace of egrets: who made it was privileged there.
fn maker(namespace: &OwnedFd, own_users: u64) -> Option<u32> {
    // SAFETY: NS_GET_USERNS takes no argument, and returns a descriptor that is this function's.
    let users = unsafe {
        match libc::ioctl(namespace.as_raw_fd(), libc::NS_GET_USERNS) {
            -1 => return None,
            fd => OwnedFd::from_raw_fd(fd),
        }
    };
    if fstat(&users).ok()?.st_ino == own_users {
        return None;
    }
    let mut uid: libc::uid_t = 0;
    // SAFETY: NS_GET_OWNER_UID writes a uid_t.
    let done = unsafe { libc::ioctl(users.as_raw_fd(), libc::NS_GET_OWNER_UID, &raw mut uid) };
    let share = share_of(if done == 0 { uid } else { libc::uid_t::MAX });
    (share != 0).then_some(share)
}

fn warn_of_too_many() {
    log::warn!(
        "there are too many network namespaces: connections in some of them that no process has now are not recorded"
    );
}

fn open(path: impl Into<PathBuf>) -> io::Result<OwnedFd> {
    File::open(path.into()).map(OwnedFd::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_with_many_network_namespaces_leaves_room_for_those_of_others() {
        let mut room = Room::default();
        let mut taken = |maker| (0..1000).filter(|_| room.take(maker)).count();
        assert_eq!(taken(Some(7)), MOST_OF_A_USER);
        assert_eq!(taken(Some(8)), MOST_OF_A_USER);
        assert_eq!(taken(None), MOST_NAMESPACES);
        assert_eq!(taken(Some(9)), MOST_OF_A_USER);
    }
}
