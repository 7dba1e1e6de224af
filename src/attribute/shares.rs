//! A bounded map in which each user has a share: when it is full, the user with the most entries
//! loses the one that was used least recently. No user can evict what another has, who has less.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

use hashlink::LruCache;

pub struct Shares<K, V> {
    users: HashMap<u32, LruCache<K, V>>,
    /// Whose entry it is.
    owners: HashMap<K, u32>,
    capacity: usize,
}

impl<K: Hash + Eq + Clone, V> Shares<K, V> {
    pub fn new(capacity: usize) -> Shares<K, V> {
        Shares {
            users: HashMap::new(),
            owners: HashMap::new(),
            capacity: capacity.max(1),
        }
    }

    pub fn len(&self) -> usize {
        self.owners.len()
    }

    /// Adds or replaces an entry, which belongs to `user` from now on; returns those that are no
    /// longer there.
    pub fn insert(&mut self, user: u32, key: K, value: V) -> Vec<V> {
        let mut gone: Vec<V> = self.remove(&key).into_iter().collect();
        while self.len() >= self.capacity {
            // The newcomer counts, or two users with equal shares would evict each other's.
            let Some(evicted) = self.evict_from(self.largest(user)) else {
                break;
            };
            gone.push(evicted);
        }
        self.owners.insert(key.clone(), user);
        let entries = self.users.entry(user);
        let entries = entries.or_insert_with(LruCache::new_unbounded);
        entries.insert(key, value);
        gone
    }

    /// The user with the most entries, if `user` had one more.
    fn largest(&self, user: u32) -> u32 {
        let own = self.users.get(&user).map_or(0, LruCache::len) + 1;
        let others = self.users.iter().map(|(id, entries)| (entries.len(), *id));
        match others.max() {
            Some((most, id)) if most > own => id,
            _ if own > 1 => user,
            Some((_, id)) => id,
            None => user,
        }
    }

    /// Removes the entry of a user that was used least recently.
    pub fn evict_from(&mut self, user: u32) -> Option<V> {
        let entries = self.users.get_mut(&user)?;
        let (key, value) = entries.remove_lru()?;
        if entries.is_empty() {
            self.users.remove(&user);
        }
        self.owners.remove(&key);
        Some(value)
    }

    pub fn contains_key<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.owners.contains_key(key)
    }

    /// The entry, which becomes the one that its user has used last.
    pub fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let user = self.owners.get(key)?;
        self.users.get_mut(user)?.get_mut(key)
    }

    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let user = self.owners.remove(key)?;
        let entries = self.users.get_mut(&user)?;
        let value = entries.remove(key);
        if entries.is_empty() {
            self.users.remove(&user);
        }
        value
    }

    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.owners.keys()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.users.values().flat_map(LruCache::iter)
    }

    /// Each user with their entries.
    pub fn users(&self) -> impl Iterator<Item = (u32, impl Iterator<Item = &V>)> {
        let users = self.users.iter();
        users.map(|(user, entries)| (*user, entries.iter().map(|(_, value)| value)))
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        let users = self.users.values_mut();
        users.flat_map(|entries| entries.iter_mut().map(|(_, value)| value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flood_of_one_user_evicts_only_their_own() {
        let mut shares = Shares::new(10);
        for i in 0..5 {
            shares.insert(1, i, i);
        }
        for i in 100..10_000 {
            shares.insert(2, i, i);
            assert!(shares.len() <= 10);
        }
        assert!((0..5).all(|i| shares.contains_key(&i)));
        assert!((9_995..10_000).all(|i| shares.contains_key(&i)));
        // a third user takes from who has most
        for i in 20_000..20_003 {
            assert_eq!(shares.insert(3, i, i).len(), 1);
        }
        assert!((20_000..20_003).all(|i| shares.contains_key(&i)));
        assert_eq!(shares.len(), 10);
        let counts: HashMap<u32, usize> = shares.users().map(|(u, e)| (u, e.count())).collect();
        assert!(counts.values().all(|n| (3..=4).contains(n)), "{counts:?}");
    }

    #[test]
    fn entry_used_last_stays_and_owners_may_change() {
        let mut shares = Shares::new(3);
        for i in 0..3 {
            shares.insert(1, i, i);
        }
        shares.get_mut(&0);
        assert_eq!(shares.insert(1, 3, 3), [1]);
        assert!(shares.contains_key(&0));
        assert_eq!(shares.insert(2, 0, 9), [0]);
        assert_eq!((shares.len(), shares.remove(&0)), (3, Some(9)));
        assert_eq!(shares.remove(&0), None);
        assert_eq!(shares.evict_from(2), None);
    }
}
