//! Which package owns a file, by the databases of dpkg, apk and rpm below a root directory: deb(5),
//! dpkg(1), apk's `installed`, and [`rpm`]'s. In come files that may have any content; out go a
//! package and its checksum of the file. No command is run.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use memchr::memmem;
use rustix::fs::{Dir, Mode, OFlags, openat, readlinkat};

use super::package_lookup::{Checksum, Lookup, Package, in_root, is_token};
use super::{regular_file, rpm};

const DPKG_STATUS: &str = "var/lib/dpkg/status";
const DPKG_INFO: &str = "var/lib/dpkg/info";
const DPKG_DIVERSIONS: &str = "var/lib/dpkg/diversions";
/// The database of images that are made without dpkg, "distroless".
const DPKG_STATUS_DIR: &str = "var/lib/dpkg/status.d";
const APK_INSTALLED: [&str; 2] = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];

/// Bytes read of one file, of a list of files, and of all of these together.
const MAX_FILE: u64 = 128 << 20;
const MAX_LIST: u64 = 32 << 20;
const MAX_LISTS: u64 = 512 << 20;
/// Packages looked at.
const MAX_PACKAGES: usize = 65_536;
/// Bytes of a line that are read. A path has at most 4,096.
const MAX_LINE: u64 = 16 << 10;

/// What differs when a package was installed or removed.
pub fn stamps(root: &OwnedFd) -> Vec<(i64, i64, u64)> {
    let [apk, new_apk] = APK_INSTALLED;
    let files = [DPKG_STATUS, DPKG_STATUS_DIR, apk, new_apk].map(str::to_owned);
    let stamp = |path: String| {
        let meta = in_root(root, &path, OFlags::PATH).ok()?.metadata().ok()?;
        Some((meta.ctime(), meta.ctime_nsec(), meta.ino()))
    };
    files
        .into_iter()
        .chain(rpm::paths().flat_map(|path| [format!("{path}-wal"), path]))
        .filter_map(stamp)
        .collect()
}

/// The package that owns the file at this path below the root directory.
///
/// # Errors
/// A database is too large.
pub fn find(root: &OwnedFd, path: &Path) -> Result<Lookup> {
    let Some(path) = path.to_str() else {
        return Ok(Lookup::Unknown);
    };
    let paths = spellings(root, path);
    let rpm = |root: &_, paths: &[String]| Ok(rpm::find(root, paths));
    let mut answers = Vec::new();
    for search in [dpkg, distroless, apk, rpm] {
        match search(root, &paths)? {
            Some(owned @ Lookup::Owned(_)) => return Ok(owned),
            answer => answers.extend(answer),
        }
    }
    // dpkg may be a tool beside the host's own packages: then it says nothing of these
    let is_unread =
        answers.contains(&Lookup::Unknown) || in_root(root, PACMAN, OFlags::PATH).is_ok();
    Ok(match answers.is_empty() || is_unread {
        true => Lookup::Unknown,
        false => Lookup::Unowned,
    })
}

/// A path as packages may list it: `bin/ls` for `usr/bin/ls`, where /bin is a link to usr/bin; and
/// those in usr/sbin, where that is a link to bin.
fn spellings(root: &OwnedFd, path: &str) -> Vec<String> {
    let mut paths = vec![path.to_owned()];
    let leads_to = |from: &str, to: &str| {
        let link = readlinkat(root, from, Vec::new());
        let target = link.as_ref().ok().and_then(|link| link.to_str().ok());
        target.is_some_and(|target| {
            let target = target.trim_start_matches('/');
            target == to
                || from
                    .strip_suffix("sbin")
                    .map(|dir| format!("{dir}{target}"))
                    .as_deref()
                    == Some(to)
        })
    };
    if let Some(name) = path.strip_prefix("usr/bin/")
        && leads_to("usr/sbin", "usr/bin")
    {
        paths.push(format!("usr/sbin/{name}"));
    }
    for path in paths.clone() {
        if let Some(short) = path.strip_prefix("usr/") {
            let top = short.split('/').next().unwrap_or_default();
            if leads_to(top, &format!("usr/{top}")) || top == "sbin" && leads_to(top, "usr/bin") {
                paths.push(short.to_owned());
            }
        }
    }
    paths
}

