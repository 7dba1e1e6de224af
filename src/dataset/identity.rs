//! Whose rows they are: the machine, the history, and labels.

use std::fs;
use std::str::FromStr;

use anyhow::{Result, bail};
use hmac::{Hmac, Mac};
use rusqlite::Connection;
use sha2::{Digest, Sha256};

/// Identifies egrets in ids of machines: machine-id(5) asks that no program shows the id itself.
const APPLICATION: [u8; 16] = [
    0x5c, 0x5e, 0x0f, 0x1b, 0x9a, 0x0d, 0x4f, 0x3e, 0x8d, 0x2b, 0x7a, 0x61, 0xc4, 0x13, 0xe9, 0x58,
];

/// Nanoseconds in a day.
const DAY: i64 = 86_400_000_000_000;

/// A label of a machine, such as `cluster=prod`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    pub key: String,
    pub value: String,
}

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Label, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Label {
                key: key.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err("a label is written as KEY=VALUE, such as cluster=prod".to_owned()),
        }
    }
}

/// Whose the rows of a file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The machine's name.
    pub machine: String,
    /// Identifies the machine; not known of a history that was copied to another one.
    pub machine_id: Option<String>,
    /// Identifies the history: with `id`, it identifies a row.
    pub history: String,
    pub labels: Vec<Label>,
}

/// A machine over the time of its history, in which its name may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// When each recording began, and the name that the machine had.
    names: Vec<(i64, String)>,
    machine_id: Option<String>,
    /// When the first recording began, and the boot that it was in.
    begun: String,
    labels: Vec<Label>,
}

impl Machine {
    /// That of a history, whose names are those of its recordings, unless one is given.
    ///
    /// # Errors
    ///
    /// SQLite's; a history without recordings; a name that is empty; a label that is given twice.
    pub fn read(db: &Connection, name: Option<&str>, labels: &[Label]) -> Result<Machine> {
        for (n, label) in labels.iter().enumerate() {
            if labels[..n].iter().any(|before| before.key == label.key) {
                bail!("the label {} is given twice", label.key);
            }
        }
        let mut names = Vec::new();
        let mut statement = db.prepare("SELECT start_ts, hostname FROM recordings ORDER BY id")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            names.push((row.get(0)?, row.get::<_, String>(1)?));
        }
        let (Some((start, _)), Some((_, newest))) = (names.first(), names.last()) else {
            bail!("this history has no recordings: it has no rows");
        };
        let (start, newest) = (*start, newest.clone());
        let boot: Option<String> = db.query_row(
            "SELECT boot_id FROM recordings ORDER BY id LIMIT 1",
            [],
            |row| row.get(0),
        )?;
        let machine_id = match here().is_some_and(|here| here == newest) {
            true => machine_id(),
            false => None,
        };
        if let Some(name) = name {
            names = vec![(start, name.to_owned())];
        }
        for (_, name) in &mut names {
            *name = partition(name);
        }
        if names.iter().any(|(_, name)| name.is_empty()) {
            bail!("the machine has no name: --machine NAME gives it one");
        }
        Ok(Machine {
            names,
            machine_id,
            begun: format!("{start} {}", boot.unwrap_or_default()),
            labels: labels.to_vec(),
        })
    }

    /// Whose the first rows of the history are.
    pub fn first(&self) -> Identity {
        self.at(i64::MIN)
    }

    /// Whose the rows of `ts` (nanoseconds since 1970) are: by the name that the machine had when
    /// that day of UTC began, so that the rows of a day are in one directory, however often and
    /// however split they are written.
    pub fn at(&self, ts: i64) -> Identity {
        let ts = ts.div_euclid(DAY).saturating_mul(DAY);
        let before = self.names.iter().rev().find(|(start, _)| *start <= ts);
        let (_, machine) = before.unwrap_or(&self.names[0]);
        // With its name, so that machines made of one image, with its history, are apart.
        let digest = Sha256::digest(format!("{} {machine}", self.begun));
        Identity {
            machine: machine.clone(),
            machine_id: self.machine_id.clone(),
            history: hex(&digest[..8]),
            labels: self.labels.clone(),
        }
    }
}

/// A name that any engine and file system takes as the value of a partition.
fn partition(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name = name.chars().map(|c| if plain(c) { c } else { '_' });
    // An empty value, or one of dots, is no directory's name.
    let name = name.take(128).collect::<String>();
    let name = name.trim_start_matches('.');
    // engines read these as NULL
    match name.eq_ignore_ascii_case("null") || name == "__HIVE_DEFAULT_PARTITION__" {
        true => format!("{name}_"),
        false => name.to_owned(),
    }
}

/// The name of the machine that this runs on, as the recorder reads it.
fn here() -> Option<String> {
    nix::unistd::gethostname().ok()?.into_string().ok()
}

/// The id of this machine, which says nothing about the one that other programs use.
fn machine_id() -> Option<String> {
    let text = fs::read_to_string("/etc/machine-id").ok()?;
    let id = u128::from_str_radix(text.trim(), 16).ok()?;
    (id != 0 && text.trim().len() == 32).then(|| hex(&app_specific(id.to_be_bytes())))
}

/// sd_id128_get_machine_app_specific(3): a HMAC of the application's id, as a UUID of version 4.
fn app_specific(machine: [u8; 16]) -> [u8; 16] {
    let mut id = [0; 16];
    // A key of any length is accepted.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&machine) {
        mac.update(&APPLICATION);
        id.copy_from_slice(&mac.finalize().into_bytes()[..16]);
    }
    id[6] = id[6] & 0x0f | 0x40;
    id[8] = id[8] & 0x3f | 0x80;
    id
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_id_is_hashed_as_systemd_does() {
        // systemd-id128 show --app-specific, of this id
        let machine = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128;
        assert_eq!(
            hex(&app_specific(machine.to_be_bytes())),
            "21771a0aa00f4a52a8818468dbcf187c"
        );
    }

    #[test]
    fn name_of_a_machine_is_one_directory() {
        for (name, directory) in [
            ("web-1.example.com", "web-1.example.com"),
            ("a/b=c d\n", "a_b_c_d_"),
            ("..", ""),
            ("höst", "h_st"),
        ] {
            assert_eq!(partition(name), directory);
        }
    }
}
