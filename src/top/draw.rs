//! Draws the screen. Its styles are bold, dim and reversed, which every terminal shows on every
//! background, and two colours that mean something beside them.

use std::borrow::Cow;

use chrono::NaiveDateTime;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Modifier, Style};

use super::columns::{Column, Placed, Tab, place};
use super::lines::{Key, Line, Sort, lines, sort};
use super::state::{Details, Mode, State};
use super::traffic::Rate;
use crate::human;
use crate::text::{clip, printable, width};

/// A recorder that runs commits at least every 2 s.
const USUALLY_BEHIND: i64 = 5_000_000_000;
/// The space before each line, for its mark.
const MARK: usize = 2;
/// A screen that is smaller shows no more than a word.
const LEAST: (u16, u16) = (40, 8);

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

const HELP: &[(&str, &str)] = &[
    ("Tab, 1 to 4", "processes, hosts, containers, connections"),
    ("up, down, PgUp, PgDn", "select a line (also j, k, g, G)"),
    ("Enter", "details of the line; Esc goes back"),
    ("< and >, left, right", "sort by another column"),
    ("r", "reverse the order"),
    ("/", "show only what a question selects: curl, example.com,"),
    ("", "port 443, to public IPs, not curl, that failed, ..."),
    ("Esc", "show everything again"),
    ("d", "show DNS servers one by one, or as one line"),
    ("p, space", "pause, and go on"),
    ("Ctrl-Z, q, Ctrl-C", "suspend, leave"),
    ("", ""),
    ("+", "the history did not have this before egrets top began"),
    ("dim", "nothing is open or transferred"),
    (
        "SENT/s, RECV/s",
        "payload per second, since the recorder last read it (2 s)",
    ),
    (
        "SENT, RECV",
        "payload of what is open, or has begun since the time above",
    ),
    ("K, M, G", "1024 bytes, and so on; - is not known"),
];

/// Writes text from the left, and keeps what is right of it free.
struct Row<'a> {
    buffer: &'a mut Buffer,
    area: Rect,
    y: u16,
    x: u16,
    end: u16,
}

impl Row<'_> {
    fn new<'a>(buffer: &'a mut Buffer, area: Rect, y: u16) -> Row<'a> {
        Row {
            buffer,
            area,
            y,
            x: area.x,
            end: area.right(),
        }
    }

    fn left(&self) -> usize {
        usize::from(self.end.saturating_sub(self.x))
    }

    /// At the left; cut if it does not fit.
    fn put(&mut self, text: &str, style: Style) {
        let text = clip(text, self.left());
        self.buffer.set_string(self.x, self.y, &text, style);
        self.x += width(&text) as u16;
    }

    /// At the right; nothing if it does not fit.
    fn put_right(&mut self, text: &str, style: Style) -> bool {
        let columns = width(text);
        if columns > self.left() {
            return false;
        }
        self.end -= columns as u16;
        self.buffer.set_string(self.end, self.y, text, style);
        true
    }

    fn fill(&mut self, style: Style) {
        let rest = Rect::new(self.area.x, self.y, self.area.width, 1);
        self.buffer.set_style(rest, style);
    }
}

pub fn draw(frame: &mut Frame<'_>, state: &mut State, now: i64) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let mut row = Row::new(frame.buffer_mut(), area, area.y);
        row.put("too small", Style::new());
        return;
    }
    let mut y = area.y;
    title(frame.buffer_mut(), area, y, state, now);
    y += 1;
    tabs(frame.buffer_mut(), area, y, state, now);
    y += 1;
    if let Some(x) = message(frame.buffer_mut(), area, y, state) {
        if let Some(x) = x {
            frame.set_cursor_position(Position::new(x, y));
        }
        y += 1;
    }
    let bottom = area.bottom() - 1;
    let body = Rect::new(area.x, y, area.width, bottom.saturating_sub(y));
    keys(frame.buffer_mut(), area, bottom, &state.mode);
    let mut mode = std::mem::take(&mut state.mode);
    match &mut mode {
        Mode::Help => help(frame.buffer_mut(), body),
        Mode::Details(details) => show_details(frame.buffer_mut(), body, details, state, now),
        Mode::List | Mode::Filter { .. } => list(frame.buffer_mut(), body, state, now),
    }
    state.mode = mode;
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

fn reversed() -> Style {
    Style::new().add_modifier(Modifier::REVERSED)
}

