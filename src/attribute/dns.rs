//! DNS messages as text that can be stored and compared: names in lower case
//! without the trailing dot, bytes that do not print escaped as RFC 1035 section
//! 5.1 does. Pure; any bytes give a message or [`Malformed`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::rdata::{RData, SVCB, SVCParam};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, ResourceRecord, TYPE};

/// A message that breaks RFC 1035.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl From<simple_dns::SimpleDnsError> for Malformed {
    fn from(_: simple_dns::SimpleDnsError) -> Self {
        Malformed
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The transaction id.
    pub id: u16,
    /// QR: an answer, not a query.
    pub response: bool,
    pub rcode: String,
    /// Every resolver asks one; multicast DNS may ask several (RFC 6762 section 5.3).
    pub questions: Vec<Question>,
    pub answers: Vec<Record>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    pub name: String,
    /// `A`, `AAAA`, … or `TYPE123` (RFC 3597).
    pub qtype: String,
    /// 1 for IN.
    pub class: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub name: String,
    pub rtype: String,
    /// Presentation form; RFC 3597's for types unknown here.
    pub data: String,
    /// Seconds.
    pub ttl: u32,
    /// Where the record points its name to.
    pub target: Target,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A, AAAA, and the address hints of HTTPS and SVCB.
    Addresses(Vec<IpAddr>),
    /// CNAME, and the alias form of HTTPS and SVCB; a service's other name too,
    /// with the hints that go with it.
    Alias(String, Vec<IpAddr>),
    Nothing,
}

impl Message {
    /// The one that counts where there may be only one.
    pub fn question(&self) -> Option<&Question> {
        self.questions.first()
    }
}

/// Questions of one message that are read.
const MAX_QUESTIONS: usize = 32;
/// Characters of names and data that are read. Two bytes can stand for a name of a
/// thousand characters, and a message of 64 KiB for ten million. Without such tricks
/// none comes near this.
const MAX_TEXT: usize = 512 << 10;
/// Pointers that may point to one another in a row: a compressor makes one.
const MAX_POINTERS: u8 = 16;

/// Reads one message.
pub fn parse(bytes: &[u8]) -> Result<Message, Malformed> {
    if has_long_chain(bytes) {
        return Err(Malformed);
    }
    let packet = Packet::parse(bytes)?;
    let mut text = 0;
    let answers = packet.answers.iter().map(record).take_while(|record| {
        text += record.name.len() + record.data.len();
        text <= MAX_TEXT
    });
    let answers = answers.collect();
    let questions = packet.questions.iter().take(MAX_QUESTIONS);
    let questions = questions.map(|q| Question {
        name: name(&q.qname),
        qtype: qtype(q.qtype),
        class: match q.qclass {
            QCLASS::CLASS(class) => class as u16,
            QCLASS::ANY => 255,
        },
    });
    Ok(Message {
        id: packet.id(),
        response: packet.has_flags(PacketFlag::RESPONSE),
        rcode: rcode(bytes),
        questions: questions.collect(),
        answers,
    })
}

/// Whether pointers (RFC 1035 section 4.1.4) lead to pointers, and so on: each name
/// that begins at the end of such a chain would cost its whole length. They only lead
/// back, so one pass tells.
fn has_long_chain(bytes: &[u8]) -> bool {
    const POINTER: u8 = 0xc0;
    const REACH: usize = 1 << 14;
    let mut depths = vec![0u8; bytes.len().min(REACH)];
    for (at, pair) in bytes.windows(2).take(REACH).enumerate() {
        let to = usize::from(u16::from_be_bytes([pair[0] & !POINTER, pair[1]]));
        if pair[0] & POINTER == POINTER && to < at {
            depths[at] = depths[to] + 1;
            if depths[at] > MAX_POINTERS {
                return true;
            }
        }
    }
    false
}

/// Name in lower case without the trailing dot; the root is ".".
fn name(name: &Name<'_>) -> String {
    let mut text = String::new();
    for label in name.get_labels() {
        if !text.is_empty() {
            text.push('.');
        }
        escape(label.as_ref(), b".", &mut text);
    }
    if text.is_empty() {
        text.push('.');
    }
    text.make_ascii_lowercase();
    text
}

