//! DNS over TCP: from segments to messages. Pure.
//!
//! Segments are captured before the kernel checks and orders them: they may be duplicated,
//! late, or overlap. Each message follows its length (RFC 1035 section 4.2.2, RFC 7766 section
//! 8), independently of segments: each byte of the length may be in a segment of its own, and
//! one segment may hold many messages.

use std::collections::BTreeMap;

use crate::attribute::shares::Shares;
use crate::capture::event::Segment;

/// Bytes kept for all connections. Beyond that the user with the most of them loses the least
/// recently used one.
const MAX_HELD: usize = 8 << 20;
/// Connections followed at once, likewise.
const MAX_STREAMS: usize = 4096;
/// Out-of-order bytes kept of one direction. A peer with more in flight will never fill the
/// hole before them.
const MAX_AHEAD: usize = 128 << 10;
/// Memory counted for each segment beside its bytes, of which there may be one.
const SEGMENT_OVERHEAD: usize = 64;

/// Connections to DNS servers, by socket cookie.
pub struct Streams {
    streams: Shares<u64, Stream>,
    held: usize,
}

#[derive(Default)]
struct Stream {
    queries: StreamDirection,
    answers: StreamDirection,
}

/// One direction of a connection.
#[derive(Default)]
struct StreamDirection {
    /// The next expected sequence number; None before the first segment.
    next: Option<u32>,
    /// The beginning of an incomplete message.
    partial: Vec<u8>,
    /// Bytes taken so far: the stream offset of `next`.
    taken: u64,
    /// Out-of-order segments, by stream offset.
    ahead: BTreeMap<u64, Vec<u8>>,
    /// Memory that those take.
    ahead_size: usize,
    /// Bytes are missing, so that message boundaries can no longer be found.
    broken: bool,
}

impl Default for Streams {
    fn default() -> Self {
        Streams {
            streams: Shares::new(MAX_STREAMS),
            held: 0,
        }
    }
}

impl Streams {
    /// Adds a segment; returns the messages that it completes. `account` is the user whose share
    /// the connection takes.
    pub fn segment(
        &mut self,
        account: u32,
        cookie: u64,
        ingress: bool,
        at: Segment,
        bytes: &[u8],
    ) -> Vec<Vec<u8>> {
        if !self.streams.contains_key(&cookie) {
            for gone in self.streams.insert(account, cookie, Stream::default()) {
                self.held -= gone.held();
            }
        }
        let Some(stream) = self.streams.get_mut(&cookie) else {
            return Vec::new();
        };
        let before = stream.held();
        let (half, other) = match ingress {
            true => (&mut stream.answers, &mut stream.queries),
            false => (&mut stream.queries, &mut stream.answers),
        };
        // The client sends first: its acknowledgement number is where the answers start.
        other.next.get_or_insert(at.ack);
        let complete = half.push(at, bytes);
        self.held = self.held - before + stream.held();
        while self.held > MAX_HELD && self.forget_oldest() {}
        complete
    }

    /// This direction holds no DNS: ignores the rest of it.
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

    /// Forgets a connection that has ended.
    pub fn ended(&mut self, cookie: u64) {
        if let Some(stream) = self.streams.remove(&cookie) {
            self.held -= stream.held();
        }
    }

    /// Forgets the least recently used stream of the user who has most bytes here.
    fn forget_oldest(&mut self) -> bool {
        let users = self.streams.users();
        let held = users.map(|(user, streams)| (streams.map(Stream::held).sum::<usize>(), user));
        let most = held.max().map(|(_, user)| user);
        let oldest = most.and_then(|user| self.streams.evict_from(user));
        self.held -= oldest.as_ref().map_or(0, Stream::held);
        oldest.is_some()
    }
}

impl Stream {
    fn held(&self) -> usize {
        self.queries.held() + self.answers.held()
    }
}

impl StreamDirection {
    fn held(&self) -> usize {
        self.partial.len() + self.ahead_size
    }

    fn give_up(&mut self) {
        *self = StreamDirection {
            broken: true,
            ..StreamDirection::default()
        };
    }

