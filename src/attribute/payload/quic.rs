//! The first packets of QUIC: RFC 9000, sections 12.4 and 17.2; version 2: RFC 9369. Their keys follow
//! from what is in clear in them (RFC 9001, section 5), so that anyone on the way reads them. Pure.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::aes::Aes128;
use aes_gcm::aes::cipher::BlockEncrypt;
use aes_gcm::{Aes128Gcm, KeyInit};
use hkdf::Hkdf;
use sha2::Sha256;

use super::pieces::Pieces;
use super::{Parsed, client_hello};

const LONG_HEADER: u8 = 0xc0; // and the fixed bit
const MAX_CONNECTION_ID: usize = 20;
const SAMPLE: usize = 16;
const TAG: usize = 16;

struct Version {
    number: u32,
    salt: [u8; 20],
    /// The type of an Initial packet, of two bits.
    initial: u8,
    /// And of one that ends a datagram, since it has no length.
    retry: u8,
    key: &'static [u8],
    iv: &'static [u8],
    header_key: &'static [u8],
}

const VERSIONS: [Version; 2] = [
    Version {
        number: 1,
        salt: [
            0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8,
            0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a,
        ],
        initial: 0,
        retry: 3,
        key: b"quic key",
        iv: b"quic iv",
        header_key: b"quic hp",
    },
    Version {
        number: 0x6b33_43cf,
        salt: [
            0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26,
            0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9,
        ],
        initial: 1,
        retry: 0,
        key: b"quicv2 key",
        iv: b"quicv2 iv",
        header_key: b"quicv2 hp",
    },
];

/// What a client has sent of its ClientHello so far.
#[derive(Default)]
pub struct Handshake {
    keys: Option<Keys>,
    crypto: Pieces,
}

impl Handshake {
    /// Adds a datagram, which may have several packets.
    pub fn datagram(&mut self, bytes: &[u8]) -> Parsed {
        let mut reader = Reader(bytes);
        while let Some(packet) = Packet::read(&mut reader) {
            if let Some(initial) = packet
                && let Some(frames) = self.open(&initial)
            {
                self.frames(&frames);
            }
        }
        match self.keys {
            Some(_) => client_hello::message(self.crypto.beginning()),
            None => Parsed::Nothing,
        }
    }

    /// The keys stay those of the first packet, except after a Retry, from which on they follow from
    /// the identifier that the server has chosen.
    fn open(&mut self, initial: &Packet<'_>) -> Option<Vec<u8>> {
        if let Some(frames) = self.keys.as_ref().and_then(|keys| keys.open(initial)) {
            return Some(frames);
        }
        let keys = Keys::new(initial.version, initial.destination)?;
        let frames = keys.open(initial)?;
        *self = Handshake {
            keys: Some(keys),
            crypto: Pieces::default(),
        };
        Some(frames)
    }

    /// RFC 9000, section 19. An Initial packet has these frames alone.
    fn frames(&mut self, bytes: &[u8]) {
        let mut reader = Reader(bytes);
        while let Some(kind) = reader.varint() {
            let read = match kind {
                0x00 | 0x01 => Some(()), // PADDING, PING
                0x02 | 0x03 => reader.acknowledgement(kind == 0x03),
                0x06 => reader.crypto().map(|(offset, data)| {
                    self.crypto
                        .add(u32::try_from(offset).unwrap_or(u32::MAX), data);
                }),
                _ => None, // CONNECTION_CLOSE, or what must not be here
            };
            if read.is_none() {
                return;
            }
        }
    }
}

/// An Initial packet.
struct Packet<'a> {
    version: &'static Version,
    destination: &'a [u8],
    /// From its first byte to its end.
    bytes: &'a [u8],
    /// Where its number is, and what is protected.
    number_at: usize,
}

impl<'a> Packet<'a> {
    /// The next packet, if it is an Initial one; outer `None`: no more that can be found.
    fn read(reader: &mut Reader<'a>) -> Option<Option<Packet<'a>>> {
        let start = *reader;
        let first = reader.byte()?;
        if first & LONG_HEADER != LONG_HEADER {
            return None;
        }
        let number = u32::from_be_bytes(reader.take(4)?.try_into().ok()?);
        let version = VERSIONS.iter().find(|version| version.number == number)?;
        let destination = reader.connection_id()?;
        reader.connection_id()?;
        let kind = first >> 4 & 3;
        if kind == version.retry {
            return None;
        }
        if kind == version.initial {
            let token = reader.varint()?;
            reader.take(usize::try_from(token).ok()?)?;
        }
        let length = usize::try_from(reader.varint()?).ok()?;
        let number_at = start.0.len() - reader.0.len();
        reader.take(length)?;
        Some((kind == version.initial).then(|| Packet {
            version,
            destination,
            bytes: &start.0[..number_at + length],
            number_at,
        }))
    }
}

struct Keys {
    key: [u8; 16],
    iv: [u8; 12],
    header_key: [u8; 16],
}

impl Keys {
    /// Those of a client: RFC 9001, section 5.2.
    fn new(version: &Version, destination: &[u8]) -> Option<Keys> {
        let initial = Hkdf::<Sha256>::new(Some(&version.salt), destination);
        let client = expand::<32>(&initial, b"client in")?;
        let client = Hkdf::<Sha256>::from_prk(&client).ok()?;
        Some(Keys {
            key: expand(&client, version.key)?,
            iv: expand(&client, version.iv)?,
            header_key: expand(&client, version.header_key)?,
        })
    }

