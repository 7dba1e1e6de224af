//! DNS messages as text that can be stored and compared: names in lower case without the
//! trailing dot, unprintable bytes escaped as in RFC 1035 section 5.1. Pure; any bytes give a
//! message or [`Malformed`].

use std::borrow::Cow;
use std::rc::Rc;

use simple_dns::{Name, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, ResourceRecord, TYPE};

use super::record_data::{DNAME, RecordTarget, presentation};
use super::text::name;

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
    /// QR: the message is an answer.
    pub response: bool,
    pub rcode: String,
    pub opcode_is_query: bool,
    /// One, except in multicast DNS, which allows several (RFC 6762 section 5.3).
    pub questions: Vec<DnsQuestion>,
    pub answers: Vec<ParsedRecord>,
    /// Records of the answer beyond [`MAX_RECORDS`], or with too much text.
    pub left_out: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DnsQuestion {
    pub name: String,
    /// `A`, `AAAA`, … or `TYPE123` (RFC 3597).
    pub qtype: String,
    /// 1 for IN.
    pub class: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedRecord {
    /// Of a run of records with one name, the same allocation.
    pub name: Rc<str>,
    pub rtype: Cow<'static, str>,
    /// 1 for IN.
    pub class: u16,
    /// In presentation form, unknown types in RFC 3597's.
    pub data: String,
    /// Seconds.
    pub ttl: u32,
    pub target: RecordTarget,
}

impl Message {
    /// The question of a message that may have only one.
    pub fn question(&self) -> Option<&DnsQuestion> {
        self.questions.first()
    }
}

/// Records read of one answer. No program tries that many addresses.
pub const MAX_RECORDS: usize = 1024;
/// Questions read of one message.
const MAX_QUESTIONS: usize = 32;
/// Characters of names and data read of one message. By compression, two bytes can mean a name
/// of a thousand characters, and 64 KiB ten million. No honest message comes near this.
const MAX_TEXT: usize = 512 << 10;
/// Longest chain of compression pointers. Encoders write one.
const MAX_POINTERS: u8 = 16;

/// Parses one message.
///
/// # Errors
/// It breaks RFC 1035, or is compressed as no encoder does.
pub fn parse(bytes: &[u8]) -> Result<Message, Malformed> {
    if has_long_chain(bytes) || !records_fit(bytes) {
        return Err(Malformed);
    }
    let (bytes, beyond) = first_records(bytes);
    let packet = Packet::parse(&bytes)?;
    let mut text = 0;
    let mut last: Option<(&Name<'_>, Rc<str>)> = None;
    let answers = packet.answers.iter().map(|record| {
        let name = match last.take() {
            Some((before, text)) if *before == record.name => text,
            _ => name(&record.name).into(),
        };
        last = Some((&record.name, Rc::clone(&name)));
        parsed(record, name)
    });
    let answers = answers.take_while(|record| {
        text += record.name.len() + record.data.len();
        text <= MAX_TEXT
    });
    let answers: Vec<ParsedRecord> = answers.collect();
    let questions = packet.questions.iter().take(MAX_QUESTIONS);
    let questions = questions.map(|q| DnsQuestion {
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
        rcode: rcode(&bytes),
        opcode_is_query: packet.opcode() == OPCODE::StandardQuery,
        left_out: beyond + packet.answers.len() - answers.len(),
        questions: questions.collect(),
        answers,
    })
}

/// The message without the records beyond [`MAX_RECORDS`], and how many of its answer those are:
/// what is not read must cost nothing.
fn first_records(bytes: &[u8]) -> (Cow<'_, [u8]>, usize) {
    const ANSWERS: usize = 6;
    const OTHER_SECTIONS: std::ops::Range<usize> = 8..12;
    let answers = bytes.get(ANSWERS..ANSWERS + 2);
    let answers = answers.map_or(0, |n| usize::from(u16::from_be_bytes([n[0], n[1]])));
    if answers <= MAX_RECORDS || bytes.len() < OTHER_SECTIONS.end {
        return (bytes.into(), 0);
    }
    let mut fewer = bytes.to_vec();
    fewer[ANSWERS..ANSWERS + 2].copy_from_slice(&(MAX_RECORDS as u16).to_be_bytes());
    fewer[OTHER_SECTIONS].fill(0);
    (fewer.into(), answers - MAX_RECORDS)
}

/// Whether the addresses and names in the answer have a length that their type can have. Programs
/// refuse a message in which they have not, and go on waiting; the library takes what is there.
fn records_fit(bytes: &[u8]) -> bool {
    const HEADER: usize = 12;
    const TYPE_CLASS: usize = 4;
    const TTL_LENGTH: usize = 6;
    let short = |at: usize| {
        let pair = bytes.get(at..at + 2)?;
        Some(usize::from(u16::from_be_bytes([pair[0], pair[1]])))
    };
    let walk = || {
        let mut at = HEADER;
        for _ in 0..short(4)? {
            at = after_name(bytes, at)? + TYPE_CLASS;
        }
        for _ in 0..short(6)? {
            at = after_name(bytes, at)?;
            let (rtype, length) = (short(at)?, short(at + TYPE_CLASS + 4)?);
            let fits = match rtype {
                1 => length == 4,              // A
                28 => length == 16,            // AAAA
                2 | 5 | 12 | 39 => length > 0, // NS, CNAME, PTR, DNAME
                _ => true,
            };
            if !fits {
                return Some(false);
            }
            at += TYPE_CLASS + TTL_LENGTH + length;
        }
        Some(true)
    };
    walk().unwrap_or(false)
}

/// Where the name at `at` ends, RFC 1035 section 4.1.4.
fn after_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            length @ 1..0x40 => at += 1 + usize::from(length),
            0xc0.. => return Some(at + 2),
            _ => return None,
        }
    }
}