/// Of pacman, which is not read.
const PACMAN: &str = "var/lib/pacman/local";

/// The answer of a database; None where there is none.
type Answer = Result<Option<Lookup>>;

fn dpkg(root: &OwnedFd, paths: &[String]) -> Answer {
    let (Ok(status), Ok(info)) = (
        open_in(root, DPKG_STATUS),
        in_root(root, DPKG_INFO, OFlags::PATH | OFlags::DIRECTORY),
    ) else {
        return Ok(None);
    };
    let diversions = open_in(root, DPKG_DIVERSIONS);
    let wanted = match diversions {
        Ok(file) => Wanted::diverted(lines(file), paths),
        Err(_) => Wanted::at(paths),
    };
    let lines_of = wanted.paths.iter().map(|path| format!("/{path}"));
    let finders = Vec::from_iter(lines_of.map(|line| memmem::Finder::new(&line).into_owned()));
    let has_path = |list: &[u8]| finders.iter().any(|line| has_line(list, line));
    let Some(package) = search_lists(&info, ".list", &wanted, has_path)? else {
        return Ok(Some(Lookup::Unowned));
    };
    let sums = open_beneath(&info, &format!("{package}.md5sums"));
    let (name, arch) = package.split_once(':').unwrap_or((&package, ""));
    Ok(Some(Lookup::Owned(Package {
        version: version_in_status(lines(status), name, arch),
        checksum: sums
            .ok()
            .and_then(|file| md5_in(lines(file), &wanted.paths)),
        name: name.to_owned(),
    })))
}

fn distroless(root: &OwnedFd, paths: &[String]) -> Answer {
    let dir = in_root(root, DPKG_STATUS_DIR, OFlags::PATH | OFlags::DIRECTORY);
    let Ok(dir) = dir else {
        return Ok(None);
    };
    let wanted = Wanted::at(paths);
    let has_path = |sums: &[u8]| {
        let mut lines = sums.split(|byte| *byte == b'\n');
        lines.any(|line| md5_of_line(line, paths).is_some())
    };
    let Some(package) = search_lists(&dir, ".md5sums", &wanted, has_path)? else {
        return Ok(Some(Lookup::Unowned));
    };
    let sums = open_beneath(&dir, &format!("{package}.md5sums"))?;
    let control = open_beneath(&dir, &package).ok();
    let field = |key: &str| {
        let control = lines(control.as_ref()?.try_clone().ok()?);
        control.into_iter().find_map(|line| token(&line, key))
    };
    Ok(Some(Lookup::Owned(Package {
        checksum: md5_in(lines(sums), paths),
        version: field("Version: "),
        name: package,
    })))
}

fn apk(root: &OwnedFd, paths: &[String]) -> Answer {
    for path in APK_INSTALLED {
        if let Ok(file) = open_in(root, path) {
            return Ok(Some(owner_in_apk(lines(file), paths)));
        }
    }
    Ok(None)
}

/// What is looked for in dpkg's lists.
struct Wanted {
    paths: Vec<String>,
    /// The only package that can have it, and the only one that can't.
    only: Option<String>,
    except: Option<String>,
}

impl Wanted {
    fn at(paths: &[String]) -> Wanted {
        Wanted {
            paths: paths.to_vec(),
            only: None,
            except: None,
        }
    }

