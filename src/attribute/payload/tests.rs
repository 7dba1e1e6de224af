use proptest::prelude::*;

use super::*;
use crate::model::Endpoint;

/// A ClientHello for this server, without records: as DTLS has it, too, but for its cookie.
pub fn client_hello(name: &[u8]) -> Vec<u8> {
    message(&[post_quantum_share(), server_name(name)])
}

fn message(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]); // random
    body.push(0); // session id
    body.extend([0, 2, 0x13, 0x01]); // TLS_AES_128_GCM_SHA256
    body.extend([1, 0]); // no compression
    let mut all = Vec::new();
    for (kind, data) in extensions {
        all.extend(kind.to_be_bytes());
        all.extend((data.len() as u16).to_be_bytes());
        all.extend(data);
    }
    body.extend((all.len() as u16).to_be_bytes());
    body.extend(all);
    let mut message = vec![1];
    message.extend(&(body.len() as u32).to_be_bytes()[1..]);
    message.extend(body);
    message
}

/// A message of TLS in records of `record` bytes, with these extensions.
fn hello(extensions: &[(u16, Vec<u8>)], record: usize) -> Vec<u8> {
    let message = message(extensions);
    let records = message.chunks(record).flat_map(|part| {
        let header = [22, 3, 1, (part.len() >> 8) as u8, part.len() as u8];
        header.into_iter().chain(part.iter().copied())
    });
    records.collect()
}

fn server_name(name: &[u8]) -> (u16, Vec<u8>) {
    let mut data = ((name.len() + 3) as u16).to_be_bytes().to_vec();
    data.push(0);
    data.extend((name.len() as u16).to_be_bytes());
    data.extend(name);
    (0, data)
}

fn alpn(protocols: &[&[u8]]) -> (u16, Vec<u8>) {
    let list: Vec<u8> = protocols
        .iter()
        .flat_map(|name| std::iter::once(name.len() as u8).chain(name.iter().copied()))
        .collect();
    let mut data = (list.len() as u16).to_be_bytes().to_vec();
    data.extend(list);
    (16, data)
}

/// X25519MLKEM768, as browsers send it.
fn post_quantum_share() -> (u16, Vec<u8>) {
    let share = vec![9; 1216];
    let mut data = ((share.len() + 4) as u16).to_be_bytes().to_vec();
    data.extend([0x11, 0xec]);
    data.extend((share.len() as u16).to_be_bytes());
    data.extend(share);
    (51, data)
}

fn piece(kind: PayloadKind, offset: usize, bytes: &[u8]) -> Payload {
    Payload {
        cookie: 1,
        peer: Endpoint {
            ip: std::net::Ipv4Addr::LOCALHOST.into(),
            port: 443,
        },
        kind,
        start: 0,
        offset: offset as u32,
        bytes: bytes.to_vec(),
        message_size: None,
    }
}

fn names(kind: PayloadKind, bytes: &[u8]) -> Option<WireNames> {
    Beginnings::default().piece(0, &piece(kind, 0, bytes))
}

fn sni(names: &WireNames) -> Option<&str> {
    names.sni.as_ref().map(|name| &*name.text)
}

const WHOLE: usize = 16384;

#[test]
fn names_of_a_client_hello() {
    let extensions = [
        (0x0a0a, vec![]), // GREASE
        post_quantum_share(),
        server_name(b"WWW.Example.test"),
        alpn(&[b"\x0a\x0a", b"h2", b"http/1.1"]),
        (13, vec![1]), // not in the form that the parser knows
    ];
    let found = names(PayloadKind::Tls, &hello(&extensions, WHOLE)).unwrap();
    assert_eq!(sni(&found), Some("www.example.test"));
    assert_eq!(found.alpn.as_deref(), Some("h2,http/1.1"));
    assert!(!found.sni_ech);
    // in records of one byte
    assert_eq!(
        names(PayloadKind::Tls, &hello(&extensions[2..], 1)),
        Some(found)
    );
    let ech = [server_name(b"provider.test"), (0xfe0d, vec![0; 40])];
    let found = names(PayloadKind::Tls, &hello(&ech, WHOLE)).unwrap();
    assert_eq!((sni(&found), found.sni_ech), (Some("provider.test"), true));
}

#[test]
fn what_is_no_client_hello_or_not_clear_says_nothing() {
    let two = [server_name(b"a.test"), server_name(b"b.test")];
    for bytes in [
        hello(&two, WHOLE),
        hello(&[], WHOLE),
        b"\x16\x03\x01\x00\x00".repeat(10),
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00".to_vec(), // another message
        b"\x17\x03\x03\x00\x01a".to_vec(),
        b"\x16\x03\x01\xff\xff".repeat(500),
        b"SSH-2.0-x\r\n".to_vec(),
    ] {
        assert_eq!(names(PayloadKind::Tls, &bytes), None, "{bytes:x?}");
    }
    // an extension that says it is longer than it is
    let mut lies = hello(&[server_name(b"a.test")], WHOLE);
    let at = lies.len() - 13;
    lies[at] = 0xff;
    assert_eq!(names(PayloadKind::Tls, &lies), None);
    // a message that is never complete is forgotten with its connection
    let mut all = Beginnings::default();
    let longer = b"\x16\x03\x01\x20\x00\x01\x00\x1f\xfc";
    assert_eq!(all.piece(0, &piece(PayloadKind::Tls, 0, longer)), None);
    assert_eq!(all.incomplete.len(), 1);
    all.ended(1);
    assert_eq!(all.incomplete.len(), 0);
}

