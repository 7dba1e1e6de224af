//! The first request of HTTP/2 without TLS, by prior knowledge: RFC 9113; its fields: HPACK, RFC 7541. Pure.
//!
//! The dynamic table of HPACK is not kept: in a connection's first request it can only repeat what the
//! request has said before.

use super::request::{HTTP_PORT, authority};
use super::{Parsed, huffman};
use crate::model::WireNames;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// RFC 9113, sections 4.1, 4.2, 6.2 and 6.10
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
const FRAME_HEADER: usize = 9;
const MAX_FRAME: usize = 16_384;

pub fn parse(bytes: &[u8]) -> Parsed {
    let Some(mut rest) = bytes.strip_prefix(PREFACE) else {
        return match PREFACE.starts_with(bytes) {
            true => Parsed::Incomplete,
            false => Parsed::Nothing,
        };
    };
    let mut block = Vec::new();
    let mut has_begun = false;
    loop {
        let frame = match Frame::read(&mut rest) {
            Ok(frame) => frame,
            Err(parsed) => return parsed,
        };
        match frame.kind {
            HEADERS if !has_begun => has_begun = true,
            CONTINUATION if has_begun => {}
            // none may come between the frames of a block
            _ if has_begun || matches!(frame.kind, HEADERS | CONTINUATION) => {
                return Parsed::Nothing;
            }
            _ if frame.is_whole => continue, // SETTINGS and the like
            _ => return Parsed::Incomplete,
        }
        match frame.fragment() {
            Some(fragment) => block.extend_from_slice(fragment),
            None if frame.is_whole => return Parsed::Nothing,
            None => return Parsed::Incomplete,
        }
        let ends = frame.is_whole && frame.flags & END_HEADERS != 0;
        // Once: a block may be in hundreds of frames. The names are among the first of many fields.
        if ends || !frame.is_whole || rest.len() < FRAME_HEADER {
            return fields(&block, ends);
        }
    }
}

struct Frame<'a> {
    kind: u8,
    flags: u8,
    /// What is there of it.
    payload: &'a [u8],
    is_whole: bool,
}

impl<'a> Frame<'a> {
    fn read(rest: &mut &'a [u8]) -> Result<Frame<'a>, Parsed> {
        let Some((header, after)) = rest.split_first_chunk::<FRAME_HEADER>() else {
            return Err(Parsed::Incomplete);
        };
        let [a, b, c, kind, flags, ..] = *header;
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        if len > MAX_FRAME {
            return Err(Parsed::Nothing);
        }
        let (payload, next) = after.split_at(len.min(after.len()));
        *rest = next;
        Ok(Frame {
            kind,
            flags,
            payload,
            is_whole: payload.len() == len,
        })
    }

    /// What it has of a block of fields; None if that does not begin in it.
    fn fragment(&self) -> Option<&'a [u8]> {
        let mut fragment = self.payload;
        if self.kind == CONTINUATION {
            return Some(fragment);
        }
        let mut padding = 0;
        if self.flags & PADDED != 0 {
            let (first, after) = fragment.split_first()?;
            (padding, fragment) = (usize::from(*first), after);
        }
        if self.flags & PRIORITY != 0 {
            fragment = fragment.get(5..)?;
        }
        match self.is_whole {
            true => fragment.get(..fragment.len().checked_sub(padding)?),
            false => Some(fragment),
        }
    }
}

/// What a request's fields have said so far.
#[derive(Default)]
struct Request {
    authority: Option<Vec<u8>>,
    host: Option<Vec<u8>>,
    connects: Option<bool>,
    /// CONNECT to a resource, such as a WebSocket, and through no proxy: RFC 8441.
    is_extended: bool,
}

impl Request {
    fn names(&self) -> Parsed {
        let named = self.authority.as_ref().or(self.host.as_ref());
        let Some((host, port)) = named.and_then(|bytes| authority(bytes, HTTP_PORT)) else {
            return Parsed::Nothing;
        };
        Parsed::Names(match self.connects {
            Some(true) if !self.is_extended => WireNames {
                proxied: Some((host, port)),
                ..WireNames::default()
            },
            _ => WireNames {
                http_host: Some(host),
                ..WireNames::default()
            },
        })
    }
}