    /// dpkg-divert(1): lines of path, diverted path, package. A package's list has the path that
    /// its file is diverted from.
    fn diverted(mut lines: Lines, paths: &[String]) -> Wanted {
        while let (Some(from), Some(to), Some(by)) = (lines.next(), lines.next(), lines.next()) {
            let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
            let is_path = |line: &[u8]| {
                paths
                    .iter()
                    .any(|p| line.strip_prefix(b"/") == Some(p.as_bytes()))
            };
            if is_path(&to) {
                return Wanted {
                    paths: vec![text(&from).trim_start_matches('/').to_owned()],
                    only: None,
                    except: Some(text(&by)),
                };
            }
            if is_path(&from) {
                return Wanted {
                    only: Some(text(&by)),
                    ..Wanted::at(paths)
                };
            }
        }
        Wanted::at(paths)
    }

    fn allows(&self, package: &str) -> bool {
        let name = package.split(':').next().unwrap_or(package);
        self.only.as_deref().is_none_or(|only| only == name) && self.except.as_deref() != Some(name)
    }
}

/// The package whose file with this suffix matches.
fn search_lists(
    dir: &File,
    suffix: &str,
    wanted: &Wanted,
    matches: impl Fn(&[u8]) -> bool,
) -> Result<Option<String>> {
    // Many programs have their package's name.
    let basename = wanted
        .paths
        .first()
        .and_then(|path| path.rsplit('/').next());
    let first = basename.map(|name| format!("{name}{suffix}"));
    let readable = openat(dir, ".", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    let entries = Dir::read_from(&readable)?.take(2 * MAX_PACKAGES);
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_str().ok()?.to_owned()));
    let mut left = MAX_LISTS;
    let mut text = Vec::new();
    for file_name in first.into_iter().chain(names) {
        let Some(package) = file_name.strip_suffix(suffix) else {
            continue;
        };
        if !is_token(package) || !wanted.allows(package) {
            continue;
        }
        let Ok(file) = open_beneath(dir, &file_name) else {
            continue;
        };
        text.clear();
        file.take(MAX_LIST.min(left)).read_to_end(&mut text)?;
        left -= text.len() as u64;
        ensure!(left > 0, "the package database is too large");
        if matches(&text) {
            return Ok(Some(package.to_owned()));
        }
    }
    Ok(None)
}

/// Whether a text has this line.
fn has_line(text: &[u8], line: &memmem::Finder<'_>) -> bool {
    line.find_iter(text).any(|at| {
        let end = at + line.needle().len();
        (at == 0 || text[at - 1] == b'\n') && text.get(end).is_none_or(|next| *next == b'\n')
    })
}

fn version_in_status(lines: Lines, name: &str, arch: &str) -> Option<String> {
    let (mut is_package, mut is_arch) = (false, false);
    let mut version = None;
    // A paragraph ends with an empty line.
    for line in lines.chain([Vec::new()]) {
        if let Some(found) = token(&line, "Package: ") {
            is_package = found == name;
        } else if let Some(found) = token(&line, "Architecture: ") {
            is_arch = arch.is_empty() || found == arch;
        } else if is_package && line.starts_with(b"Version: ") {
            version = token(&line, "Version: ");
        } else if line.is_empty() {
            if is_package && is_arch {
                return version;
            }
            (is_package, is_arch, version) = (false, false, None);
        }
    }
    None
}

fn md5_in(mut lines: Lines, paths: &[String]) -> Option<Checksum> {
    lines.find_map(|line| md5_of_line(&line, paths))
}

