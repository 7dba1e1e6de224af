//! Follows a history on a thread of its own, so that keys are answered while SQLite reads.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::time::{Duration, Instant};

use anyhow::Result;
use rusqlite::Connection as Db;

use super::details;
use super::feed::{self, Found, Recording, Window};
use super::lines::Key;
use super::snapshot::{Snapshot, Status};
use super::traffic::Traffic;
use crate::query::{Filter, Question, lost_since};

/// How often it looks whether the file has changed.
const LOOK: Duration = Duration::from_millis(250);
/// How often the screen changes while new connections come, unless bytes were counted.
const SHOW: Duration = Duration::from_secs(1);
/// How often it looks whether the file is the same, and a recorder runs.
const CHECK: Duration = Duration::from_secs(1);
/// Processes whose program is remembered.
const MAX_PROCESSES: usize = 100_000;
/// Peers and programs that are looked up at once, to see whether they are new.
const MOST_LOOKED_UP: usize = 200;

/// Where the history is.
pub trait Source: Send {
    fn path(&self) -> &Path;
    /// Opens it to read.
    ///
    /// # Errors
    ///
    /// There is none, or none that this egrets can read.
    fn open(&self) -> Result<Db>;
    /// Whether a recorder is writing to it.
    fn is_recorded(&self) -> bool;
    /// Changes when another file takes its name; None: there is none.
    fn identity(&self) -> Option<(u64, u64)>;
}

/// What the screen wants.
pub enum Request {
    /// None: all connections. While it is typed, a name that the history does not know changes
    /// nothing.
    Filter {
        question: Option<Box<Question>>,
        typing: bool,
    },
    Details(Key),
    Quit,
}

/// What the screen gets.
pub enum Response {
    Snapshot(Arc<Snapshot>),
    /// Facts on what was asked for, a line each.
    Details(Key, Vec<String>),
}

pub struct Reader {
    source: Box<dyn Source>,
    db: Db,
    identity: Option<(u64, u64)>,
    /// Connections of the window began at or after this time, or are open.
    since: i64,
    /// When this began: what has come since may be new.
    began: i64,
    question: Option<Box<Question>>,
    filter: Option<Filter>,
    /// How what was last typed was read.
    readings: Vec<String>,
    recording: Option<Recording>,
    running: bool,
    traffic: Traffic,
    window: Option<Window>,
    last_id: i64,
    /// By `process_id`.
    programs: HashMap<i64, u32>,
    data_version: Option<i64>,
    checked: Instant,
    lost: i64,
    /// What is wrong at present, and what was.
    error: Option<String>,
    notice: Option<String>,
    changed: bool,
    /// There are new connections.
    grown: bool,
    shown: Instant,
}

impl Reader {
    /// # Errors
    ///
    /// SQLite's.
    pub fn new(source: Box<dyn Source>, db: Db, since: i64, began: i64) -> Result<Reader> {
        let mut reader = Reader {
            identity: source.identity(),
            running: source.is_recorded(),
            source,
            db,
            since,
            began,
            question: None,
            filter: None,
            readings: Vec::new(),
            recording: None,
            traffic: Traffic::default(),
            window: None,
            last_id: 0,
            programs: HashMap::new(),
            data_version: None,
            checked: Instant::now(),
            lost: 0,
            error: None,
            notice: None,
            changed: true,
            grown: false,
            shown: Instant::now(),
        };
        reader.restart()?;
        Ok(reader)
    }

