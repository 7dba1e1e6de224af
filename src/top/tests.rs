//! The reader on histories whose rows the tests choose, and the screen that comes of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use chrono::{DateTime, Utc};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use rusqlite::{Connection as Db, params};

use super::columns::{Column, Tab};
use super::draw::draw;
use super::lines::{Key, lines, write_texts};
use super::reader::{Reader, Source};
use super::state::{Action, Mode, State};
use crate::query::parse;
use crate::store;
use crate::store::tests::history::{By, CURL, History, NOW, SECOND};

const NGINX: By = By {
    comm: "nginx",
    exe: Some("/usr/sbin/nginx"),
    pid: 900,
    uid: 101,
    user: None,
    container: Some(("0123456789abcdef", Some("web-1"))),
};

/// A name that would clear the screen, and one whose characters take two columns.
const HOSTILE: By = By {
    comm: "x\x1b[2J\n",
    exe: None,
    pid: 666,
    uid: 1001,
    user: Some("世界"),
    container: None,
};

struct File {
    path: PathBuf,
    recorded: Arc<AtomicBool>,
}

impl Source for File {
    fn path(&self) -> &Path {
        &self.path
    }

    fn open(&self) -> Result<Db> {
        store::open_reader(&self.path)
    }

    fn is_recorded(&self) -> bool {
        self.recorded.load(Ordering::Relaxed)
    }

    fn identity(&self) -> Option<(u64, u64)> {
        use std::os::unix::fs::MetadataExt;
        let meta = std::fs::metadata(&self.path).ok()?;
        Some((meta.dev(), meta.ino()))
    }
}

/// A reader that began to look a minute ago.
fn reader(history: &History) -> Reader {
    let source = File {
        path: history.0.path().unwrap().into(),
        recorded: Arc::new(AtomicBool::new(true)),
    };
    let db = source.open().unwrap();
    let began = NOW - 60 * SECOND;
    Reader::new(Box::new(source), db, began, began).unwrap()
}

/// The recorder has counted bytes at this time.
fn counted(history: &History, seconds: i64) {
    let sql = "UPDATE recording SET counted_ts = ?1, seen_ts = ?1 WHERE id = (SELECT max(id) FROM recording)";
    history.0.execute(sql, [NOW + seconds * SECOND]).unwrap();
}

/// The bytes of a connection by now; an open one.
fn transfer(history: &History, id: i64, sent: i64, received: i64) {
    let sql =
        "UPDATE connection SET tx_bytes = ?2, rx_bytes = ?3, duration_us = NULL WHERE id = ?1";
    history.0.execute(sql, params![id, sent, received]).unwrap();
}

fn close(history: &History, id: i64) {
    let sql = "UPDATE connection SET duration_us = 5 WHERE id = ?1";
    history.0.execute(sql, [id]).unwrap();
}

/// The lines of a view: what names them, and some of their numbers.
fn shown(reader: &Reader, tab: Tab, columns: &[Column]) -> Vec<String> {
    let snapshot = reader.snapshot();
    let mut lines = lines(&snapshot, tab, true, None);
    lines
        .iter_mut()
        .for_each(|line| write_texts(line, &snapshot));
    super::lines::sort(&mut lines, super::lines::Sort::Traffic, false, NOW);
    let texts = |line: &super::lines::Line| {
        let texts = columns.iter().map(|c| line.text(*c, NOW).into_owned());
        texts.collect::<Vec<_>>().join(" ")
    };
    lines.iter().map(texts).collect()
}

const PROCESS: &[Column] = &[
    Column::Process,
    Column::Peers,
    Column::SentRate,
    Column::ReceivedRate,
    Column::Sent,
    Column::Received,
    Column::Open,
];

/// An old and a new open download of curl, and what nginx did.
fn traffic() -> (History, [i64; 3]) {
    let history = History::recording();
    counted(&history, -2);
    let old = history.connect(CURL, Some("cdn.example.com"), "192.0.2.7", "connected", 600);
    transfer(&history, old, 1000, 50_000);
    history.connect(CURL, Some("old.example.com"), "192.0.2.8", "connected", 500);
    let new = history.connect(CURL, Some("new.example.com"), "192.0.2.9", "connected", 30);
    transfer(&history, new, 2000, 3000);
    let short = history.connect(NGINX, Some("db.test"), "10.0.0.9", "connected", 20);
    history.connect(NGINX, None, "10.0.0.10", "refused", 10);
    history.connect_to(NGINX, None, ("192.0.2.53", 53), "sent", 15);
    (history, [old, new, short])
}