    /// The frames of a packet that these keys have sealed.
    fn open(&self, packet: &Packet<'_>) -> Option<Vec<u8>> {
        let at = packet.number_at;
        // RFC 9001, section 5.4.2: as if the number had 4 bytes
        let sample = packet.bytes.get(at + 4..at + 4 + SAMPLE)?;
        let mut mask = aes_gcm::aes::Block::clone_from_slice(sample);
        Aes128::new(&self.header_key.into()).encrypt_block(&mut mask);
        let first = packet.bytes[0] ^ mask[0] & 0x0f;
        let number_len = usize::from(first & 3) + 1;
        let sealed = packet.bytes.get(at + number_len..)?;
        if sealed.len() < TAG {
            return None;
        }
        let mut header = packet.bytes[..at + number_len].to_vec();
        header[0] = first;
        let mut nonce = self.iv;
        for i in 0..number_len {
            header[at + i] ^= mask[1 + i];
            // A client's first packets have numbers that fit in what is sent of them.
            nonce[12 - number_len + i] ^= header[at + i];
        }
        let sealed = Payload {
            msg: sealed,
            aad: &header,
        };
        Aes128Gcm::new(&self.key.into())
            .decrypt(&nonce.into(), sealed)
            .ok()
    }
}

/// HKDF-Expand-Label without a context: RFC 8446, section 7.1.
fn expand<const N: usize>(from: &Hkdf<Sha256>, label: &[u8]) -> Option<[u8; N]> {
    let prefix = b"tls13 ";
    let len = [0, N as u8, (prefix.len() + label.len()) as u8];
    let mut key = [0; N];
    from.expand_multi_info(&[&len, prefix, label, &[0]], &mut key)
        .ok()?;
    Some(key)
}

#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    /// RFC 9000, section 16.
    fn varint(&mut self) -> Option<u64> {
        let first = self.byte()?;
        let more = self.take((1 << (first >> 6)) - 1)?;
        let value = u64::from(first & 0x3f);
        Some(
            more.iter()
                .fold(value, |value, byte| value << 8 | u64::from(*byte)),
        )
    }

