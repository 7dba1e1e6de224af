//! Processes that run and that have ended, with a share for each user: a user who forks without
//! end fills only their own.

use std::collections::HashMap;
use std::rc::Rc;

use hashlink::LruCache;

use super::node::Node;
use crate::attribute::naming::ProcessKey;

/// Running processes kept of a user other than root. One beyond that is looked up in /proc when
/// it connects.
const MAX_RUNNING: usize = 16_384;
/// Ended processes kept of root's: those with the latest events. Their sockets may live on in
/// processes that inherited them.
pub const MAX_ENDED_SYSTEM: usize = 4096;
/// The same of each other user.
const MAX_ENDED: usize = 1024;
/// Users whose ended processes are kept.
const MAX_USERS: usize = 64;

/// Running processes by pid, each with the user whose share it takes.
#[derive(Default)]
pub struct Running {
    by_pid: HashMap<u32, (u32, Rc<Node>)>,
    counts: HashMap<u32, usize>,
}

impl Running {
    /// False where the user has used their share. A tracked process is kept in any case: its
    /// children would not be known as tracked.
    pub fn insert(&mut self, uid: u32, node: Rc<Node>) -> bool {
        let pid = node.key.0;
        self.remove(pid);
        let count = self.counts.entry(uid).or_default();
        if uid != 0 && *count >= MAX_RUNNING && !node.tracked.get() {
            return false;
        }
        *count += 1;
        self.by_pid.insert(pid, (uid, node));
        true
    }

    pub fn get(&self, pid: u32) -> Option<&Rc<Node>> {
        self.by_pid.get(&pid).map(|(_, node)| node)
    }

    /// The user whose share the process took.
    pub fn remove(&mut self, pid: u32) -> Option<u32> {
        let (uid, _) = self.by_pid.remove(&pid)?;
        if let Some(count) = self.counts.get_mut(&uid) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(&uid);
            }
        }
        Some(uid)
    }

    pub fn values(&self) -> impl Iterator<Item = &Rc<Node>> {
        self.by_pid.values().map(|(_, node)| node)
    }
}

/// Ended processes.
pub struct Ended {
    system: LruCache<ProcessKey, Rc<Node>>,
    users: LruCache<u32, LruCache<ProcessKey, Rc<Node>>>,
}

impl Default for Ended {
    fn default() -> Self {
        Ended {
            system: LruCache::new(MAX_ENDED_SYSTEM),
            users: LruCache::new(MAX_USERS),
        }
    }
}

impl Ended {
    /// The key is that of its end: the node's own may be rounded, from /proc.
    pub fn insert(&mut self, uid: u32, key: ProcessKey, node: Rc<Node>) {
        let share = match uid {
            0 => &mut self.system,
            _ => self
                .users
                .entry(uid)
                .or_insert_with(|| LruCache::new(MAX_ENDED)),
        };
        share.insert(key, node);
    }

    #[cfg(test)]
    pub fn system_len(&self) -> usize {
        self.system.len()
    }

    pub fn get(&mut self, key: &ProcessKey) -> Option<&Rc<Node>> {
        let shares = self.users.iter_mut().map(|(_, share)| share);
        std::iter::once(&mut self.system)
            .chain(shares)
            .find_map(|share| share.get(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(pid: u32) -> Rc<Node> {
        Rc::new(Node::orphan((pid, 1), None))
    }

    #[test]
    fn a_user_fills_only_their_own_share() {
        let (mut running, mut ended) = (Running::default(), Ended::default());
        assert!(running.insert(1001, node(1)));
        ended.insert(1001, (1, 1), node(1));
        ended.insert(0, (2, 1), node(2));
        let kept = (10..40_000).filter(|pid| running.insert(1000, node(*pid)));
        assert_eq!(kept.count(), MAX_RUNNING);
        assert!(running.insert(0, node(3)) && running.insert(1001, node(4)));
        for pid in 10..40_000 {
            ended.insert(1000, (pid, 1), node(pid));
        }
        assert!(ended.get(&(1, 1)).is_some() && ended.get(&(2, 1)).is_some());
        assert!(ended.get(&(10, 1)).is_none() && ended.get(&(39_999, 1)).is_some());
        // what ends makes room again
        assert_eq!(running.remove(10), Some(1000));
        assert!(running.insert(1000, node(50_000)));
    }
}