/// Writes bytes as RFC 1035 section 5.1 does: `\DDD` for what does not print,
/// a backslash before itself and before the `special` ones.
fn escape(bytes: &[u8], special: &[u8], out: &mut String) {
    for &b in bytes {
        match b {
            b'\\' => out.push_str("\\\\"),
            b if special.contains(&b) => {
                out.push('\\');
                out.push(b as char);
            }
            0x21..=0x7e => out.push(b as char),
            b => out.push_str(&format!("\\{b:03}")),
        }
    }
}

/// The low four bits of the header's fourth byte (RFC 1035 section 4.1.1), by
/// IANA's names; the extended ones need EDNS and are `RCODE<n>` without.
fn rcode(bytes: &[u8]) -> String {
    let code = bytes.get(3).map_or(0, |b| b & 0x0f);
    let name = match code {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        n => return format!("RCODE{n}"),
    };
    name.to_string()
}

fn qtype(qtype: QTYPE) -> String {
    match qtype {
        QTYPE::TYPE(t) => rtype(t),
        QTYPE::ANY => "ANY".into(),
        other => format!("TYPE{}", u16::from(other)),
    }
}

fn rtype(t: TYPE) -> String {
    match t {
        TYPE::Unknown(n) => format!("TYPE{n}"),
        t => format!("{t:?}"),
    }
}

fn record(record: &ResourceRecord<'_>) -> Record {
    let (data, target) = rdata(&record.rdata);
    Record {
        name: name(&record.name),
        rtype: rtype(record.rdata.type_code()),
        data,
        ttl: record.ttl,
        target,
    }
}

fn rdata(rdata: &RData<'_>) -> (String, Target) {
    let plain = |data: String| (data, Target::Nothing);
    match rdata {
        RData::A(a) => address(IpAddr::V4(a.address.into())),
        RData::AAAA(a) => address(IpAddr::V6(a.address.into())),
        RData::CNAME(n) => {
            let to = name(&n.0);
            (to.clone(), Target::Alias(to, Vec::new()))
        }
        RData::NS(n) => plain(name(&n.0)),
        RData::PTR(n) => plain(name(&n.0)),
        RData::MX(mx) => plain(format!("{} {}", mx.preference, name(&mx.exchange))),
        RData::SRV(s) => plain(format!(
            "{} {} {} {}",
            s.priority,
            s.weight,
            s.port,
            name(&s.target)
        )),
        RData::SOA(s) => plain(format!(
            "{} {} {} {} {} {} {}",
            name(&s.mname),
            name(&s.rname),
            s.serial,
            s.refresh,
            s.retry,
            s.expire,
            s.minimum
        )),
        RData::TXT(txt) => plain(txt_strings(txt)),
        RData::HTTPS(https) => service(&https.0),
        RData::SVCB(svcb) => service(svcb),
        other => plain(unknown(other)),
    }
}

fn address(ip: IpAddr) -> (String, Target) {
    (ip.to_string(), Target::Addresses(vec![ip.to_canonical()]))
}

/// Each character-string in quotes, RFC 1035 section 5.1.
fn txt_strings(txt: &simple_dns::rdata::TXT<'_>) -> String {
    let mut out = String::new();
    for (key, value) in txt.iter_raw() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push('"');
        let mut bytes = key.to_vec();
        if let Some(value) = value {
            bytes.push(b'=');
            bytes.extend_from_slice(value);
        }
        quoted(&bytes, &mut out);
        out.push('"');
    }
    out
}

/// As [`escape`], but blanks stay: inside quotes they separate nothing.
fn quoted(bytes: &[u8], out: &mut String) {
    for (i, part) in bytes.split(|b| *b == b' ').enumerate() {
        if i > 0 {
            out.push(' ');
        }
        escape(part, b"\"", out);
    }
}

