//! The format of /etc/hosts, hosts(5). Pure.

use std::collections::HashMap;
use std::net::IpAddr;

/// Names kept of one file.
pub const MAX_NAMES: usize = 4096;

/// The names of each address, in the file's order.
pub type HostsTable = HashMap<IpAddr, Vec<String>>;

/// Each line has an address, its name and its aliases. Names are in lower case without the
/// trailing dot, as they are stored.
pub fn parse(text: &str) -> HostsTable {
    let mut table = HostsTable::new();
    let mut kept = 0;
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let ip = words
            .next()
            .and_then(|ip| ip.split('%').next()?.parse().ok());
        let Some(ip) = ip.map(|ip: IpAddr| ip.to_canonical()) else {
            continue;
        };
        let names = words.map(|name| name.trim_end_matches('.'));
        for name in names.filter(|name| is_name(name)) {
            let name = name.to_ascii_lowercase();
            let names = table.entry(ip).or_default();
            if kept < MAX_NAMES && !names.contains(&name) {
                names.push(name);
                kept += 1;
            }
        }
    }
    table
}

/// Printable, and no longer than a DNS name as text.
fn is_name(name: &str) -> bool {
    (1..=255).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_their_names_in_order_without_comments() {
        let table = parse(
            "# 192.0.2.9 no.example\n192.0.2.1\tDB.Example. db  # here\n\n192.0.2.1 other\nbad x\n\
             ::ffff:192.0.2.2 six\nfe80::1%eth0 link\n192.0.2.3 e\u{1b}vil . ..\n",
        );
        let names = |ip: &str| table.get(&ip.parse::<IpAddr>().unwrap()).cloned();
        let expected = ["db.example", "db", "other"].map(String::from).to_vec();
        assert_eq!(names("192.0.2.1"), Some(expected));
        assert_eq!(names("192.0.2.2"), Some(vec!["six".to_string()]));
        assert_eq!(names("fe80::1"), Some(vec!["link".to_string()]));
        assert_eq!((names("192.0.2.3"), names("192.0.2.9")), (None, None));
    }

    #[test]
    fn number_of_names_is_bounded() {
        let line = |i: u32| format!("10.{}.{}.1 h{i}.example\n", i / 256 % 256, i % 256);
        let text: String = (0..20_000).map(line).collect();
        let kept: usize = parse(&text).values().map(Vec::len).sum();
        assert_eq!(kept, MAX_NAMES);
    }
}