/// The block as far as it is there, or all of it.
fn fields(block: &[u8], is_all: bool) -> Parsed {
    let mut request = Request::default();
    let mut reader = Reader(block);
    // what CONNECT means depends on all of its fields
    let is_said =
        |request: &Request| request.authority.is_some() && request.connects == Some(false);
    while !reader.0.is_empty() {
        match reader.field(&mut request) {
            Ok(()) if is_said(&request) => break,
            Ok(()) => {}
            Err(Parsed::Incomplete) if !is_all => return Parsed::Incomplete,
            Err(_) => return Parsed::Nothing,
        }
    }
    match is_said(&request) || is_all {
        true => request.names(),
        false => Parsed::Incomplete,
    }
}

/// Fields that matter, by their place in the static table: RFC 7541, appendix A.
#[derive(Clone, Copy, PartialEq)]
enum Field {
    Authority,
    Method,
    Host,
    Protocol,
    Other,
}

impl Field {
    fn of_index(index: usize) -> Field {
        match index {
            1 => Field::Authority,
            2 | 3 => Field::Method,
            38 => Field::Host,
            _ => Field::Other,
        }
    }

    fn of_name(name: &[u8]) -> Field {
        match name {
            b":authority" => Field::Authority,
            b":method" => Field::Method,
            b"host" => Field::Host,
            b":protocol" => Field::Protocol,
            _ => Field::Other,
        }
    }
}

struct Reader<'a>(&'a [u8]);

type Read<T> = Result<T, Parsed>;

impl<'a> Reader<'a> {
    /// RFC 7541, section 6.
    fn field(&mut self, request: &mut Request) -> Read<()> {
        let first = *self.0.first().ok_or(Parsed::Incomplete)?;
        let index_bits = match first {
            0x80.. => {
                let index = self.integer(7)?;
                if Field::of_index(index) == Field::Method {
                    request.connects.get_or_insert(false); // GET, POST
                }
                return Ok(());
            }
            0x40.. => 6,
            0x20.. => return self.integer(5).map(drop), // the table's size
            _ => 4,
        };
        let field = match self.integer(index_bits)? {
            0 => Field::of_name(&self.string()?.decoded()?),
            index => Field::of_index(index),
        };
        let value = self.string()?;
        // what is said first counts
        match field {
            Field::Authority if request.authority.is_none() => {
                request.authority = Some(value.decoded()?);
            }
            Field::Protocol => request.is_extended = true,
            Field::Host if request.host.is_none() => request.host = Some(value.decoded()?),
            Field::Method if request.connects.is_none() => {
                request.connects = Some(value.decoded()? == b"CONNECT");
            }
            _ => {}
        }
        Ok(())
    }

    /// RFC 7541, section 5.1. What needs more than four bytes is a lie.
    fn integer(&mut self, bits: u32) -> Read<usize> {
        let most = (1u8 << bits) - 1;
        let first = self.byte()? & most;
        let mut value = usize::from(first);
        if first < most {
            return Ok(value);
        }
        for shift in [0, 7, 14] {
            let byte = self.byte()?;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Parsed::Nothing)
    }

    fn string(&mut self) -> Read<Text<'a>> {
        let is_huffman = self.0.first().is_some_and(|byte| byte & 0x80 != 0);
        let len = self.integer(7)?;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(Parsed::Incomplete)?;
        self.0 = rest;
        Ok(Text { bytes, is_huffman })
    }

    fn byte(&mut self) -> Read<u8> {
        let (byte, rest) = self.0.split_first().ok_or(Parsed::Incomplete)?;
        self.0 = rest;
        Ok(*byte)
    }
}

struct Text<'a> {
    bytes: &'a [u8],
    is_huffman: bool,
}

