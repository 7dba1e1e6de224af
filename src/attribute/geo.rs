//! Where public addresses are: files in MaxMind's format, `--geo`. In come addresses; out go
//! country and autonomous system, as far as the files have them. A file that is replaced is read
//! again by a thread of its own, so that nothing waits for it.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;

use anyhow::{Context, Result, ensure};
use hashlink::LruCache;
use maxminddb::Reader;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::model::{Geo, dst_scope, plain_address};

/// Bytes of a file. Those of whole cities have 60 MB.
const MAX_FILE: u64 = 512 << 20;
/// Addresses remembered.
const REMEMBERED: usize = 16_384;
/// How often it is checked whether a file was replaced.
const CHECK_INTERVAL_NS: u64 = 10_000_000_000;
/// Characters of the name of an organisation that are kept.
const MAX_ORGANISATION: usize = 128;

/// What differs when a file was replaced or written to.
type Stamp = (u64, u64, i64, i64);

/// What is known of each file, in the order of their options: the first that knows something
/// decides.
#[derive(Default)]
pub struct GeoFiles {
    files: Vec<GeoFile>,
    found: Option<LruCache<IpAddr, Option<Rc<Geo>>>>,
    /// One of each value, which many addresses share.
    shared: HashMap<Geo, Rc<Geo>>,
    /// Values above which those that no address has any more are dropped.
    shared_limit: usize,
    checked_ns: u64,
}

struct GeoFile {
    path: PathBuf,
    stamp: Stamp,
    reader: Reader<Vec<u8>>,
    /// It was replaced, and is being read.
    loading: Option<Receiver<Result<Reader<Vec<u8>>>>>,
}

impl GeoFiles {
    /// # Errors
    /// A file can't be read, or is not in that format.
    pub fn open(paths: &[PathBuf]) -> Result<GeoFiles> {
        let files = paths.iter().map(|path| {
            let stamp = stamp(path).unwrap_or_default();
            Ok(GeoFile {
                path: path.clone(),
                stamp,
                reader: read(path)?,
                loading: None,
            })
        });
        Ok(GeoFiles {
            files: files.collect::<Result<_>>()?,
            ..GeoFiles::default()
        })
    }

    /// What is known of a public address. One of NAT64 is the IPv4 address that it stands for.
    pub fn of(&mut self, ip: IpAddr) -> Option<Rc<Geo>> {
        if self.files.is_empty() || dst_scope(ip) != "public" {
            return None;
        }
        let ip = plain_address(ip);
        let found = self.found.get_or_insert_with(|| LruCache::new(REMEMBERED));
        if let Some(geo) = found.get(&ip) {
            return geo.clone();
        }
        let mut geo = Geo::default();
        for entry in self.files.iter().filter_map(|file| entry(&file.reader, ip)) {
            geo.country = geo.country.or_else(|| entry.country());
            if geo.asn.is_none() {
                (geo.asn, geo.as_org) = (entry.asn(), entry.organisation());
            }
        }
        let geo = (geo != Geo::default()).then(|| {
            let shared = self.shared.entry(geo);
            Rc::clone(shared.or_insert_with_key(|geo| Rc::new(geo.clone())))
        });
        found.insert(ip, geo.clone());
        if self.shared.len() > self.shared_limit.max(REMEMBERED) {
            self.shared.retain(|_, geo| Rc::strong_count(geo) > 1);
            // With many in use, not all are looked at for each address.
            self.shared_limit = 2 * self.shared.len();
        }
        geo
    }

    /// Takes over files that were replaced; `ns` is now.
    pub fn tick(&mut self, ns: u64) {
        if self.files.is_empty() {
            return;
        }
        let is_due = ns.saturating_sub(self.checked_ns) >= CHECK_INTERVAL_NS;
        if is_due {
            self.checked_ns = ns;
        }
        let mut changed = false;
        for file in &mut self.files {
            changed |= file.take_over();
            if is_due && file.loading.is_none() {
                file.check();
            }
        }
        if changed {
            self.found = None;
        }
    }
}

impl GeoFile {
    /// Begins to read it again if it is another one.
    fn check(&mut self) {
        // While it is being replaced there may be none.
        let Some(now) = stamp(&self.path).filter(|now| *now != self.stamp) else {
            return;
        };
        self.stamp = now;
        let (sender, receiver) = channel();
        let path = self.path.clone();
        let load = move || {
            // At the end of a recording nothing waits for it.
            let _ = sender.send(read(&path));
        };
        match thread::Builder::new().name("egrets-geo".into()).spawn(load) {
            Ok(_) => self.loading = Some(receiver),
            Err(e) => log::warn!("{} can't be read again: {e}", self.path.display()),
        }
    }