/// What is wrong.
fn alarm(color: bool) -> Style {
    match color {
        true => bold().fg(Color::Red),
        false => bold().add_modifier(Modifier::REVERSED),
    }
}

/// What is new.
fn fresh(color: bool) -> Style {
    match color {
        true => bold().fg(Color::Green),
        false => bold(),
    }
}

fn title(buffer: &mut Buffer, area: Rect, y: u16, state: &State, now: i64) {
    let snapshot = &state.snapshot;
    let mut row = Row::new(buffer, area, y);
    row.put("egrets top", bold());
    row.put(&format!("  {}", clock((state.local)(now))), Style::new());
    let (corner, is_wrong) = corner(state, now);
    let style = if is_wrong {
        alarm(state.color)
    } else {
        Style::new()
    };
    row.put_right(&corner, style);
    if snapshot.status.lost > 0 {
        row.put_right("  ", Style::new());
        let lost = human::short_count(snapshot.status.lost);
        row.put_right(&format!("LOST {lost}"), alarm(state.color));
    } else {
        row.put_right("lost 0  ", Style::new());
    }
    row.put_right("  ", Style::new());
    let rate = |of: fn(Rate) -> f64| {
        let total = snapshot.total();
        total.map_or("-".to_owned(), |total| human::short_bytes(of(total)) + "/s")
    };
    let total = format!(
        "sent {:>6}  recv {:>6}",
        rate(|rate| rate.sent),
        rate(|rate| rate.received)
    );
    row.put_right(&total, bold());
    row.put_right("  ", Style::new());
    let bars = sparkline(&snapshot.history, row.left().saturating_sub(2));
    row.put_right(&bars, Style::new());
}

/// What the recorder does, and whether something is wrong with that.
fn corner(state: &State, now: i64) -> (String, bool) {
    let status = &state.snapshot.status;
    let Some(seen) = status.seen_ts else {
        return ("nothing recorded".to_owned(), true);
    };
    if !status.running {
        let stopped = begin((state.local)(seen), (state.local)(now));
        return (format!("recorder stopped {stopped}"), true);
    }
    let lag = now.saturating_sub(seen).max(0);
    let said = format!("lag {:>4}", human::short_duration(lag / 1000));
    (said, lag > USUALLY_BEHIND)
}

/// The last rates, the newest at the right.
fn sparkline(history: &[Rate], columns: usize) -> String {
    let shown = history
        .get(history.len().saturating_sub(columns)..)
        .unwrap_or_default();
    let most = shown.iter().map(|rate| rate.both()).fold(1.0, f64::max);
    let bar = |rate: &Rate| {
        let top = BARS.len() - 1;
        let at = (rate.both() / most * top as f64).ceil() as usize;
        BARS.get(at.min(top)).copied().unwrap_or(' ')
    };
    shown.iter().map(bar).collect()
}

fn clock(time: NaiveDateTime) -> String {
    time.format("%H:%M:%S").to_string()
}

/// A time of the last days or longer ago.
fn begin(time: NaiveDateTime, now: NaiveDateTime) -> String {
    match time.date() == now.date() {
        true => clock(time),
        false => time.format("%Y-%m-%d %H:%M").to_string(),
    }
}

fn tabs(buffer: &mut Buffer, area: Rect, y: u16, state: &State, now: i64) {
    let mut row = Row::new(buffer, area, y);
    for (n, tab) in (1..).zip(Tab::ALL) {
        let said = match tab == state.tab {
            true => format!(" {n} {} {} ", tab.title(), state.lines.len()),
            false => format!(" {n} {} ", tab.title()),
        };
        let style = match tab == state.tab {
            true => bold().add_modifier(Modifier::REVERSED),
            false => Style::new(),
        };
        row.put(&said, style);
    }
    let status = &state.snapshot.status;
    let since = begin((state.local)(status.since), (state.local)(now));
    row.put("  ", Style::new());
    if status.loading {
        row.put_right(" reading...", bold());
    }
    let long = format!("open, or begun since {since}");
    if !row.put_right(&long, Style::new()) {
        row.put_right(&format!("since {since}"), Style::new());
    }
}

