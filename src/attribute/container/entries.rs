//! What is known about containers, in a share for each user who may create their cgroups: a
//! user's can't push out those of another one.

use hashlink::LruCache;

/// Containers kept of root's: those with the latest traffic.
const MAX_SYSTEM: usize = 4096;
/// The same of each other user.
const MAX_OF_USER: usize = 256;
/// Users whose containers are kept.
const MAX_USERS: usize = 256;

pub struct Entries<T> {
    system: LruCache<String, T>,
    users: LruCache<u32, LruCache<String, T>>,
}

impl<T> Entries<T> {
    pub fn new() -> Entries<T> {
        Entries {
            system: LruCache::new(MAX_SYSTEM),
            users: LruCache::new(MAX_USERS),
        }
    }

    fn share(&mut self, uid: u32) -> &mut LruCache<String, T> {
        if uid == 0 {
            return &mut self.system;
        }
        self.users
            .entry(uid)
            .or_insert_with(|| LruCache::new(MAX_OF_USER))
    }

    /// An entry, which becomes the one used last.
    pub fn get(&mut self, uid: u32, id: &str) -> Option<&T> {
        self.share(uid).get(id)
    }

    pub fn insert(&mut self, uid: u32, id: &str, entry: T) {
        self.share(uid).insert(id.to_string(), entry);
    }

    pub fn remove(&mut self, uid: u32, id: &str) -> Option<T> {
        self.share(uid).remove(id)
    }

    /// Whether a user other than root has this one.
    pub fn is_users(&self, id: &str) -> bool {
        self.users.iter().any(|(_, share)| share.contains_key(id))
    }

    pub fn all(&self) -> impl Iterator<Item = &T> {
        let users = self.users.iter().flat_map(|(_, share)| share.iter());
        self.system.iter().chain(users).map(|(_, entry)| entry)
    }

    /// Root's, the one used last first.
    pub fn system(&self) -> impl Iterator<Item = &T> {
        self.system.iter().rev().map(|(_, entry)| entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_entries_push_out_only_their_own() {
        let mut entries = Entries::new();
        entries.insert(0, "system", 1);
        entries.insert(1001, "other", 2);
        for i in 0..5_000 {
            entries.insert(1000, &format!("{i}"), i);
        }
        assert_eq!(entries.get(0, "system"), Some(&1));
        assert_eq!(entries.get(1001, "other"), Some(&2));
        assert_eq!(entries.get(1000, "0"), None);
        assert_eq!(entries.get(1000, "4999"), Some(&4999));
        assert_eq!(entries.get(0, "4999"), None);
    }
}