/// Whether compression pointers (RFC 1035 section 4.1.4) form a long chain, which each name at
/// its end would have to follow. Pointers only lead back, so one pass finds out.
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

/// IANA's name of the RCODE, the low four bits of the header's fourth byte (RFC 1035 section
/// 4.1.1). Extended ones need EDNS; without it they are `RCODE<n>`.
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
        QTYPE::TYPE(t) => rtype(t).into_owned(),
        QTYPE::ANY => "ANY".into(),
        other => format!("TYPE{}", u16::from(other)),
    }
}

fn rtype(t: TYPE) -> Cow<'static, str> {
    match t {
        TYPE::A => "A".into(),
        TYPE::AAAA => "AAAA".into(),
        TYPE::CNAME => "CNAME".into(),
        TYPE::Unknown(DNAME) => "DNAME".into(),
        TYPE::Unknown(n) => format!("TYPE{n}").into(),
        t => format!("{t:?}").into(),
    }
}

fn parsed(record: &ResourceRecord<'_>, name: Rc<str>) -> ParsedRecord {
    let (data, target) = presentation(&record.rdata);
    ParsedRecord {
        name,
        rtype: rtype(record.rdata.type_code()),
        class: record.class as u16,
        data,
        ttl: record.ttl,
        target,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::attribute::dns::addresses::addresses;
    use crate::attribute::dns::fixture::{a, answer, n};
    use proptest::prelude::*;
    use simple_dns::CLASS;
    use simple_dns::rdata::{CNAME, RData};

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
        assert_eq!(&*m.answers[0].name, "www.example.com");
        assert_eq!(m.answers[0].data, "192.0.2.1");
    }

    #[test]
    fn truncated_message_is_malformed() {
        let whole = answer(vec![("www.example.com", a([192, 0, 2, 1]))]);
        for len in 0..whole.len() {
            assert!(parse(&whole[..len]).is_err(), "cut to {len} bytes");
        }
    }

    /// An answer whose names begin at `name_at`, in a record of junk.
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
    fn chain_of_pointers_is_rejected_at_little_cost() {
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
    fn text_of_a_message_full_of_pointers_to_a_long_name_is_bounded() {
        let label = [&[49], &[1u8; 49][..]].concat();
        let long = [label.repeat(5), vec![0]].concat();
        // in TXT the same bytes are five strings and an empty one
        let m = parse(&with_junk(&long, JUNK_AT, true)).unwrap();
        let text: usize = m.answers.iter().map(|r| r.name.len() + r.data.len()).sum();
        assert!(m.answers.len() > 100, "{}", m.answers.len());
        assert!(text <= MAX_TEXT, "{text}");
    }

    #[test]
    fn wrong_counts_and_trailing_bytes_add_nothing() {
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
    fn address_of_a_wrong_length_is_malformed() {
        let whole = answer(vec![("www.example.com", a([192, 0, 2, 1]))]);
        let length = whole.len() - 6;
        for wrong in [0, 3, 5, 16] {
            let mut bytes = whole[..length].to_vec();
            bytes.extend([0, wrong]);
            bytes.extend([1; 16].iter().take(usize::from(wrong)));
            assert_eq!(parse(&bytes), Err(Malformed), "{wrong} bytes");
        }
    }

    #[test]
    fn records_beyond_the_limit_are_counted() {
        let record = |i: u16| {
            let [high, low] = i.to_be_bytes();
            ("www.example.com", a([10, 0, high, low]))
        };
        let m = parse(&answer((0..2000).map(record).collect())).unwrap();
        assert_eq!(
            (m.answers.len(), m.left_out),
            (MAX_RECORDS, 2000 - MAX_RECORDS)
        );
    }

    #[test]
    fn name_of_256_bytes_is_malformed() {
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
        fn message_is_read_as_written_and_never_when_cut(
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
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn damaged_message_never_panics(at in 0usize..200, byte in any::<u8>()) {
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
