//! Sets of rules, each with a number.

use std::collections::HashMap;

use crate::enforce::types;

/// A bit per rule, as struct policy_mask.
pub type Mask = [u64; types::policy_size::POLICY_WORDS.0 as usize];

pub const EMPTY: Mask = [0; types::policy_size::POLICY_WORDS.0 as usize];

/// The rules that match; `matches` gets the index.
pub fn mask_of(rules: usize, matches: impl Fn(usize) -> bool) -> Mask {
    let mut mask = EMPTY;
    for rule in (0..rules).filter(|rule| matches(*rule)) {
        if let Some(word) = mask.get_mut(rule / 64) {
            *word |= 1 << (rule % 64);
        }
    }
    mask
}

pub fn or(a: Mask, b: Mask) -> Mask {
    std::array::from_fn(|i| a[i] | b[i])
}

/// The different sets of a generation; set 0 is the empty one.
#[derive(Debug, Clone)]
pub struct Sets {
    masks: Vec<Mask>,
    numbers: HashMap<Mask, u32>,
}

impl Sets {
    pub fn new() -> Sets {
        Sets {
            masks: vec![EMPTY],
            numbers: HashMap::from([(EMPTY, 0)]),
        }
    }

    pub fn number(&mut self, mask: Mask) -> u32 {
        *self.numbers.entry(mask).or_insert_with(|| {
            self.masks.push(mask);
            self.masks.len() as u32 - 1
        })
    }

    pub fn masks(&self) -> &[Mask] {
        &self.masks
    }

    /// Whether the kernel side has room for all of them.
    pub fn fit(&self) -> bool {
        self.masks.len() <= types::policy_size::POLICY_SETS.0 as usize
    }
}
