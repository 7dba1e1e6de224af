//! How often connections have the right name.

use std::io::Write;
use std::path::Path;

use super::*;

/// How often the connections of a case had the right name. Its verdict is a row of
/// docs/naming.md.
pub struct Rate {
    case: &'static str,
    right: u32,
    missing: u32,
    wrong: u32,
    faults: Vec<String>,
}

impl Rate {
    pub fn new(case: &'static str) -> Rate {
        Rate {
            case,
            right: 0,
            missing: 0,
            wrong: 0,
            faults: Vec::new(),
        }
    }

    /// Counts a connection: its name in the history, "" if it has none, and the true one.
    pub fn count(&mut self, got: &str, truth: &str) {
        match got {
            _ if got == truth => self.right += 1,
            "" => self.missing += 1,
            _ => self.wrong += 1,
        }
        if got != truth {
            self.faults.push(format!("{got:?} for {truth:?}"));
        }
    }

    /// Counts the rows of `egress` that match, all of which should have this name.
    pub fn rows(&mut self, db: &Path, filter: &str, truth: &str) {
        let rows = select(db, &format!("SELECT host FROM egress WHERE {filter}"));
        assert!(!rows.is_empty(), "no row where {filter}");
        for row in rows {
            self.count(&row[0], truth);
        }
    }

    /// Counts every connection that `ask` printed, found by its local port.
    pub fn compare(&mut self, db: &Path, printed: &str) {
        assert!(!printed.is_empty(), "nothing was dialled");
        for line in printed.lines() {
            let [name, own, ip, port] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}: no line of ask's");
            };
            let sql = format!(
                "SELECT host FROM egress WHERE (src_port, dst_ip, dst_port) = ({own}, '{ip}', {port})"
            );
            let rows = select(db, &sql);
            let [[got]] = rows.iter().map(Vec::as_slice).collect::<Vec<_>>()[..] else {
                panic!("{line}: {rows:?}");
            };
            self.count(got, name);
        }
    }

    /// Prints the result past libtest's capture. Fails if a name is wrong or missing.
    pub fn verdict(self) {
        self.say();
        assert_eq!((self.missing, self.wrong), (0, 0), "{:?}", self.faults);
        assert_ne!(self.right, 0, "nothing was counted");
    }

    /// The same for a case where docs/naming.md explains why names may be missing.
    pub fn verdict_some_missing(self) {
        self.say();
        assert_eq!(self.wrong, 0, "{:?}", self.faults);
        assert_ne!(self.right + self.missing, 0, "nothing was counted");
    }

    fn say(&self) {
        let line = format!(
            "\nnaming: {} | {} | {} | {}\n",
            self.case, self.right, self.missing, self.wrong
        );
        std::io::stdout().write_all(line.as_bytes()).unwrap();
    }
}