/// Of a line of md5sum(1), if it is of one of these paths.
fn md5_of_line(line: &[u8], paths: &[String]) -> Option<Checksum> {
    let (sum, path) = line.split_at_checked(32)?;
    let path = path.strip_prefix(b"  ")?;
    let path = path.strip_prefix(b"/").unwrap_or(path);
    if !paths.iter().any(|wanted| wanted.as_bytes() == path) {
        return None;
    }
    let mut md5 = [0; 16];
    for (byte, digits) in md5.iter_mut().zip(sum.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(Checksum::Md5(md5))
}

/// apk's database: paragraphs of `K:value` lines. F is a directory, and R each file in it, with
/// its checksum in the Z that follows.
fn owner_in_apk(lines: Lines, paths: &[String]) -> Lookup {
    let (mut name, mut version) = (None, None);
    let mut dir = Vec::new();
    let mut found = false;
    for line in lines.chain([Vec::new()]) {
        let (key, value) = line.split_at_checked(2).unwrap_or((&line, &[]));
        if found && key != b"a:" {
            let checksum = (key == b"Z:").then(|| apk_checksum(value)).flatten();
            return match name {
                Some(name) => Lookup::Owned(Package {
                    name,
                    version,
                    checksum,
                }),
                None => Lookup::Unknown,
            };
        }
        match key {
            b"" => (name, version) = (None, None),
            b"P:" => name = token(&line, "P:"),
            b"V:" => version = token(&line, "V:"),
            b"F:" => dir = value.to_vec(),
            b"R:" => {
                let path = match dir.is_empty() {
                    true => value.to_vec(),
                    false => [&dir[..], value].join(&b'/'),
                };
                found = paths.iter().any(|wanted| wanted.as_bytes() == path);
            }
            _ => {}
        }
    }
    Lookup::Unowned
}

/// `Q1` and a SHA-1 in base64, `Q2` and a SHA-256.
fn apk_checksum(value: &[u8]) -> Option<Checksum> {
    let (kind, sum) = value.split_at_checked(2)?;
    let sum = BASE64_STANDARD.decode(sum).ok()?;
    match kind {
        b"Q1" => Some(Checksum::Sha1(sum.try_into().ok()?)),
        b"Q2" => Some(Checksum::Sha256(sum.try_into().ok()?)),
        _ => None,
    }
}

/// The value of a line with this key, if it can be a name or a version.
fn token(line: &[u8], key: &str) -> Option<String> {
    let value = line.strip_prefix(key.as_bytes())?;
    let value = std::str::from_utf8(value).ok()?.trim();
    is_token(value).then(|| value.to_owned())
}

type Lines = Box<dyn Iterator<Item = Vec<u8>>>;

/// The lines of a file, without their ends. Of one that is too long for a path there is the
/// beginning.
fn lines(file: File) -> Lines {
    lines_of(BufReader::with_capacity(256 << 10, file.take(MAX_FILE)))
}

fn lines_of(mut text: impl BufRead + 'static) -> Lines {
    Box::new(std::iter::from_fn(move || {
        let mut line = Vec::new();
        let read = text.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
        if read.ok()? == 0 {
            return None;
        }
        match line.pop_if(|last| *last == b'\n') {
            Some(_) => {}
            None => {
                text.skip_until(b'\n').ok()?;
            }
        }
        Some(line)
    }))
}

/// Opens a file whose way may have links, none of which leaves the root directory.
fn open_in(root: &OwnedFd, path: &str) -> Result<File> {
    Ok(regular_file::open(&in_root(root, path, OFlags::PATH)?)?.0)
}

/// A file of a directory, which is no link.
fn open_beneath(dir: &File, name: &str) -> Result<File> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = File::from(openat(dir, name, flags, Mode::empty())?);
    Ok(regular_file::open(&found)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(text: &[u8]) -> Lines {
        lines_of(std::io::Cursor::new(text.to_vec()))
    }

    fn paths(path: &str) -> Vec<String> {
        vec![path.to_owned()]
    }

    const APK: &[u8] = b"C:Q1x\nP:busybox\nV:1.36.1-r5\nF:bin\nR:busybox\na:0:0:755\n\
        Z:Q1qZk+NkcGgWq6PiVxeFDCbJzQ2J0=\nF:\nR:top\n\nP:curl\nV:8.5.0-r0\nF:usr/bin\nR:curl\n\n";

    #[test]
    fn apk_database_has_packages_with_their_files() {
        let Lookup::Owned(busybox) = owner_in_apk(text(APK), &paths("bin/busybox")) else {
            panic!()
        };
        assert_eq!(busybox.name, "busybox");
        assert_eq!(busybox.version.as_deref(), Some("1.36.1-r5"));
        assert!(matches!(busybox.checksum, Some(Checksum::Sha1(_))));
        for (path, name) in [("top", "busybox"), ("usr/bin/curl", "curl")] {
            let Lookup::Owned(package) = owner_in_apk(text(APK), &paths(path)) else {
                panic!()
            };
            assert_eq!((&*package.name, package.checksum), (name, None));
        }
        assert_eq!(owner_in_apk(text(APK), &paths("bin/curl")), Lookup::Unowned);
    }

    #[test]
    fn line_is_a_whole_one() {
        let line = memmem::Finder::new("/bin/a");
        for (text, expected) in [
            ("/bin/a", true),
            ("/.\n/bin/a\n/x\n", true),
            ("/usr/bin/a\n/bin/ab\n/bin/a b\n", false),
            ("/bin/aa\n/bin/a", true),
            ("", false),
        ] {
            assert_eq!(has_line(text.as_bytes(), &line), expected, "{text:?}");
        }
    }

    #[test]
    fn version_is_that_of_the_architecture() {
        let status =
            b"Package: a\nArchitecture: amd64\nVersion: 1:2.0-1\n\nPackage: b\nStatus: x\n\
            Architecture: i386\nVersion: 3\nDescription: x\n Package: c\n\nPackage: b\nVersion: 4\n\
            Architecture: amd64\n";
        let version = |name, arch| version_in_status(text(status), name, arch);
        assert_eq!(version("a", "").as_deref(), Some("1:2.0-1"));
        assert_eq!(version("b", "i386").as_deref(), Some("3"));
        assert_eq!(version("b", "amd64").as_deref(), Some("4"));
        assert_eq!(version("c", ""), None);
    }

    #[test]
    fn diverted_files_are_of_the_package_that_they_are_diverted_from() {
        let diversions = b"/bin/sh\n/bin/sh.distrib\ndash\n/x\n/y\n:\n";
        let of = |path| Wanted::diverted(text(diversions), &paths(path));
        assert!(of("bin/sh").allows("dash") && !of("bin/sh").allows("bash"));
        assert_eq!(of("bin/sh.distrib").paths, ["bin/sh"]);
        assert!(!of("bin/sh.distrib").allows("dash:amd64"));
        assert!(of("other").allows("dash") && !of("x").allows("dash"));
    }

    #[test]
    fn overlong_lines_cost_little_and_hide_none_after_them() {
        let long = [vec![b'x'; 1 << 20], b"\nP:a\n".to_vec()].concat();
        let found: Vec<_> = text(&long).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].len() as u64, &found[1][..]),
            (MAX_LINE, &b"P:a"[..])
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// Pieces of both formats in any order: names are names, and nothing panics.
        #[test]
        fn any_database_gives_a_clean_name_or_none(
            pieces in prop::collection::vec(prop_oneof![
                Just(b"P:".to_vec()), Just(b"V:".to_vec()), Just(b"F:bin\n".to_vec()),
                Just(b"R:x\n".to_vec()), Just(b"Z:Q1".to_vec()), Just(b"Z:Q2".to_vec()),
                Just(b"Package: a\n".to_vec()), Just(b"Version: ".to_vec()), Just(b"\n".to_vec()),
                Just(b"d41d8cd98f00b204e9800998ecf8427e  bin/x\n".to_vec()),
                prop::collection::vec(any::<u8>(), 0..40),
            ], 0..30)
        ) {
            let bytes = pieces.concat();
            if let Lookup::Owned(package) = owner_in_apk(text(&bytes), &paths("bin/x")) {
                prop_assert!(is_token(&package.name));
                prop_assert!(package.version.as_deref().is_none_or(is_token));
            }
            let version = version_in_status(text(&bytes), "a", "");
            prop_assert!(version.as_deref().is_none_or(is_token));
            md5_in(text(&bytes), &paths("bin/x"));
            Wanted::diverted(text(&bytes), &paths("bin/x"));
        }
    }
}