    /// Answers requests, and sends a snapshot whenever something has changed, until the screen
    /// is gone.
    pub fn run(mut self, requests: &Receiver<Request>, responses: &SyncSender<Response>) {
        loop {
            let wait = match (self.window, &self.error) {
                (Some(_), None) => Duration::ZERO,
                _ => LOOK,
            };
            match requests.recv_timeout(wait) {
                Ok(Request::Quit) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(Request::Filter { question, typing }) => {
                    if let Err(e) = self.filter(question, typing) {
                        self.readings = vec![format!("{e:#}")];
                        self.changed = true;
                    }
                }
                Ok(Request::Details(key)) => {
                    let facts = details::facts(&self.db, &self.traffic, &key)
                        .unwrap_or_else(|e| vec![format!("{e:#}")]);
                    if responses.send(Response::Details(key, facts)).is_err() {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.attempt(Reader::step),
            }
            if self.changed || self.grown && self.shown.elapsed() >= SHOW {
                let snapshot = Response::Snapshot(Arc::new(self.snapshot()));
                match responses.try_send(snapshot) {
                    Ok(()) => {
                        (self.changed, self.grown) = (false, false);
                        self.shown = Instant::now();
                    }
                    // The screen is busy: it gets a newer one.
                    Err(TrySendError::Full(_)) => std::thread::sleep(LOOK),
                    Err(TrySendError::Disconnected(_)) => return,
                }
            }
        }
    }

    /// An error is shown, and may pass.
    fn attempt(&mut self, action: impl FnOnce(&mut Reader) -> Result<()>) {
        let error = action(self).err().map(|e| format!("{e:#}"));
        self.changed |= self.error != error;
        self.error = error;
    }

    pub fn filter(&mut self, question: Option<Box<Question>>, typing: bool) -> Result<()> {
        let read = match &question {
            Some(question) => Some(Filter::new(&self.db, question)?),
            None => None,
        };
        self.readings = read.as_ref().map_or_else(Vec::new, |read| {
            read.readings.iter().chain(&read.unknown).cloned().collect()
        });
        self.changed = true;
        if typing && read.as_ref().is_some_and(|read| !read.unknown.is_empty()) {
            return Ok(());
        }
        if read == self.filter {
            return Ok(());
        }
        self.question = question;
        self.restart()
    }

    /// Reads everything anew.
    fn restart(&mut self) -> Result<()> {
        self.filter = match &self.question {
            Some(question) => Some(Filter::new(&self.db, question)?),
            None => None,
        };
        self.traffic.clear();
        self.programs.clear();
        self.changed = true;
        self.recording = Recording::newest(&self.db)?;
        let open_since = self.recording.map_or(i64::MAX, |r| r.start_ts);
        let (window, newest) = Window::new(&self.db, self.since, open_since)?;
        self.window = Some(window);
        self.last_id = newest;
        self.data_version = None;
        self.step()
    }

    /// Takes in what has changed.
    pub fn step(&mut self) -> Result<()> {
        if self.checked.elapsed() >= CHECK {
            self.checked = Instant::now();
            self.check_file()?;
        }
        if self.window.is_some() {
            self.in_one_snapshot(Reader::read_window)?;
        }
        let version = feed::data_version(&self.db)?;
        if self.data_version != Some(version) {
            let more = self.in_one_snapshot(Reader::read_changes)?;
            self.data_version = (!more).then_some(version);
        }
        Ok(())
    }

    /// All that is read is of one moment.
    fn in_one_snapshot<T>(&mut self, read: impl FnOnce(&mut Reader) -> Result<T>) -> Result<T> {
        self.db.execute_batch("BEGIN")?;
        let found = read(self);
        self.db.execute_batch("COMMIT")?;
        found
    }

    /// Whether there may be more than was taken in.
    fn read_changes(&mut self) -> Result<bool> {
        let before = self.recording;
        self.recording = Recording::newest(&self.db)?;
        let found = feed::after(&self.db, self.last_id, self.condition())?;
        let lost = lost_since(&self.db, self.since)?;
        self.grown |= !found.is_empty() || lost != self.lost;
        self.lost = lost;
        let more = !found.is_empty();
        for one in found {
            self.last_id = self.last_id.max(one.row.id);
            self.take_in(one)?;
        }
        if before.map(|r| r.id) != self.recording.map(|r| r.id) {
            self.end_open();
        }
        let counted = |r: Option<Recording>| r.map(|r| (r.counted_ts, r.ended));
        if self.window.is_none() && counted(before) != counted(self.recording) {
            self.sample()?;
        }
        Ok(more)
    }

    fn condition(&self) -> &str {
        self.filter.as_ref().map_or("1", |f| &f.condition)
    }

    fn read_window(&mut self) -> Result<()> {
        let Some(mut window) = self.window else {
            return Ok(());
        };
        for found in window.read_piece(&self.db, self.condition())? {
            self.take_in(found)?;
        }
        self.changed = true;
        if window.is_read() {
            self.recording = Recording::newest(&self.db)?;
            self.sample()?;
            self.window = None;
        } else {
            self.window = Some(window);
        }
        Ok(())
    }

    fn take_in(&mut self, found: Found) -> Result<()> {
        let Found {
            process_id,
            mut row,
        } = found;
        row.program = match self.programs.get(&process_id) {
            Some(program) => *program,
            None => {
                let program = feed::program(&self.db, row.id)?;
                let id = self.traffic.program(program, row.id);
                if self.programs.len() >= MAX_PROCESSES {
                    self.programs.clear();
                }
                self.programs.insert(process_id, id);
                id
            }
        };
        self.traffic.put(row);
        Ok(())
    }

    /// Reads the bytes of what is open: the recorder has.
    fn sample(&mut self) -> Result<()> {
        self.refresh()?;
        self.look_up_new()?;
        if let Some(recording) = self.recording {
            let counted = recording.counted_ts.unwrap_or(recording.seen_ts);
            self.traffic.sample(counted);
        }
        self.changed = true;
        Ok(())
    }

    /// Reads the states of what is open.
    fn refresh(&mut self) -> Result<()> {
        let ids = Vec::from_iter(self.traffic.open.keys().copied());
        if ids.is_empty() {
            return Ok(());
        }
        let states = feed::states(&self.db, &ids, self.condition())?;
        if states.len() < ids.len() {
            let there = HashSet::<i64>::from_iter(states.iter().map(|(id, ..)| *id));
            for id in ids.iter().filter(|id| !there.contains(id)) {
                self.traffic.forget(*id);
            }
        }
        for (id, state, matches) in states {
            let known = self.traffic.open.get(&id);
            if known.is_some_and(|known| known.flow.is_some() == matches) {
                self.traffic.update(id, state);
            } else if let Some(found) = feed::one(&self.db, id, self.condition())? {
                self.take_in(found)?;
            }
        }
        Ok(())
    }

    /// Looks whether what has appeared is new to the history.
    fn look_up_new(&mut self) -> Result<()> {
        let (db, began) = (&self.db, self.began);
        let flows = self.traffic.flows.values_mut();
        for flow in flows.filter(|f| f.new.is_none()).take(MOST_LOOKED_UP) {
            flow.new = Some(!feed::knew_peer(db, &flow.peer, began)?);
        }
        let programs = self.traffic.programs.values_mut();
        for entry in programs.filter(|p| p.new.is_none()).take(MOST_LOOKED_UP) {
            let program = &entry.program;
            entry.new = Some(!feed::knew_program(db, program, began)?);
            entry.new_container = match &program.container {
                Some(container) => !feed::knew_container(db, &container.id, began)?,
                None => false,
            };
        }
        Ok(())
    }

    /// Another recording has begun: what became of the connections of the last one is unknown.
    fn end_open(&mut self) {
        let ids = Vec::from_iter(self.traffic.open.keys().copied());
        let first = self.recording.map_or(0, |r| r.start_ts);
        for id in ids {
            if self.traffic.open.get(&id).is_some_and(|c| c.ts < first) {
                self.traffic.forget(id);
            }
        }
        self.traffic.restart_rates();
        self.changed = true;
    }

    pub fn check_file(&mut self) -> Result<()> {
        let running = self.source.is_recorded();
        if running != self.running {
            self.running = running;
            self.traffic.restart_rates();
            self.changed = true;
        }
        let identity = self.source.identity();
        let path = crate::text::printable(&self.source.path().to_string_lossy()).into_owned();
        match identity {
            _ if identity == self.identity => {}
            None => {
                self.notice = Some(format!("{path} was deleted: this is what it held"));
                self.identity = None;
            }
            Some(_) => {
                self.db = self.source.open()?;
                self.identity = identity;
                self.traffic.forget_programs();
                self.notice = Some(format!("{path} was replaced: this is the new one"));
                self.restart()?;
            }
        }
        Ok(())
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(
            &self.traffic,
            Status {
                running: self.running,
                seen_ts: self.recording.map(|r| r.seen_ts),
                since: self.since,
                lost: self.lost,
                loading: self.window.is_some(),
                error: self.error.clone(),
                notice: self.notice.clone(),
                readings: self.readings.clone(),
            },
        )
    }
}