    /// Whether it has been read again.
    fn take_over(&mut self) -> bool {
        let Some(loading) = &self.loading else {
            return false;
        };
        let read = match loading.try_recv() {
            Err(TryRecvError::Empty) => return false,
            Err(TryRecvError::Disconnected) => Err(anyhow::anyhow!("reading it failed")),
            Ok(read) => read,
        };
        self.loading = None;
        match read {
            Ok(reader) => {
                log::info!("{} was read again", self.path.display());
                self.reader = reader;
                true
            }
            Err(e) => {
                log::warn!("addresses are looked up in the file before: {e:#}");
                false
            }
        }
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino(), meta.ctime(), meta.ctime_nsec()))
}

/// Into memory: a file that is mapped and gets shorter would end the recorder.
fn read(path: &Path) -> Result<Reader<Vec<u8>>> {
    let cannot = || format!("--geo: {} can't be read", path.display());
    // A FIFO would be waited for.
    let meta = std::fs::metadata(path).with_context(cannot)?;
    ensure!(
        meta.is_file(),
        "--geo: {} is not a regular file",
        path.display()
    );
    let file = File::open(path).with_context(cannot)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .with_context(cannot)?;
    ensure!(
        bytes.len() as u64 <= MAX_FILE,
        "--geo: {} has more than {} MiB",
        path.display(),
        MAX_FILE >> 20
    );
    Reader::from_source(bytes).with_context(|| {
        format!(
            "--geo: {} is not a database in MaxMind's format (.mmdb), such as GeoLite2-Country.mmdb",
            path.display()
        )
    })
}

/// What files have of an address: MaxMind's and DB-IP's by country, city and ASN; IPinfo's.
#[derive(Debug, Default, Deserialize)]
struct Entry {
    country: Option<Field>,
    registered_country: Option<Field>,
    country_code: Option<Field>,
    autonomous_system_number: Option<Field>,
    autonomous_system_organization: Option<Field>,
    /// A number, or `AS15169`.
    asn: Option<Field>,
    as_name: Option<Field>,
}

/// Of any type: one that is not as expected must not spoil the others.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Field {
    Number(u64),
    Text(String),
    Country { iso_code: Option<String> },
    Other(IgnoredAny),
}

impl Field {
    fn text(&self) -> Option<&str> {
        match self {
            Field::Text(text) => Some(text),
            Field::Country { iso_code } => iso_code.as_deref(),
            Field::Number(_) | Field::Other(_) => None,
        }
    }

    fn number(&self) -> Option<u32> {
        match self {
            Field::Number(number) => (*number).try_into().ok(),
            field => field.text()?.trim_start_matches("AS").parse().ok(),
        }
    }
}

impl Entry {
    fn country(&self) -> Option<String> {
        let codes = [&self.country_code, &self.country, &self.registered_country];
        let codes = codes.into_iter().flatten().filter_map(Field::text);
        let is_code =
            |code: &&str| code.len() == 2 && code.bytes().all(|b| b.is_ascii_alphabetic());
        codes.into_iter().find(is_code).map(str::to_ascii_uppercase)
    }

    fn asn(&self) -> Option<u32> {
        let fields = [&self.autonomous_system_number, &self.asn];
        fields.into_iter().flatten().find_map(Field::number)
    }

    fn organisation(&self) -> Option<String> {
        let fields = [&self.autonomous_system_organization, &self.as_name];
        let name = fields.into_iter().flatten().find_map(Field::text)?;
        let name: String = name.trim().chars().take(MAX_ORGANISATION).collect();
        (!name.is_empty()).then_some(name)
    }
}

fn entry(reader: &Reader<Vec<u8>>, ip: IpAddr) -> Option<Entry> {
    // A file for IPv4 alone has no other addresses.
    let found = reader.lookup(ip).ok()?.decode();
    found
        .inspect_err(|e| log::debug!("{ip} in a --geo file: {e}"))
        .ok()?
}

#[cfg(test)]
mod tests {
    use super::*;
    use maxminddb_writer::Database;
    use maxminddb_writer::metadata::IpVersion;
    use maxminddb_writer::paths::IpAddrWithMask;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// Written by a library for it. IPv4 is in `::/96`, as in all such files.
    fn database(networks: &[(&str, Value)]) -> Vec<u8> {
        let mut database = Database::default();
        database.metadata.ip_version = IpVersion::V6;
        database.metadata.binary_format_major_version = 2;
        database.metadata.database_type = "Test".into();
        for (net, value) in networks {
            let data = database.insert_value(value).unwrap();
            database.insert_node(net.parse::<IpAddrWithMask>().unwrap(), data);
        }
        database.write_to(Vec::new()).unwrap()
    }

    fn countries() -> Vec<u8> {
        let record = |code| json!({"country": {"iso_code": code, "geoname_id": 1}});
        database(&[
            ("::8.8.0.0/112", record("US")),
            ("2a00::/16", record("de")),
            ("::9.9.9.0/120", record("not a code")),
        ])
    }

    fn networks() -> Vec<u8> {
        let google = json!({
            "autonomous_system_number": 15169,
            "autonomous_system_organization": "GOOGLE",
        });
        let ipinfo = json!({
            "asn": "AS64500", "as_name": "Example", "country": "Sweden", "country_code": "SE",
        });
        database(&[("::8.8.8.0/120", google), ("::9.9.9.0/120", ipinfo)])
    }