#[test]
fn names_of_a_request() {
    for (request, host, proxied) in [
        (
            "GET / HTTP/1.1\r\nHost: A.test:8080\r\n",
            Some("a.test"),
            None,
        ),
        (
            "GET / HTTP/1.1\r\nhost:[2001:db8::1]:80\r\n\r\n",
            Some("2001:db8::1"),
            None,
        ),
        (
            "GET http://u:p@b.test/x HTTP/1.1\r\nHost: b.test\r\n",
            Some("b.test"),
            Some(("b.test", 80)),
        ),
        (
            "CONNECT c.test:443 HTTP/1.1\r\n\r\n",
            None,
            Some(("c.test", 443)),
        ),
        (
            "CONNECT [2001:db8::2]:8443 HTTP/1.1\r\nHost: x\r\n",
            Some("x"),
            Some(("2001:db8::2", 8443)),
        ),
    ] {
        let found = names(PayloadKind::Http, request.as_bytes()).unwrap();
        assert_eq!(
            found.http_host.as_ref().map(|n| &*n.text),
            host,
            "{request}"
        );
        let to = found.proxied.as_ref().map(|(n, port)| (&*n.text, *port));
        assert_eq!(to, proxied, "{request}");
    }
    for request in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test:99999\r\n\r\n",
        "GET\0/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHo",
        "POST\r\n",
    ] {
        assert_eq!(
            names(PayloadKind::Http, request.as_bytes()),
            None,
            "{request}"
        );
    }
    let hostile = names(
        PayloadKind::Http,
        b"GET / HTTP/1.1\r\nHost: a\x80\x9b2J\r\n",
    )
    .unwrap();
    let host = hostile.http_host.unwrap();
    assert_eq!((&*host.text, host.is_host), ("a\\128\\1552j", false));
}

#[test]
fn flood_of_incomplete_beginnings_is_bounded_and_costs_its_maker() {
    let mut all = Beginnings::default();
    let first = hello(&[post_quantum_share(), server_name(b"a.test")], WHOLE);
    let (begin, end) = first.split_at(700);
    all.piece(7, &piece(PayloadKind::Tls, 0, begin));
    for cookie in 100..20_000 {
        let mut part = piece(PayloadKind::Tls, 100, &[0; 4096]);
        part.cookie = cookie;
        all.piece(1000, &part);
        assert!(all.incomplete.len() <= MAX_INCOMPLETE);
    }
    let found = all.piece(7, &piece(PayloadKind::Tls, 700, end)).unwrap();
    assert_eq!(sni(&found), Some("a.test"));
}

proptest! {
    #[test]
    fn names_do_not_depend_on_the_pieces_or_their_order(
        record in 1usize..3000,
        cuts in prop::collection::vec((0usize..2000, 1usize..900), 0..20),
        ends in any::<prop::sample::Index>(),
    ) {
        let extensions = [post_quantum_share(), server_name(b"name.test"), alpn(&[b"h2"])];
        let bytes = hello(&extensions, record.max(400));
        let whole = names(PayloadKind::Tls, &bytes);
        prop_assert!(whole.is_some());
        let mut pieces: Vec<(usize, usize)> = cuts
            .iter()
            .map(|(at, len)| ((*at).min(bytes.len()), (at + len).min(bytes.len())))
            .collect();
        pieces.extend([(0, 600), (600, 601), (601, bytes.len())]);
        let turn = ends.index(pieces.len());
        pieces.rotate_left(turn);
        let mut all = Beginnings::default();
        let found = pieces
            .iter()
            .find_map(|&(from, to)| all.piece(0, &piece(PayloadKind::Tls, from, &bytes[from..to])));
        prop_assert_eq!(found, whole);
    }

    #[test]
    fn any_pieces_are_survived(
        parts in prop::collection::vec(
            (0u64..3, 0usize..6, 0u32..5000, prop::collection::vec(any::<u8>(), 0..300)), 0..40),
        head in prop::sample::select(vec![
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"[..], b"GET / HTTP/1.1\r\n", b"CONNECT ",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00", b"\x05\x01\x00\x05\x01\x00\x03", b"\x04\x01",
            b"\x16\xfe\xfd\0\0\0\0\0\0\0\0\x01\0\x01\x00", b""]),
    ) {
        use PayloadKind::*;
        let mut all = Beginnings::default();
        for (cookie, kind, offset, bytes) in parts {
            let kind = [Tls, Http, Http2, Socks, Quic, Dtls][kind];
            let offset = if offset % 2 == 0 { 0 } else { offset };
            let bytes = match offset {
                0 => [head, &bytes].concat(),
                _ => bytes,
            };
            all.piece(0, &Payload { cookie, offset, ..piece(kind, 0, &bytes) });
        }
        prop_assert!(all.incomplete.len() <= 3 && all.handshakes.len() <= 3);
    }
}