/// The filter, or what there is to say. None: nothing; otherwise where the cursor is, if any.
fn message(buffer: &mut Buffer, area: Rect, y: u16, state: &State) -> Option<Option<u16>> {
    let status = &state.snapshot.status;
    let mut row = Row::new(buffer, area, y);
    let typing = matches!(state.mode, Mode::Filter { .. });
    if !typing && state.filter.is_empty() {
        if state.paused {
            row.put(" PAUSED ", reversed());
            row.put(" ", Style::new());
        }
        let said = status.error.as_ref().or(status.notice.as_ref());
        if let Some(said) = said {
            row.put(&printable(said), alarm(state.color));
        }
        return (state.paused || said.is_some()).then_some(None);
    }
    row.put(if typing { "/" } else { "filter: " }, bold());
    let filter = printable(&state.filter);
    // The end of it, which is being typed.
    let room = row
        .left()
        .saturating_sub(1)
        .min(if typing { row.left() / 2 } else { usize::MAX });
    row.put(&last_columns(&filter, room), bold());
    let cursor = typing.then_some(row.x);
    row.put("  ", Style::new());
    let said = state
        .filter_error
        .as_ref()
        .or(status.error.as_ref())
        .map(|said| (said, alarm(state.color)))
        .or_else(|| status.readings.first().map(|said| (said, Style::new())));
    if state.paused {
        row.put(" PAUSED ", reversed());
        row.put(" ", Style::new());
    }
    if let Some((said, style)) = said {
        row.put(&printable(said), style);
    }
    Some(cursor)
}

/// The end of a text that is wider than `columns`.
fn last_columns(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let mut starts = text.char_indices().map(|(at, _)| at);
    let fits = |at: &usize| text.get(*at..).is_some_and(|rest| width(rest) < columns);
    let from = starts.find(fits).unwrap_or(text.len());
    Cow::Owned(format!("…{}", text.get(from..).unwrap_or_default()))
}

fn keys(buffer: &mut Buffer, area: Rect, y: u16, mode: &Mode) {
    let keys: &[(&str, &str)] = match mode {
        Mode::List => &[
            ("Tab", "view"),
            ("< >", "sort"),
            ("/", "filter"),
            ("Enter", "details"),
            ("d", "DNS"),
            ("p", "pause"),
            ("?", "help"),
            ("q", "quit"),
        ],
        Mode::Filter { .. } => &[
            ("Enter", "filter"),
            ("Esc", "back"),
            ("", "e.g. curl, example.com, port 443, to public IPs"),
        ],
        Mode::Help => &[("any key", "back")],
        Mode::Details(_) => &[
            ("Esc", "back"),
            ("up, down", "scroll"),
            ("p", "pause"),
            ("q", "quit"),
        ],
    };
    let mut row = Row::new(buffer, area, y);
    for (key, what) in keys {
        row.put(&format!(" {key}"), bold());
        row.put(&format!(" {what} "), Style::new());
    }
    row.fill(Style::new());
}

fn list(buffer: &mut Buffer, area: Rect, state: &mut State, now: i64) {
    state.page = usize::from(area.height.saturating_sub(1));
    let (selected, offset) = state.position();
    state.write_texts(offset, state.page);
    if state.lines.is_empty() {
        let mut row = Row::new(buffer, area, area.y);
        row.put(nothing(state), Style::new());
        return;
    }
    let shown = state.lines.get(offset..).unwrap_or_default();
    let shown = shown.get(..shown.len().min(state.page)).unwrap_or_default();
    let columns = columns(state.tab, area, shown, now);
    header(buffer, area, area.y, &columns, Some(state.sorted_by()));
    for (n, line) in shown.iter().enumerate() {
        let y = area.y + 1 + n as u16;
        put_line(buffer, area, y, line, &columns, state.color, now);
        if offset + n == selected {
            Row::new(buffer, area, y).fill(reversed());
        }
    }
}

fn nothing(state: &State) -> &'static str {
    let status = &state.snapshot.status;
    match (status.loading, state.filter.is_empty(), status.running) {
        (true, ..) => "reading...",
        (_, false, _) => "nothing passes the filter so far",
        (_, _, true) => "no connections so far",
        _ => "no connections: --since shows earlier ones",
    }
}

/// The columns of these lines.
fn columns(tab: Tab, area: Rect, lines: &[Line], now: i64) -> Vec<Placed> {
    let wanted = |column: Column| {
        let widths = lines.iter().map(|line| width(&line.text(column, now)));
        widths.max().unwrap_or(0).max(width(column.title()) + 1)
    };
    place(tab, usize::from(area.width).saturating_sub(MARK), wanted)
}

