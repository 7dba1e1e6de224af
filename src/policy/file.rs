//! Policy files and their lists: who may have written them, and how much is read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::Policy;
use super::list::List;
use super::pattern::Glob;
use super::problem::Problems;

/// Bytes of a policy file.
const MAX_FILE: u64 = 1 << 20;

/// Bytes of a list file.
const MAX_LIST: u64 = 256 << 20;

/// Files that one `list:` can stand for.
const MAX_FILES: usize = 1000;

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Whose policy is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// For the recorder: it decides for every process of the host.
    Root,
    /// For commands that only read: also the caller's, through sudo, too.
    Caller,
}

/// Why a policy can't be used.
#[derive(Debug)]
pub enum LoadError {
    /// The file or one of its lists can't be read, or is not to be trusted.
    File(anyhow::Error),
    /// What it says is wrong.
    Policy(Problems),
}

impl From<anyhow::Error> for LoadError {
    fn from(error: anyhow::Error) -> LoadError {
        LoadError::File(error)
    }
}

impl Policy {
    /// Reads a policy, its lists, and the system's resolvers.
    ///
    /// # Errors
    ///
    /// A file that others may change, or that can't be read; all errors of its text.
    pub fn load(path: &Path, owner: Owner) -> Result<Policy, LoadError> {
        let text = read(path, owner)?;
        let mut policy = Policy::parse(&text).map_err(LoadError::Policy)?;
        let mut digest = Sha256::new_with_prefix(&text);
        let directory = path.parent().unwrap_or(Path::new("."));
        for list in &mut policy.lists {
            load_list(list, directory, owner, &mut digest)?;
        }
        policy.digest = hexadecimal(&digest.finalize());
        policy.system_resolvers = system_resolvers();
        policy.search_suffixes = searches_of(&fs::read_to_string(RESOLV_CONF).unwrap_or_default());
        Ok(policy)
    }
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(path: &Path, owner: Owner) -> Result<String> {
    let file = open(path, owner)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("can't read {}", path.display()))?;
    if bytes.len() as u64 > MAX_FILE {
        bail!(
            "{} is larger than 1 MiB: put names and addresses into files of their own, with \
             'to: [\"list:FILE\"]'",
            path.display()
        );
    }
    String::from_utf8(bytes).map_err(|e| {
        let line = e.as_bytes()[..e.utf8_error().valid_up_to()]
            .iter()
            .filter(|b| **b == b'\n')
            .count();
        anyhow::anyhow!("{}:{}: this is not UTF-8 text", path.display(), line + 1)
    })
}

/// Opens a regular file that only its trusted owner can change.
fn open(path: &Path, owner: Owner) -> Result<File> {
    // a FIFO does not hang
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)
        .with_context(|| format!("can't open {}", path.display()))?;
    let meta = file
        .metadata()
        .with_context(|| format!("can't read {}", path.display()))?;
    check_file(path, &meta, owner)?;
    Ok(file)
}

/// Refuses a program that others than root can change: the recorder's user runs it.
///
/// # Errors
/// Why it is refused.
pub fn check_program(path: &Path) -> Result<()> {
    let meta = fs::metadata(path).with_context(|| format!("can't run {}", path.display()))?;
    check_file(path, &meta, Owner::Root)?;
    if meta.mode() & 0o111 == 0 {
        let shown = path.display();
        bail!("{shown} is not executable: 'chmod +x {shown}'");
    }
    Ok(())
}

/// Refuses what is not a regular file that only its trusted owner can change.
fn check_file(path: &Path, meta: &fs::Metadata, owner: Owner) -> Result<()> {
    let shown = path.display();
    if !meta.is_file() {
        bail!("{shown} is not a regular file");
    }
    if !is_trusted(meta.uid(), owner) {
        bail!(
            "{shown} belongs to user {}, who could change what it does: 'chown root {shown}'",
            meta.uid()
        );
    }
    if meta.mode() & 0o022 != 0 {
        bail!("other users can write to {shown}: 'chmod go-w {shown}'");
    }
    check_directory(path, owner)
}

