//! What is on the screen, and what keys do to it.

use std::sync::Arc;

use chrono::{Local, NaiveDateTime, TimeZone};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::columns::{Column, Tab};
use super::lines::{Key, Line, Sort, lines, sort, write_texts};
use super::snapshot::Snapshot;
use crate::query::{Filter, Question};

/// Longest filter that is typed.
const MAX_FILTER: usize = 500;

/// What a key asks for beyond the screen.
#[derive(Debug, PartialEq)]
pub enum Action {
    Quit,
    Suspend,
    /// Show only what a question selects; None: everything. While it is typed, a name that the
    /// history does not know changes nothing.
    Filter {
        question: Option<Box<Question>>,
        typing: bool,
    },
    Details(Key),
}

#[derive(Debug, Default, PartialEq)]
pub enum Mode {
    #[default]
    List,
    /// A filter is typed; what it was before.
    Filter {
        before: String,
    },
    Help,
    Details(Details),
}

#[derive(Debug, PartialEq)]
pub struct Details {
    pub key: Key,
    pub title: String,
    /// None: not read yet.
    pub facts: Option<Vec<String>>,
    pub offset: usize,
}

/// What is remembered of each view.
#[derive(Debug, Clone)]
struct View {
    sort: Sort,
    reversed: bool,
    /// None: the first line, whatever it is.
    selected: Option<Key>,
    index: usize,
    offset: usize,
}

pub struct State {
    pub tab: Tab,
    views: [View; 4],
    pub fold: bool,
    pub paused: bool,
    pub mode: Mode,
    /// As it is typed, or in force.
    pub filter: String,
    /// Why what is typed is not in force.
    pub filter_error: Option<String>,
    pub snapshot: Arc<Snapshot>,
    /// The newest one, while paused.
    waiting: Option<Arc<Snapshot>>,
    pub lines: Vec<Line>,
    /// Lines of a page; set when it is drawn.
    pub page: usize,
    pub color: bool,
    /// A time as the clock on the wall shows it.
    pub local: fn(i64) -> NaiveDateTime,
}

impl State {
    pub fn new(color: bool) -> State {
        let view = View {
            sort: Sort::Traffic,
            reversed: false,
            selected: None,
            index: 0,
            offset: 0,
        };
        State {
            tab: Tab::Processes,
            views: [view.clone(), view.clone(), view.clone(), view],
            fold: true,
            paused: false,
            mode: Mode::List,
            filter: String::new(),
            filter_error: None,
            snapshot: Arc::default(),
            waiting: None,
            lines: Vec::new(),
            page: 10,
            color,
            local: |ts| Local.timestamp_nanos(ts).naive_local(),
        }
    }

    fn view(&mut self) -> &mut View {
        let [processes, hosts, containers, connections] = &mut self.views;
        match self.tab {
            Tab::Processes => processes,
            Tab::Hosts => hosts,
            Tab::Containers => containers,
            Tab::Connections => connections,
        }
    }

    pub fn sorted_by(&self) -> (Sort, bool) {
        let [processes, hosts, containers, connections] = &self.views;
        let view = match self.tab {
            Tab::Processes => processes,
            Tab::Hosts => hosts,
            Tab::Containers => containers,
            Tab::Connections => connections,
        };
        (view.sort, view.reversed)
    }

    /// Takes a newer snapshot; while paused, it waits.
    pub fn take(&mut self, snapshot: Arc<Snapshot>, now: i64) {
        match self.paused {
            true => self.waiting = Some(snapshot),
            false => {
                self.snapshot = snapshot;
                self.refresh(now);
            }
        }
    }

    pub fn take_facts(&mut self, of: &Key, facts: Vec<String>) {
        if let Mode::Details(details) = &mut self.mode
            && details.key == *of
        {
            details.facts = Some(facts);
        }
    }

