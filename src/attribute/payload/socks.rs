//! What the client of a SOCKS proxy sends: version 5, RFC 1928 and 1929; version 4 and 4a, as its authors
//! (NEC) have described it. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Parsed;
use crate::model::{WireName, WireNames};

const CONNECT: u8 = 1;
/// Bytes of a user's name or a host's in version 4, which has no lengths.
const MAX_TEXT: usize = 255;
/// The version of the exchange of a user's name and password, RFC 1929.
const PASSWORD: u8 = 1;

pub fn parse(bytes: &[u8]) -> Parsed {
    let mut reader = Reader(bytes);
    let read = match reader.byte() {
        Ok(4) => version4(&mut reader),
        Ok(5) => version5(&mut reader),
        Ok(_) => Err(Parsed::Nothing),
        Err(short) => Err(short),
    };
    match read {
        Ok((host, port)) if port != 0 => Parsed::Names(WireNames {
            proxied: Some((host, port)),
            ..WireNames::default()
        }),
        Ok(_) => Parsed::Nothing,
        Err(parsed) => parsed,
    }
}

type Read<T> = Result<T, Parsed>;

fn version4(reader: &mut Reader<'_>) -> Read<(WireName, u16)> {
    connects(reader.byte()?)?;
    let port = reader.port()?;
    let ip = reader.array::<4>()?;
    let user = reader.text()?;
    if user.iter().any(|byte| !(0x20..0x7f).contains(byte)) {
        return Err(Parsed::Nothing); // another protocol
    }
    let host = match ip {
        // version 4a: an address that there can't be says that a name follows
        [0, 0, 0, 1..=255] => reader.text()?,
        [0, ..] => return Err(Parsed::Nothing),
        _ => return Ok((address(Ipv4Addr::from(ip)), port)),
    };
    named(host).map(|host| (host, port))
}

/// What the proxy has chosen is not seen: it shows in what the client sends next.
fn version5(reader: &mut Reader<'_>) -> Read<(WireName, u16)> {
    reader.sized()?; // methods
    let mut version = reader.byte()?;
    if version == PASSWORD {
        reader.sized()?; // the user's name
        reader.sized()?;
        version = reader.byte()?;
    }
    if version != 5 {
        return Err(Parsed::Nothing); // another protocol, or encrypted from here on
    }
    connects(reader.byte()?)?;
    reader.byte()?; // reserved
    let host = match reader.byte()? {
        1 => address(Ipv4Addr::from(reader.array::<4>()?)),
        3 => named(reader.sized()?)?,
        4 => address(Ipv6Addr::from(reader.array::<16>()?)),
        _ => return Err(Parsed::Nothing),
    };
    Ok((host, reader.port()?))
}

/// Other commands wait for a connection, or pass datagrams on: their address is no destination.
fn connects(command: u8) -> Read<()> {
    match command {
        CONNECT => Ok(()),
        _ => Err(Parsed::Nothing),
    }
}

fn address(ip: impl Into<IpAddr>) -> WireName {
    WireName::new(ip.into().to_string().as_bytes())
}

fn named(host: &[u8]) -> Read<WireName> {
    match host {
        [] => Err(Parsed::Nothing),
        _ => Ok(WireName::new(host)),
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Parsed::Incomplete)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Read<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| Parsed::Nothing)
    }

    fn port(&mut self) -> Read<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Bytes behind their number.
    fn sized(&mut self) -> Read<&'a [u8]> {
        let len = self.byte()?;
        self.take(len.into())
    }

    /// Bytes before a zero.
    fn text(&mut self) -> Read<&'a [u8]> {
        match self.0.iter().position(|byte| *byte == 0) {
            Some(len) if len <= MAX_TEXT => {
                let text = self.take(len)?;
                self.byte()?;
                Ok(text)
            }
            None if self.0.len() <= MAX_TEXT => Err(Parsed::Incomplete),
            _ => Err(Parsed::Nothing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxied(parsed: &Parsed) -> Option<(&str, u16)> {
        match parsed {
            Parsed::Names(names) => names
                .proxied
                .as_ref()
                .map(|(host, port)| (&*host.text, *port)),
            _ => None,
        }
    }

    #[test]
    fn destination_is_read_from_requests_of_each_version() {
        for (sent, host, port) in [
            (
                &b"\x04\x01\x00\x50\xc0\x00\x02\x01me\0"[..],
                "192.0.2.1",
                80,
            ),
            (b"\x04\x01\x01\xbb\0\0\0\x01\0a.test\0", "a.test", 443),
            (b"\x05\x01\0\x05\x01\0\x03\x06B.test\x01\xbb", "b.test", 443),
            (
                b"\x05\x02\0\x02\x01\x02me\x03pwd\x05\x01\0\x01\xc0\0\x02\x01\0\x16",
                "192.0.2.1",
                22,
            ),
            (
                b"\x05\x01\0\x05\x01\0\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\0\x50",
                "2001:db8::2",
                80,
            ),
        ] {
            assert_eq!(proxied(&parse(sent)), Some((host, port)), "{sent:x?}");
            for len in 0..sent.len() {
                assert_eq!(parse(&sent[..len]), Parsed::Incomplete, "{len}");
            }
        }
    }

    #[test]
    fn what_asks_for_no_connection_says_nothing() {
        let endless = [&b"\x04\x01\x00\x50\0\0\0\x01"[..], &[b'a'; 300]].concat();
        for sent in [
            &b"\x04\x02\x00\x50\xc0\x00\x02\x01me\0"[..],    // BIND
            b"\x04\x01\0\0\xc0\x00\x02\x01\0",               // no port
            b"\x04\x01\0\x50\0\0\0\0\0",                     // no address
            b"\x04\x01\0\x50\0\0\0\x01\0\0",                 // no name
            b"\x04\x01\0\x50\0\0\0\x01a\xffb\0a\0",          // another protocol
            b"\x05\x01\0\x05\x03\0\x01\xc0\0\x02\x01\0\x16", // UDP ASSOCIATE
            b"\x05\x01\0\x05\x01\0\x02ab",
            b"\x05\x01\0\x05\x01\0\x03\0\0\x50",
            b"\x05\x01\x01\x06\x00", // GSS-API
            &endless,
        ] {
            assert_eq!(parse(sent), Parsed::Nothing, "{sent:x?}");
        }
    }
}
