//! Lists of names and addresses in files of their own: plain, or as a hosts file.

use std::collections::HashMap;
use std::io::BufRead;
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use ipnet::IpNet;

use crate::model::mapped;

use super::problem::{Position, shown};
use super::target::{NameKind, NamePattern, plain_address};

/// Entries of a list in all.
pub const MAX_ENTRIES: usize = 2_000_000;

/// Bytes of a line.
const MAX_LINE: usize = 4096;

/// Refused lines that are kept; the rest is counted.
const MAX_REFUSED: usize = 20;

/// The widest network that a list may have.
const MIN_PREFIX: u8 = 8;

/// Names that hosts files have for the host itself.
const BOILERPLATE: [&str; 13] = [
    "localhost",
    "localhost.localdomain",
    "local",
    "localhost4",
    "localhost6",
    "broadcasthost",
    "ip6-localhost",
    "ip6-loopback",
    "ip6-localnet",
    "ip6-mcastprefix",
    "ip6-allnodes",
    "ip6-allrouters",
    "ip6-allhosts",
];

/// What `list:PATTERN` in a rule stands for.
#[derive(Debug, Clone, Default)]
pub struct List {
    /// A file, or several by a `*` in the last part.
    pub pattern: String,
    /// Where a rule names it first.
    pub at: Position,
    /// The files that were read.
    pub files: Vec<String>,
    /// Lines that were refused, `FILE:LINE: why`, the first few.
    pub refused: Vec<String>,
    /// How many were.
    pub refused_count: usize,
    names: HashMap<Box<str>, NameKind>,
    networks: Vec<IpNet>,
    /// The same, merged: first and last address as 16 bytes, ascending.
    ranges: Vec<(u128, u128)>,
}

impl List {
    pub fn new(pattern: String, at: Position) -> List {
        List {
            pattern,
            at,
            ..List::default()
        }
    }

