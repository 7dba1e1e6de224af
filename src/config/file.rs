//! Reads a file and the drop-ins beside it.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Arg, ArgAction, Command};
use toml::de::{DeTable, DeValue};

use super::options::{option, options, section, sections};
use super::{FILE, NO_FILE, Origin, Settings, Value};
use crate::text::{did_you_mean, printable};

/// A larger one is no configuration.
const MAX_FILE: u64 = 1 << 20;

/// The directory beside the file, and how the files in it end.
const DROP_INS: &str = "conf.d";
const SUFFIX: &str = "toml";

/// Sections of a build that records, which one that does not leaves alone.
const RECORDERS: [&str; 3] = ["record", "watch", "alert"];

/// Files of a configuration, from the one that counts least.
#[derive(Debug, Default)]
pub struct Files(pub Vec<PathBuf>);

/// The file of `--config`, or the system's, and its drop-ins.
///
/// # Errors
/// The file that was named does not exist, or its directory can't be read.
pub fn files(named: Option<&Path>) -> Result<Files> {
    if named == Some(Path::new(NO_FILE)) {
        return Ok(Files::default());
    }
    let file = named.unwrap_or(Path::new(FILE));
    let mut found = Vec::new();
    match fs::metadata(file) {
        Ok(_) => found.push(file.to_path_buf()),
        Err(e) if named.is_none() && is_absent(&e) => {}
        Err(e) => return Err(e).with_context(|| format!("can't read {}", file.display())),
    }
    let dir = file.with_file_name(DROP_INS);
    let mut drop_ins = Vec::new();
    match fs::read_dir(&dir) {
        Ok(entries) => {
            for entry in entries {
                let path = entry
                    .with_context(|| format!("can't read {}", dir.display()))?
                    .path();
                if path.extension().is_some_and(|suffix| suffix == SUFFIX) {
                    drop_ins.push(path);
                }
            }
        }
        Err(e) if is_absent(&e) => {}
        Err(e) => return Err(e).with_context(|| format!("can't read {}", dir.display())),
    }
    drop_ins.sort();
    found.extend(drop_ins);
    Ok(Files(found))
}

/// What the system keeps from a user does not hold for that user.
fn is_absent(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
        || error.kind() == ErrorKind::PermissionDenied && !rustix::process::geteuid().is_root()
}

impl Files {
    /// Their values; of several for an option, that of the last file. What is wrong goes to
    /// `errors`.
    pub fn read(&self, program: &Command, errors: &mut Vec<String>) -> Settings {
        let mut settings = Settings::new();
        for path in &self.0 {
            match text(path) {
                Ok(Some(text)) => {
                    let mut reader = Reader {
                        path,
                        text: &text,
                        program,
                        settings: &mut settings,
                        errors: Vec::new(),
                    };
                    reader.file();
                    reader.errors.sort();
                    errors.extend(
                        reader
                            .errors
                            .into_iter()
                            .map(|(line, what)| format!("{}:{line}: {what}", path.display())),
                    );
                }
                Ok(None) => {}
                Err(e) => errors.push(format!("{e:#}")),
            }
        }
        settings
    }
}

/// The text of a regular file that, for root, only root can change.
fn text(path: &Path) -> Result<Option<String>> {
    let shown = path.display();
    let opened = OpenOptions::new()
        .read(true)
        // a FIFO does not hang
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(e) if is_absent(&e) && path.starts_with("/etc/egrets") => return Ok(None),
        Err(e) => return Err(e).with_context(|| format!("can't open {shown}")),
    };
    let meta = file
        .metadata()
        .with_context(|| format!("can't read {shown}"))?;
    if !meta.is_file() {
        bail!("{shown} is not a regular file: name a file of options, or 'none'");
    }
    if rustix::process::geteuid().is_root() {
        if meta.uid() != 0 {
            bail!(
                "{shown} belongs to user {}, who could change what egrets does: 'chown root {shown}'",
                meta.uid()
            );
        }
        if meta.mode() & 0o022 != 0 {
            bail!("other users can write to {shown}: 'chmod go-w {shown}'");
        }
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("can't read {shown}"))?;
    if bytes.len() as u64 > MAX_FILE {
        bail!("{shown} is larger than 1 MiB: it is not a file of options");
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        let good = e.utf8_error().valid_up_to();
        let line = line_at(e.as_bytes(), good);
        anyhow::anyhow!("{shown}:{line}: this is not UTF-8 text")
    })?;
    Ok(Some(text))
}

