//! JSON files that a user may have written.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use serde::de::DeserializeOwned;

use crate::file_reader::regular_file;

/// A config.json has about 30 KiB; no honest one comes near this.
const MAX_FILE: u64 = 4 << 20;

/// None where the file does not exist, is not a regular one, is too large or does not parse.
pub fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    // A symbolic link may lead to a device.
    let found = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let (file, meta) = regular_file::open(&File::from(found)).ok()?;
    if meta.len() > MAX_FILE {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}
