//! Which addresses an answer gives to the name in its question.

use std::net::IpAddr;

use super::message::{DnsQuestion, ParsedRecord};
use super::record_data::RecordTarget;

/// Aliases followed in one answer. Resolvers give up sooner.
const MAX_ALIASES: usize = 16;

/// Addresses of one answer that count: each takes memory in every scope, and no program tries
/// that many.
const MAX_ADDRESSES: usize = 1024;

/// The class of the Internet. Names of other classes are names of something else.
const IN: u16 = 1;

/// The addresses of the name in the question, through at most [`MAX_ALIASES`] aliases.
pub fn addresses(question: &DnsQuestion, answers: &[ParsedRecord]) -> Vec<IpAddr> {
    if question.class != IN {
        return Vec::new();
    }
    let answers: Vec<&ParsedRecord> = answers.iter().filter(|r| r.class == IN).collect();
    let mut names = vec![question.name.clone()];
    let mut i = 0;
    while let Some(at) = names.get(i).cloned() {
        for record in answers.iter().filter(|r| *r.name == *at) {
            if let RecordTarget::Alias(to, _) = &record.target
                && names.len() <= MAX_ALIASES
                && !names.contains(to)
            {
                names.push(to.clone());
            }
        }
        i += 1;
    }
    let mut found = Vec::new();
    for record in answers
        .iter()
        .filter(|r| names.iter().any(|name| **name == *r.name))
    {
        if let RecordTarget::Addresses(ips) | RecordTarget::Alias(_, ips) = &record.target {
            found.extend(ips.iter().copied());
        }
    }
    found.sort_unstable();
    found.dedup();
    found.truncate(MAX_ADDRESSES);
    found
}

/// The host that a question is about. That of HTTPS and SVCB follows labels that begin with an
/// underscore (RFC 9460 section 2.3).
pub fn host_of(question: &DnsQuestion) -> &str {
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
    use crate::attribute::dns::fixture::{a, answer, n};
    use crate::attribute::dns::message::parse;
    use simple_dns::rdata::{CNAME, HTTPS, RData, SVCB};

    #[test]
    fn only_addresses_of_the_name_and_its_aliases_are_found() {
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
    fn other_classes_name_nothing() {
        let bytes = answer(vec![("www.example.com", a([192, 0, 2, 3]))]);
        let mut m = parse(&bytes).unwrap();
        let chaos = DnsQuestion {
            class: 3,
            ..m.question().unwrap().clone()
        };
        assert_eq!(addresses(&chaos, &m.answers), Vec::<IpAddr>::new());
        m.answers[0].class = 3;
        assert_eq!(
            addresses(m.question().unwrap(), &m.answers),
            Vec::<IpAddr>::new()
        );
    }

    #[test]
    fn address_hints_count_as_addresses() {
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
    fn question_about_a_service_is_about_its_host() {
        let q = |name: &str, qtype: &str| DnsQuestion {
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
}
