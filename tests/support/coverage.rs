//! What a client transferred, against its row in the history: the table of
//! docs/coverage.md.

use std::io::Write;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

/// The kernel's version.
pub fn linux() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut parts = release
        .split(['.', '-'])
        .map_while(|part| part.parse().ok());
    (parts.next().unwrap(), parts.next().unwrap())
}

/// Counters of one direction.
#[derive(Clone, Copy)]
pub struct TcpCounters {
    pub bytes: usize,
    /// None over TCP.
    pub datagrams: Option<usize>,
}

impl TcpCounters {
    pub fn bytes(bytes: usize) -> TcpCounters {
        TcpCounters {
            bytes,
            datagrams: None,
        }
    }

    pub fn datagrams(count: usize, size: usize) -> TcpCounters {
        TcpCounters {
            bytes: count * size,
            datagrams: Some(count),
        }
    }
}

/// Compares a run of `send` with its row, prints the result for docs/coverage.md, and fails
/// unless all of it is right: the bytes, and with `datagrams` the packets, of each direction.
pub fn compare_both(db: &Path, protocol: &str, run: &str, out: TcpCounters, back: TcpCounters) {
    let way = run.split(' ').next().unwrap();
    let filter = format!("protocol = '{protocol}' AND cmdline LIKE '%/send {run}'");
    compare_rows(db, way, protocol, &filter, 1, out, back);
}

/// The same for the sum of this many rows.
pub fn compare_rows(
    db: &Path,
    way: &str,
    protocol: &str,
    filter: &str,
    rows: usize,
    out: TcpCounters,
    back: TcpCounters,
) {
    let columns = "count(*), sum(comm IN ('send', 'packet')), sum(tx_bytes), sum(rx_bytes),
                   sum(tx_packets), sum(rx_packets)";
    let sql = format!("SELECT {columns} FROM egress WHERE {filter}");
    // not by running sqlite3, hundreds of times
    let db = Connection::open_with_flags(db, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let row: Vec<Option<i64>> = db
        .query_row(&sql, [], |row| (0..6).map(|i| row.get(i)).collect())
        .unwrap();
    if row[0] != Some(rows as i64) {
        say(&format!("{way} | {protocol} | no | - | -"));
        panic!("{way}: not {rows} rows where {filter}: {row:?}");
    }
    let off = |got: Option<i64>, wanted: usize| {
        let got = got.unwrap_or(0) as f64;
        (got - wanted as f64).abs() / wanted.max(1) as f64 * 100.0
    };
    let error = off(row[2], out.bytes).max(off(row[3], back.bytes));
    let own = if row[1] == row[0] { "yes" } else { "no" };
    say(&format!("{way} | {protocol} | yes | {own} | {error:.2}"));
    assert_eq!(own, "yes", "{filter}: {row:?}");
    let bytes = [out.bytes, back.bytes].map(Some);
    let wanted = [bytes, [out.datagrams, back.datagrams]].concat();
    let wanted: Vec<_> = wanted.iter().map(|n| n.map(|n| n as i64)).collect();
    assert_eq!(row[2..], wanted, "{filter}");
}

/// Prints a row of docs/coverage.md past libtest's capture: path, protocol, whether it was
/// seen, whether the process is right, and the error of the bytes in %.
pub fn say(line: &str) {
    let line = format!("\ncoverage: {line}\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}