    fn written(files: &[Vec<u8>]) -> (tempfile::TempDir, Vec<PathBuf>) {
        let dir = tempfile::tempdir().unwrap();
        let paths = files.iter().enumerate().map(|(n, bytes)| {
            let path = dir.path().join(format!("{n}.mmdb"));
            std::fs::write(&path, bytes).unwrap();
            path
        });
        let paths = paths.collect();
        (dir, paths)
    }

    fn shown(files: &mut GeoFiles, ip: &str) -> String {
        match files.of(ip.parse().unwrap()) {
            Some(geo) => format!(
                "{} {} {}",
                geo.country.as_deref().unwrap_or("-"),
                geo.asn.map_or("-".into(), |asn| asn.to_string()),
                geo.as_org.as_deref().unwrap_or("-")
            ),
            None => "none".into(),
        }
    }

    #[test]
    fn files_complete_each_other() {
        let (_dir, paths) = written(&[countries(), networks()]);
        let mut files = GeoFiles::open(&paths).unwrap();
        for (ip, expected) in [
            ("8.8.8.8", "US 15169 GOOGLE"),
            ("64:ff9b::808:808", "US 15169 GOOGLE"),
            ("8.8.1.1", "US - -"),
            ("2a00::1", "DE - -"),
            ("9.9.9.9", "SE 64500 Example"),
            ("1.1.1.1", "none"),
            ("10.0.0.1", "none"),
        ] {
            assert_eq!(shown(&mut files, ip), expected, "{ip}");
        }
        assert_eq!(shown(&mut GeoFiles::default(), "8.8.8.8"), "none");
    }

    #[test]
    fn replaced_file_is_read_again_and_a_broken_one_is_not_taken_over() {
        let (_dir, paths) = written(&[countries()]);
        let mut files = GeoFiles::open(&paths).unwrap();
        assert_eq!(shown(&mut files, "8.8.8.8"), "US - -");
        let mut ns = 0;
        let mut replace = |files: &mut GeoFiles, bytes: &[u8]| {
            let new = paths[0].with_extension("new");
            std::fs::write(&new, bytes).unwrap();
            std::fs::rename(new, &paths[0]).unwrap();
            ns += CHECK_INTERVAL_NS;
            files.tick(ns);
            while files.files[0].loading.is_some() {
                thread::yield_now();
                files.tick(ns);
            }
        };
        replace(&mut files, &networks());
        assert_eq!(shown(&mut files, "8.8.8.8"), "- 15169 GOOGLE");
        replace(&mut files, b"broken");
        assert_eq!(shown(&mut files, "8.8.8.8"), "- 15169 GOOGLE");
    }

    /// More values in use than are remembered are not looked at for each address.
    #[test]
    fn values_in_use_are_seldom_looked_at() {
        let (_dir, paths) = written(&[countries()]);
        let mut files = GeoFiles::open(&paths).unwrap();
        let value = |asn| Geo {
            asn: Some(asn),
            ..Geo::default()
        };
        let share = |files: &mut GeoFiles, asn| {
            let geo = Rc::new(value(asn));
            files.shared.insert(value(asn), Rc::clone(&geo));
            geo
        };
        let used = Vec::from_iter((0..=REMEMBERED as u32).map(|asn| share(&mut files, asn)));
        drop(share(&mut files, u32::MAX));
        shown(&mut files, "8.8.8.8");
        assert_eq!(files.shared.len(), used.len() + 1, "that of 8.8.8.8, too");
        drop(share(&mut files, u32::MAX));
        shown(&mut files, "8.8.8.9");
        assert!(files.shared.contains_key(&value(u32::MAX)));
    }

    #[test]
    fn unusable_files_are_refused_with_their_name() {
        let (dir, paths) = written(&[b"no database".to_vec()]);
        let missing = dir.path().join("missing");
        for (path, why) in [
            (&paths[0], "0.mmdb is not a database in MaxMind's format"),
            (&missing, "missing can't be read"),
            (&dir.path().to_owned(), "is not a regular file"),
        ] {
            let refused = GeoFiles::open(std::slice::from_ref(path)).err().unwrap();
            assert!(format!("{refused:#}").contains(why), "{refused:#}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// Of a file in which bytes were changed, or that was cut, too.
        #[test]
        fn any_bytes_give_a_country_or_none(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            cut: Option<prop::sample::Index>,
            ip: u32,
        ) {
            let mut bytes = networks();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            if let Ok(reader) = Reader::from_source(bytes) {
                for ip in [IpAddr::from([8, 8, 8, 8]), IpAddr::from(ip.to_be_bytes())] {
                    if let Some(entry) = entry(&reader, ip) {
                        prop_assert!(entry.country().is_none_or(|code| code.len() == 2));
                        prop_assert!(entry.organisation().is_none_or(|name| name.chars().count() <= MAX_ORGANISATION));
                    }
                }
            }
        }
    }
}
