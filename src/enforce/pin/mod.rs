//! What stays in the kernel when the recorder ends: the links that a verdict takes, pinned in the
//! BPF file system, and the maps that the next recorder copies from. In go attached links and
//! maps; out comes what is there of others. A directory whose recorder runs is left alone.

mod description;
mod directory;

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, bail};
use libbpf_rs::{Link, MapCore, MapFlags, MapHandle, libbpf_sys};
use sha2::{Digest, Sha256};

use super::clock::boot_ns;
use crate::when::now_ts;
use description::Store;
pub use description::{Description, Pinned, PinnedRule, Variables};
use directory::{Directory, Root};

/// The file of [`Store`].
const DESCRIPTION: &str = "description";
/// The file of the programs' variables.
pub const VARIABLES: &str = "variables";

/// What says how the maps are laid out that a recorder copies from another one's.
const LAYOUT: [&str; 6] = [
    include_str!("../../../bpf/policy.h"),
    include_str!("../../../bpf/policy_hash.h"),
    include_str!("../../../bpf/policy_names_types.h"),
    include_str!("../../../bpf/policy_names_hash.h"),
    include_str!("../../../bpf/egrets.h"),
    include_str!("../../../bpf/maps.h"),
];

/// The same name: the same layout. Others are not copied from.
fn layout() -> String {
    let hash = Sha256::digest(LAYOUT.concat());
    hash.iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What a start is to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pinning {
    /// The policy stays in force without the recorder.
    pub pin: bool,
    /// It takes the place of those that recorders have left.
    pub takes_over: bool,
}

/// Of this start.
#[derive(Default)]
pub struct Pins {
    pub own: Option<Own>,
    pub before: Vec<Before>,
    /// When the names of the newest began to be copied.
    pub copied_ns: u64,
}

impl Pins {
    /// To be called before anything is loaded: what is missing for it is an error.
    ///
    /// # Errors
    /// It is to pin, and there is no BPF file system, or a directory is another user's.
    pub fn prepare(wanted: Pinning) -> Result<Pins> {
        let mut pins = Pins::default();
        if wanted.pin && !rustix::process::geteuid().is_root() {
            bail!("--pin takes root: what is pinned is root's alone");
        }
        let root = match wanted.pin {
            true => Some(Root::create()?),
            false => Root::open().unwrap_or_else(|e| {
                stays_in_force(&e);
                None
            }),
        };
        let Some(root) = root else {
            return Ok(pins);
        };
        for path in root.instances() {
            let directory = match Directory::lock(&path) {
                Ok(Some(directory)) => directory,
                Ok(None) => continue, // its recorder runs
                Err(e) if wanted.pin => return Err(e),
                Err(e) => {
                    stays_in_force(&e);
                    continue;
                }
            };
            let before = Before::open(directory);
            if wanted.takes_over {
                pins.before.push(before);
            } else if let Some(pinned) = before.in_force() {
                log::warn!(
                    "the policy {} is pinned and stays in force beside this: 'egrets policy unpin' ends it",
                    pinned.policy.file
                );
            }
        }
        // the newest last
        pins.before.sort_by_key(|before| {
            let pinned = before.in_force();
            pinned.map(|pinned| pinned.policy.since_ts)
        });
        if wanted.pin {
            let name = format!("{}-{}", std::process::id(), boot_ns());
            pins.own = Some(Own {
                store: Store::create()?,
                directory: root.add(&layout(), &name)?,
                is_in_force: false,
            });
        }
        Ok(pins)
    }

    /// The one whose names and processes can be copied.
    pub fn heir_of(&self) -> Option<&Before> {
        let newest = self.before.last()?;
        (newest.has_this_layout() && newest.in_force().is_some()).then_some(newest)
    }
}

fn stays_in_force(e: &Error) {
    log::warn!("what is pinned there stays in force: {e:#}");
}

/// What this recorder pins.
pub struct Own {
    store: Store,
    directory: Directory,
    is_in_force: bool,
}

impl Own {
    pub fn link(&self, name: &str, link: &mut Link) -> Result<()> {
        let path = self.directory.path.join(format!("link_{name}"));
        link.pin(&path)
            .with_context(|| format!("{name} can't be pinned at {}", path.display()))
    }

    pub fn map(&self, name: &str, map: BorrowedFd<'_>) -> Result<()> {
        let path = self.directory.path.join(name);
        let text = CString::new(path.as_os_str().as_bytes())?;
        // SAFETY: a descriptor that is open, and a text that ends with NUL.
        let result = unsafe { libbpf_sys::bpf_obj_pin(map.as_raw_fd(), text.as_ptr()) };
        if result != 0 {
            let error = std::io::Error::from_raw_os_error(-result);
            return Err(error)
                .with_context(|| format!("a map can't be pinned at {}", path.display()));
        }
        Ok(())
    }

    /// Once all else is pinned.
    pub fn finish(&self) -> Result<()> {
        self.map(DESCRIPTION, self.store.map().as_fd())
    }

    /// Before the generations that are new in it decide.
    pub fn describe(&mut self, description: &Description) -> Result<()> {
        self.store.write(description)
    }

    /// From here on it stays.
    pub fn keep(&mut self) {
        self.is_in_force = true;
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // a start that failed leaves nothing
        if !self.is_in_force
            && let Err(e) = self.directory.remove()
        {
            log::warn!("{e:#}");
        }
    }
}

/// What a recorder has left, or has pinned that runs.
pub struct Before {
    directory: Option<Directory>,
    has_this_layout: bool,
    description: Option<Description>,
    maps: HashMap<String, MapHandle>,
}

/// A policy that decides without a recorder.
pub struct InForce {
    pub policy: Pinned,
    /// None: they can't be read.
    pub hits: Option<Vec<u64>>,
    /// When another one decides again.
    pub revert_ts: Option<i64>,
}

impl Before {
    fn open(directory: Directory) -> Before {
        let layout = directory.layout() == Some(&layout());
        let mut before = Before::read(&directory.path);
        before.has_this_layout = layout;
        before.directory = Some(directory);
        before
    }

    fn read(path: &Path) -> Before {
        let files = std::fs::read_dir(path).into_iter().flatten().flatten();
        let names = files.filter_map(|file| file.file_name().into_string().ok());
        let maps = names
            .filter(|name| !name.starts_with("link_"))
            .filter_map(|name| {
                let map = MapHandle::from_pinned_path(path.join(&name)).ok()?;
                Some((name, map))
            });
        let store = Store::open(&path.join(DESCRIPTION));
        let description = store.and_then(|store| store.read());
        Before {
            directory: None,
            has_this_layout: false,
            description: description.inspect_err(|e| log::debug!("{e:#}")).ok(),
            maps: maps.collect(),
        }
    }

    fn has_this_layout(&self) -> bool {
        self.has_this_layout
    }

    pub fn description(&self) -> Option<&Description> {
        self.description.as_ref()
    }

    pub fn map(&self, name: &str) -> Option<&MapHandle> {
        self.maps.get(name)
    }

    /// What of it decides now; None: it decides nothing.
    pub fn in_force(&self) -> Option<InForce> {
        let description = self.description.as_ref()?;
        let variables = self.map(VARIABLES)?;
        let data = variables
            .lookup(&0_u32.to_ne_bytes(), MapFlags::ANY)
            .ok()??;
        let at = description.variables;
        let now = boot_ns();
        let after = u64::from_ne_bytes(*data.get(at.fallback_after_ns..)?.first_chunk()?);
        let active = match after != 0 && now >= after {
            true => at.fallback_generation,
            false => at.active_generation,
        };
        let generation = u32::from_ne_bytes(*data.get(active..)?.first_chunk()?);
        let mut all = description.generations.iter();
        let policy = all.find(|policy| policy.generation == generation)?.clone();
        let first = (generation % at.generations.max(1)) as usize * at.counters;
        let counters = data.get(at.hits..)?.as_chunks().0;
        let hits = counters.get(first..first + at.counters);
        let number = |counter: &[u8; 8]| u64::from_ne_bytes(*counter);
        Some(InForce {
            hits: hits.map(|hits| hits.iter().map(number).collect()),
            revert_ts: (after > now).then(|| now_ts().saturating_add_unsigned(after - now)),
            policy,
        })
    }

    /// Ends what it decides.
    ///
    /// # Errors
    /// Something can't be removed: [`Directory::remove`].
    fn remove(&self, _: &Root) -> Result<()> {
        match &self.directory {
            Some(directory) => directory.remove(),
            None => bail!("its recorder runs"),
        }
    }
}

/// Ends what recorders before have left.
pub fn remove(all: Vec<Before>) {
    let removed = Root::open().and_then(|root| {
        let root = root.context("it is gone")?;
        joined(
            all.iter()
                .filter_map(|before| before.remove(&root).err())
                .collect(),
        )
    });
    if let Err(e) = removed {
        log::error!("the policy before decides, too: 'egrets policy unpin' ends it: {e:#}");
    }
}

/// All of them as one.
fn joined(errors: Vec<Error>) -> Result<()> {
    if errors.is_empty() {
        return Ok(());
    }
    let texts: Vec<String> = errors.iter().map(|e| format!("{e:#}")).collect();
    bail!("{}", texts.join("; "))
}

/// A policy that is pinned.
pub struct Found {
    pub before: Before,
    /// Its recorder.
    pub runs: bool,
}

/// All that is pinned.
///
/// # Errors
/// A directory is another user's.
pub fn found() -> Result<Vec<Found>> {
    // no recorder starts meanwhile, which would take what is looked at for another one's
    let Some(root) = Root::open()? else {
        return Ok(Vec::new());
    };
    let look = |path: &PathBuf| {
        Ok(Found {
            runs: Directory::lock(path)?.is_none(),
            before: Before::read(path),
        })
    };
    root.instances().iter().map(look).collect()
}

/// Ends all that recorders have left. Returns what was pinned, with what became of it: those whose
/// recorder runs stay.
///
/// # Errors
/// A directory is another user's, or can't be removed. The others are removed all the same.
pub fn unpin() -> Result<Vec<Found>> {
    let Some(root) = Root::open()? else {
        return Ok(Vec::new());
    };
    let (mut all, mut errors) = (Vec::new(), Vec::new());
    for path in root.instances() {
        let (before, runs) = match Directory::lock(&path) {
            Ok(Some(directory)) => (Before::open(directory), false),
            Ok(None) => (Before::read(&path), true),
            Err(e) => {
                errors.push(e);
                continue;
            }
        };
        match if runs { Ok(()) } else { before.remove(&root) } {
            Ok(()) => all.push(Found { before, runs }),
            Err(e) => errors.push(e),
        }
    }
    joined(errors)?;
    Ok(all)
}
