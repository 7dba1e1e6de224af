//! `egrets record` in the background, and the histories that it writes.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rusqlite::types::{FromSql, ValueRef};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use super::*;

/// A recorder of the whole host, running in the background.
pub struct Recorder {
    child: Option<Child>,
    stderr: mpsc::Receiver<String>,
}

impl Recorder {
    pub fn start(db: &Path, args: &[&str]) -> Recorder {
        Recorder::start_with(db, args, egrets())
    }

    pub fn start_with(db: &Path, args: &[&str], mut egrets: Command) -> Recorder {
        let mut child = egrets
            .args(["record", "--db"])
            .arg(db)
            .args(args)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, stderr) = mpsc::channel();
        let lines = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                eprintln!("[egrets] {line}");
                let _ = to.send(line);
            }
        });
        let recorder = Recorder {
            child: Some(child),
            stderr,
        };
        recorder.expect("recording into");
        recorder
    }

    /// Waits for a line on stderr that contains this.
    pub fn expect(&self, part: &str) -> String {
        loop {
            match self.stderr.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(part) => return line,
                Ok(_) => {}
                Err(e) => panic!("no line with {part:?} on stderr: {e}"),
            }
        }
    }

    /// The lines on stderr that no [`Recorder::expect`] has consumed.
    pub fn said(&self) -> Vec<String> {
        self.stderr.try_iter().collect()
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// The process of its own that does this.
    pub fn child(&self, role: &str) -> u32 {
        let pid = self.pid();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap();
        let does = |pid: &&str| {
            let cmdline = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
            cmdline.is_ok_and(|c| c.contains(role))
        };
        let child = children.split_whitespace().find(does);
        child
            .unwrap_or_else(|| panic!("no {role}"))
            .parse()
            .unwrap()
    }

    pub fn signal(&self, name: &str) {
        run("kill", &[&format!("-{name}"), &self.pid().to_string()]);
    }

    /// Ctrl-C. Returns the exit status.
    pub fn stop(self) -> i32 {
        self.signal("INT");
        self.wait()
    }

    /// Waits for the end. Returns the exit status.
    pub fn wait(mut self) -> i32 {
        self.child
            .take()
            .unwrap()
            .wait()
            .unwrap()
            .code()
            .unwrap_or(-1)
    }

    pub fn kill(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A directory that is removed with the test, and a history's path in it.
pub fn history() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("e.db");
    (dir, db)
}

/// Rows of columns, read with the sqlite3 program, as users do.
pub fn sqlite3(db: &Path, sql: &str) -> Vec<Vec<String>> {
    let out = ok(Command::new("sqlite3")
        .args(["-readonly", "-separator", "\u{1f}"])
        .arg(db)
        .arg(sql));
    out.lines()
        .map(|line| line.split('\u{1f}').map(str::to_string).collect())
        .collect()
}

/// The same rows, read with the library: in an emulated machine, starting a program takes long.
pub fn select(db: &Path, sql: &str) -> Vec<Vec<String>> {
    let db = read_only(db);
    let read = || -> rusqlite::Result<Vec<Vec<String>>> {
        let mut statement = db.prepare(sql)?;
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            (0..columns).map(|i| Ok(as_text(row.get_ref(i)?))).collect()
        })?;
        rows.collect()
    };
    read().unwrap_or_else(|e| panic!("{sql}: {e}"))
}

fn as_text(value: ValueRef) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => format!("{number:?}"),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into(),
    }
}

/// The gaps of a recording, except for calls whose return was not seen: those only cost the
/// errno of an attempt that failed immediately.
pub const GAPS: &str = "SELECT kind, lost, why FROM gaps WHERE kind <> 'return'";

/// One value, read with the library.
pub fn value<T: FromSql>(db: &Path, sql: &str) -> T {
    read_only(db)
        .query_row(sql, [], |row| row.get(0))
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
}

fn read_only(db: &Path) -> Connection {
    let db = Connection::open_with_flags(db, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    db.busy_timeout(Duration::from_secs(5)).unwrap();
    db
}
