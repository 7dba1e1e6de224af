//! Processes of mount namespaces. A file there is found through any process of the namespace, so
//! that one that stays serves those that have ended. In come processes as they are seen; out go
//! pids. Which of them still are what they were is for the reader of the file to find out.

use std::path::Path;

use procfs::process;

use crate::attribute::shares::Shares;
use crate::capture::event::MountNamespace;
use crate::file_reader::host::mount_namespace_of;

/// Mount namespaces and users whose processes are remembered: those used last.
const MAX_KEYS: usize = 1024;
/// Processes remembered of each: of those from before the recording, and of those started since.
const MAX_PROCESSES: usize = 8;

/// Mount namespace and user.
pub type Residence = (MountNamespace, u32);

pub struct Residents {
    /// From before the recording, by inode number of the mount namespace and user, the oldest
    /// first. As long as one of them is there, no other namespace has that inode number.
    older: Shares<(u32, u32), Vec<u32>>,
    /// Started since, the last one first.
    started: Shares<Residence, Vec<u32>>,
}

impl Residents {
    pub fn new() -> Residents {
        Residents {
            older: Shares::new(MAX_KEYS),
            started: Shares::new(MAX_KEYS),
        }
    }

    /// With the processes that are there now, but those of the mount namespaces `without`.
    pub fn read(without: &[u32], mut account: impl FnMut(u32) -> u32) -> Residents {
        let mut residents = Residents::new();
        // By pid, which is almost by age.
        for process in process::all_processes().into_iter().flatten().flatten() {
            let namespace = mount_namespace_of(process.pid as u32);
            let Some(namespace) = namespace.filter(|inode| !without.contains(inode)) else {
                continue;
            };
            let Ok(status) = process.status() else {
                continue;
            };
            let key = (namespace, status.ruid);
            if !residents.older.contains_key(&key) {
                let account = account(status.ruid);
                residents.older.insert(account, key, Vec::new());
            }
            if let Some(pids) = residents.older.get_mut(&key)
                && pids.len() < MAX_PROCESSES
            {
                pids.push(process.pid as u32);
            }
        }
        residents
    }

    /// A program was started there. Beyond the bound one that has ended is forgotten, or else one
    /// that is neither of the oldest, which tend to stay, nor of the last.
    pub fn started(&mut self, pid: u32, key: Residence, account: u32) {
        if !self.started.contains_key(&key) {
            self.started.insert(account, key, Vec::new());
        }
        if let Some(pids) = self.started.get_mut(&key) {
            pids.retain(|known| *known != pid);
            pids.insert(0, pid);
            if pids.len() > MAX_PROCESSES {
                let exists = |pid: &u32| Path::new(&format!("/proc/{pid}")).exists();
                let ended = pids.iter().rposition(|pid| !exists(pid));
                pids.remove(ended.unwrap_or(MAX_PROCESSES / 2));
            }
        }
    }

    /// Processes of a user in a mount namespace, those that were started last first.
    pub fn of(&mut self, key: &Residence) -> Vec<u32> {
        let started = self.started.get_mut(key).cloned().unwrap_or_default();
        let older = self.older.get_mut(&(key.0.inode, key.1)).cloned();
        [started, older.unwrap_or_default()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_that_stays_is_remembered_beyond_any_number_of_others() {
        let mut residents = Residents::new();
        let key = (MountNamespace { id: 9, inode: 1 }, 1000);
        let me = std::process::id();
        let ended = |n: u32| u32::MAX - n;
        residents.started(ended(0), key, 1000);
        residents.started(me, key, 1000);
        for n in 1..=100 {
            residents.started(ended(n), key, 1000);
        }
        let pids = residents.of(&key);
        assert_eq!((pids.len(), pids[0]), (MAX_PROCESSES, ended(100)));
        assert!(pids.contains(&me), "{pids:?}");
        assert_eq!(residents.of(&(key.0, 1001)), [0; 0]);
    }

    #[test]
    fn processes_from_before_are_known_by_namespace_and_user() {
        let me = std::process::id();
        let namespace = mount_namespace_of(me).unwrap();
        let uid = process::Process::myself().unwrap().status().unwrap().ruid;
        let key = |inode| (MountNamespace { id: 9, inode }, uid);
        let mut residents = Residents::read(&[], |uid| uid);
        let pids = residents.of(&key(namespace));
        assert!((1..=MAX_PROCESSES).contains(&pids.len()), "{pids:?}");
        assert!(
            pids.iter()
                .all(|pid| mount_namespace_of(*pid) == Some(namespace))
        );
        let mut residents = Residents::read(&[namespace], |uid| uid);
        assert_eq!(residents.of(&key(namespace)), [0; 0]);
    }
}