    fn connection_id(&mut self) -> Option<&'a [u8]> {
        let len = usize::from(self.byte()?);
        self.take(len).filter(|_| len <= MAX_CONNECTION_ID)
    }

    fn crypto(&mut self) -> Option<(u64, &'a [u8])> {
        let offset = self.varint()?;
        let len = usize::try_from(self.varint()?).ok()?;
        Some((offset, self.take(len)?))
    }

    fn acknowledgement(&mut self, with_counts: bool) -> Option<()> {
        self.varint()?; // the largest
        self.varint()?; // its delay
        let ranges = self.varint()?;
        self.varint()?; // the first range
        let counts = if with_counts { 3 } else { 0 };
        // a lying number ends with the bytes
        for _ in 0..ranges.saturating_mul(2).saturating_add(counts) {
            self.varint()?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::payload::tests::client_hello;

    /// RFC 9001, appendix A.1, and RFC 9369, appendix A.1.
    #[test]
    fn keys_are_those_of_the_standards() {
        let id = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        for (version, key, iv, header_key) in [
            (
                &VERSIONS[0],
                "1f369613dd76d5467730efcbe3b1a22d",
                "fa044b2f42a3fd3b46fb255c",
                "9f50449e04a0e810283a1e9933adedd2",
            ),
            (
                &VERSIONS[1],
                "8b1a0bc121284290a29e0971b5cd045d",
                "91f73e2351d8fa91660e909f",
                "45b95e15235d6f45a6b19cbcb0294ba9",
            ),
        ] {
            let keys = Keys::new(version, &id).unwrap();
            assert_eq!(hex(&keys.key), key);
            assert_eq!(hex(&keys.iv), iv);
            assert_eq!(hex(&keys.header_key), header_key);
        }
    }

    fn varint(value: usize) -> [u8; 2] {
        ((value as u16) | 0x4000).to_be_bytes()
    }

    fn crypto(offset: usize, data: &[u8]) -> Vec<u8> {
        [&[6][..], &varint(offset), &varint(data.len()), data].concat()
    }

    /// An Initial packet to `to` with these frames, sealed by the keys of `keys_of`.
    fn initial(version: &Version, to: &[u8], keys_of: &[u8], number: u8, frames: &[u8]) -> Vec<u8> {
        let keys = Keys::new(version, keys_of).unwrap();
        let mut packet = vec![LONG_HEADER | version.initial << 4];
        packet.extend(version.number.to_be_bytes());
        packet.push(to.len() as u8);
        packet.extend(to);
        packet.extend([3, 1, 2, 3]); // the client's own identifier
        packet.extend([2, 7, 7]); // a token
        packet.extend(varint(1 + frames.len() + TAG));
        let at = packet.len();
        packet.push(number);
        let mut nonce = keys.iv;
        nonce[11] ^= number;
        let plain = Payload {
            msg: frames,
            aad: &packet,
        };
        let sealed = Aes128Gcm::new(&keys.key.into()).encrypt(&nonce.into(), plain);
        packet.extend(sealed.unwrap());
        let mut mask = aes_gcm::aes::Block::clone_from_slice(&packet[at + 4..at + 4 + SAMPLE]);
        Aes128::new(&keys.header_key.into()).encrypt_block(&mut mask);
        packet[0] ^= mask[0] & 0x0f;
        packet[at] ^= mask[1];
        packet
    }

    fn sni(parsed: Parsed) -> Option<String> {
        match parsed {
            Parsed::Names(names) => names.sni.map(|sni| sni.text.to_string()),
            _ => None,
        }
    }

    #[test]
    fn client_hello_is_read_from_frames_in_any_order_over_several_datagrams() {
        let hello = client_hello(b"quic.test");
        let (one, two) = hello.split_at(700);
        for version in &VERSIONS {
            let id = [9; 8];
            let packet = |number, frames: &[u8]| initial(version, &id, &id, number, frames);
            let mut whole = Handshake::default();
            assert_eq!(
                sni(whole.datagram(&packet(0, &crypto(0, &hello)))).as_deref(),
                Some("quic.test")
            );

            let mut parts = Handshake::default();
            let ack = [2, 5, 0, 1, 0, 1, 1];
            let last = [&[0, 0, 1][..], &ack, &crypto(700, two), &[0; 40]].concat();
            assert_eq!(parts.datagram(&packet(1, &last)), Parsed::Incomplete);
            // what is not an Initial packet beside it is skipped
            let mut other = packet(9, &[0; 30]);
            other[0] = LONG_HEADER | (version.initial + 1) << 4;
            let token = other.iter().position(|b| *b == 7).unwrap() - 1;
            other.drain(token..token + 3);
            let both = [other, packet(0, &crypto(0, one))].concat();
            assert_eq!(sni(parts.datagram(&both)).as_deref(), Some("quic.test"));

            // the server has chosen another identifier, with the same keys
            let mut later = Handshake::default();
            later.datagram(&packet(0, &crypto(0, one)));
            let rest = initial(version, &[4; 5], &id, 1, &crypto(700, two));
            assert_eq!(sni(later.datagram(&rest)).as_deref(), Some("quic.test"));

            // after a Retry, with others, from the start
            let mut retried = Handshake::default();
            retried.datagram(&packet(0, &crypto(0, one)));
            let again = |number, frames: &[u8]| initial(version, &[5; 8], &[5; 8], number, frames);
            assert_eq!(
                retried.datagram(&again(1, &crypto(700, two))),
                Parsed::Incomplete
            );
            assert_eq!(
                sni(retried.datagram(&again(2, &crypto(0, one)))).as_deref(),
                Some("quic.test")
            );
        }
    }

    #[test]
    fn what_is_no_initial_packet_of_a_client_says_nothing() {
        let id = [9; 8];
        let good = initial(
            &VERSIONS[0],
            &id,
            &id,
            0,
            &crypto(0, &client_hello(b"quic.test")),
        );
        for len in 0..good.len() {
            assert_eq!(
                Handshake::default().datagram(&good[..len]),
                Parsed::Nothing,
                "{len}"
            );
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert_eq!(sni(Handshake::default().datagram(&bad)), None, "{at}");
        }
        let endless = [2, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0];
        let lying = initial(&VERSIONS[0], &id, &id, 0, &endless);
        assert_eq!(Handshake::default().datagram(&lying), Parsed::Incomplete);
    }
}
