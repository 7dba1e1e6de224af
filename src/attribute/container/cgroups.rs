//! Cgroup ids and their paths.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, fstat, openat};

use super::cgroup_path;
use crate::attribute::shares::Shares;

/// Id of the root cgroup, which all processes of a cgroup v1 host may share.
pub const ROOT_ID: u64 = 1;

/// The deepest level read at start: the kernel has no limit by default, and each level takes a
/// descriptor.
const MAX_LEVELS: usize = 256;

/// Paths kept. Beyond that, the user with the most of them loses the one used least recently.
const MAX_PATHS: usize = 65_536;

/// Paths in the cgroup2 hierarchy by id, from the file system at first and then from the
/// kernel's events.
pub struct CgroupPaths {
    by_id: Shares<u64, Rc<str>>,
}

impl CgroupPaths {
    /// All cgroups below the hierarchy's root directory. `account` says who is accountable for
    /// what a user owns.
    pub fn read(root: &Path, mut account: impl FnMut(u32) -> u32) -> CgroupPaths {
        let mut paths = CgroupPaths::with_room_for(MAX_PATHS);
        // a link of /proc, if it is not mounted
        let follow = DIRECTORY.difference(OFlags::NOFOLLOW);
        if let Ok(root) = openat(CWD, root, follow, Mode::empty()) {
            paths.walk(root, "", 0, 0, &mut account);
        }
        paths
    }

    fn with_room_for(most: usize) -> CgroupPaths {
        CgroupPaths {
            by_id: Shares::new(most),
        }
    }

    /// By descriptors, as a path may be longer than system calls take.
    fn walk(
        &mut self,
        dir: OwnedFd,
        path: &str,
        owner: u32,
        level: usize,
        account: &mut dyn FnMut(u32) -> u32,
    ) {
        let Ok(entries) = Dir::read_from(dir.as_fd()) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if entry.file_type() != FileType::Directory || matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let Ok(below) = openat(dir.as_fd(), name, DIRECTORY, Mode::empty()) else {
                continue;
            };
            let text = name.to_string_lossy();
            let owner = match owner {
                0 => cgroup_path::user(&text)
                    .or_else(|| Some(fstat(&below).ok()?.st_uid))
                    .unwrap_or(0),
                owner => owner,
            };
            let path = cgroup_path::below(path, &text);
            // A directory's inode is its cgroup's id (kernfs_node.id).
            self.add(entry.ino(), &path, account(owner));
            if level < MAX_LEVELS {
                self.walk(below, &path, owner, level + 1, account);
            }
        }
    }

    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.by_id.iter().map(|(_, path)| &**path)
    }

    pub fn all_by_id(&self) -> impl Iterator<Item = (u64, Rc<str>)> {
        self.by_id.iter().map(|(id, path)| (*id, Rc::clone(path)))
    }

    /// `account` is the user who is accountable for the cgroup.
    pub fn add(&mut self, id: u64, path: &str, account: u32) {
        self.by_id.insert(account, id, path.into());
    }

    /// The path below the hierarchy's root; None for the root itself and unknown ids.
    pub fn get(&mut self, id: u64) -> Option<Rc<str>> {
        self.by_id.get_mut(&id).cloned()
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flood_of_one_users_cgroups_evicts_no_other_users() {
        let mut paths = CgroupPaths::with_room_for(100);
        paths.add(1, "/docker-1.scope", 0);
        for id in 1000..9000 {
            paths.add(id, "/user.slice/x", 1000);
        }
        assert_eq!(paths.get(1).as_deref(), Some("/docker-1.scope"));
        assert_eq!(paths.all().count(), 100);
    }

    #[test]
    fn cgroup_beyond_any_path_is_known_by_the_directories_above_it() {
        let root = tempfile::tempdir().unwrap();
        let open = |at: &OwnedFd, name: &str| openat(at, name, DIRECTORY, Mode::empty()).unwrap();
        let mut at = openat(CWD, root.path(), DIRECTORY, Mode::empty()).unwrap();
        let long = "a".repeat(250);
        for name in std::iter::once("docker-1.scope").chain([&*long; 40]) {
            rustix::fs::mkdirat(&at, name, Mode::RWXU).unwrap();
            at = open(&at, name);
        }
        let mut paths = CgroupPaths::read(root.path(), |uid| uid);
        let path = paths.get(fstat(&at).unwrap().st_ino).unwrap();
        let whole = "/docker-1.scope".to_owned() + &format!("/{long}").repeat(16);
        assert_eq!(*path, *(whole + "/…"));
    }
}
