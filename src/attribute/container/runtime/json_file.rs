//! JSON files that a user may have written.

use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::marker::PhantomData;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, openat};
use serde::Deserializer;
use serde::de::{DeserializeOwned, SeqAccess, Visitor};

use crate::file_reader::{Session, regular_file};

/// A config.json has about 30 KiB, or as much as the labels that an image brings. They are read as
/// a stream, and only what is wanted is kept.
const MAX_SYSTEM_FILE: u64 = 64 << 20;
/// The same of a user's file, which that user can have read again and again.
const MAX_USER_FILE: u64 = 1 << 20;
/// How long one of them may take.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Whose files they are, and how they are read.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// The system's, which no user can change.
    System,
    /// Those below a user's home, which a process with that user's rights reads.
    Home(&'a Path, &'a RefCell<Session>),
}

/// None where the file does not exist, is not a regular one, is too large or does not parse.
pub fn read<T: DeserializeOwned>(path: &Path, source: Source<'_>) -> Option<T> {
    serde_json::from_reader(open(path, source)?).ok()
}

/// The first element of an array that is wanted; one at a time is kept.
pub fn find<T: DeserializeOwned>(
    path: &Path,
    source: Source<'_>,
    wanted: impl Fn(&T) -> bool,
) -> Option<T> {
    let mut json = serde_json::Deserializer::from_reader(open(path, source)?);
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

fn open(path: &Path, source: Source<'_>) -> Option<Box<dyn Read>> {
    match source {
        Source::System => {
            // A symbolic link may lead to a device.
            let found = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
            let (file, meta) = regular_file::open(&File::from(found)).ok()?;
            let file = BufReader::new(file.take(MAX_SYSTEM_FILE));
            (meta.len() <= MAX_SYSTEM_FILE).then(|| Box::new(file) as Box<dyn Read>)
        }
        Source::Home(home, session) => {
            let below = path.strip_prefix(home).ok()?;
            let read = session
                .borrow_mut()
                .read(home, below, MAX_USER_FILE, TIMEOUT);
            let bytes = read.inspect_err(|e| log::debug!("{}: {e:#}", path.display()));
            Some(Box::new(Cursor::new(bytes.ok()?)))
        }
    }
}