    /// Makes the lines anew.
    pub fn refresh(&mut self, now: i64) {
        self.lines = lines(&self.snapshot, self.tab, self.fold, None);
        let (by, reversed) = self.sorted_by();
        if matches!(by, Sort::By(column) if !column.is_number()) {
            self.write_texts(0, usize::MAX);
        }
        sort(&mut self.lines, by, reversed, now);
        let found = match &self.view().selected {
            Some(key) => {
                let key = key.clone();
                self.lines.iter().position(|line| line.key == key)
            }
            None => Some(0),
        };
        let last = self.lines.len().saturating_sub(1);
        let view = self.view();
        view.index = found.unwrap_or(view.index).min(last);
        self.scroll();
    }

    /// Writes the texts of so many lines.
    pub fn write_texts(&mut self, first: usize, count: usize) {
        for line in self.lines.iter_mut().skip(first).take(count) {
            write_texts(line, &self.snapshot);
        }
    }

    /// The line that is selected, and the first one that is shown.
    pub fn position(&mut self) -> (usize, usize) {
        self.scroll();
        let view = self.view();
        (view.index, view.offset)
    }

    fn scroll(&mut self) {
        let (page, lines) = (self.page.max(1), self.lines.len());
        let view = self.view();
        let first = (view.index + 1).saturating_sub(page);
        view.offset = view.offset.clamp(first, view.index.max(first));
        view.offset = view.offset.min(lines.saturating_sub(page));
    }

