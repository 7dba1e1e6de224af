//! What a package database says of a file, and how one is opened.

use std::fs::File;
use std::os::fd::OwnedFd;

use anyhow::Result;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::mounts::require_local;

/// Bytes of a package's name or version.
const MAX_NAME: usize = 128;

#[derive(Debug, PartialEq, Eq)]
pub enum Lookup {
    Owned(Package),
    /// There is a database, and no package in it has the file.
    Unowned,
    /// There is none that can be read.
    Unknown,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Package {
    pub name: String,
    pub version: Option<String>,
    pub checksum: Option<Checksum>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Checksum {
    Md5([u8; 16]),
    Sha1([u8; 20]),
    Sha256([u8; 32]),
}

/// Whether a text can be a name or a version.
pub fn is_token(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/')
}

/// A file whose way may have links, none of which leaves the root directory.
pub fn in_root(root: &OwnedFd, path: &str, flags: OFlags) -> Result<File> {
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = flags | OFlags::CLOEXEC;
    let file = File::from(openat2(root, path, flags, Mode::empty(), how)?);
    require_local(&file)?;
    Ok(file)
}
