//! `egrets top`: who talks to whom now, on a terminal. It reads the views of a history while a
//! recorder writes to it.
//!
//! [`reader`] follows the file on a thread of its own (`feed.rs` is its SQL) and keeps what it has
//! read as [`traffic`]; a [`snapshot`] of that goes to the screen, where `lines.rs` makes the lines
//! of the views of it, `state.rs` handles keys, and `draw.rs` draws.

mod columns;
mod details;
mod draw;
mod feed;
mod lines;
mod reader;
mod snapshot;
mod state;
mod terminal;
#[cfg(test)]
mod tests;
mod traffic;

use std::sync::mpsc::{TryRecvError, channel, sync_channel};
use std::time::Duration;

use anyhow::{Result, bail};
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use rusqlite::Connection as Db;

pub use reader::Source;
use reader::{Reader, Request, Response};
use state::{Action, State};
use terminal::Terminal;

use crate::when;

/// How long a key is waited for before the clock is drawn and snapshots are taken.
const TICK: Duration = Duration::from_millis(200);
/// Snapshots that wait for the screen.
const MOST_WAITING: usize = 1;

/// What is shown.
pub struct Settings {
    /// Connections that began at or after this time, nanoseconds since 1970, and those that are
    /// open.
    pub since: i64,
    /// And that this question selects, if it is not empty.
    pub filter: String,
    pub color: bool,
}

/// Shows the history until it is left.
///
/// # Errors
///
/// SQLite's at the start, and the terminal's.
pub fn run(source: Box<dyn Source>, db: Db, settings: Settings) -> Result<()> {
    let reader = Reader::new(source, db, settings.since, when::now_ts())?;
    let (requests, to_read) = channel();
    let (found, responses) = sync_channel(MOST_WAITING);
    let mut terminal = Terminal::enter()?;
    let thread = std::thread::spawn(move || reader.run(&to_read, &found));
    let mut state = State::new(settings.color);
    if let Some(Action::Filter { question, .. }) = state.filter_by(settings.filter) {
        let _ = requests.send(Request::Filter {
            question,
            typing: false,
        });
    }
    let mut drawn = Default::default();
    loop {
        let mut stale = false;
        loop {
            match responses.try_recv() {
                Ok(Response::Snapshot(snapshot)) => state.take(snapshot, when::now_ts()),
                Ok(Response::Details(key, facts)) => state.take_facts(&key, facts),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => bail!("the history is no longer read"),
            }
            stale = true;
        }
        let now = when::now_ts();
        let second = now / 1_000_000_000;
        let size = terminal.screen.size()?;
        if stale || (second, size) != drawn {
            drawn = (second, size);
            terminal
                .screen
                .draw(|frame| draw::draw(frame, &mut state, now))?;
        }
        let mut pending = terminal.wait(TICK)?;
        while pending {
            let action = match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => state.key(key, now),
                _ => None,
            };
            drawn.0 = 0;
            match action {
                Some(Action::Quit) => {
                    let _ = requests.send(Request::Quit);
                    drop(responses);
                    drop(terminal);
                    let _ = thread.join();
                    return Ok(());
                }
                Some(Action::Suspend) => terminal.suspend()?,
                Some(Action::Filter { question, typing }) => {
                    let _ = requests.send(Request::Filter { question, typing });
                }
                Some(Action::Details(key)) => drop(requests.send(Request::Details(key))),
                None => {}
            }
            pending = terminal.wait(Duration::ZERO)?;
        }
        if terminal.is_stopped() {
            return Ok(());
        }
    }
}