    fn push(&mut self, at: Segment, bytes: &[u8]) -> Vec<Vec<u8>> {
        if !self.broken && (bytes.len() as u32) < at.len {
            self.give_up(); // the capture has truncated it
        }
        if self.broken {
            return Vec::new();
        }
        let next = *self.next.get_or_insert(at.seq);
        // Sequence numbers wrap: up to half of their range behind counts as old.
        let ahead = at.seq.wrapping_sub(next) as i32;
        let (ahead, bytes) = match u32::try_from(ahead) {
            Ok(ahead) => (ahead, bytes),
            // A retransmission, or it overlaps what was taken.
            Err(_) => (0, bytes.get(ahead.unsigned_abs() as usize..).unwrap_or(&[])),
        };
        if ahead > 0 {
            let ahead_size = &mut self.ahead_size;
            self.ahead
                .entry(self.taken + u64::from(ahead))
                .or_insert_with(|| {
                    *ahead_size += bytes.len() + SEGMENT_OVERHEAD;
                    bytes.to_vec()
                });
        } else {
            self.take(bytes);
        }
        if self.ahead_size > MAX_AHEAD {
            self.give_up();
            return Vec::new();
        }
        self.messages()
    }

    /// Takes the next bytes, and those that follow them.
    fn take(&mut self, bytes: &[u8]) {
        self.append(bytes);
        while let Some(first) = self.ahead.first_entry()
            && *first.key() <= self.taken
        {
            let (at, bytes) = first.remove_entry();
            self.ahead_size -= bytes.len() + SEGMENT_OVERHEAD;
            let old = (self.taken - at) as usize;
            self.append(bytes.get(old..).unwrap_or(&[]));
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        self.taken += bytes.len() as u64;
        self.next = self.next.map(|next| next.wrapping_add(bytes.len() as u32));
    }

    fn messages(&mut self) -> Vec<Vec<u8>> {
        let mut complete = Vec::new();
        let mut at = 0;
        while let Some(&[high, low]) = self.partial.get(at..at + 2) {
            let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
            let Some(message) = self.partial.get(at + 2..end) else {
                break;
            };
            complete.push(message.to_vec());
            at = end;
        }
        self.partial.drain(..at);
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
        streams.segment(0, 1, false, at, bytes)
    }

    #[test]
    fn messages_may_be_split_into_bytes_or_come_together() {
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
        assert!(streams.segment(0, 1, true, at(12, early), early).is_empty());
        let seen = streams.segment(0, 1, true, at(7, late), late);
        assert_eq!(seen, [b"one", b"two"]);
    }

    #[test]
    fn hole_that_is_never_filled_yields_no_message() {
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
    fn single_bytes_behind_a_hole_cost_little() {
        let mut streams = Streams::default();
        push(&mut streams, 0, &[0]);
        let begun = std::time::Instant::now();
        for i in 0..100_000 {
            push(&mut streams, 2 + i, &[1]);
            let kept = streams.streams.get_mut(&1).unwrap().queries.ahead.len();
            assert!(kept <= MAX_AHEAD / SEGMENT_OVERHEAD, "{kept}");
        }
        assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    }

    #[test]
    fn truncated_segment_ends_the_stream() {
        let mut streams = Streams::default();
        push(&mut streams, 0, &[0, 3, 1]);
        let lost = Segment {
            seq: START.wrapping_add(3),
            ack: 0,
            len: 70_000,
        };
        assert!(streams.segment(0, 1, false, lost, &[]).is_empty());
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
            streams.segment(0, cookie, false, at, &bytes);
            assert!(streams.held <= MAX_HELD);
        }
        let all = streams.streams.users().flat_map(|(_, s)| s);
        let held: usize = all.map(Stream::held).sum();
        assert_eq!(streams.held, held);
        for cookie in 0..5_000 {
            streams.ended(cookie);
        }
        assert_eq!(streams.held, 0);
    }

    proptest! {
        #[test]
        fn messages_do_not_depend_on_segmentation_order_or_overlap(
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
            // the first byte fixes the start, as a first query does
            let mut seen = push(&mut streams, 0, &bytes[..1]);
            for (from, to) in parts {
                seen.extend(push(&mut streams, from, &bytes[from..to]));
            }
            seen.extend(push(&mut streams, 0, &bytes));
            prop_assert_eq!(seen, messages);
        }

        #[test]
        fn no_segments_panic(
            segments in prop::collection::vec((any::<u32>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..50)), 0..60),
        ) {
            let mut streams = Streams::default();
            for (seq, ingress, bytes) in segments {
                let at = Segment { seq, ack: seq, len: bytes.len() as u32 };
                streams.segment(0, u64::from(seq % 3), ingress, at, &bytes);
            }
        }
    }
}
