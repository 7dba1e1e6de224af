//! What a client sent, against the row that egrets has of it: the table of
//! docs/coverage.md.

use std::io::Write;
use std::path::Path;

use super::sqlite3;

/// The kernel's version.
pub fn linux() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut parts = release
        .split(['.', '-'])
        .map_while(|part| part.parse().ok());
    (parts.next().unwrap(), parts.next().unwrap())
}

/// Compares a run of `send` with its row, says what came out, for docs/coverage.md and
/// past libtest's capture, and wants all of it right. The columns are `tx_bytes`,
/// `rx_bytes`, and with `datagrams` their number both ways.
pub fn compare(db: &Path, protocol: &str, run: &str, bytes: usize, datagrams: Option<usize>) {
    let way = run.split(' ').next().unwrap();
    let columns = "comm, tx_bytes, rx_bytes, tx_packets, rx_packets";
    let filter = format!("protocol = '{protocol}' AND cmdline LIKE '%/send {run}'");
    let rows = sqlite3(db, &format!("SELECT {columns} FROM egress WHERE {filter}"));
    let [row] = &rows[..] else {
        say(&format!("{way} | @ | {protocol} | no | - | -"));
        panic!("{run}: {rows:?}");
    };
    let off = |column: &String| {
        let got: f64 = column.parse().unwrap_or(0.0);
        (got - bytes as f64).abs() / bytes.max(1) as f64 * 100.0
    };
    let error = off(&row[1]).max(off(&row[2]));
    let own = if row[0] == "send" { "yes" } else { "no" };
    say(&format!(
        "{way} | @ | {protocol} | yes | {own} | {error:.2}"
    ));
    let (bytes, datagrams) = (bytes.to_string(), datagrams.map(|n| n.to_string()));
    let datagrams = datagrams.unwrap_or_default();
    assert_eq!(
        row,
        &["send", &bytes, &bytes, &datagrams, &datagrams],
        "{run}"
    );
}

/// A row of docs/coverage.md: way, hook set (@), protocol, whether it was seen, whether
/// the process is right, and how far the bytes are off.
pub fn say(line: &str) {
    let line = format!("\ncoverage: {line}\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}
