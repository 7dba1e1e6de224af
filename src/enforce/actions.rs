//! What is done to the processes of refused connections, by the helper of
//! [`crate::process_control`]: requests to it, and what became of them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::model::{
    Action, ActionOutcome, Connection, ExeView, Process, ProcessAction, Record, Verdict,
};
use crate::process_control::{MAX_A_MINUTE, Measure, ProcessControl, Reply, Request};
use crate::when::now_ts;

/// Requests that wait for their reply. More are not made: their connections are refused.
const MAX_PENDING: usize = 4096;

/// How often a reply is looked for at the end.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

#[derive(Default)]
pub struct Actions {
    control: Option<ProcessControl>,
    /// Of the last request.
    number: u64,
    pending: HashMap<u64, Connection>,
}

impl Actions {
    pub fn new(control: Option<ProcessControl>) -> Actions {
        Actions {
            control,
            ..Actions::default()
        }
    }

    pub fn is_possible(&self) -> bool {
        self.control.is_some()
    }

    pub fn can_dump(&self) -> bool {
        self.control.as_ref().is_some_and(ProcessControl::can_dump)
    }

    /// Acts on what was decided; the outcomes are added to `out`.
    pub fn follow(&mut self, records: &[Record], out: &mut Vec<Record>) {
        for record in records {
            let Record::Decided(c) = record else { continue };
            let measure = c.verdict.as_ref().filter(|v| v.enforced).and_then(measure);
            if let (Some(measure), Some(verdict)) = (measure, &c.verdict) {
                self.request(c, verdict, measure, out);
            }
        }
        self.replies(out);
    }

    fn request(&mut self, c: &Connection, v: &Verdict, measure: Measure, out: &mut Vec<Record>) {
        self.number += 1;
        let request = Request {
            number: self.number,
            pid: c.process.pid,
            start_ns: c.process.start_ns,
            measure,
            rule: v.rule.to_string(),
            exe: trusted_exe(&c.process).map(str::to_owned),
        };
        let sent = match &self.control {
            Some(control) if self.pending.len() < MAX_PENDING => control.request(&request),
            _ => Err(anyhow::anyhow!("too many are waiting")),
        };
        match sent {
            Ok(()) => {
                self.pending.insert(self.number, c.clone());
            }
            Err(e) => {
                let why = Some(format!("{e:#}"));
                out.extend(acted(c.clone(), ActionOutcome::Failed, None, why));
            }
        }
    }

    fn replies(&mut self, out: &mut Vec<Record>) {
        while !self.pending.is_empty() {
            match self.control.as_ref().map(ProcessControl::reply) {
                Some(Ok(Some(reply))) => {
                    let Reply {
                        number,
                        outcome,
                        file,
                        why,
                    } = reply;
                    if let Some(c) = self.pending.remove(&number) {
                        out.extend(acted(c, outcome, file, why));
                    }
                }
                Some(Ok(None)) => return,
                Some(Err(e)) => {
                    let why = format!("{e:#}");
                    for (_, c) in self.pending.drain() {
                        out.extend(acted(c, ActionOutcome::Failed, None, Some(why.clone())));
                    }
                }
                None => return,
            }
        }
    }

    /// Waits for what is being done.
    pub fn finish(&mut self, limit: Duration, out: &mut Vec<Record>) {
        let end = Instant::now() + limit;
        loop {
            self.replies(out);
            if self.pending.is_empty() || Instant::now() >= end {
                return;
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

fn measure(verdict: &Verdict) -> Option<Measure> {
    match verdict.action {
        Action::Suspend => Some(Measure::Suspend),
        Action::Kill => Some(Measure::Kill),
        Action::Dump => Some(Measure::Dump),
        Action::Allow | Action::Alert | Action::Block => None,
    }
}

/// Where the path says which file of the host's it is, even if that has been replaced since.
fn trusted_exe(process: &Process) -> Option<&str> {
    let file = &process.exe_file;
    let holds = file.view == Some(ExeView::Host) && file.root_only;
    process.exe.as_deref().filter(|_| holds)
}

/// The record, and a message where a rule does less than it says.
fn acted(
    mut connection: Connection,
    outcome: ActionOutcome,
    file: Option<String>,
    why: Option<String>,
) -> Option<Record> {
    let verdict = connection.verdict.as_mut()?;
    verdict.action_outcome = Some(outcome);
    let why = why.or(match outcome {
        ActionOutcome::Gone => Some("it has ended".into()),
        ActionOutcome::RateLimit => Some(format!(
            "the rule has done so to {MAX_A_MINUTE} processes in a minute"
        )),
        _ => None,
    });
    let (pid, rule) = (connection.process.pid, &verdict.rule);
    let action = verdict.action.as_str();
    match (outcome, &why) {
        (ActionOutcome::Done, None) | (ActionOutcome::Gone, _) => {}
        (ActionOutcome::Done, Some(why)) => log::warn!("{rule}: process {pid} was killed; {why}"),
        (_, why) => log::warn!(
            "{rule}: no {action} of process {pid}, only its connection is refused: {}",
            why.as_deref().unwrap_or("it failed")
        ),
    }
    Some(Record::Acted(ProcessAction {
        ts: now_ts(),
        connection,
        file,
        why,
    }))
}
