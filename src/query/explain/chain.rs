//! Which records of an answer lead from the name that was asked for to an address:
//! the rules by which a connection is named, told backwards from the stored text.
//! Pure.

use std::net::IpAddr;

use super::row::Row;

/// A record of an answer.
pub struct Answer {
    pub record: Row,
    /// It lies on the way from the question to the connection's address.
    pub leads: bool,
    /// Its time to live was over when the connection began; none where its age is
    /// not known.
    pub expired: Option<bool>,
}

/// Aliases followed in one answer, as in naming.
const MAX_ALIASES: usize = 16;

/// Marks what each record has to do with the address `ip`. The answer was `age_ms`
/// old when the connection began.
pub fn follow(
    qname: &str,
    records: Vec<Row>,
    ip: Option<IpAddr>,
    age_ms: Option<i64>,
) -> Vec<Answer> {
    let texts: Vec<[String; 3]> = records
        .iter()
        .map(|r| ["name", "type", "data"].map(|column| r.text(column).unwrap_or_default()))
        .collect();
    let leads = leading(qname, &texts, ip);
    let answers = records.into_iter().zip(leads);
    answers
        .map(|(record, leads)| Answer {
            // Caches count whole seconds.
            expired: age_ms
                .zip(record.int("ttl"))
                .map(|(age_ms, ttl)| age_ms > ttl.max(1).saturating_mul(1000)),
            record,
            leads,
        })
        .collect()
}

/// Whether each record, a name, a type and data, leads from `qname` to `ip`.
fn leading(qname: &str, records: &[[String; 3]], ip: Option<IpAddr>) -> Vec<bool> {
    // Each name, and the record by which it was reached.
    let mut names: Vec<(&str, Option<usize>)> = vec![(qname, None)];
    let mut next = 0;
    while let Some(&(at, _)) = names.get(next) {
        for (i, [name, rtype, data]) in records.iter().enumerate() {
            if name == at
                && let Some(to) = alias(rtype, data)
                && names.len() <= MAX_ALIASES
                && !names.iter().any(|(known, _)| *known == to)
            {
                names.push((to, Some(i)));
            }
        }
        next += 1;
    }
    let by = |name: &str| names.iter().find(|(known, _)| *known == name);
    let mut leads = vec![false; records.len()];
    for (i, [name, rtype, data]) in records.iter().enumerate() {
        if by(name).is_none() || !ip.is_some_and(|ip| gives(rtype, data, ip)) {
            continue;
        }
        let mut at = Some(i);
        // Every name was reached from an earlier one, so this comes to an end.
        while let Some(record) = at {
            leads[record] = true;
            at = by(&records[record][0]).and_then(|(_, from)| *from);
        }
    }
    leads
}

/// The other name that a record points to.
fn alias<'a>(rtype: &str, data: &'a str) -> Option<&'a str> {
    match rtype {
        "CNAME" => Some(data),
        // "." is the record's own name (RFC 9460 section 2.5.2).
        "HTTPS" | "SVCB" => data.split(' ').nth(1).filter(|to| *to != "."),
        _ => None,
    }
}

/// Whether a record gives this address.
fn gives(rtype: &str, data: &str, ip: IpAddr) -> bool {
    let is = |text: &str| text.parse().is_ok_and(|a: IpAddr| a.to_canonical() == ip);
    match rtype {
        "A" | "AAAA" => is(data),
        "HTTPS" | "SVCB" => data
            .split(' ')
            .filter_map(|p| {
                p.strip_prefix("ipv4hint=")
                    .or_else(|| p.strip_prefix("ipv6hint="))
            })
            .any(|hints| hints.split(',').any(is)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn records(records: &[(&str, &str, &str)]) -> Vec<[String; 3]> {
        let texts = records.iter();
        texts
            .map(|&(name, rtype, data)| [name, rtype, data].map(str::to_owned))
            .collect()
    }

    fn ip(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }

    #[test]
    fn aliases_lead_in_any_order_and_nothing_else_does() {
        let records = records(&[
            ("b.test", "A", "192.0.2.1"),
            ("b.test", "A", "192.0.2.2"),
            ("a.test", "CNAME", "b.test"),
            ("other.test", "A", "192.0.2.1"),
            ("a.test", "TXT", "192.0.2.1"),
        ]);
        assert_eq!(
            leading("a.test", &records, ip("192.0.2.1")),
            [true, false, true, false, false]
        );
        assert_eq!(leading("a.test", &records, ip("192.0.2.9")), [false; 5]);
        assert_eq!(leading("a.test", &records, None), [false; 5]);
    }

    #[test]
    fn services_lead_by_their_hints_and_their_other_names() {
        let records = records(&[
            (
                "a.test",
                "HTTPS",
                "1 . alpn=h2 ipv4hint=192.0.2.1,192.0.2.2",
            ),
            ("a.test", "HTTPS", "2 pool.test ipv6hint=2001:db8::1"),
            ("pool.test", "AAAA", "2001:db8::2"),
        ]);
        let leading = |to| leading("a.test", &records, ip(to));
        assert_eq!(leading("192.0.2.2"), [true, false, false]);
        assert_eq!(leading("2001:db8::1"), [false, true, false]);
        assert_eq!(leading("2001:db8::2"), [false, true, true]);
        assert_eq!(leading("192.0.2.22"), [false, false, false]);
    }

    #[test]
    fn an_ipv4_mapped_answer_is_the_ipv4_address() {
        let records = records(&[("a.test", "AAAA", "::ffff:192.0.2.1")]);
        assert_eq!(leading("a.test", &records, ip("192.0.2.1")), [true]);
    }

    proptest! {
        #[test]
        fn no_web_of_aliases_is_endless(
            edges in prop::collection::vec((0..6u8, 0..6u8), 0..20), to in 0..6u8
        ) {
            let texts: Vec<[String; 3]> = edges
                .iter()
                .map(|(a, b)| [a.to_string(), "CNAME".into(), b.to_string()])
                .chain([[to.to_string(), "A".into(), "192.0.2.1".into()]])
                .collect();
            let leads = leading("0", &texts, ip("192.0.2.1"));
            prop_assert_eq!(leads.len(), texts.len());
            // Every name on the way has a record that leads on from it.
            for (text, _) in texts.iter().zip(&leads).filter(|(t, leads)| **leads && t[1] == "CNAME") {
                prop_assert!(texts.iter().zip(&leads).any(|(t, leads)| *leads && t[0] == text[2]));
            }
        }
    }
}