/// RFC 9460 section 2.1.
fn service(svcb: &SVCB<'_>) -> (String, Target) {
    let to = name(&svcb.target);
    let mut data = format!("{} {to}", svcb.priority);
    let mut hints = Vec::new();
    for param in svcb.iter_params() {
        data.push(' ');
        match param {
            SVCParam::Ipv4Hint(ips) => {
                let ips: Vec<IpAddr> = ips
                    .iter()
                    .map(|ip| IpAddr::V4(Ipv4Addr::from(*ip)))
                    .collect();
                data.push_str(&hint("ipv4hint", &ips));
                hints.extend(ips);
            }
            SVCParam::Ipv6Hint(ips) => {
                let ips: Vec<IpAddr> = ips
                    .iter()
                    .map(|ip| IpAddr::V6(Ipv6Addr::from(*ip)))
                    .collect();
                data.push_str(&hint("ipv6hint", &ips));
                hints.extend(ips);
            }
            SVCParam::Alpn(ids) => {
                let ids: Vec<String> = ids
                    .iter()
                    .map(|id| {
                        let mut text = String::new();
                        escape(id.to_string().as_bytes(), b",\"", &mut text);
                        text
                    })
                    .collect();
                data.push_str(&format!("alpn={}", ids.join(",")));
            }
            SVCParam::Port(port) => data.push_str(&format!("port={port}")),
            other => data.push_str(&format!("key{}", other.key_code())),
        }
    }
    // "." in service form is the record's own name (section 2.5.2).
    let target = if to == "." {
        Target::Addresses(hints)
    } else {
        Target::Alias(to, hints)
    };
    (data, target)
}

fn hint(key: &str, ips: &[IpAddr]) -> String {
    let ips: Vec<String> = ips.iter().map(IpAddr::to_string).collect();
    format!("{key}={}", ips.join(","))
}

/// RFC 3597 section 5: `\# length hexadecimal`.
fn unknown(rdata: &RData<'_>) -> String {
    let bytes = wire_form(rdata).unwrap_or_default();
    let mut out = format!("\\# {}", bytes.len());
    if !bytes.is_empty() {
        out.push(' ');
    }
    for b in bytes {
        out.push_str(&format!("{b:02x}"));
    }
    out
}

/// The record's data, uncompressed. The library writes whole messages only: this
/// is one with the root's record alone, and what follows its fixed part.
fn wire_form(rdata: &RData<'_>) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    const ROOT_TYPE_CLASS_TTL_LENGTH: usize = 1 + 2 + 2 + 4 + 2;
    let mut packet = Packet::new_reply(0);
    let root = Name::new_with_labels(&[]);
    packet
        .answers
        .push(ResourceRecord::new(root, CLASS::IN, 0, rdata.clone()));
    let message = packet.build_bytes_vec().ok()?;
    message
        .get(HEADER + ROOT_TYPE_CLASS_TTL_LENGTH..)
        .map(<[u8]>::to_vec)
}

/// Aliases followed in one answer; resolvers give up sooner.
const MAX_ALIASES: usize = 16;

/// Addresses of one answer that count. Each takes room in every scope, which is
/// everybody's: no program tries so many.
const MAX_ADDRESSES: usize = 1024;

/// Every address that an answer gives to the name that was asked for, through
/// at most [`MAX_ALIASES`] aliases.
pub fn addresses(question: &Question, answers: &[Record]) -> Vec<IpAddr> {
    let mut names = vec![question.name.clone()];
    let mut i = 0;
    while let Some(at) = names.get(i).cloned() {
        for record in answers.iter().filter(|r| r.name == at) {
            if let Target::Alias(to, _) = &record.target
                && names.len() <= MAX_ALIASES
                && !names.contains(to)
            {
                names.push(to.clone());
            }
        }
        i += 1;
    }
    let mut found = Vec::new();
    for record in answers.iter().filter(|r| names.contains(&r.name)) {
        if let Target::Addresses(ips) | Target::Alias(_, ips) = &record.target {
            found.extend(ips.iter().copied());
        }
    }
    found.sort_unstable();
    found.dedup();
    found.truncate(MAX_ADDRESSES);
    found
}

