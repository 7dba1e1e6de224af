//! The keyed hash of paths, as bpf/policy_hash.h has it.

const NUL: usize = 1;

fn mix(hash: u64, word: u64) -> u64 {
    let mut hash = hash ^ word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

/// Of one component: its length with a NUL, and its bytes in words that are filled up with zeros.
fn hash_name(key: u64, name: &[u8]) -> u64 {
    let len = name.len() + NUL;
    let words = len.div_ceil(8);
    (0..words).fold(mix(key, len as u64), |hash, i| {
        let mut word = [0; 8];
        let rest = name.get(i * 8..).unwrap_or_default();
        let n = rest.len().min(8);
        word[..n].copy_from_slice(&rest[..n]);
        mix(hash, u64::from_ne_bytes(word))
    })
}

/// Of an absolute path; that of the root is the key.
pub fn hash_path(key: u64, path: &str) -> u64 {
    components(path).fold(key, |hash, name| mix(hash, hash_name(key, name.as_bytes())))
}

pub fn components(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}
