//! What is pinned, for those that come later: JSON in a map, which egrets of any version reads.

use std::path::Path;

use anyhow::{Context, Result, bail};
use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType, libbpf_sys};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Bytes of an entry.
const CHUNK: usize = 4096;
/// Entries: 4 MiB, of which only what is used takes memory.
const CHUNKS: u32 = 1024;
/// Before the text: its length and its hash.
const HEADER: usize = 4 + 32;
/// Of a rule's name; names may be as long as a policy.
const MAX_NAME: usize = 200;
/// How often it is read that changes meanwhile.
const ATTEMPTS: usize = 20;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Description {
    /// Of egrets.
    pub version: String,
    /// The recorder's, in its own pid namespace.
    pub pid: u32,
    /// Secrets of the hashes.
    pub path_key: u64,
    pub name_keys: [u64; 2],
    /// Patterns of ancestors' paths, by the number of their bits, as rules have them.
    pub patterns: Vec<String>,
    /// Where the programs' variables are.
    pub variables: Variables,
    /// Those that may decide.
    pub generations: Vec<Pinned>,
}

/// Offsets into the programs' data.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Variables {
    pub active_generation: usize,
    pub fallback_generation: usize,
    pub fallback_after_ns: usize,
    pub hits: usize,
    /// Counters of a generation.
    pub counters: usize,
    /// Generations that have counters.
    pub generations: u32,
    /// Of a generation: where those of what decides in place of a rule begin.
    pub settings_at: usize,
}

/// A policy of a generation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pinned {
    pub generation: u32,
    pub file: String,
    pub digest: String,
    pub since_ts: i64,
    pub enforced: bool,
    pub default: String,
    pub rules: Vec<PinnedRule>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PinnedRule {
    pub name: String,
    pub action: String,
    pub enforced: bool,
}

impl PinnedRule {
    pub fn new(name: &str, action: &str, enforced: bool) -> PinnedRule {
        PinnedRule {
            name: name.chars().take(MAX_NAME).collect(),
            action: action.to_owned(),
            enforced,
        }
    }
}

/// The map that has it.
pub struct Store(MapHandle);

impl Store {
    pub fn create() -> Result<Store> {
        let options = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as _,
            map_flags: libbpf_sys::BPF_F_NO_PREALLOC,
            ..Default::default()
        };
        let map = MapHandle::create(
            MapType::Hash,
            Some("egrets_pinned"),
            4,
            CHUNK as u32,
            CHUNKS,
            &options,
        );
        Ok(Store(map.context("a map for what is pinned")?))
    }

    pub fn open(path: &Path) -> Result<Store> {
        let map = MapHandle::from_pinned_path(path);
        Ok(Store(map.with_context(|| path.display().to_string())?))
    }

    pub fn map(&self) -> &MapHandle {
        &self.0
    }

    pub fn write(&self, description: &Description) -> Result<()> {
        let text = serde_json::to_vec(description)?;
        let len = u32::try_from(text.len())?.to_ne_bytes();
        let hash = Sha256::digest(&text);
        let bytes = [&len[..], &hash[..], &text].concat();
        if bytes.len() > CHUNK * CHUNKS as usize {
            bail!("the policy's names are too long to be pinned");
        }
        for (at, chunk) in (0_u32..).zip(bytes.chunks(CHUNK)) {
            let mut value = chunk.to_vec();
            value.resize(CHUNK, 0);
            self.0.update(&at.to_ne_bytes(), &value, MapFlags::ANY)?;
        }
        Ok(())
    }

    /// # Errors
    /// Nothing has been written yet, or by a version that writes something else.
    pub fn read(&self) -> Result<Description> {
        for _ in 0..ATTEMPTS {
            if let Some(text) = self.try_read()? {
                return serde_json::from_slice(&text).context("what is pinned is not described");
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        bail!("what is pinned is not described")
    }

    /// None: it is being written.
    fn try_read(&self) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        let mut wanted = HEADER;
        for at in 0..CHUNKS {
            let Some(chunk) = self.0.lookup(&at.to_ne_bytes(), MapFlags::ANY)? else {
                break;
            };
            bytes.extend_from_slice(&chunk);
            let len = bytes
                .first_chunk()
                .map_or(0, |len| u32::from_ne_bytes(*len));
            wanted = HEADER + len as usize;
            if bytes.len() >= wanted {
                break;
            }
        }
        let text = bytes.get(HEADER..wanted);
        let text = text.filter(|text| bytes.get(4..HEADER) == Some(&Sha256::digest(text)[..]));
        Ok(text.map(<[u8]>::to_vec))
    }
}
