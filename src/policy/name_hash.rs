//! The keyed hash of a name, as bpf/policy_names_hash.h has it: SipHash-1-3 of each label, from
//! the last one to the first, each with the hash before it.

use siphasher::sip::SipHasher13;

/// Labels of a name that the kernel looks rules up by.
pub const MAX_LABELS: usize = 10;

/// What a byte becomes that is no part of a host name in text: a label may have a dot in it.
const UNPRINTABLE: u8 = 0x7f;

pub struct NameHasher(SipHasher13);

impl NameHasher {
    /// The key has to be random: no process may find a name with the hash of another one.
    pub fn new(key: [u64; 2]) -> NameHasher {
        NameHasher(SipHasher13::new_with_keys(key[0], key[1]))
    }

    /// Of a name without the trailing dot.
    pub fn hash(&self, name: &str) -> u64 {
        let labels = name.rsplit('.').filter(|label| !label.is_empty());
        labels.fold(0, |hash, label| self.extend(hash, label.as_bytes()))
    }

    /// Of a name's suffixes, the shortest first; the last one is the name.
    pub fn suffixes(&self, name: &str) -> Vec<u64> {
        let labels = name.rsplit('.').filter(|label| !label.is_empty());
        let longer = |hash: &mut u64, label: &str| {
            *hash = self.extend(*hash, label.as_bytes());
            Some(*hash)
        };
        labels.scan(0, longer).collect()
    }

    /// Of a name with one more label in front, as it is on the wire.
    pub fn extend(&self, hash: u64, label: &[u8]) -> u64 {
        let mut bytes = hash.to_le_bytes().to_vec();
        bytes.extend(label.iter().map(|byte| match byte.to_ascii_lowercase() {
            b'.' => UNPRINTABLE,
            byte if byte.is_ascii_graphic() => byte,
            _ => UNPRINTABLE,
        }));
        self.0.hash(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_of_lower_case_labels_and_depends_on_the_key() {
        let hasher = NameHasher::new([1, 2]);
        let name = hasher.hash("www.example.com");
        assert_eq!(name, hasher.hash("WWW.Example.COM"));
        assert_eq!(name, hasher.extend(hasher.hash("example.com"), b"www"));
        assert_ne!(name, NameHasher::new([1, 3]).hash("www.example.com"));
        assert_ne!(name, hasher.hash("example.com"));
        assert_ne!(name, hasher.hash("com.example.www"));
        assert_eq!(hasher.hash(""), 0);
        let suffixes = ["com", "example.com", "www.example.com"].map(|name| hasher.hash(name));
        assert_eq!(hasher.suffixes("www.example.com"), suffixes);
    }

    #[test]
    fn dot_or_nul_within_a_label_is_not_two_labels() {
        let hasher = NameHasher::new([1, 2]);
        let test = hasher.hash("test");
        for label in [b"evil.ok", b"evil\0ok"] {
            let hash = hasher.extend(test, label);
            assert_ne!(hash, hasher.hash("evil.ok.test"));
            assert_eq!(hash, hasher.extend(test, b"evil\x7fok"));
        }
    }
}