fn line_at(text: &[u8], at: usize) -> usize {
    let before = text.get(..at).unwrap_or(text);
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    program: &'a Command,
    settings: &'a mut Settings,
    /// Each with its line.
    errors: Vec<(usize, String)>,
}

impl Reader<'_> {
    fn file(&mut self) {
        let (table, wrong) = DeTable::parse_recoverable(self.text);
        let is_sound = wrong.is_empty();
        for error in wrong {
            let at = error.span().map_or(0, |span| span.start);
            self.error(at, error.message().replace('\n', ", "));
        }
        // What the parser made of broken lines would only be reported a second time.
        if !is_sound {
            return;
        }
        for (name, value) in table.get_ref() {
            let at = name.span().start;
            match value.get_ref() {
                DeValue::Table(keys) => self.section(name.get_ref(), at, keys),
                _ => {
                    let name = printable(name.get_ref());
                    let known = sections(self.program).map(Command::get_name);
                    let known = Vec::from_iter(known.map(|known| format!("[{known}]")));
                    self.error(
                        at,
                        format!(
                            "{name} stands in no section: put it below {}",
                            known.join(" or ")
                        ),
                    );
                }
            }
        }
    }

    fn section(&mut self, name: &str, at: usize, keys: &DeTable<'_>) {
        let Some(command) = section(self.program, name) else {
            if cfg!(feature = "record") || !RECORDERS.contains(&name) {
                let known = Vec::from_iter(sections(self.program).map(Command::get_name));
                let hint = did_you_mean(name, &known);
                self.error(
                    at,
                    format!("there is no section [{}]; {hint}", printable(name)),
                );
            }
            return;
        };
        for (key, value) in keys {
            let at = key.span().start;
            let key = key.get_ref().as_ref();
            let Some(arg) = option(command, key) else {
                let known = Vec::from_iter(options(command).map(|(name, _)| name));
                let hint = did_you_mean(key, &known);
                let key = printable(key);
                self.error(at, format!("{name} has no option {key}; {hint}"));
                continue;
            };
            match words(arg, value.get_ref()) {
                Ok(words) => {
                    let origin = Origin::File {
                        path: self.path.to_path_buf(),
                        line: line_at(self.text.as_bytes(), at),
                    };
                    self.settings
                        .insert((name.to_owned(), key.to_owned()), Value { words, origin });
                }
                Err(expected) => self.error(at, format!("{key} takes {expected}")),
            }
        }
    }

    fn error(&mut self, at: usize, what: String) {
        let line = line_at(self.text.as_bytes(), at);
        self.errors.push((line, what));
    }
}

/// A value as it would be typed, or what it should be.
fn words(arg: &Arg, value: &DeValue<'_>) -> Result<Vec<String>, &'static str> {
    match (arg.get_action(), value) {
        (ArgAction::SetTrue, DeValue::Boolean(flag)) => Ok(vec![flag.to_string()]),
        (ArgAction::SetTrue, _) => Err("true or false"),
        (ArgAction::Append, DeValue::Array(items)) => items
            .iter()
            .map(|item| word(item.get_ref()).ok_or("strings or whole numbers in its list"))
            .collect(),
        (ArgAction::Append, value) => word(value)
            .map(|word| vec![word])
            .ok_or("a list, such as [\"a\", \"b\"]"),
        (_, value) => word(value)
            .map(|word| vec![word])
            .ok_or("a string in quotes, or a whole number"),
    }
}

fn word(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(|number| number.to_string()),
        _ => None,
    }
}
