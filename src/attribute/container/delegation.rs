//! Who may create a cgroup: root, or the user to whom a cgroup above it is delegated
//! (cgroups(7)). That user owns its directory.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hashlink::LruCache;

use super::cgroup_path;

/// Directories whose owner is kept: those used last.
const MAX_OWNERS: usize = 4096;
/// How long an owner counts: root may delegate a cgroup at any time.
const OWNER_LIFE: Duration = Duration::from_secs(1);

pub struct Delegation {
    /// Directories of the hierarchies' roots.
    roots: Vec<PathBuf>,
    roots_read: Instant,
    cgroup2: PathBuf,
    owners: LruCache<String, (Instant, u32)>,
}

impl Delegation {
    /// `cgroup2` is the root of the cgroup2 hierarchy.
    pub fn new(cgroup2: &Path) -> Delegation {
        Delegation {
            roots: roots(cgroup2),
            roots_read: Instant::now(),
            cgroup2: cgroup2.to_path_buf(),
            owners: LruCache::new(MAX_OWNERS),
        }
    }

    /// The user who may create cgroups in this one, in any hierarchy.
    pub fn owner(&mut self, path: &str) -> u32 {
        if let Some((since, owner)) = self.owners.get(path)
            && since.elapsed() < OWNER_LIFE
        {
            return *owner;
        }
        let owner = self.find_owner(path);
        self.owners
            .insert(path.to_string(), (Instant::now(), owner));
        owner
    }

    /// The first user on the way from the root: all that is below counts as that user's. A
    /// cgroup that no longer exists counts as root's, but for those that systemd delegates.
    fn find_owner(&mut self, path: &str) -> u32 {
        if !self.roots.iter().any(|root| exists(root, path)) && self.is_stale() {
            self.roots = roots(&self.cgroup2);
            self.roots_read = Instant::now();
        }
        let parts = path.split('/').filter(|part| !part.is_empty());
        let mut dirs = self.roots.clone();
        for part in parts {
            dirs.iter_mut().for_each(|dir| dir.push(part));
            let owners = dirs.iter().filter_map(|dir| fs::metadata(dir).ok());
            let by_dir = owners.map(|meta| meta.uid()).find(|uid| *uid != 0);
            if let Some(uid) = by_dir.or_else(|| cgroup_path::user(part)) {
                return uid;
            }
        }
        0
    }

    fn is_stale(&self) -> bool {
        self.roots_read.elapsed() >= OWNER_LIFE
    }
}

fn exists(root: &Path, path: &str) -> bool {
    root.join(path.trim_start_matches('/')).exists()
}

/// Where hierarchies are mounted.
fn roots(cgroup2: &Path) -> Vec<PathBuf> {
    let mounts = procfs::process::Process::myself().and_then(|me| me.mountinfo());
    let mut roots = vec![cgroup2.to_path_buf()];
    for mount in mounts.into_iter().flatten() {
        let is_root = mount.root == "/" && matches!(&*mount.fs_type, "cgroup" | "cgroup2");
        if is_root && !roots.contains(&mount.mount_point) {
            roots.push(mount.mount_point);
        }
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_delegated_directory_decides() {
        let dir = tempfile::tempdir().unwrap();
        let mut delegation = Delegation {
            roots: vec![dir.path().into()],
            roots_read: Instant::now(),
            cgroup2: dir.path().into(),
            owners: LruCache::new(MAX_OWNERS),
        };
        let me = fs::metadata(dir.path()).unwrap().uid();
        let user = "/user.slice/user-33.slice/user@33.service";
        fs::create_dir_all(dir.path().join("system.slice/user@33.service")).unwrap();
        assert_eq!(delegation.owner("/docker"), 0);
        assert_eq!(delegation.owner(user), 33);
        assert_eq!(delegation.owner(&format!("{user}/app.slice")), 33);
        // of the user who runs this test, or, for root, by its name
        let expected = if me == 0 { 33 } else { me };
        let path = "/system.slice/user@33.service/x";
        assert_eq!(delegation.owner(path), expected);
    }
}
