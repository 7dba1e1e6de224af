//! JSON files that a user may have written.

use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read};
use std::marker::PhantomData;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use serde::Deserializer;
use serde::de::{DeserializeOwned, SeqAccess, Visitor};

use crate::attribute::regular_file;

/// A config.json has about 30 KiB, or as much as the labels that an image brings. They are read as
/// a stream, and only what is wanted is kept.
pub const MAX_SYSTEM_FILE: u64 = 64 << 20;
/// The same of a user's file, which that user can have read again and again.
pub const MAX_USER_FILE: u64 = 1 << 20;

/// None where the file does not exist, is not a regular one, is too large or does not parse.
pub fn read<T: DeserializeOwned>(path: &Path, limit: u64) -> Option<T> {
    serde_json::from_reader(open(path, limit)?).ok()
}

/// The first element of an array that is wanted; one at a time is kept.
pub fn find<T: DeserializeOwned>(
    path: &Path,
    limit: u64,
    wanted: impl Fn(&T) -> bool,
) -> Option<T> {
    let mut json = serde_json::Deserializer::from_reader(open(path, limit)?);
    let element = Element {
        wanted,
        of: PhantomData,
    };
    (&mut json).deserialize_seq(element).ok()?
}

struct Element<T, F> {
    wanted: F,
    of: PhantomData<T>,
}

impl<'de, T: DeserializeOwned, F: Fn(&T) -> bool> Visitor<'de> for Element<T, F> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Option<T>, A::Error> {
        let mut found = None;
        while let Some(element) = elements.next_element::<T>()? {
            if found.is_none() && (self.wanted)(&element) {
                found = Some(element);
            }
        }
        Ok(found)
    }
}

fn open(path: &Path, limit: u64) -> Option<impl Read> {
    // A symbolic link may lead to a device.
    let found = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let (file, meta) = regular_file::open(&File::from(found)).ok()?;
    (meta.len() <= limit).then(|| BufReader::new(file.take(limit)))
}
