//! Pieces of a beginning, put together. Pure.
//!
//! Segments are captured as they leave: they may be sent again, cut otherwise, and the records of
//! different processors may come in any order. Of bytes that came twice, the first ones count.

/// The kernel side copies no more of a beginning.
pub const MAX_BYTES: usize = 4096;
/// Parts with holes between them. Who sends more of them is not understood.
const MAX_PARTS: usize = 64;

#[derive(Debug, Default)]
pub struct Pieces {
    bytes: Vec<u8>,
    /// The spans of `bytes` that are filled, in order and apart from each other.
    filled: Vec<(usize, usize)>,
}

impl Pieces {
    pub fn add(&mut self, offset: u32, piece: &[u8]) {
        let from = (offset as usize).min(MAX_BYTES);
        let to = from.saturating_add(piece.len()).min(MAX_BYTES);
        if from == to || self.filled.len() >= MAX_PARTS {
            return;
        }
        if self.bytes.len() < to {
            self.bytes.resize(to, 0);
        }
        let mut at = from;
        for &(start, end) in &self.filled {
            if at < start.min(to) {
                let hole = at..start.min(to);
                self.bytes[hole.clone()]
                    .copy_from_slice(&piece[hole.start - from..hole.end - from]);
            }
            at = at.max(end);
        }
        if at < to {
            self.bytes[at..to].copy_from_slice(&piece[at - from..to - from]);
        }
        self.fill(from, to);
    }

    /// The bytes from the first one to the first hole.
    pub fn beginning(&self) -> &[u8] {
        match self.filled.first() {
            Some(&(0, end)) => &self.bytes[..end],
            _ => &[],
        }
    }

    fn fill(&mut self, from: usize, to: usize) {
        let touches = |&(start, end): &(usize, usize)| start <= to && from <= end;
        let first = self.filled.iter().position(|span| span.1 >= from);
        let at = first.unwrap_or(self.filled.len());
        let joined = self.filled[at..].iter().take_while(|span| touches(span));
        let (count, span) = joined.fold((0, (from, to)), |(n, (a, b)), &(start, end)| {
            (n + 1, (a.min(start), b.max(end)))
        });
        self.filled.splice(at..at + count, [span]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn beginning_is_what_was_first_written_up_to_the_first_hole(
            pieces in prop::collection::vec((0u32..5000, prop::collection::vec(any::<u8>(), 0..900)), 0..40),
        ) {
            let mut all = Pieces::default();
            let mut model: Vec<Option<u8>> = vec![None; MAX_BYTES];
            for (offset, piece) in &pieces {
                all.add(*offset, piece);
                let into = model.iter_mut().skip(*offset as usize);
                for (byte, place) in piece.iter().zip(into) {
                    place.get_or_insert(*byte);
                }
            }
            let expected: Vec<u8> = model.iter().map_while(|byte| *byte).collect();
            prop_assert_eq!(all.beginning(), &expected[..]);
            prop_assert!(all.bytes.len() <= MAX_BYTES);
            prop_assert!(all.filled.windows(2).all(|w| w[0].1 < w[1].0));
        }
    }

    #[test]
    fn parts_are_bounded() {
        let mut all = Pieces::default();
        for i in 1..2000 {
            all.add(2 * i, &[1]);
        }
        assert_eq!(all.filled.len(), MAX_PARTS);
    }
}
