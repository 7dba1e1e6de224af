//! The format of /etc/hosts, hosts(5). Pure.
//!
//! Block lists put a hundred thousand names into it, with an address that no connection goes to.
//! These say nothing about a destination and take no memory.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, Read};
use std::net::IpAddr;

/// Names kept of one file.
pub const MAX_NAMES: usize = 4096;
/// Bytes read of one file.
pub const MAX_BYTES: u64 = 16 << 20;
/// Bytes of a line that are read.
const MAX_LINE: u64 = 64 << 10;

/// The names of each address, in the file's order.
pub type HostsTable = HashMap<IpAddr, Vec<String>>;

#[derive(Default)]
struct Parser {
    table: HostsTable,
    seen: HashSet<(IpAddr, String)>,
}

/// Each line has an address, its name and its aliases. Names are in lower case without the
/// trailing dot, as they are stored.
pub fn parse(text: &str) -> HostsTable {
    let mut parser = Parser::default();
    text.lines().for_each(|line| parser.line(line));
    parser.table
}

/// A shorter file that means the same.
///
/// # Errors
/// The file can't be read.
pub fn condense(file: impl BufRead) -> io::Result<Vec<u8>> {
    let mut file = file.take(MAX_BYTES);
    let mut parser = Parser::default();
    let mut line = Vec::new();
    while parser.seen.len() < MAX_NAMES {
        line.clear();
        if file.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let cut =
            line.last() != Some(&b'\n') && (line.len() as u64 == MAX_LINE || file.limit() == 0);
        if cut {
            file.skip_until(b'\n')?;
            // Half a name is another name.
            let whole = line.iter().rposition(u8::is_ascii_whitespace);
            line.truncate(whole.unwrap_or(0));
        }
        // Most lines of a block list, at little cost.
        if !line.starts_with(b"0.0.0.0") {
            parser.line(&String::from_utf8_lossy(&line));
        }
    }
    let line = |(ip, names): (&IpAddr, &Vec<String>)| format!("{ip} {}\n", names.join(" "));
    let lines: String = parser.table.iter().map(line).collect();
    Ok(lines.into_bytes())
}

impl Parser {
    fn line(&mut self, line: &str) {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let ip = words
            .next()
            .and_then(|ip| ip.split('%').next()?.parse().ok());
        let Some(ip) = ip.map(|ip: IpAddr| ip.to_canonical()) else {
            return;
        };
        if ip.is_unspecified() {
            return;
        }
        let names = words.map(|name| name.trim_end_matches('.'));
        for name in names.filter(|name| is_name(name)) {
            let name = name.to_ascii_lowercase();
            if self.seen.len() < MAX_NAMES && self.seen.insert((ip, name.clone())) {
                self.table.entry(ip).or_default().push(name);
            }
        }
    }
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
        let text = "# 192.0.2.9 no.example\n192.0.2.1\tDB.Example. db  # here\n\n192.0.2.1 other\nbad x\n\
             ::ffff:192.0.2.2 six\nfe80::1%eth0 link\n192.0.2.3 e\u{1b}vil . ..\n";
        let table = parse(text);
        let names = |ip: &str| table.get(&ip.parse::<IpAddr>().unwrap()).cloned();
        let expected = ["db.example", "db", "other"].map(String::from).to_vec();
        assert_eq!(names("192.0.2.1"), Some(expected));
        assert_eq!(names("192.0.2.2"), Some(vec!["six".to_string()]));
        assert_eq!(names("fe80::1"), Some(vec!["link".to_string()]));
        assert_eq!((names("192.0.2.3"), names("192.0.2.9")), (None, None));
        let condensed = String::from_utf8(condense(text.as_bytes()).unwrap()).unwrap();
        assert_eq!(parse(&condensed), table);
    }

    #[test]
    fn number_of_names_is_bounded() {
        let line = |i: u32| format!("10.{}.{}.1 h{i}.example\n", i / 256 % 256, i % 256);
        let text: String = (0..20_000).map(line).collect();
        let kept: usize = parse(&text).values().map(Vec::len).sum();
        assert_eq!(kept, MAX_NAMES);
        let condensed = condense(text.as_bytes()).unwrap();
        let text = String::from_utf8(condensed).unwrap();
        assert_eq!(
            parse(&text).values().map(Vec::len).sum::<usize>(),
            MAX_NAMES
        );
    }

    #[test]
    fn names_after_a_block_list_count() {
        let blocked = |i: u32| format!("0.0.0.0 ads{i}.example\n:: ads{i}.example\n");
        let text: String = (0..100_000).map(blocked).collect();
        let text = format!("{text}192.0.2.1 nas.home\n");
        assert_eq!(condense(text.as_bytes()).unwrap(), b"192.0.2.1 nas.home\n");
        assert_eq!(parse(&text).len(), 1);
    }

    #[test]
    fn endless_line_costs_little() {
        let text = "192.0.2.1 ".to_string() + &"x".repeat(8 << 20);
        assert_eq!(condense(text.as_bytes()).unwrap(), b"");
        let same = "192.0.2.1 ".to_string() + &"same ".repeat(8 << 17);
        assert_eq!(condense(same.as_bytes()).unwrap(), b"192.0.2.1 same\n");
    }
}