/// The host that a question is about: a service's question names its host behind
/// labels that begin with an underscore (RFC 9460 section 2.3).
pub fn host_of(question: &Question) -> &str {
    let mut host = question.name.as_str();
    if matches!(question.qtype.as_str(), "HTTPS" | "SVCB") {
        while host.starts_with('_')
            && let Some((_, rest)) = host.split_once('.')
        {
            host = rest;
        }
    }
    host
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use simple_dns::CharacterString;
    use simple_dns::rdata::{A, AAAA, CNAME, HTTPS, MX, NS, NULL, PTR, SOA, SRV, TXT};

    fn answer(records: Vec<(&str, RData<'static>)>) -> Vec<u8> {
        let mut packet = Packet::new_reply(7);
        packet.questions.push(simple_dns::Question::new(
            Name::new("WWW.Example.com").unwrap(),
            TYPE::A.into(),
            CLASS::IN.into(),
            false,
        ));
        for (owner, rdata) in records {
            let owner = Name::new(owner).unwrap().into_owned();
            packet
                .answers
                .push(ResourceRecord::new(owner, CLASS::IN, 60, rdata));
        }
        packet.build_bytes_vec_compressed().unwrap()
    }

    fn n(name: &str) -> Name<'static> {
        Name::new(name).unwrap().into_owned()
    }

    fn a(ip: [u8; 4]) -> RData<'static> {
        RData::A(A {
            address: u32::from_be_bytes(ip),
        })
    }

    #[test]
    fn names_are_lower_case_without_the_trailing_dot() {
        let m = parse(&answer(vec![("WWW.EXAMPLE.com", a([192, 0, 2, 1]))])).unwrap();
        assert!(m.response);
        assert_eq!((m.id, m.rcode.as_str()), (7, "NOERROR"));
        let q = m.question().unwrap();
        assert_eq!(
            (q.name.as_str(), q.qtype.as_str(), q.class),
            ("www.example.com", "A", 1)
        );
        assert_eq!(m.answers[0].name, "www.example.com");
        assert_eq!(m.answers[0].data, "192.0.2.1");
    }

    #[test]
    fn every_stored_type_has_its_presentation_form() {
        let soa = SOA {
            mname: n("ns.example.com"),
            rname: n("admin.example.com"),
            serial: 1,
            refresh: 2,
            retry: 3,
            expire: 4,
            minimum: 5,
        };
        let mut svcb = SVCB::new(1, n("cdn.example.net"));
        svcb.set_port(8443);
        svcb.set_ipv4hint(&[0xc000_0209]);
        let txt = TXT::new().with_char_string(CharacterString::new(b"say \"hi\"\x1b").unwrap());
        let cases: Vec<(RData<'static>, &str, &str)> = vec![
            (a([192, 0, 2, 1]), "A", "192.0.2.1"),
            (RData::AAAA(AAAA { address: 1 }), "AAAA", "::1"),
            (RData::CNAME(CNAME(n("b.example"))), "CNAME", "b.example"),
            (RData::PTR(PTR(n("p.example"))), "PTR", "p.example"),
            (RData::NS(NS(n("ns.example"))), "NS", "ns.example"),
            (
                RData::MX(MX {
                    preference: 10,
                    exchange: n("mx.example"),
                }),
                "MX",
                "10 mx.example",
            ),
            (
                RData::SRV(SRV {
                    priority: 1,
                    weight: 2,
                    port: 443,
                    target: n("s.example"),
                }),
                "SRV",
                "1 2 443 s.example",
            ),
            (
                RData::SOA(soa),
                "SOA",
                "ns.example.com admin.example.com 1 2 3 4 5",
            ),
            (RData::TXT(txt.into_owned()), "TXT", r#""say \"hi\"\027""#),
            (
                RData::HTTPS(HTTPS(svcb)),
                "HTTPS",
                "1 cdn.example.net port=8443 ipv4hint=192.0.2.9",
            ),
            (
                RData::NULL(999, NULL::new(b"\x01\xff").unwrap().into_owned()),
                "TYPE999",
                "\\# 2 01ff",
            ),
        ];
        for (rdata, rtype, data) in cases {
            let m = parse(&answer(vec![("www.example.com", rdata)])).unwrap();
            assert_eq!(
                (m.answers[0].rtype.as_str(), m.answers[0].data.as_str()),
                (rtype, data)
            );
        }
    }

    #[test]
    fn bytes_that_do_not_print_are_escaped() {
        let hostile = Name::new_with_labels(&[
            simple_dns::Label::new_unchecked(b"a\x1b[2J".to_vec()),
            simple_dns::Label::new_unchecked(b"x.y \\".to_vec()),
        ]);
        assert_eq!(name(&hostile), r"a\027[2j.x\.y\032\\");
        assert_eq!(name(&n(".")), ".");
    }

    #[test]
    fn addresses_are_found_through_aliases_in_any_order_and_no_others() {
        let m = parse(&answer(vec![
            ("c.example", a([192, 0, 2, 3])),
            ("stranger.example", a([192, 0, 2, 66])),
            ("b.example", RData::CNAME(CNAME(n("c.example")))),
            ("www.example.com", RData::CNAME(CNAME(n("b.example")))),
            ("b.example", RData::CNAME(CNAME(n("www.example.com")))), // a loop
        ]))
        .unwrap();
        let found = addresses(m.question().unwrap(), &m.answers);
        assert_eq!(found, ["192.0.2.3".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn address_hints_name_as_addresses_do() {
        let mut svcb = SVCB::new(1, n("."));
        svcb.set_ipv6hint(&[0x2001_0db8_u128 << 96 | 1]);
        let m = parse(&answer(vec![(
            "www.example.com",
            RData::HTTPS(HTTPS(svcb)),
        )]))
        .unwrap();
        let found = addresses(m.question().unwrap(), &m.answers);
        assert_eq!(found, ["2001:db8::1".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn a_services_question_is_about_its_host() {
        let q = |name: &str, qtype: &str| Question {
            name: name.into(),
            qtype: qtype.into(),
            class: 1,
        };
        assert_eq!(
            host_of(&q("_8443._https.example.com", "HTTPS")),
            "example.com"
        );
        assert_eq!(host_of(&q("example.com", "HTTPS")), "example.com");
        assert_eq!(
            host_of(&q("_dmarc.example.com", "TXT")),
            "_dmarc.example.com"
        );
    }

    #[test]
    fn truncated_anywhere_a_message_is_malformed_or_shorter() {
        let whole = answer(vec![("www.example.com", a([192, 0, 2, 1]))]);
        for len in 0..whole.len() {
            assert!(parse(&whole[..len]).is_err(), "cut to {len} bytes");
        }
    }

    /// An answer with names that begin at `chain`'s end, behind a record of junk.
    fn with_junk(junk: &[u8], name_at: usize, target: bool) -> Vec<u8> {
        let mut bytes = vec![0, 7, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend([0, 0, 16, 0, 1, 0, 0, 0, 0]); // the root's TXT
        bytes.extend((junk.len() as u16).to_be_bytes());
        bytes.extend(junk);
        let name = (0xc000 | name_at as u16).to_be_bytes();
        let mut count = 1u16;
        while bytes.len() < 65_000 {
            bytes.extend(name);
            bytes.extend([0, 5, 0, 1, 0, 0, 0, 60, 0, 2]);
            bytes.extend(if target { name } else { [0xc0, 12] });
            count += 1;
        }
        bytes[6..8].copy_from_slice(&count.to_be_bytes());
        bytes
    }

    const JUNK_AT: usize = 12 + 11;

    #[test]
    fn pointers_to_pointers_end_the_reading_before_they_cost_anything() {
        let pair = |i: usize| (0xc000 | (JUNK_AT + 2 * i) as u16).to_be_bytes();
        let first = [0, 0];
        let chain: Vec<u8> = first.into_iter().chain((0..8000).flat_map(pair)).collect();
        let bytes = with_junk(&chain, JUNK_AT + chain.len() - 2, false);
        let begun = std::time::Instant::now();
        for _ in 0..100 {
            assert_eq!(parse(&bytes), Err(Malformed));
        }
        let each = begun.elapsed() / 100;
        assert!(each < std::time::Duration::from_millis(10), "{each:?}");
    }

    #[test]
    fn a_message_of_pointers_to_one_long_name_comes_to_bounded_text() {
        let label = [&[49], &[1u8; 49][..]].concat();
        let long = [label.repeat(5), vec![0]].concat();
        // in TXT the same bytes are five strings and an empty one
        let m = parse(&with_junk(&long, JUNK_AT, true)).unwrap();
        let text: usize = m.answers.iter().map(|r| r.name.len() + r.data.len()).sum();
        assert!(m.answers.len() > 100, "{}", m.answers.len());
        assert!(text <= MAX_TEXT, "{text}");
    }

    #[test]
    fn counts_that_lie_and_bytes_behind_the_end_add_nothing() {
        let record = |last| ("www.example.com", a([192, 0, 2, last]));
        let whole = answer(vec![record(1), record(2)]);
        let parsed = parse(&whole).unwrap();
        for section in [4, 6, 8, 10] {
            let mut more = whole.clone();
            more[section + 1] += 1;
            assert_eq!(parse(&more), Err(Malformed), "one more at {section}");
        }
        let mut fewer = whole.clone();
        fewer[7] -= 1;
        assert_eq!(parse(&fewer).unwrap().answers, parsed.answers[..1]);
        assert_eq!(parse(&[whole, vec![0xff; 500]].concat()).unwrap(), parsed);
    }

    #[test]
    fn a_name_of_255_bytes_is_a_name_and_one_of_256_is_none() {
        let name_of = |last: usize| {
            let labels = [63, 63, 63, last].map(|n| vec![b'x'; n]);
            Name::new_with_labels(&labels.map(simple_dns::Label::new_unchecked))
        };
        let query = |last| {
            let mut packet = Packet::new_query(7);
            packet.questions.push(simple_dns::Question::new(
                name_of(last),
                TYPE::A.into(),
                CLASS::IN.into(),
                false,
            ));
            packet.build_bytes_vec().unwrap()
        };
        let longest = parse(&query(61)).unwrap();
        assert_eq!(longest.question().unwrap().name.len(), 253);
        assert_eq!(parse(&query(62)), Err(Malformed));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_no_cut_of_it_names_another(
            labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 1..10),
            ips in prop::collection::vec(any::<[u8; 4]>(), 0..40),
            cut in any::<prop::sample::Index>(),
        ) {
            let of = |b: &Vec<u8>| simple_dns::Label::new_unchecked(b.clone());
            let owner = Name::new_with_labels(&labels.iter().map(of).collect::<Vec<_>>());
            let mut packet = Packet::new_reply(7);
            packet.questions.push(simple_dns::Question::new(
                owner.clone(), TYPE::A.into(), CLASS::IN.into(), false,
            ));
            for ip in &ips {
                packet.answers.push(ResourceRecord::new(owner.clone(), CLASS::IN, 60, a(*ip)));
            }
            let bytes = packet.build_bytes_vec_compressed().unwrap();
            let m = parse(&bytes).unwrap();
            let q = m.question().unwrap();
            prop_assert_eq!(&q.name, &name(&owner));
            let mut expected: Vec<IpAddr> = ips.iter().map(|ip| IpAddr::from(*ip)).collect();
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(addresses(q, &m.answers), expected);
            prop_assert_eq!(parse(&bytes[..cut.index(bytes.len())]), Err(Malformed));
        }

        #[test]
        fn any_bytes_are_a_message_or_malformed(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn any_damage_to_a_message_is_survived(at in 0usize..200, byte in any::<u8>()) {
            let mut bytes = answer(vec![
                ("www.example.com", RData::CNAME(CNAME(n("b.example")))),
                ("b.example", a([192, 0, 2, 3])),
            ]);
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(m) = parse(&bytes) {
                for r in &m.answers {
                    prop_assert!(r.name.chars().all(|c| c.is_ascii_graphic()));
                }
                if let Some(q) = m.question() {
                    let _ = addresses(q, &m.answers);
                }
            }
        }
    }
}
