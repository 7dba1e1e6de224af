//! Parts of a report as text for people.

use std::borrow::Cow;
use std::path::Path;

use chrono::{DateTime, Offset, TimeZone, Utc};

use super::model::{Destination, LookupPrograms, Program, Programs, Report, State};
use crate::human;
use crate::query::zone_name;
use crate::text::printable;

/// Most characters of a name: whole DNS names fit in most cases.
const MOST_CHARACTERS: usize = 96;

/// Bytes of a process name that the kernel keeps.
const COMM_BYTES: usize = 15;

/// Most characters of a sentence that may contain names.
const MOST_OF_SENTENCE: usize = 400;

/// A name as it can be shown: escaped, and cut if it is long.
pub fn name(text: &str) -> Cow<'_, str> {
    shown(text, MOST_CHARACTERS)
}

/// The same of a sentence.
pub fn sentence(text: &str) -> Cow<'_, str> {
    shown(text, MOST_OF_SENTENCE)
}

fn shown(text: &str, most: usize) -> Cow<'_, str> {
    // What is cut off need not be escaped first: a path can have 4096 bytes.
    let (kept, rest) = text.split_at(end_of(text, most));
    let shown = printable(kept);
    // An escape has more characters than what it stands for.
    let end = end_of(&shown, most);
    match rest.is_empty() && end == shown.len() {
        true => shown,
        false => Cow::Owned(format!("{}…", shown.get(..end).unwrap_or_default())),
    }
}

/// Where the first so many characters end.
fn end_of(text: &str, characters: usize) -> usize {
    let next = text.char_indices().nth(characters);
    next.map_or(text.len(), |(end, _)| end)
}

/// A path in a sentence.
pub fn quoted_path(path: &Path) -> String {
    name(&path.to_string_lossy()).into_owned()
}

/// A destination with its port: `example.com:443`, `[2001:db8::7]:53/udp`.
pub fn destination(to: &Destination) -> String {
    let shown = match (&to.host, &to.address) {
        (Some(host), _) => name(host).into_owned(),
        (None, Some(address)) if address.contains(':') && to.port.is_some() => {
            format!("[{}]", name(address))
        }
        (None, Some(address)) => name(address).into_owned(),
        (None, None) => "unknown".to_owned(),
    };
    let port = to.port.map(|port| format!(":{port}")).unwrap_or_default();
    match to.protocol.as_deref() {
        None | Some("tcp") => format!("{shown}{port}"),
        Some(protocol) => format!("{shown}{port}/{}", name(protocol)),
    }
}

/// The executable, if the short name is another one.
pub fn other_exe(program: &Program) -> Option<&str> {
    let exe = program.exe.as_deref()?;
    let file = exe.rsplit('/').next().unwrap_or(exe);
    // python3 runs python3.11
    let is_version = |rest: &str| rest.chars().all(|c| c.is_ascii_digit() || c == '.');
    let kept = file.char_indices().map(|(at, c)| at + c.len_utf8());
    let kept = kept.take_while(|&end| end <= COMM_BYTES).last();
    let same = file.get(..kept.unwrap_or(0)) == Some(program.comm.as_str())
        || file
            .strip_prefix(program.comm.as_str())
            .is_some_and(is_version);
    (!same).then_some(exe)
}

/// The container by its name or the start of its id.
pub fn container(program: &Program) -> Option<String> {
    let id = program.container_id.as_deref()?;
    Some(match &program.container_name {
        Some(container) => name(container).into_owned(),
        None => name(id.get(..12).unwrap_or(id)).into_owned(),
    })
}

/// How many programs there are besides the one that is named.
pub fn others(by: &Programs) -> Option<i64> {
    (by.programs > 1).then(|| by.programs - 1)
}

pub fn lookup_others(by: &LookupPrograms) -> Option<i64> {
    (by.programs > 1).then(|| by.programs - 1)
}

/// A number with its thousands set apart.
pub fn number(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut shown = String::with_capacity(digits.len() + 8);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    match n < 0 {
        true => format!("-{shown}"),
        false => shown,
    }
}

/// A number with its noun.
pub fn count(n: i64, one: &str, many: &str) -> String {
    format!("{} {}", number(n), if n == 1 { one } else { many })
}

pub fn bytes(n: Option<i64>) -> String {
    n.map_or_else(|| "–".to_owned(), human::bytes)
}

/// The times of a report in the zone of its reader.
pub struct Clock<Tz: TimeZone>(pub Tz);

impl<Tz: TimeZone> Clock<Tz>
where
    Tz::Offset: std::fmt::Display,
{
    pub fn time(&self, ts: i64) -> String {
        let time = DateTime::<Utc>::from_timestamp_nanos(ts).with_timezone(&self.0);
        time.format("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// Seconds east of UTC at a time.
    pub fn offset(&self, ts: i64) -> i32 {
        let time = DateTime::<Utc>::from_timestamp_nanos(ts);
        let offset = self.0.offset_from_utc_datetime(&time.naive_utc());
        offset.fix().local_minus_utc()
    }

    /// From when to when, with the zone.
    pub fn span(&self, from: i64, to: i64) -> String {
        let mut offsets = vec![self.offset(from), self.offset(to)];
        offsets.dedup();
        let (from, to) = (self.time(from), self.time(to));
        format!("{from} to {to} ({})", zone_name(offsets))
    }
}

/// How much was seen, as a sentence in lower case.
pub fn watched(report: &Report) -> &'static str {
    match report.coverage.state {
        State::Complete => "egrets was watching all the time",
        State::Partial => "egrets was not seeing everything",
        State::None => "egrets was not recording",
        State::Pending => "egrets has not processed anything yet",
        State::Empty => "this history has no recordings",
    }
}