fn header(
    buffer: &mut Buffer,
    area: Rect,
    y: u16,
    columns: &[Placed],
    sorted: Option<(Sort, bool)>,
) {
    for placed in columns {
        let column = placed.column;
        let by = match sorted {
            Some((Sort::By(by), reversed)) if by == column => Some(reversed),
            Some((Sort::Traffic, reversed))
                if matches!(column, Column::SentRate | Column::ReceivedRate) =>
            {
                Some(reversed)
            }
            _ => None,
        };
        let style = match by {
            Some(_) => bold().add_modifier(Modifier::UNDERLINED),
            None => dim(),
        };
        let title = match by {
            Some(true) if width(column.title()) < placed.width => format!("{}^", column.title()),
            _ => column.title().to_owned(),
        };
        put_cell(buffer, area, y, *placed, &title, style);
    }
}

fn put_line(
    buffer: &mut Buffer,
    area: Rect,
    y: u16,
    line: &Line,
    columns: &[Placed],
    color: bool,
    now: i64,
) {
    if line.new {
        buffer.set_string(area.x, y, "+", fresh(color));
    }
    let style = if line.is_idle() { dim() } else { Style::new() };
    for placed in columns {
        let failed = match placed.column {
            Column::State | Column::Failed => line.failed > 0,
            _ => false,
        };
        let style = match failed {
            true if color => style.fg(Color::Red),
            _ => style,
        };
        put_cell(
            buffer,
            area,
            y,
            *placed,
            &line.text(placed.column, now),
            style,
        );
    }
}

fn put_cell(buffer: &mut Buffer, area: Rect, y: u16, placed: Placed, text: &str, style: Style) {
    let text = clip(text, placed.width);
    let before = match placed.column.is_number() {
        true => placed.width.saturating_sub(width(&text)),
        false => 0,
    };
    let x = area.x + (MARK + placed.x + before) as u16;
    if x < area.right() {
        let room = usize::from(area.right() - x);
        buffer.set_stringn(x, y, &text, room, style);
    }
}

fn help(buffer: &mut Buffer, area: Rect) {
    let bottom = area.bottom();
    for ((key, what), y) in HELP.iter().zip(area.y..bottom) {
        let mut row = Row::new(buffer, area, y);
        row.put(&format!(" {key:21}"), bold());
        row.put(what, Style::new());
    }
}

fn show_details(
    buffer: &mut Buffer,
    area: Rect,
    details: &mut Details,
    state: &mut State,
    now: i64,
) {
    state.page = usize::from(area.height.saturating_sub(1));
    let mut heading = Row::new(buffer, area, area.y);
    heading.put(&details.title, bold());
    let reading = ["reading...".to_owned()];
    let facts = details.facts.as_deref().unwrap_or(&reading);
    let room = usize::from(area.width);
    let facts = Vec::from_iter(facts.iter().flat_map(|fact| wrap(fact, room)));
    let tab = match details.key {
        Key::Program(_) | Key::Container(_) => Some(Tab::Hosts),
        Key::Host(_) | Key::Resolvers => Some(Tab::Processes),
        Key::Connection(_) => None,
    };
    let mut within = tab.map_or_else(Vec::new, |tab| {
        lines(&state.snapshot, tab, state.fold, Some(&details.key))
    });
    sort(&mut within, Sort::Traffic, false, now);
    let columns = columns(tab.unwrap_or(Tab::Hosts), area, &within, now);
    // Facts, an empty line, titles, lines.
    let above = facts.len() + if within.is_empty() { 0 } else { 2 };
    let all = above + within.len();
    details.offset = details.offset.min(all.saturating_sub(state.page));
    for n in 0..state.page {
        let (y, at) = (area.y + 1 + n as u16, details.offset + n);
        if let Some(fact) = facts.get(at) {
            Row::new(buffer, area, y).put(fact, Style::new());
        } else if at + 1 == above && !within.is_empty() {
            header(buffer, area, y, &columns, None);
        } else if let Some(line) = at.checked_sub(above).and_then(|at| within.get(at)) {
            put_line(buffer, area, y, line, &columns, state.color, now);
        }
    }
}

/// The lines of a fact that is wider than the screen; the others are below its value.
fn wrap(fact: &str, columns: usize) -> Vec<String> {
    const INDENT: usize = 13;
    let mut lines = vec![String::new()];
    let mut used = 0;
    for c in fact.chars() {
        let columns_of_c = width(c.encode_utf8(&mut [0; 4]));
        if used + columns_of_c > columns && columns > 2 * INDENT {
            lines.push(" ".repeat(INDENT));
            used = INDENT;
        }
        used += columns_of_c;
        if let Some(line) = lines.last_mut() {
            line.push(c);
        }
    }
    lines
}
