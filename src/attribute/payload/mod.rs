//! What connections say themselves, before anything is encrypted: the server name of TLS, DTLS and QUIC,
//! the host of HTTP, the destination that a proxy is asked for. In come pieces of the first bytes that a
//! client sends, in any order; out go names. Nothing in it fails: what does not parse says nothing.

mod client_hello;
mod dtls;
mod http2;
mod huffman;
mod pieces;
mod quic;
mod request;
mod socks;

use crate::attribute::shares::Shares;
use crate::capture::event::{FlowKey, Payload, PayloadKind};
use crate::model::WireNames;
use pieces::Pieces;

/// Beginnings that are incomplete, over all connections: beyond that, the user with the most of
/// them loses the least recently used one. Each has [`pieces::MAX_BYTES`] at most.
const MAX_INCOMPLETE: usize = 1024;

/// What the bytes so far amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Parsed {
    /// More bytes may make it complete.
    Incomplete,
    /// It says nothing.
    Nothing,
    Names(WireNames),
}

/// The beginnings of connections of which a part is missing: of TCP by the socket's cookie.
pub struct Beginnings {
    incomplete: Shares<u64, Beginning>,
    handshakes: Shares<FlowKey, Handshake>,
}

struct Beginning {
    kind: PayloadKind,
    /// Where it is in the connection's stream.
    start: u32,
    pieces: Pieces,
}

/// What a flow of datagrams has sent of its ClientHello so far.
enum Handshake {
    Quic(quic::Handshake),
    Dtls(dtls::Handshake),
}

impl Handshake {
    fn of(kind: PayloadKind) -> Handshake {
        match kind {
            PayloadKind::Dtls => Handshake::Dtls(dtls::Handshake::default()),
            _ => Handshake::Quic(quic::Handshake::default()),
        }
    }

    fn is_of(&self, kind: PayloadKind) -> bool {
        matches!(self, Handshake::Dtls(_)) == (kind == PayloadKind::Dtls)
    }

    fn datagram(&mut self, bytes: &[u8]) -> Parsed {
        match self {
            Handshake::Quic(handshake) => handshake.datagram(bytes),
            Handshake::Dtls(handshake) => handshake.datagram(bytes),
        }
    }
}

impl Default for Beginnings {
    fn default() -> Self {
        Beginnings {
            incomplete: Shares::new(MAX_INCOMPLETE),
            handshakes: Shares::new(MAX_INCOMPLETE),
        }
    }
}

impl Beginnings {
    /// Adds a piece, which takes the share of the user `account`; returns the names that it
    /// completes.
    pub fn piece(&mut self, account: u32, piece: &Payload) -> Option<WireNames> {
        if piece.kind.is_datagram() {
            return self.datagrams(account, piece);
        }
        let of_this = |known: &Beginning| known.kind == piece.kind && known.start == piece.start;
        let known = self.incomplete.get_mut(&piece.cookie);
        let parsed = match known.filter(|known| of_this(known)) {
            Some(known) => {
                known.pieces.add(piece.offset, &piece.bytes);
                parse(piece.kind, known.pieces.beginning())
            }
            None if piece.offset == 0 => self.first(account, piece),
            None => {
                self.keep(account, piece);
                return None;
            }
        };
        match parsed {
            Parsed::Incomplete => None,
            Parsed::Nothing => {
                self.ended(piece.cookie);
                None
            }
            Parsed::Names(names) => {
                self.ended(piece.cookie);
                Some(names)
            }
        }
    }

    /// Datagrams that were sent by one call.
    fn datagrams(&mut self, account: u32, piece: &Payload) -> Option<WireNames> {
        let key = piece.flow_key();
        let size = piece.message_size.map_or(usize::MAX, usize::from);
        let mut new = Handshake::of(piece.kind);
        let known = self.handshakes.get_mut(&key);
        let known = known.filter(|known| known.is_of(piece.kind));
        let is_new = known.is_none();
        let handshake = known.unwrap_or(&mut new);
        let mut parsed = Parsed::Nothing; // perhaps forged, beside the true ones
        for datagram in piece.bytes.chunks(size) {
            parsed = handshake.datagram(datagram);
            if matches!(parsed, Parsed::Names(_)) {
                break;
            }
        }
        match parsed {
            Parsed::Incomplete => {
                if is_new {
                    self.handshakes.insert(account, key, new);
                }
                None
            }
            Parsed::Nothing => None,
            Parsed::Names(names) => {
                self.handshakes.remove(&key);
                Some(names)
            }
        }
    }

    /// Forgets a flow that has ended.
    pub fn flow_ended(&mut self, key: &FlowKey) {
        self.handshakes.remove(key);
    }

    /// Forgets a connection that has ended.
    pub fn ended(&mut self, cookie: u64) {
        self.incomplete.remove(&cookie);
    }

    /// Most need no second piece.
    fn first(&mut self, account: u32, piece: &Payload) -> Parsed {
        let parsed = parse(piece.kind, &piece.bytes);
        if parsed == Parsed::Incomplete {
            self.keep(account, piece);
        }
        parsed
    }

    fn keep(&mut self, account: u32, piece: &Payload) {
        let mut pieces = Pieces::default();
        pieces.add(piece.offset, &piece.bytes);
        let beginning = Beginning {
            kind: piece.kind,
            start: piece.start,
            pieces,
        };
        self.incomplete.insert(account, piece.cookie, beginning);
    }
}

fn parse(kind: PayloadKind, bytes: &[u8]) -> Parsed {
    match kind {
        PayloadKind::Tls => client_hello::parse(bytes),
        PayloadKind::Http => request::parse(bytes),
        PayloadKind::Http2 => http2::parse(bytes),
        PayloadKind::Socks => socks::parse(bytes),
        PayloadKind::Quic | PayloadKind::Dtls => Parsed::Nothing, // not a stream
    }
}

#[cfg(test)]
mod tests;
