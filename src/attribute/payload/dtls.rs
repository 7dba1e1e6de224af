//! The first message of DTLS: RFC 6347, section 4.2; of version 1.3: RFC 9147, section 5.3. Pure.
//!
//! Each record says which part of the message it has. After a HelloVerifyRequest the client sends the
//! message again, with a cookie.

use tls_parser::{
    DTLSMessage, DTLSMessageHandshake, DTLSMessageHandshakeBody, TlsHandshakeType, TlsRecordType,
    parse_dtls_message_handshake, parse_dtls_record_header,
};

use super::pieces::{MAX_BYTES, Pieces};
use super::{Parsed, client_hello};

/// What a client has sent of its ClientHello so far.
#[derive(Default)]
pub struct Handshake {
    /// The message's number and length.
    message: Option<(u16, u32)>,
    body: Pieces,
}

impl Handshake {
    /// Adds a datagram, which may have several records.
    pub fn datagram(&mut self, bytes: &[u8]) -> Parsed {
        let mut rest = bytes;
        let mut parsed = Parsed::Nothing;
        while let Ok((after, header)) = parse_dtls_record_header(rest)
            && let Some((record, after)) = after.split_at_checked(header.length.into())
        {
            rest = after;
            if header.content_type != TlsRecordType::Handshake || header.epoch != 0 {
                continue;
            }
            parsed = self.record(record);
            if matches!(parsed, Parsed::Names(_)) {
                break;
            }
        }
        parsed
    }

    fn record(&mut self, record: &[u8]) -> Parsed {
        let Ok((_, DTLSMessage::Handshake(message))) = parse_dtls_message_handshake(record) else {
            return Parsed::Nothing;
        };
        match message.body {
            DTLSMessageHandshakeBody::ClientHello(hello) => {
                client_hello::names(hello.ext.unwrap_or_default())
            }
            DTLSMessageHandshakeBody::Fragment(part)
                if message.msg_type == TlsHandshakeType::ClientHello =>
            {
                self.part(&message, part)
            }
            _ => Parsed::Nothing,
        }
    }

    fn part(&mut self, message: &DTLSMessageHandshake<'_>, part: &[u8]) -> Parsed {
        let length = message.length as usize;
        if length > MAX_BYTES {
            return Parsed::Nothing;
        }
        let this = Some((message.message_seq, message.length));
        if self.message != this {
            *self = Handshake {
                message: this,
                body: Pieces::default(),
            };
        }
        self.body.add(message.fragment_offset, part);
        let Some(body) = self.body.beginning().get(..length) else {
            return Parsed::Incomplete;
        };
        // as if it had come in one record
        let size = &message.length.to_be_bytes()[1..];
        let number = message.message_seq.to_be_bytes();
        let kind = [TlsHandshakeType::ClientHello.0];
        let whole = [&kind, size, &number, &[0; 3], size, body].concat();
        match self::Handshake::default().record(&whole) {
            Parsed::Incomplete => Parsed::Nothing,
            parsed => parsed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::payload::tests::client_hello;

    /// The message of TLS in the form of DTLS, in records with parts of it of so many bytes.
    fn records(hello: &[u8], cookie: &[u8], number: u16, part: usize) -> Vec<Vec<u8>> {
        const FIXED: usize = 4 + 2 + 32 + 1; // its header, version, random, no session
        let cookie = [&[cookie.len() as u8], cookie].concat();
        let body = [&hello[4..FIXED], &cookie, &hello[FIXED..]].concat();
        let size = |len: usize| (len as u32).to_be_bytes()[1..].to_vec();
        let mut records = Vec::new();
        for (i, bytes) in body.chunks(part).enumerate() {
            let fragment = [size(i * part), size(bytes.len())].concat();
            let head = [
                &[1][..],
                &size(body.len()),
                &number.to_be_bytes(),
                &fragment,
            ]
            .concat();
            let len = ((head.len() + bytes.len()) as u16).to_be_bytes();
            let record = [&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, i as u8][..], &len].concat();
            records.push([&record[..], &head, bytes].concat());
        }
        records
    }

    fn sni(parsed: Parsed) -> Option<String> {
        match parsed {
            Parsed::Names(names) => names.sni.map(|sni| sni.text.to_string()),
            _ => None,
        }
    }

    #[test]
    fn client_hello_is_read_whole_and_from_records_in_any_order() {
        let hello = client_hello(b"dtls.test");
        let named = Some("dtls.test".to_owned());
        for cookie in [&b""[..], &[7; 32]] {
            let whole = &records(&hello, cookie, 0, 4000)[0];
            assert_eq!(sni(Handshake::default().datagram(whole)), named);
            for len in 0..whole.len() {
                let cut = Handshake::default().datagram(&whole[..len]);
                assert_eq!(cut, Parsed::Nothing, "{len}");
            }
            let mut parts = records(&hello, cookie, 1, 500);
            assert!(parts.len() > 2);
            parts.reverse();
            let last = parts.pop().unwrap();
            let mut all = Handshake::default();
            for part in &parts {
                assert_eq!(all.datagram(part), Parsed::Incomplete);
                assert_eq!(all.datagram(part), Parsed::Incomplete, "sent again");
            }
            // parts of another message are none of this one
            let mut mixed = Handshake::default();
            mixed.datagram(&parts.concat());
            let other = &records(&hello, cookie, 2, 500)[0];
            assert_eq!(mixed.datagram(other), Parsed::Incomplete);
            assert_eq!(sni(all.datagram(&last)), named);
        }
    }

    #[test]
    fn what_is_no_client_hello_in_clear_says_nothing() {
        let good = &records(&client_hello(b"dtls.test"), &[], 0, 4000)[0];
        let with = |at: usize, byte| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            Handshake::default().datagram(&bytes)
        };
        assert_eq!(with(0, 23), Parsed::Nothing); // application data
        assert_eq!(with(4, 1), Parsed::Nothing); // encrypted
        assert_eq!(with(13, 2), Parsed::Nothing); // another message
        assert_eq!(with(14, 1), Parsed::Nothing); // longer than what is kept
        // a part that is said to be at another place than it can be
        assert_eq!(with(19, 0xff), Parsed::Incomplete);
    }
}