#[test]
fn totals_are_of_what_is_open_or_has_begun_since() {
    let (history, _) = traffic();
    let reader = reader(&history);
    assert_eq!(
        shown(&reader, Tab::Processes, PROCESS),
        [
            "curl cdn.example.com +1 - - 2.9K 52K 2",
            "nginx db.test +1 - - 700 5.2K 1",
        ]
    );
    let host = [Column::Host, Column::From, Column::Open, Column::Failed];
    assert_eq!(
        shown(&reader, Tab::Hosts, &host),
        [
            "cdn.example.com curl 1 0",
            "new.example.com curl 1 0",
            "DNS server nginx 1 0",
            "db.test nginx 0 0",
            "10.0.0.10 nginx 0 1",
        ]
    );
    let container = [Column::Container, Column::Image, Column::From];
    assert_eq!(
        shown(&reader, Tab::Containers, &container),
        ["(no container) - curl", "web-1 nginx:1.29 nginx"]
    );
}

#[test]
fn rates_are_what_came_between_two_counts() {
    let (history, [old, new, _]) = traffic();
    let mut reader = reader(&history);
    transfer(&history, old, 3000, 54_096);
    // Begins, transfers and ends between two counts: it is in the rate of its program.
    history.connect(NGINX, Some("db.test"), "10.0.0.9", "connected", 1);
    counted(&history, 0);
    reader.step().unwrap();
    assert_eq!(
        shown(&reader, Tab::Processes, PROCESS),
        [
            "curl cdn.example.com +1 1.0K 2.0K 4.9K 56K 2",
            "nginx db.test +1 350 2.6K 1.4K 10K 1",
        ]
    );
    // Nothing more comes, and one ends.
    close(&history, new);
    counted(&history, 4);
    reader.step().unwrap();
    let processes = shown(&reader, Tab::Processes, PROCESS);
    assert_eq!(processes[0], "curl cdn.example.com +1 0 0 4.9K 56K 1");
    // Removed by retention: what it transferred stays in the total.
    history
        .0
        .execute("DELETE FROM connection WHERE id = ?1", [old])
        .unwrap();
    counted(&history, 6);
    reader.step().unwrap();
    let processes = shown(&reader, Tab::Processes, PROCESS);
    assert!(
        processes.contains(&"curl cdn.example.com +1 0 0 4.9K 56K 0".into()),
        "{processes:?}"
    );
    let snapshot = reader.snapshot();
    assert_eq!(snapshot.history.len(), 3);
    assert_eq!(snapshot.history[0].sent, 1350.0);
}

#[test]
fn another_recording_ends_what_was_open_and_rates_begin_anew() {
    let (history, _) = traffic();
    let mut reader = reader(&history);
    history.record(NOW + 10 * SECOND, None, NOW + 10 * SECOND);
    reader.step().unwrap();
    let processes = shown(&reader, Tab::Processes, PROCESS);
    assert_eq!(processes[0], "curl cdn.example.com +1 - - 2.9K 52K 0");
}

#[test]
fn filter_is_a_question_and_an_unknown_name_waits_until_it_is_entered() {
    let (history, [old, ..]) = traffic();
    let mut reader = reader(&history);
    let question = |text: &str| {
        let now = DateTime::<Utc>::from_timestamp_nanos(NOW);
        Some(Box::new(parse(text, &now).unwrap()))
    };
    let mut filter = |text: &str, typing| {
        reader.filter(question(text), typing).unwrap();
        shown(&reader, Tab::Hosts, &[Column::Host])
    };
    assert_eq!(
        filter("nginx", true),
        ["DNS server", "db.test", "10.0.0.10"]
    );
    assert_eq!(filter("connections that failed", true), ["10.0.0.10"]);
    assert_eq!(filter("wge", true), ["10.0.0.10"]);
    assert!(filter("wge", false).is_empty());
    assert_eq!(
        filter("connections with more than 10 KB", true),
        ["cdn.example.com"]
    );
    // What changes of a connection decides, too.
    transfer(&history, old, 1, 1);
    counted(&history, 0);
    reader.step().unwrap();
    assert!(shown(&reader, Tab::Hosts, &[Column::Host]).is_empty());
    transfer(&history, old, 100_000, 1);
    counted(&history, 2);
    reader.step().unwrap();
    assert_eq!(
        shown(&reader, Tab::Hosts, &[Column::Host]),
        ["cdn.example.com"]
    );
    reader.filter(None, true).unwrap();
    assert_eq!(shown(&reader, Tab::Hosts, &[Column::Host]).len(), 5);
}