    pub fn key(&mut self, key: KeyEvent, now: i64) -> Option<Action> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Some(Action::Quit),
            KeyCode::Char('z') if control => return Some(Action::Suspend),
            _ => {}
        }
        match &mut self.mode {
            Mode::Filter { .. } => self.filter_key(key.code, control),
            Mode::Help => {
                self.mode = Mode::List;
                (key.code == KeyCode::Char('q')).then_some(Action::Quit)
            }
            Mode::Details(details) => {
                let page = self.page.max(1);
                match key.code {
                    KeyCode::Char('q') => return Some(Action::Quit),
                    KeyCode::Esc | KeyCode::Enter | KeyCode::Backspace => self.mode = Mode::List,
                    KeyCode::Down | KeyCode::Char('j') => details.offset += 1,
                    KeyCode::Up | KeyCode::Char('k') => {
                        details.offset = details.offset.saturating_sub(1);
                    }
                    KeyCode::PageDown => details.offset += page,
                    KeyCode::PageUp => details.offset = details.offset.saturating_sub(page),
                    KeyCode::Home => details.offset = 0,
                    KeyCode::Char('p' | ' ') => self.pause(now),
                    KeyCode::Char('d') => self.fold = !self.fold,
                    _ => {}
                }
                None
            }
            Mode::List => self.list_key(key.code, now),
        }
    }

    fn list_key(&mut self, code: KeyCode, now: i64) -> Option<Action> {
        let page = self.page.max(1) as isize;
        match code {
            KeyCode::Char('q') => return Some(Action::Quit),
            KeyCode::Char('?' | 'h') => self.mode = Mode::Help,
            KeyCode::Char('/') => {
                self.mode = Mode::Filter {
                    before: self.filter.clone(),
                };
            }
            KeyCode::Esc if !self.filter.is_empty() => {
                self.filter.clear();
                return Some(filter(None, false));
            }
            KeyCode::Tab => self.turn(1, now),
            KeyCode::BackTab => self.turn(3, now),
            KeyCode::Char(digit @ '1'..='4') => {
                let to = Tab::ALL.get(digit as usize - '1' as usize);
                self.show(*to.unwrap_or(&self.tab), now);
            }
            KeyCode::Char('>' | '.') | KeyCode::Right => self.sort_by_next(1, now),
            KeyCode::Char('<' | ',') | KeyCode::Left => self.sort_by_next(-1, now),
            KeyCode::Char('r') => {
                let view = self.view();
                view.reversed = !view.reversed;
                self.refresh(now);
            }
            KeyCode::Char('p' | ' ') => self.pause(now),
            KeyCode::Char('d') => {
                self.fold = !self.fold;
                self.refresh(now);
            }
            KeyCode::Down | KeyCode::Char('j') => self.select_by(1),
            KeyCode::Up | KeyCode::Char('k') => self.select_by(-1),
            KeyCode::PageDown => self.select_by(page),
            KeyCode::PageUp => self.select_by(-page),
            KeyCode::Home | KeyCode::Char('g') => self.select_by(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.select_by(isize::MAX),
            KeyCode::Enter => return self.open_details(),
            _ => {}
        }
        None
    }

    fn filter_key(&mut self, code: KeyCode, control: bool) -> Option<Action> {
        let Mode::Filter { before } = &self.mode else {
            return None;
        };
        let typed = &mut self.filter;
        match code {
            KeyCode::Esc => {
                self.filter = before.clone();
                self.mode = Mode::List;
                return self.typed(false);
            }
            KeyCode::Enter => {
                let action = self.typed(false);
                if self.filter_error.is_none() {
                    self.mode = Mode::List;
                }
                return action;
            }
            KeyCode::Backspace => drop(typed.pop()),
            KeyCode::Char('u') if control => typed.clear(),
            KeyCode::Char('w') if control => {
                let kept = typed.trim_end().rfind(' ').map_or(0, |at| at + 1);
                typed.truncate(kept);
            }
            KeyCode::Char(c) if !control && typed.len() < MAX_FILTER => typed.push(c),
            _ => return None,
        }
        self.typed(true)
    }

    /// Begins with a filter.
    pub fn filter_by(&mut self, filter: String) -> Option<Action> {
        self.filter = filter;
        match self.filter.trim().is_empty() {
            true => None,
            false => self.typed(false),
        }
    }

    /// Puts what is typed into force if it is a question about connections.
    fn typed(&mut self, typing: bool) -> Option<Action> {
        self.filter_error = None;
        if self.filter.trim().is_empty() {
            self.filter.clear();
            return Some(filter(None, typing));
        }
        match Filter::parse(&self.filter, &Local::now()) {
            Ok(question) => Some(filter(Some(Box::new(question)), typing)),
            Err(e) => {
                self.filter_error = Some(format!("{e:#}"));
                None
            }
        }
    }

    fn turn(&mut self, by: usize, now: i64) {
        let at = Tab::ALL
            .iter()
            .position(|tab| *tab == self.tab)
            .unwrap_or(0);
        let to = Tab::ALL.get((at + by) % Tab::ALL.len());
        self.show(*to.unwrap_or(&self.tab), now);
    }

    fn show(&mut self, tab: Tab, now: i64) {
        self.tab = tab;
        self.refresh(now);
    }

    fn sort_by_next(&mut self, by: isize, now: i64) {
        let columns = self.tab.columns().iter().copied().map(Sort::By);
        let all = Vec::from_iter([Sort::Traffic].into_iter().chain(columns));
        let view = self.view();
        let at = all.iter().position(|sort| *sort == view.sort).unwrap_or(0);
        let to = (at as isize + by).rem_euclid(all.len() as isize) as usize;
        view.sort = all.get(to).copied().unwrap_or(Sort::Traffic);
        view.reversed = false;
        self.refresh(now);
    }

    fn pause(&mut self, now: i64) {
        self.paused = !self.paused;
        if let Some(snapshot) = self.waiting.take() {
            self.take(snapshot, now);
        }
    }

    fn select_by(&mut self, by: isize) {
        let last = self.lines.len().saturating_sub(1);
        let to = self.view().index.saturating_add_signed(by).min(last);
        let key = self.lines.get(to).map(|line| line.key.clone());
        let view = self.view();
        view.index = to;
        // At the top, what comes there is selected.
        view.selected = key.filter(|_| to > 0);
        self.scroll();
    }

    fn open_details(&mut self) -> Option<Action> {
        let index = self.view().index;
        let line = self.lines.get(index)?;
        let title = match &line.key {
            Key::Program(_) => line.text(Column::Process, 0),
            Key::Host(_) | Key::Resolvers => line.text(Column::Host, 0),
            Key::Container(_) => line.text(Column::Container, 0),
            Key::Connection(id) => format!("connection {id}").into(),
        };
        let key = line.key.clone();
        self.mode = Mode::Details(Details {
            title: title.into_owned(),
            key: key.clone(),
            facts: None,
            offset: 0,
        });
        Some(Action::Details(key))
    }
}

fn filter(question: Option<Box<Question>>, typing: bool) -> Action {
    Action::Filter { question, typing }
}