impl Text<'_> {
    fn decoded(&self) -> Read<Vec<u8>> {
        match self.is_huffman {
            true => huffman::decode(self.bytes).ok_or(Parsed::Nothing),
            false => Ok(self.bytes.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let len = &(payload.len() as u32).to_be_bytes()[1..];
        [len, &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// A connection's beginning, with the usual settings and a wider window.
    fn begins(frames: &[&[u8]]) -> Vec<u8> {
        let settings = frame(4, 0, &[0, 3, 0, 0, 0, 100, 0, 4, 2, 0, 0, 0]);
        let window = frame(8, 0, &[1, 255, 0, 0]);
        [PREFACE, &settings, &window, &frames.concat()].concat()
    }

    fn host(parsed: &Parsed) -> Option<&str> {
        match parsed {
            Parsed::Names(names) => names.http_host.as_ref().map(|name| &*name.text),
            _ => None,
        }
    }

    /// RFC 7541, appendix C.4.1 and C.3.1: the first request, with Huffman code and without.
    const CODED: &[u8] = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
    const PLAIN: &[u8] = b"\x82\x86\x84\x41\x0fwww.example.com";

    #[test]
    fn authority_is_read_from_the_first_request() {
        let padded = [&[3][..], &[0, 0, 0, 0, 16], PLAIN, &[0; 3]].concat();
        let (one, two) = CODED.split_at(9);
        for frames in [
            frame(HEADERS, END_HEADERS | 1, CODED),
            frame(HEADERS, END_HEADERS, PLAIN),
            frame(HEADERS, END_HEADERS | PADDED | PRIORITY, &padded),
            [
                frame(HEADERS, 1, one),
                frame(CONTINUATION, END_HEADERS, two),
            ]
            .concat(),
            // its name in full, of which nothing is to be remembered; behind a change of the table's size
            frame(
                HEADERS,
                END_HEADERS,
                b"\x3f\xe1\x1f\x82\x10\x0a:authority\x0fwww.example.com",
            ),
            // a CONTINUATION is to follow, but what is wanted is there
            frame(HEADERS, 0, CODED),
            // from HTTP/1
            frame(HEADERS, END_HEADERS, b"\x82\x66\x0fwww.example.com"),
        ] {
            let whole = begins(&[&frames]);
            assert_eq!(host(&parse(&whole)), Some("www.example.com"), "{frames:x?}");
            for len in 0..whole.len() {
                let parsed = parse(&whole[..len]);
                let early = host(&parsed) == Some("www.example.com");
                assert!(early || parsed == Parsed::Incomplete, "{len}: {parsed:?}");
            }
        }
        let connect = begins(&[&frame(
            HEADERS,
            END_HEADERS,
            b"\x42\x07CONNECT\x41\x0bc.test:8443",
        )]);
        let Parsed::Names(names) = parse(&connect) else {
            panic!("no names")
        };
        let (to, port) = names.proxied.unwrap();
        assert_eq!((&*to.text, port, names.http_host), ("c.test", 8443, None));
        let extended = begins(&[&frame(
            HEADERS,
            END_HEADERS,
            b"\x42\x07CONNECT\x41\x09chat.test\x40\x09:protocol\x09websocket",
        )]);
        assert_eq!(host(&parse(&extended)), Some("chat.test"));
    }

    #[test]
    fn what_is_no_first_request_says_nothing() {
        for frames in [
            frame(HEADERS, END_HEADERS, b"\x82\x86\x84"), // no authority
            frame(HEADERS, END_HEADERS, b"\x82\x41\x8c\xf1\xe3"), // cut
            frame(HEADERS, END_HEADERS, b"\x82\x41\x83\xff\xff\xff"), // no code
            frame(HEADERS, END_HEADERS, b"\x82\x41\xff\xff\xff\xff\x0f"), // a lying length
            frame(HEADERS, END_HEADERS, b"\x82\x41\x00"), // empty
            frame(HEADERS, END_HEADERS | PADDED, b"\xff\x82"),
            frame(HEADERS, END_HEADERS | PADDED | PRIORITY, b"\x00\x00"),
            frame(CONTINUATION, END_HEADERS, CODED),
            [frame(HEADERS, 0, b"\x82"), frame(0, 0, b"x")].concat(),
            b"\xff\xff\xff\x04\x00\x00\x00\x00\x00".to_vec(), // a frame of 16 MiB
        ] {
            assert_eq!(parse(&begins(&[&frames])), Parsed::Nothing, "{frames:x?}");
        }
        assert_eq!(parse(b"PRI * HTTP/2.0\r\n\r\nXX"), Parsed::Nothing);
    }
}