#[test]
fn only_what_the_history_never_had_is_new() {
    let (history, _) = traffic();
    history.connect(HOSTILE, Some("never.test"), "192.0.2.70", "connected", 5);
    // A new process of a known program, to a known host.
    history.connect(CURL, Some("old.example.com"), "192.0.2.8", "connected", 4);
    let reader = reader(&history);
    let new = |tab| {
        let lines = lines(&reader.snapshot(), tab, true, None);
        let new = lines.iter().filter(|line| line.new);
        let names = new.map(|line| line.text(tab.columns()[0], NOW).into_owned());
        let mut names = Vec::from_iter(names);
        names.sort();
        names
    };
    assert_eq!(new(Tab::Processes), ["nginx", r"x\x1b[2J\n"]);
    assert_eq!(
        new(Tab::Hosts),
        ["10.0.0.10", "db.test", "never.test", "new.example.com"]
    );
    assert_eq!(new(Tab::Containers), ["web-1"]);
}

#[test]
fn replaced_file_is_read_and_reported() {
    let (history, _) = traffic();
    let (other, _) = traffic();
    other.connect(HOSTILE, Some("other.test"), "192.0.2.70", "connected", 5);
    let mut reader = reader(&history);
    let path = |history: &History| PathBuf::from(history.0.path().unwrap());
    let (from, to) = (path(&other), path(&history));
    for suffix in ["", "-wal", "-shm"] {
        let beside = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        let _ = std::fs::remove_file(beside(&to));
        let _ = std::fs::copy(beside(&from), beside(&to));
    }
    reader.check_file().unwrap();
    let notice = reader.snapshot().status.notice.unwrap();
    assert!(
        notice.ends_with("was replaced: this is the new one"),
        "{notice}"
    );
    let hosts = shown(&reader, Tab::Hosts, &[Column::Host]);
    assert!(hosts.contains(&"other.test".to_owned()), "{hosts:?}");
    std::fs::remove_file(&to).unwrap();
    reader.check_file().unwrap();
    assert!(reader.snapshot().status.notice.unwrap().contains("deleted"));
}

fn press(state: &mut State, code: KeyCode) -> Option<Action> {
    state.key(KeyEvent::new(code, KeyModifiers::NONE), NOW)
}

fn typed(state: &mut State, text: &str) -> Option<Action> {
    text.chars()
        .map(|c| press(state, KeyCode::Char(c)))
        .last()?
}

fn state(reader: &Reader) -> State {
    let mut state = State::new(true);
    state.local = |ts| DateTime::<Utc>::from_timestamp_nanos(ts).naive_utc();
    state.take(Arc::new(reader.snapshot()), NOW);
    state
}

fn screen(state: &mut State, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| draw(frame, state, NOW + SECOND))
        .unwrap();
    terminal.backend().to_string()
}

