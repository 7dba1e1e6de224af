//! `egrets top` on a terminal: the program on a pseudoterminal, and a history that this process
//! writes as a recorder does.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use egrets::model::{Progress, Record};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use tempfile::TempDir;

use crate::written::{connection, now, record};

const PATIENCE: Duration = Duration::from_secs(20);

/// A program on a terminal, and what the terminal shows.
struct Screen {
    child: Child,
    master: File,
    slave: OwnedFd,
    parser: Arc<Mutex<vt100::Parser>>,
    /// Whether what reads the master closes it.
    hangs_up: Arc<AtomicBool>,
}

impl Screen {
    fn start(args: &[&str], rows: u16, columns: u16) -> Screen {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let slave = ioctl_tiocgptpeer(
            &master,
            OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
        )
        .unwrap();
        resize(&master, rows, columns);
        let end = || Stdio::from(slave.try_clone().unwrap());
        let child = Command::new(env!("CARGO_BIN_EXE_egrets"))
            .arg("top")
            .args(args)
            .env("TERM", "xterm-256color")
            .env_remove("EGRETS_DB")
            .env_remove("NO_COLOR")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let parser = Arc::new(Mutex::new(vt100::Parser::new(
            nonzero(rows),
            nonzero(columns),
            0,
        )));
        let master = File::from(master);
        let (mut output, screen) = (master.try_clone().unwrap(), Arc::clone(&parser));
        let hangs_up = Arc::new(AtomicBool::new(false));
        let hang_up = Arc::clone(&hangs_up);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut buffer)
                && !hang_up.load(Ordering::Relaxed)
            {
                screen.lock().unwrap().process(&buffer[..n]);
            }
        });
        Screen {
            child,
            master,
            slave,
            parser,
            hangs_up,
        }
    }

    fn text(&self) -> String {
        self.parser.lock().unwrap().screen().contents()
    }

    fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the screen shows what is wanted.
    fn until(&self, what: &str, shows: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let text = self.text();
            if shows(&text) {
                return text;
            }
            assert!(start.elapsed() < PATIENCE, "never {what}:\n{text}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its exit status, once it has ended; the terminal is as it was.
    fn end(mut self) -> Option<i32> {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "it never ends");
            thread::sleep(Duration::from_millis(20));
        };
        let modes = tcgetattr(&self.slave).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO));
        self.until("its own screen is gone", |text| {
            !text.contains("egrets top")
        });
        let parser = self.parser.lock().unwrap();
        assert!(!parser.screen().alternate_screen() && !parser.screen().hide_cursor());
        status.code()
    }
}

fn nonzero(n: u16) -> NonZeroU16 {
    NonZeroU16::new(n).unwrap()
}

fn resize(master: &impl std::os::fd::AsFd, rows: u16, columns: u16) {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(master, size).unwrap();
}

#[test]
fn shows_traffic_as_it_is_recorded_and_answers_keys() {
    let dir = TempDir::new().unwrap();
    let (db, mut store) = record(dir.path());
    let db = db.to_str().unwrap().to_owned();
    let mut curl = connection(1, "curl", "www.example.com", 0);
    store.add(&Record::Opened(curl.clone()));
    store.add(&Record::Counted(now()));
    store.commit(now()).unwrap();
    let mut screen = Screen::start(&["--db", &db], 24, 80);
    screen.until("what was open", |text| {
        text.contains("curl") && text.contains("www.example.com") && text.contains("lost 0")
    });
    // A megabyte in two seconds, as the recorder counts.
    (curl.tx_bytes, curl.rx_bytes) = (Some(1 << 20), Some(1 << 11));
    let counted = now();
    store.add(&Record::Progress(Progress {
        connection: curl.clone(),
        ts: counted,
        due: false,
    }));
    store.add(&Record::Counted(counted + 2_000_000_000));
    store.add(&Record::Opened(connection(2, "wget", "other.test", 0)));
    store.commit(now()).unwrap();
    screen.until("the total", |text| {
        text.contains("1.0M") && text.contains("wget")
    });
    // By host, filtered, in detail.
    screen.press("2");
    screen.until("hosts", |text| text.contains("FROM"));
    screen.press("/wget");
    let filtered = |text: &str| text.contains("other.test") && !text.contains("www.example.com");
    screen.until("the filter", filtered);
    screen.press("\r");
    screen.until("the filter in force", |text| text.contains("filter: wget"));
    screen.press("\r");
    let details = screen.until("details", |text| text.contains("first seen"));
    assert!(details.contains("1 connection of 1 process"), "{details}");
    screen.press("\x1b");
    screen.until("the list", |text| text.contains("Hosts 1"));
    // Another size.
    resize(&screen.master, 12, 132);
    screen
        .parser
        .lock()
        .unwrap()
        .screen_mut()
        .set_size(nonzero(12), nonzero(132));
    kill_process(Pid::from_child(&screen.child), Signal::WINCH).unwrap();
    screen.until("more columns", |text| text.contains("ADDRESS"));
    // The recording ends.
    store.finish(now()).unwrap();
    drop(store);
    screen.until("the end", |text| text.contains("recorder stopped"));
    screen.press("q");
    assert_eq!(screen.end(), Some(0));
}

