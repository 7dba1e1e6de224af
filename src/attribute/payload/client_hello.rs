//! The first message of TLS: RFC 8446, section 4.1.2; ECH: RFC 9849. Pure.

use tls_parser::nom::Err;
use tls_parser::{
    TlsExtension, TlsExtensionType, TlsMessage, TlsMessageHandshake, TlsRecordType,
    parse_tls_client_hello_extension, parse_tls_extension_unknown, parse_tls_message_handshake,
    parse_tls_raw_record,
};

use super::Parsed;
use crate::model::{WireName, WireNames};

/// The extension of ECH, RFC 9849 section 5. In most browsers' messages it is a pretence
/// (section 6.2), which only the server can tell from a true one.
const ENCRYPTED_CLIENT_HELLO: TlsExtensionType = TlsExtensionType(0xfe0d);
/// NameType host_name, RFC 6066 section 3.
const HOST_NAME: u8 = 0;
/// Characters of the protocols kept.
const MAX_ALPN: usize = 64;

/// Bytes of records, of which the message may take several.
pub fn parse(bytes: &[u8]) -> Parsed {
    let mut message = Vec::new();
    let mut rest = bytes;
    loop {
        match parse_tls_raw_record(rest) {
            Ok((after, record)) => {
                let is_empty = record.data.is_empty();
                if record.hdr.record_type != TlsRecordType::Handshake || is_empty {
                    return Parsed::Nothing;
                }
                message.extend_from_slice(record.data);
                rest = after;
            }
            Err(Err::Incomplete(_)) => return Parsed::Incomplete,
            Err(_) => return Parsed::Nothing,
        }
        let parsed = self::message(&message);
        if parsed != Parsed::Incomplete {
            return parsed;
        }
    }
}

/// The message without records, as QUIC has it.
pub fn message(bytes: &[u8]) -> Parsed {
    match parse_tls_message_handshake(bytes) {
        Ok((_, TlsMessage::Handshake(TlsMessageHandshake::ClientHello(hello)))) => {
            names(hello.ext.unwrap_or_default())
        }
        Err(Err::Incomplete(_)) => Parsed::Incomplete,
        _ => Parsed::Nothing,
    }
}

/// What a message with these extensions says.
pub fn names(extensions: &[u8]) -> Parsed {
    let mut names = WireNames::default();
    let mut rest = extensions;
    while !rest.is_empty() {
        let parsed = parse_tls_client_hello_extension(rest);
        // what this parser does not know the form of says nothing, and stops nothing
        let Ok((after, extension)) = parsed.or_else(|_| parse_tls_extension_unknown(rest)) else {
            return Parsed::Nothing;
        };
        rest = after;
        match extension {
            TlsExtension::SNI(sent) => {
                let hosts = sent.iter().filter(|(kind, _)| kind.0 == HOST_NAME);
                for (_, host) in hosts {
                    // two names, which RFC 6066 forbids: which one a server takes is not known
                    if names.sni.replace(WireName::new(host)).is_some() {
                        return Parsed::Nothing;
                    }
                }
            }
            TlsExtension::ALPN(protocols) => names.alpn = Some(list(&protocols).into()),
            TlsExtension::EncryptedServerName { .. } => names.sni_ech = true,
            TlsExtension::Unknown(ENCRYPTED_CLIENT_HELLO, _) => names.sni_ech = true,
            _ => {}
        }
    }
    match names.sni.is_some() || names.alpn.is_some() {
        true => Parsed::Names(names),
        false => Parsed::Nothing,
    }
}

/// The protocols that are offered. Those of GREASE (RFC 8701) are noise, and left out.
fn list(protocols: &[&[u8]]) -> String {
    let mut text = String::new();
    for protocol in protocols {
        let is_grease = matches!(protocol, [a, b] if a == b && a & 0x0f == 0x0a);
        let name = String::from_utf8_lossy(protocol);
        let is_plain = protocol
            .iter()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b',' | b'\\'));
        if is_grease || text.len() + name.len() > MAX_ALPN {
            continue;
        }
        if !text.is_empty() {
            text.push(',');
        }
        match is_plain {
            true => text.push_str(&name),
            false => text.push('?'),
        }
    }
    text
}