#[test]
fn screens() {
    let (history, [old, ..]) = traffic();
    let hostile = history.connect(HOSTILE, Some("浏览器.test"), "192.0.2.70", "connected", 5);
    transfer(&history, hostile, 0, 0);
    history.lose("connect", 12, NOW - SECOND, NOW);
    let mut reader = reader(&history);
    for n in 1..20 {
        transfer(&history, old, 1000 * n, 50_000 + 5000 * n * n);
        transfer(&history, hostile, 3_000_000 * n, 100);
        counted(&history, 2 * n - 38);
        reader.step().unwrap();
    }
    let mut state = state(&reader);
    insta::assert_snapshot!("processes_80", screen(&mut state, 80, 24));
    insta::assert_snapshot!("processes_200", screen(&mut state, 200, 60));
    press(&mut state, KeyCode::Char('2'));
    insta::assert_snapshot!("hosts_80", screen(&mut state, 80, 24));
    press(&mut state, KeyCode::Char('4'));
    insta::assert_snapshot!("connections_80", screen(&mut state, 80, 24));
    insta::assert_snapshot!("connections_200", screen(&mut state, 200, 20));
    press(&mut state, KeyCode::Char('/'));
    typed(&mut state, "which lookups");
    insta::assert_snapshot!("filter_80", screen(&mut state, 80, 12));
    press(&mut state, KeyCode::Esc);
    press(&mut state, KeyCode::Char('1'));
    press(&mut state, KeyCode::Enter);
    state.take_facts(
        &state.lines[0].key.clone(),
        vec!["program      x".to_owned()],
    );
    insta::assert_snapshot!("details_80", screen(&mut state, 80, 12));
    press(&mut state, KeyCode::Esc);
    press(&mut state, KeyCode::Char('?'));
    insta::assert_snapshot!("help_80", screen(&mut state, 80, 24));
    // Any size, without a panic.
    for (width, height) in [(1, 1), (39, 7), (40, 8), (41, 100), (500, 9)] {
        for mode in [Mode::Help, Mode::List] {
            state.mode = mode;
            screen(&mut state, width, height);
        }
    }
}

#[test]
fn keys_sort_select_fold_and_pause() {
    let (history, _) = traffic();
    let mut reader = reader(&history);
    let mut state = state(&reader);
    let first = |state: &State, column| state.lines[0].text(column, NOW).into_owned();
    assert_eq!(first(&state, Column::Process), "curl");
    // By name, and reversed.
    press(&mut state, KeyCode::Char('>'));
    assert_eq!(first(&state, Column::Process), "curl");
    press(&mut state, KeyCode::Char('r'));
    assert_eq!(first(&state, Column::Process), "nginx");
    // What is selected stays so in another order.
    press(&mut state, KeyCode::Down);
    let selected = state.lines[1].key.clone();
    press(&mut state, KeyCode::Char('r'));
    assert_eq!(state.position().0, 0);
    assert_eq!(
        press(&mut state, KeyCode::Enter),
        Some(Action::Details(selected))
    );
    press(&mut state, KeyCode::Esc);
    press(&mut state, KeyCode::Tab);
    assert_eq!((state.tab, state.lines.len()), (Tab::Hosts, 5));
    let resolver = |state: &State| state.lines.iter().any(|line| line.key == Key::Resolvers);
    assert!(resolver(&state));
    press(&mut state, KeyCode::Char('d'));
    assert!(!resolver(&state) && state.lines.len() == 5);
    // Paused: a new snapshot waits.
    press(&mut state, KeyCode::Char('p'));
    history.connect(NGINX, Some("later.test"), "10.0.0.11", "connected", 1);
    reader.step().unwrap();
    state.take(Arc::new(reader.snapshot()), NOW);
    assert_eq!(state.lines.len(), 5);
    press(&mut state, KeyCode::Char(' '));
    assert_eq!(state.lines.len(), 6);
    assert_eq!(press(&mut state, KeyCode::Char('q')), Some(Action::Quit));
}

#[test]
fn what_is_no_question_about_connections_says_why_and_changes_nothing() {
    let (history, _) = traffic();
    let mut state = state(&reader(&history));
    press(&mut state, KeyCode::Char('/'));
    assert!(matches!(
        typed(&mut state, "curl"),
        Some(Action::Filter {
            question: Some(_),
            typing: true
        })
    ));
    assert_eq!(typed(&mut state, " on port x"), None);
    assert!(state.filter_error.is_some());
    // It is not entered, and Esc brings back what was before.
    assert_eq!(press(&mut state, KeyCode::Enter), None);
    assert!(matches!(state.mode, Mode::Filter { .. }));
    let back = press(&mut state, KeyCode::Esc);
    assert_eq!(
        back,
        Some(Action::Filter {
            question: None,
            typing: false
        })
    );
    assert_eq!((&*state.filter, &state.filter_error), ("", &None));
}