#[test]
fn ends_when_its_terminal_is_gone() {
    let dir = TempDir::new().unwrap();
    let (db, _store) = record(dir.path());
    let screen = Screen::start(&["--db", db.to_str().unwrap()], 24, 80);
    screen.until("it", |text| text.contains("no connections so far"));
    let Screen {
        mut child,
        master,
        slave,
        hangs_up,
        ..
    } = screen;
    // The thread that reads has the master, too: it ends by itself.
    hangs_up.store(true, Ordering::Relaxed);
    drop((master, slave));
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < PATIENCE, "it goes on");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn signal_and_ctrl_c_leave_the_terminal_as_it_was() {
    let dir = TempDir::new().unwrap();
    let (db, _store) = record(dir.path());
    for by_key in [true, false] {
        let mut screen = Screen::start(&["--db", db.to_str().unwrap()], 24, 80);
        screen.until("it", |text| text.contains("no connections so far"));
        match by_key {
            true => screen.press("\x03"),
            false => kill_process(Pid::from_child(&screen.child), Signal::TERM).unwrap(),
        }
        assert_eq!(screen.end(), Some(0));
    }
}

/// Its exit status and message, without a terminal or on one.
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn without_a_terminal_or_a_recorder_it_says_what_to_do() {
    let dir = TempDir::new().unwrap();
    let (db, mut store) = record(dir.path());
    store.finish(now()).unwrap();
    drop(store);
    let db = db.to_str().unwrap();
    let piped = Command::new(env!("CARGO_BIN_EXE_egrets"))
        .args(["top", "--db", db])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = refused(&piped);
    assert!(
        said.contains("needs a terminal") && said.contains("egrets query"),
        "{said}"
    );
    for (args, why) in [
        (&["--db", db][..], "no recorder runs"),
        (
            &["--db", "/no/such.db"],
            "there is no history at /no/such.db",
        ),
        (&["--db", "/etc/hostname"], "/etc/hostname"),
        (&["--db", db, "how", "many", "hosts"], "can't be a filter"),
        (&["--db", db, "--since", "nonsense"], "--since"),
    ] {
        let mut screen = Screen::start(args, 24, 80);
        let start = Instant::now();
        let status = loop {
            match screen.child.try_wait().unwrap() {
                Some(status) => break status,
                None if start.elapsed() > PATIENCE => panic!("{args:?} runs"),
                None => thread::sleep(Duration::from_millis(20)),
            }
        };
        assert_eq!(status.code(), Some(2), "{args:?}");
        screen.until(why, |text| text.replace('\n', "").contains(why));
    }
    let mut screen = Screen::start(&["--db", db, "--since", "1h"], 24, 80);
    screen.until("what was", |text| text.contains("recorder stopped"));
    screen.press("q");
    assert_eq!(screen.end(), Some(0));
}

#[cfg(feature = "record")]
mod own_capture {
    use std::collections::HashSet;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;
    use crate::support::{self, Net};

    /// Directories of recorders that belong to a top.
    fn own_directories() -> HashSet<PathBuf> {
        let files = fs::read_dir("/run").unwrap().map(|file| file.unwrap());
        let own = files.filter(|file| {
            let name = file.file_name();
            name.as_encoded_bytes().starts_with(b"egrets-own-")
        });
        own.map(|file| file.path()).collect()
    }

    #[test]
    fn where_no_recorder_runs_roots_top_records_itself_and_leaves_nothing() {
        let net = Net::new();
        let port = net.farewell(false);
        let before = own_directories();
        let start = || {
            let screen = Screen::start(&[], 24, 80);
            screen.until("it", |text| text.contains("1 Processes"));
            let new = own_directories();
            let mut new = new.difference(&before);
            (screen, new.next().expect("its directory").clone())
        };
        let (mut screen, directory) = start();
        let mode = fs::metadata(&directory).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let mut dial = net.command(support::dial());
        dial.args(["tcp", support::FAR4, &port.to_string()]);
        assert!(dial.status().unwrap().success());
        screen.until("what it has recorded", |text| text.contains("dial"));
        screen.press("q");
        assert_eq!(screen.end(), Some(0));
        assert!(!directory.exists());
        // and if it is killed, its recorder ends
        let (mut screen, directory) = start();
        screen.child.kill().unwrap();
        screen.child.wait().unwrap();
        let runs = || {
            let all = fs::read_dir("/proc").unwrap().flatten();
            let mut lines = all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
            let path = directory.as_os_str().as_encoded_bytes();
            lines.any(|line| line.windows(path.len()).any(|part| part == path))
        };
        support::eventually("the recorder has ended", || (!runs()).then_some(()));
        fs::remove_dir_all(directory).unwrap();
    }
}