    pub fn len(&self) -> usize {
        self.names.len() + self.networks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn names(&self) -> impl Iterator<Item = (&str, NameKind)> {
        self.names.iter().map(|(name, kind)| (&**name, *kind))
    }

    /// Ascending, without duplicates; one may contain others.
    pub fn networks(&self) -> &[IpNet] {
        &self.networks
    }

    pub fn has_name(&self, name: &str) -> bool {
        if matches!(self.names.get(name), Some(NameKind::Both | NameKind::Exact)) {
            return true;
        }
        let mut rest = name;
        while let Some((_, above)) = rest.split_once('.') {
            if matches!(
                self.names.get(above),
                Some(NameKind::Both | NameKind::Below)
            ) {
                return true;
            }
            rest = above;
        }
        false
    }

    /// An address from [`plain_address`].
    pub fn has_address(&self, ip: IpAddr) -> bool {
        let ip = u128::from_be_bytes(mapped(ip));
        let after = self.ranges.partition_point(|(first, _)| *first <= ip);
        after
            .checked_sub(1)
            .and_then(|at| self.ranges.get(at))
            .is_some_and(|(_, last)| ip <= *last)
    }

    /// Adds a file's lines. [`List::finish`] follows the last one.
    ///
    /// # Errors
    ///
    /// Those of reading, and too many entries. Lines that can't be used are in `refused`.
    pub fn add(&mut self, file: &str, input: &mut dyn BufRead) -> Result<()> {
        let mut line = Vec::new();
        let mut number = 0;
        while read_line(input, &mut line).with_context(|| format!("can't read {file}"))? {
            number += 1;
            let text = match line.len() > MAX_LINE {
                true => Err("is too long".to_owned()),
                false => self.add_line(&String::from_utf8_lossy(&line)),
            };
            if let Err(why) = text {
                self.refuse(file, number, &why);
            }
            ensure!(
                self.len() <= MAX_ENTRIES,
                "{file}: a list can have {MAX_ENTRIES} entries at most"
            );
        }
        self.files.push(file.to_owned());
        Ok(())
    }

    fn refuse(&mut self, file: &str, line: usize, why: &str) {
        self.refused_count += 1;
        if self.refused.len() < MAX_REFUSED {
            self.refused.push(format!("{file}:{line}: {why}"));
        }
    }

    fn add_line(&mut self, line: &str) -> Result<(), String> {
        let line = line.trim_start_matches('\u{feff}');
        let text = line.split('#').next().unwrap_or_default().trim();
        if text.is_empty() || text.starts_with(['!', ';']) {
            return Ok(());
        }
        let mut words = text.split_ascii_whitespace();
        let first = words.next().unwrap_or_default();
        let mut rest = words.peekable();
        if rest.peek().is_none() {
            return self.add_entry(first);
        }
        // a hosts file: an address, and its names
        if first.parse::<IpAddr>().is_err() {
            return Err(format!("{} has more than one entry", shown(text)));
        }
        let mut refused = None;
        for name in rest {
            let is_own = BOILERPLATE.contains(&name.to_ascii_lowercase().as_str())
                || name.parse::<IpAddr>().is_ok();
            if !is_own && let Err(why) = self.add_entry(name) {
                refused = Some(why);
            }
        }
        refused.map_or(Ok(()), Err)
    }

    fn add_entry(&mut self, text: &str) -> Result<(), String> {
        if let Some(network) = network(text) {
            return self.add_network(text, network);
        }
        let pattern = NamePattern::parse(text).map_err(|why| format!("{} {why}", shown(text)))?;
        if is_public_suffix(&pattern.name) && pattern.kind != NameKind::Exact {
            return Err(format!("{} is a public suffix", shown(text)));
        }
        self.names
            .entry(pattern.name.into())
            .and_modify(|kind| {
                if *kind != pattern.kind {
                    *kind = NameKind::Both;
                }
            })
            .or_insert(pattern.kind);
        Ok(())
    }

    fn add_network(&mut self, text: &str, network: IpNet) -> Result<(), String> {
        if network.prefix_len() < MIN_PREFIX {
            return Err(format!("{} is wider than /{MIN_PREFIX}", shown(text)));
        }
        let ip = network.addr();
        if ip.is_loopback() || ip.is_unspecified() {
            return Err(format!("{} is this host itself", shown(text)));
        }
        self.networks.push(network);
        Ok(())
    }

    /// Makes the addresses searchable.
    pub fn finish(&mut self) {
        self.networks.sort_unstable();
        self.networks.dedup();
        let mut ranges: Vec<(u128, u128)> = self.networks.iter().map(range).collect();
        ranges.sort_unstable();
        self.ranges.clear();
        for (first, last) in ranges {
            match self.ranges.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => self.ranges.push((first, last)),
            }
        }
        self.names.shrink_to_fit();
        self.ranges.shrink_to_fit();
    }
}

/// An address or a network, NAT64 and mapped addresses as the IPv4 ones.
fn network(text: &str) -> Option<IpNet> {
    match text.parse::<IpAddr>() {
        Ok(ip) => Some(plain_address(ip).into()),
        Err(_) => text.parse::<IpNet>().ok().map(|network| network.trunc()),
    }
}

fn range(network: &IpNet) -> (u128, u128) {
    let bits = |ip| u128::from_be_bytes(mapped(ip));
    (bits(network.network()), bits(network.broadcast()))
}

/// Whether anyone can have a name below it: a top-level domain, or another that Mozilla's list
/// has, its private part too.
pub(super) fn is_public_suffix(name: &str) -> bool {
    psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.as_bytes() == name.as_bytes())
}

/// Reads a line without its end. Of one that is too long, only a byte more than [`MAX_LINE`] is
/// kept. False at the end.
fn read_line(input: &mut dyn BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    let mut any = false;
    loop {
        let available = input.fill_buf()?;
        if available.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = available.iter().position(|b| *b == b'\n');
        let taken = end.unwrap_or(available.len());
        let room = (MAX_LINE + 1).saturating_sub(line.len());
        line.extend_from_slice(&available[..taken.min(room)]);
        input.consume(taken + usize::from(end.is_some()));
        if end.is_some() {
            return Ok(true);
        }
    }
}
