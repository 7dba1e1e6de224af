//! The data of a resource record in presentation form, and the addresses or the name in it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::rdata::{RData, SVCB, SVCParam};
use simple_dns::{CLASS, Label, Name, Packet, ResourceRecord};

use super::text::{escape, name};

/// Where a record points its name to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordTarget {
    /// A, AAAA, and the address hints of HTTPS and SVCB.
    Addresses(Vec<IpAddr>),
    /// CNAME, HTTPS and SVCB, with the latter's address hints.
    Alias(String, Vec<IpAddr>),
    Nothing,
}

/// Data as text, and where it points to.
pub fn presentation(rdata: &RData<'_>) -> (String, RecordTarget) {
    let plain = |data: String| (data, RecordTarget::Nothing);
    match rdata {
        RData::A(a) => address(IpAddr::V4(a.address.into())),
        RData::AAAA(a) => address(IpAddr::V6(a.address.into())),
        RData::CNAME(n) => {
            let to = name(&n.0);
            (to.clone(), RecordTarget::Alias(to, Vec::new()))
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
        RData::NULL(DNAME, data) => {
            let target = uncompressed_name(data.get_data());
            plain(target.unwrap_or_else(|| unknown(rdata)))
        }
        other => plain(unknown(other)),
    }
}

/// RFC 6672, which the library does not know.
pub const DNAME: u16 = 39;

/// A name that is the whole data, without compression (RFC 6672 section 2.5).
fn uncompressed_name(mut data: &[u8]) -> Option<String> {
    let mut labels = Vec::new();
    loop {
        let (length, rest) = data.split_first()?;
        let (label, rest) = rest.split_at_checked(usize::from(*length))?;
        if label.is_empty() {
            return rest
                .is_empty()
                .then(|| name(&Name::new_with_labels(&labels)));
        }
        labels.push(Label::new(label).ok()?);
        data = rest;
    }
}

fn address(ip: IpAddr) -> (String, RecordTarget) {
    (
        ip.to_string(),
        RecordTarget::Addresses(vec![ip.to_canonical()]),
    )
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

/// As [`escape`], but keeps blanks, which separate nothing within quotes.
fn quoted(bytes: &[u8], out: &mut String) {
    for (i, part) in bytes.split(|b| *b == b' ').enumerate() {
        if i > 0 {
            out.push(' ');
        }
        escape(part, b"\"", out);
    }
}

/// RFC 9460 section 2.1.
fn service(svcb: &SVCB<'_>) -> (String, RecordTarget) {
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
    // "." means the record's name (section 2.5.2).
    let target = if to == "." {
        RecordTarget::Addresses(hints)
    } else {
        RecordTarget::Alias(to, hints)
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

/// The record's data, uncompressed. As the library only writes whole messages, this cuts it out
/// of one that has only this record, with the root as its name.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::dns::fixture::{a, answer, n};
    use crate::attribute::dns::message::parse;
    use simple_dns::CharacterString;
    use simple_dns::rdata::{AAAA, CNAME, HTTPS, MX, NS, NULL, PTR, SOA, SRV, TXT};

    #[test]
    fn each_type_has_its_presentation_form() {
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
                RData::NULL(39, NULL::new(b"\x01b\x07Example\x00").unwrap().into_owned()),
                "DNAME",
                "b.example",
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
                (&*m.answers[0].rtype, m.answers[0].data.as_str()),
                (rtype, data)
            );
        }
    }
}
