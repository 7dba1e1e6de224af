//! DNS over TCP: from segments to messages. Pure.
//!
//! Segments are seen before the kernel has checked and ordered them: one may come
//! twice, late, or overlap others. Each message has its length before it (RFC 1035
//! section 4.2.2, RFC 7766 section 8), which says nothing about segments: both bytes
//! of it may come alone, and many messages in one.

use std::collections::BTreeMap;

use hashlink::LruCache;

use crate::capture::event::Segment;

/// Bytes kept for all connections together; those used longest ago go first.
const MAX_HELD: usize = 8 << 20;
/// Connections followed at once.
const MAX_STREAMS: usize = 4096;
/// Bytes of one direction that wait for those before them. A peer with more under
/// way than this has lost the others for good.
const MAX_AHEAD: usize = 128 << 10;
/// What keeping a segment takes beside its bytes: they may come one by one.
const SEGMENT: usize = 64;

/// Every connection to a DNS server, by socket cookie.
pub struct Streams {
    streams: LruCache<u64, Stream>,
    held: usize,
}

#[derive(Default)]
struct Stream {
    queries: Half,
    answers: Half,
}

/// One direction.
#[derive(Default)]
struct Half {
    /// Sequence number that comes next; None before the first segment.
    next: Option<u32>,
    /// The start of a message that is not complete.
    begun: Vec<u8>,
    /// Bytes taken so far: where in the stream `next` is.
    taken: u64,
    /// Segments that came early, by where in the stream they are.
    ahead: BTreeMap<u64, Vec<u8>>,
    /// What they take.
    waiting: usize,
    /// Something is missing for good: no message's beginning can be told any more.
    broken: bool,
}

impl Default for Streams {
    fn default() -> Self {
        Streams {
            streams: LruCache::new(MAX_STREAMS),
            held: 0,
        }
    }
}

impl Streams {
    /// A segment has passed; gives the messages that are complete with it.
    pub fn segment(
        &mut self,
        cookie: u64,
        ingress: bool,
        at: Segment,
        bytes: &[u8],
    ) -> Vec<Vec<u8>> {
        if !self.streams.contains_key(&cookie) {
            if self.streams.len() == MAX_STREAMS {
                self.forget_oldest();
            }
            self.streams.insert(cookie, Stream::default());
        }
        let Some(stream) = self.streams.get_mut(&cookie) else {
            return Vec::new();
        };
        let before = stream.held();
        let (half, other) = match ingress {
            true => (&mut stream.answers, &mut stream.queries),
            false => (&mut stream.queries, &mut stream.answers),
        };
        // The client speaks first: what it expects then is the first answer's start.
        other.next.get_or_insert(at.ack);
        let complete = half.push(at, bytes);
        self.held = self.held - before + stream.held();
        while self.held > MAX_HELD && !self.streams.is_empty() {
            self.forget_oldest();
        }
        complete
    }

    /// What came in this direction makes no sense: nothing of it counts any more.
    pub fn give_up(&mut self, cookie: u64, ingress: bool) {
        if let Some(stream) = self.streams.get_mut(&cookie) {
            let before = stream.held();
            match ingress {
                true => stream.answers.give_up(),
                false => stream.queries.give_up(),
            }
            self.held = self.held - before + stream.held();
        }
    }

    /// The connection has ended.
    pub fn ended(&mut self, cookie: u64) {
        if let Some(stream) = self.streams.remove(&cookie) {
            self.held -= stream.held();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, stream)) = self.streams.remove_lru() {
            self.held -= stream.held();
        }
    }
}

impl Stream {
    fn held(&self) -> usize {
        self.queries.held() + self.answers.held()
    }
}

impl Half {
    fn held(&self) -> usize {
        self.begun.len() + self.waiting
    }

    fn give_up(&mut self) {
        *self = Half {
            broken: true,
            ..Half::default()
        };
    }

    fn push(&mut self, at: Segment, bytes: &[u8]) -> Vec<Vec<u8>> {
        if !self.broken && (bytes.len() as u32) < at.len {
            self.give_up(); // it was not copied whole
        }
        if self.broken {
            return Vec::new();
        }
        let next = *self.next.get_or_insert(at.seq);
        // Sequence numbers wrap: what is less than half of them behind is old.
        let ahead = at.seq.wrapping_sub(next) as i32;
        let (ahead, bytes) = match u32::try_from(ahead) {
            Ok(ahead) => (ahead, bytes),
            // It was seen before, all of it or its first bytes.
            Err(_) => (0, bytes.get(ahead.unsigned_abs() as usize..).unwrap_or(&[])),
        };
        if ahead > 0 {
            let waiting = &mut self.waiting;
            self.ahead
                .entry(self.taken + u64::from(ahead))
                .or_insert_with(|| {
                    *waiting += bytes.len() + SEGMENT;
                    bytes.to_vec()
                });
        } else {
            self.take(bytes);
        }
        if self.waiting > MAX_AHEAD {
            self.give_up();
            return Vec::new();
        }
        self.messages()
    }