/// Refuses a path on which another user can replace the file, by an older one of root's too.
fn check_directory(path: &Path, owner: Owner) -> Result<()> {
    let real = fs::canonicalize(path).with_context(|| format!("can't open {}", path.display()))?;
    for directory in real.ancestors().skip(1) {
        let meta = fs::metadata(directory)
            .with_context(|| format!("can't use {}", directory.display()))?;
        let shown = directory.display();
        let mode = meta.mode();
        if mode & 0o002 != 0 && mode & libc::S_ISVTX == 0 {
            bail!(
                "every user can replace files in {shown}: 'chmod o-w {shown}', or put the policy elsewhere"
            );
        }
        if !is_trusted(meta.uid(), owner) {
            bail!(
                "user {} can replace files in {shown}: put the policy into a directory of root's, \
                 such as /etc/egrets",
                meta.uid()
            );
        }
    }
    Ok(())
}

fn is_trusted(uid: u32, owner: Owner) -> bool {
    if uid == 0 {
        return true;
    }
    if owner == Owner::Root {
        return false;
    }
    let caller = rustix::process::geteuid();
    let through_sudo = || {
        let uid = std::env::var("SUDO_UID").ok()?.parse::<u32>().ok()?;
        Some(uid).filter(|_| caller.is_root())
    };
    caller.as_raw() == uid || through_sudo() == Some(uid)
}

fn load_list(list: &mut List, directory: &Path, owner: Owner, digest: &mut Sha256) -> Result<()> {
    let at = list.at;
    let place = || format!("{}:{}: {}", at.line, at.column, list.pattern);
    let files = files_of(&list.pattern, directory).with_context(place)?;
    for file in files {
        let mut input = BufReader::new(Hashing {
            input: open(&file, owner)?.take(MAX_LIST + 1),
            digest,
        });
        list.add(&file.display().to_string(), &mut input as &mut dyn BufRead)?;
        if input.into_inner().input.limit() == 0 {
            bail!("{} is larger than 256 MiB", file.display());
        }
    }
    list.finish();
    Ok(())
}

/// The files of a pattern, ascending: relative to the policy's directory, with `*` in the last
/// part.
fn files_of(pattern: &str, directory: &Path) -> Result<Vec<PathBuf>> {
    let path = directory.join(pattern);
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.context("a list is a file: list:FILE, list:DIRECTORY/*.txt")?;
    let folder = path.parent().unwrap_or(directory);
    if folder.to_string_lossy().contains('*') {
        bail!("a list can have a * only in the last part of its path");
    }
    if !name.contains('*') {
        return Ok(vec![path]);
    }
    let glob = Glob::new(name);
    let mut found = Vec::new();
    let entries =
        fs::read_dir(folder).with_context(|| format!("can't read {}", folder.display()))?;
    for entry in entries {
        let name = entry?.file_name();
        if name
            .to_str()
            .is_some_and(|name| glob.matches(name) && !name.starts_with('.'))
        {
            found.push(folder.join(name));
        }
    }
    found.sort();
    if found.is_empty() {
        bail!("no file in {} matches", folder.display());
    }
    if found.len() > MAX_FILES {
        bail!("more than {MAX_FILES} files match");
    }
    Ok(found)
}

/// Adds what is read to a digest.
struct Hashing<'a, R> {
    input: R,
    digest: &'a mut Sha256,
}

impl<R: Read> Read for Hashing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.digest.update(&buffer[..read]);
        Ok(read)
    }
}

/// The name servers of resolv.conf(5); the local host's if it names none.
pub fn system_resolvers() -> Vec<IpAddr> {
    resolvers_of(&fs::read_to_string(RESOLV_CONF).unwrap_or_default())
}

pub(super) fn resolvers_of(text: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let address = words
            .next()
            .filter(|word| *word == "nameserver")
            .and(words.next())?;
        // fe80::1%eth0
        address.split('%').next()?.parse().ok()
    };
    let found: Vec<IpAddr> = text.lines().filter_map(address).collect();
    match found.is_empty() {
        true => vec![IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)],
        false => found,
    }
}

/// The suffixes of the last `search` or `domain`.
pub(super) fn searches_of(text: &str) -> Vec<String> {
    let suffixes = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        matches!(words.next(), Some("search" | "domain")).then(|| {
            words
                .map(|suffix| suffix.trim_end_matches('.').to_ascii_lowercase())
                .filter(|suffix| !suffix.is_empty())
                .collect()
        })
    };
    text.lines()
        .filter_map(suffixes)
        .next_back()
        .unwrap_or_default()
}
