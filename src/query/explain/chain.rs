//! Which records of an answer lead from the queried name to an address: the rules of naming,
//! applied backwards to the stored text. Pure.

use std::net::IpAddr;

use super::row::ViewRow;

/// A resource record of an answer.
pub struct AnswerRecord {
    pub record: ViewRow,
    /// It is part of a chain from the query to the connection's address.
    pub leads: bool,
    /// Its time to live had passed when the connection began; none if its age is not known.
    pub expired: Option<bool>,
}

/// Most aliases that are followed in one answer, as in naming.
const MAX_ALIASES: usize = 16;

/// Marks the records that lead to the address `ip`. The answer was `age_ms` old when the
/// connection began.
pub fn follow(
    qname: &str,
    records: Vec<ViewRow>,
    ip: Option<IpAddr>,
    age_ms: Option<i64>,
) -> Vec<AnswerRecord> {
    let texts: Vec<[String; 3]> = records
        .iter()
        .map(|r| ["name", "type", "data"].map(|column| r.text(column).unwrap_or_default()))
        .collect();
    let leads = leading(qname, &texts, ip);
    let answers = records.into_iter().zip(leads);
    answers
        .map(|(record, leads)| AnswerRecord {
            // Caches count whole seconds.
            expired: age_ms
                .zip(record.int("ttl"))
                .map(|(age_ms, ttl)| age_ms > ttl.max(1).saturating_mul(1000)),
            record,
            leads,
        })
        .collect()
}

/// Whether each record (name, type, data) leads from `qname` to `ip`.
fn leading(qname: &str, records: &[[String; 3]], ip: Option<IpAddr>) -> Vec<bool> {
    // Each name, with the record that leads to it.
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
        // Every name was reached from an earlier one, so this terminates.
        while let Some(record) = at {
            leads[record] = true;
            at = by(&records[record][0]).and_then(|(_, from)| *from);
        }
    }
    leads
}

/// The alias that a record points to.
fn alias<'a>(rtype: &str, data: &'a str) -> Option<&'a str> {
    match rtype {
        "CNAME" => Some(data),
        // "." is the record's own name (RFC 9460 section 2.5.2).
        "HTTPS" | "SVCB" => data.split(' ').nth(1).filter(|to| *to != "."),
        _ => None,
    }
}

/// Whether a record contains this address.
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
    fn aliases_lead_to_the_address_in_any_order() {
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
    fn service_bindings_lead_by_their_hints_and_targets() {
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
    fn ipv4_mapped_answer_matches_the_ipv4_address() {
        let records = records(&[("a.test", "AAAA", "::ffff:192.0.2.1")]);
        assert_eq!(leading("a.test", &records, ip("192.0.2.1")), [true]);
    }

    proptest! {
        #[test]
        fn alias_loops_terminate(
            edges in prop::collection::vec((0..6u8, 0..6u8), 0..20), to in 0..6u8
        ) {
            let texts: Vec<[String; 3]> = edges
                .iter()
                .map(|(a, b)| [a.to_string(), "CNAME".into(), b.to_string()])
                .chain([[to.to_string(), "A".into(), "192.0.2.1".into()]])
                .collect();
            let leads = leading("0", &texts, ip("192.0.2.1"));
            prop_assert_eq!(leads.len(), texts.len());
            // Every alias in the chain is continued by another record.
            for (text, _) in texts.iter().zip(&leads).filter(|(t, leads)| **leads && t[1] == "CNAME") {
                prop_assert!(texts.iter().zip(&leads).any(|(t, leads)| *leads && t[0] == text[2]));
            }
        }
    }
}