    /// Bytes that come next, and those that waited for them.
    fn take(&mut self, bytes: &[u8]) {
        self.append(bytes);
        while let Some(first) = self.ahead.first_entry()
            && *first.key() <= self.taken
        {
            let (at, early) = first.remove_entry();
            self.waiting -= early.len() + SEGMENT;
            let old = (self.taken - at) as usize;
            self.append(early.get(old..).unwrap_or(&[]));
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        self.begun.extend_from_slice(bytes);
        self.taken += bytes.len() as u64;
        self.next = self.next.map(|next| next.wrapping_add(bytes.len() as u32));
    }

    fn messages(&mut self) -> Vec<Vec<u8>> {
        let mut complete = Vec::new();
        let mut at = 0;
        while let Some(&[high, low]) = self.begun.get(at..at + 2) {
            let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
            let Some(message) = self.begun.get(at + 2..end) else {
                break;
            };
            complete.push(message.to_vec());
            at = end;
        }
        self.begun.drain(..at);
        complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: u32 = u32::MAX - 40; // so that the numbers wrap

    fn stream(messages: &[Vec<u8>]) -> Vec<u8> {
        let framed = messages.iter().flat_map(|m| {
            let length = (m.len() as u16).to_be_bytes();
            length.into_iter().chain(m.iter().copied())
        });
        framed.collect()
    }

    fn push(streams: &mut Streams, from: usize, bytes: &[u8]) -> Vec<Vec<u8>> {
        let at = Segment {
            seq: START.wrapping_add(from as u32),
            ack: 7,
            len: bytes.len() as u32,
        };
        streams.segment(1, false, at, bytes)
    }

    #[test]
    fn the_length_may_come_byte_by_byte_and_messages_together() {
        let messages = vec![b"first".to_vec(), b"second".to_vec(), b"third".to_vec()];
        let bytes = stream(&messages);
        let mut streams = Streams::default();
        let mut seen = Vec::new();
        for (i, byte) in bytes.iter().enumerate() {
            seen.extend(push(&mut streams, i, &[*byte]));
        }
        assert_eq!(seen, messages);
        assert_eq!(push(&mut Streams::default(), 0, &bytes), messages);
        assert_eq!(streams.held, 0);
    }

    #[test]
    fn answers_begin_where_the_first_query_expects_them() {
        let mut streams = Streams::default();
        push(&mut streams, 0, &stream(&[b"query".to_vec()]));
        let bytes = stream(&[b"one".to_vec(), b"two".to_vec()]);
        let (early, late) = (&bytes[5..], &bytes[..5]);
        let at = |seq, part: &[u8]| Segment {
            seq,
            ack: 0,
            len: part.len() as u32,
        };
        assert!(streams.segment(1, true, at(12, early), early).is_empty());
        let seen = streams.segment(1, true, at(7, late), late);
        assert_eq!(seen, [b"one", b"two"]);
    }

    #[test]
    fn a_gap_that_nothing_fills_gives_nothing_wrong() {
        let mut streams = Streams::default();
        push(&mut streams, 0, &[0]);
        for i in 0..200 {
            let seen = push(&mut streams, 10 + i * 1000, &[1; 1000]);
            assert!(seen.is_empty());
        }
        assert!(push(&mut streams, 1, &[1, 9]).is_empty());
        assert_eq!(streams.held, 0);
    }

    #[test]
    fn bytes_that_come_one_by_one_behind_a_gap_cost_little() {
        let mut streams = Streams::default();
        push(&mut streams, 0, &[0]);
        let begun = std::time::Instant::now();
        for i in 0..100_000 {
            push(&mut streams, 2 + i, &[1]);
            let kept = streams.streams.get(&1).unwrap().queries.ahead.len();
            assert!(kept <= MAX_AHEAD / SEGMENT, "{kept}");
        }
        assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    }

    #[test]
    fn a_segment_that_was_not_copied_ends_the_reading() {
        let mut streams = Streams::default();
        push(&mut streams, 0, &[0, 3, 1]);
        let lost = Segment {
            seq: START.wrapping_add(3),
            ack: 0,
            len: 70_000,
        };
        assert!(streams.segment(1, false, lost, &[]).is_empty());
        assert!(push(&mut streams, 3, &[2, 3]).is_empty());
    }

    #[test]
    fn memory_is_bounded_over_all_connections() {
        let mut streams = Streams::default();
        for cookie in 0..5_000 {
            let at = Segment {
                seq: 0,
                ack: 0,
                len: 60_000,
            };
            let bytes = [&[0xff, 0xff], &[0; 59_998][..]].concat();
            streams.segment(cookie, false, at, &bytes);
            assert!(streams.held <= MAX_HELD);
        }
        let held: usize = streams.streams.iter().map(|(_, s)| s.held()).sum();
        assert_eq!(streams.held, held);
        for cookie in 0..5_000 {
            streams.ended(cookie);
        }
        assert_eq!(streams.held, 0);
    }

    proptest! {
        #[test]
        fn in_any_cut_order_and_overlap_the_messages_are_the_same(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..60), 1..8),
            cuts in prop::collection::vec((0usize..400, 1usize..80), 0..40),
            order in any::<prop::sample::Index>(),
        ) {
            let bytes = stream(&messages);
            let mut parts: Vec<(usize, usize)> = cuts
                .into_iter()
                .filter(|(at, _)| *at < bytes.len())
                .map(|(at, len)| (at, (at + len).min(bytes.len())))
                .collect();
            let turn = order.index(parts.len().max(1));
            parts.rotate_left(turn);
            let mut streams = Streams::default();
            // where it begins has to be known, as a first query tells it
            let mut seen = push(&mut streams, 0, &bytes[..1]);
            for (from, to) in parts {
                seen.extend(push(&mut streams, from, &bytes[from..to]));
            }
            seen.extend(push(&mut streams, 0, &bytes));
            prop_assert_eq!(seen, messages);
        }

        #[test]
        fn any_segments_at_all_are_survived(
            segments in prop::collection::vec((any::<u32>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..50)), 0..60),
        ) {
            let mut streams = Streams::default();
            for (seq, ingress, bytes) in segments {
                let at = Segment { seq, ack: seq, len: bytes.len() as u32 };
                streams.segment(u64::from(seq % 3), ingress, at, &bytes);
            }
        }
    }
}
