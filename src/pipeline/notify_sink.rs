//! Notifications of the policy's verdicts. An event is a line of the live log's JSON, and waits
//! for its container's details as that does.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::sink::{Sink, SinkState};
use crate::model::{Action, Connection, Record, Run};
use crate::notify::{Notifier, SendError, Throttle};
use crate::print::{LineFormat, Printer};

/// How often failures are reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

pub struct NotifySink {
    notifier: Rc<Notifier>,
    printer: Printer,
    throttle: Throttle,
    /// How many events each one that the printer has stands for, besides itself.
    suppressed: Rc<RefCell<VecDeque<u64>>>,
    state: Rc<RefCell<Delivery>>,
    reported: Option<Instant>,
}

/// How the sending went.
#[derive(Default)]
struct Delivery {
    /// Since they were reported.
    failed: u64,
    why: String,
    ended: bool,
}

impl NotifySink {
    pub fn new(notifier: Notifier, start_ts: i64, run: Run) -> NotifySink {
        let notifier = Rc::new(notifier);
        let suppressed = Rc::<RefCell<VecDeque<u64>>>::default();
        let state = Rc::<RefCell<Delivery>>::default();
        let events = Events {
            notifier: Rc::clone(&notifier),
            line: Vec::new(),
            suppressed: Rc::clone(&suppressed),
            state: Rc::clone(&state),
        };
        NotifySink {
            notifier,
            printer: Printer::new(LineFormat::Json, Box::new(events), start_ts, run),
            throttle: Throttle::default(),
            suppressed,
            state,
            reported: None,
        }
    }

    fn add_event(&mut self, c: &Connection, record: &Record, what: Option<&'static str>) {
        let Some(verdict) = c.verdict.as_ref().filter(|v| v.action != Action::Allow) else {
            return;
        };
        if self.notifier.is_own(&c.process) {
            return;
        }
        let container = c.process.container.as_ref().map(|c| c.serial);
        let subject = (c.process.uid, container);
        let name = c.name.as_ref().map(|name| &name.host);
        let address = name.is_none().then_some(c.dst.ip);
        let to = (name, address, c.dst.port, c.protocol);
        let program = (&c.process.comm, &c.process.exe);
        let same = (
            what,
            verdict.action.as_str(),
            verdict.enforced,
            subject,
            program,
            to,
        );
        let now = Instant::now();
        if let Some(suppressed) = self.throttle.admit(&verdict.rule, subject, same, now) {
            self.suppressed.borrow_mut().push_back(suppressed);
            self.printer.add(record);
        }
    }

    fn report(&mut self) -> SinkState {
        let mut state = self.state.borrow_mut();
        loop {
            match self.notifier.failure() {
                Ok(Some(why)) => {
                    state.failed += 1;
                    state.why = why;
                }
                Ok(None) => break,
                Err(_) => {
                    state.ended = true;
                    break;
                }
            }
        }
        if state.ended {
            log::error!("the process that sends notifications has ended: there are none any more");
            return SinkState::Closed;
        }
        let is_due = self
            .reported
            .is_none_or(|at| at.elapsed() >= REPORT_INTERVAL);
        if state.failed > 0 && is_due {
            let failed = std::mem::take(&mut state.failed);
            log::warn!(
                "notifications that failed: {failed}, the last one since {}",
                state.why
            );
            self.reported = Some(Instant::now());
        }
        SinkState::Open
    }
}

impl Sink for NotifySink {
    fn add(&mut self, record: &Record) {
        match record {
            Record::Container(_) | Record::Executable(_) => self.printer.add(record),
            Record::Decided(c) => self.add_event(c, record, None),
            Record::Acted(action) => {
                let verdict = action.connection.verdict.as_ref();
                let outcome = verdict.and_then(|v| v.action_outcome).map(|o| o.as_str());
                self.add_event(&action.connection, record, outcome);
            }
            _ => {}
        }
    }

    fn flush(&mut self, _processed_ts: i64) -> Result<SinkState> {
        self.printer.flush()?;
        Ok(self.report())
    }

    fn flush_within(&self) -> Option<Duration> {
        self.printer.flush_within()
    }

    fn is_output(&self) -> bool {
        false
    }

    fn finish(mut self: Box<Self>, _processed_ts: i64) -> Result<()> {
        self.printer.finish()?;
        self.reported = None;
        self.report();
        Ok(())
    }
}

/// Lines of JSON to the notifier.
struct Events {
    notifier: Rc<Notifier>,
    line: Vec<u8>,
    suppressed: Rc<RefCell<VecDeque<u64>>>,
    state: Rc<RefCell<Delivery>>,
}

impl Write for Events {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        // within a line, JSON has none
        if bytes.ends_with(b"\n") {
            let suppressed = self.suppressed.borrow_mut().pop_front().unwrap_or_default();
            let rest = self.line.strip_prefix(b"{").unwrap_or_default();
            let mut event = format!("{{\"suppressed\":{suppressed},").into_bytes();
            event.extend_from_slice(rest);
            self.line.clear();
            let mut state = self.state.borrow_mut();
            match self.notifier.send(&event) {
                Ok(()) => {}
                Err(SendError::Busy) => {
                    state.failed += 1;
                    state.why = "too many are waiting".to_owned();
                }
                Err(SendError::Ended) => state.ended = true,
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
