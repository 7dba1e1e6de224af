//! Cgroup ids and their paths.

use std::fs;
use std::os::unix::fs::DirEntryExt;
use std::path::Path;
use std::rc::Rc;

use hashlink::LruCache;

/// Id of the root cgroup, which all processes of a cgroup v1 host may share.
pub const ROOT_ID: u64 = 1;

/// The deepest level read at start: the kernel has no limit by default.
const MAX_LEVELS: usize = 32;

/// Paths kept: those used last.
const MAX_PATHS: usize = 65_536;

/// Paths in the cgroup2 hierarchy by id, from the file system at first and then from the
/// kernel's events.
pub struct CgroupPaths {
    by_id: LruCache<u64, Rc<str>>,
}

impl CgroupPaths {
    /// All cgroups below the hierarchy's root directory.
    pub fn read(root: &Path) -> CgroupPaths {
        let mut paths = CgroupPaths {
            by_id: LruCache::new(MAX_PATHS),
        };
        paths.walk(root, root, 0);
        paths
    }

    fn walk(&mut self, root: &Path, dir: &Path, level: usize) {
        let Ok(entries) = fs::read_dir(dir) else {
            return;
        };
        for entry in entries.flatten() {
            if !entry.file_type().is_ok_and(|t| t.is_dir()) {
                continue;
            }
            let path = entry.path();
            if let Ok(relative) = path.strip_prefix(root) {
                // A directory's inode is its cgroup's id (kernfs_node.id).
                self.add(entry.ino(), &format!("/{}", relative.display()));
            }
            if level < MAX_LEVELS {
                self.walk(root, &path, level + 1);
            }
        }
    }

    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.by_id.iter().map(|(_, path)| &**path)
    }

    pub fn all_by_id(&self) -> impl Iterator<Item = (u64, Rc<str>)> {
        self.by_id.iter().map(|(id, path)| (*id, Rc::clone(path)))
    }

    pub fn add(&mut self, id: u64, path: &str) {
        self.by_id.insert(id, path.into());
    }

    /// The path below the hierarchy's root; None for the root itself and unknown ids.
    pub fn get(&mut self, id: u64) -> Option<Rc<str>> {
        self.by_id.get(&id).cloned()
    }
}
