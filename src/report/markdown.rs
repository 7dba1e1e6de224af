//! A report as Markdown, for the summary of a CI job: less than 60 lines.
//!
//! Processes and DNS servers choose the names. They stand in code spans alone, where no
//! renderer looks for markup, mentions, references or links, without what could end a span or
//! a table's cell.

use std::fmt::Display;
use std::fmt::Write;

use chrono::TimeZone;

use super::model::{FlowRow, Program, Report, State};
use super::show::{self, Clock, bytes, count, number};

/// Most lines in all.
const MOST_LINES: usize = 58;
/// Lines around a list: its title, and an empty one before and behind it.
const AROUND: usize = 3;
/// Lines around the table: the same, its two head lines, and how many rows are left out.
const AROUND_TABLE: usize = 6;

/// DNS, DNS over TLS, multicast DNS, LLMNR.
const RESOLVER_PORTS: [i64; 4] = [53, 853, 5353, 5355];

/// Rows under a title, of which only the first few may be shown.
struct List {
    title: &'static str,
    /// What stands behind the title.
    about: String,
    items: Vec<String>,
    /// How many there are.
    total: i64,
}

/// Writes a report, with times in the zone of `zone`.
pub fn markdown<Tz: TimeZone>(report: &Report, zone: Tz) -> String
where
    Tz::Offset: Display,
{
    let mut top = top(report, &Clock(zone));
    let mut lists = Vec::new();
    for list in [
        new_hosts(report, &mut top),
        decided(report, &mut top),
        raw_addresses(report),
        failed_connections(report),
        failed_lookups(report),
    ] {
        lists.extend(list.filter(|list| list.total > 0));
    }
    let fixed = top.len() + AROUND_TABLE + lists.len() * AROUND;
    let flows = &report.flows.rows;
    // Those that come first in the page have more to say, and the table is what is asked for.
    let wants = [flows.len()]
        .into_iter()
        .chain(lists.iter().map(|list| list.items.len() + 1));
    let shares = share(MOST_LINES.saturating_sub(fixed), &Vec::from_iter(wants));
    let mut shares = shares.into_iter();
    let mut lines = top;
    if !flows.is_empty() {
        table(report, shares.next().unwrap_or(0), &mut lines);
    }
    for (list, lines_of_it) in lists.iter().zip(shares) {
        list.write(lines_of_it, &mut lines);
    }
    lines.join("\n") + "\n"
}

/// Divides lines among lists: each gets one in turn, the table two, until nothing is wanted or
/// left.
fn share(mut lines: usize, wants: &[usize]) -> Vec<usize> {
    let mut shares = vec![0; wants.len()];
    loop {
        let before = lines;
        for (at, (share, &want)) in shares.iter_mut().zip(wants).enumerate() {
            let turn = (if at == 0 { 2 } else { 1 }).min(want - *share).min(lines);
            *share += turn;
            lines -= turn;
        }
        if lines == before {
            return shares;
        }
    }
}

impl List {
    /// Writes at most so many lines between the empty ones; the last says how many are missing.
    fn write(&self, most: usize, lines: &mut Vec<String>) {
        let all = self.items.len() as i64 == self.total && self.items.len() <= most;
        let shown = match all {
            true => self.items.len(),
            false => most.saturating_sub(1).min(self.items.len()),
        };
        let total = number(self.total);
        lines.push(format!("**{}** ({total}){}", self.title, self.about));
        lines.push(String::new());
        lines.extend(
            self.items
                .iter()
                .take(shown)
                .map(|item| format!("- {item}")),
        );
        let rest = self.total - shown as i64;
        if rest > 0 && most > 0 {
            lines.push(format!("- and {} more", number(rest)));
        }
        lines.push(String::new());
    }
}

/// What stands above the table: the span, the totals, and what was not seen.
fn top<Tz: TimeZone>(report: &Report, clock: &Clock<Tz>) -> Vec<String>
where
    Tz::Offset: Display,
{
    let totals = &report.totals;
    let mut lines = vec!["## Outgoing traffic".to_owned(), String::new()];
    let mut span = clock.span(report.from.0, report.to.0);
    let machines = Vec::from_iter(report.machines.iter().take(3).map(|name| code(name)));
    if !machines.is_empty() {
        span.push_str(&format!(" on {}", machines.join(", ")));
    }
    if let Some(selected) = &report.selected {
        span.push_str(&format!(", only {}", words(selected)));
    }
    lines.push(span + "  ");
    let mut said = vec![
        format!(
            "**{}** ({} failed)",
            count(totals.connections, "connection", "connections"),
            number(totals.failed)
        ),
        count(totals.hosts, "host", "hosts"),
        count(totals.programs, "program", "programs"),
        format!(
            "{} sent, {} received",
            bytes(Some(totals.tx_bytes)),
            bytes(Some(totals.rx_bytes))
        ),
    ];
    if let (Some(lookups), Some(failed)) = (totals.lookups, totals.failed_lookups) {
        let lookups = count(lookups, "lookup", "lookups");
        said.push(format!("{lookups} ({} failed)", number(failed)));
    }
    lines.push(said.join(" · "));
    lines.push(String::new());
    let watched = show::watched(report);
    let mut seen = match report.coverage.state {
        State::Complete => format!("{watched}."),
        _ => format!("**{watched}.**"),
    };
    if let Some(ended) = report.coverage.ended {
        _ = write!(seen, " Recorded until {}.", clock.time(ended.0));
    }
    for note in report.coverage.notes.iter().take(6) {
        _ = write!(seen, " {}.", words(&capital(note)));
    }
    lines.push(capital_in(&seen));
    for note in report.notes.iter().take(3) {
        lines.push(format!("- Note: {}", words(note)));
    }
    lines.push(String::new());
    lines
}

fn table(report: &Report, most: usize, lines: &mut Vec<String>) {
    lines.push("| program | host | connections | failed | sent | received |".to_owned());
    lines.push("| --- | --- | ---: | ---: | ---: | ---: |".to_owned());
    // The most traffic first: of programs, and within a program of hosts. Resolvers are what is
    // left out first.
    let is_resolver = |flow: &&FlowRow| {
        flow.to.host.is_none()
            && flow
                .to
                .port
                .is_some_and(|port| RESOLVER_PORTS.contains(&port))
    };
    let all = report.flows.rows.iter();
    let (resolvers, others): (Vec<_>, Vec<_>) = all.partition(is_resolver);
    let mut flows = Vec::from_iter(others.into_iter().chain(resolvers).take(most));
    let shown = flows.len() as i64;
    let place = |flow: &FlowRow| {
        let of = |other: &&FlowRow| other.program == flow.program;
        report.flows.rows.iter().position(|other| of(&other))
    };
    flows.sort_by_key(|flow| place(flow));
    for flow in flows {
        let amount = &flow.amount;
        lines.push(format!(
            "| {} | {} | {} | {} | {} | {} |",
            program(&flow.program),
            code(&show::destination(&flow.to)),
            number(amount.connections),
            number(amount.failed),
            bytes(amount.tx_bytes),
            bytes(amount.rx_bytes)
        ));
    }
    let rest = report.flows.total - shown;
    if rest > 0 {
        lines.push(format!(
            "| | and {} | | | | |",
            count(rest, "more row", "more rows")
        ));
    }
    lines.push(String::new());
}

fn new_hosts(report: &Report, top: &mut Vec<String>) -> Option<List> {
    let new = report.new_hosts.as_ref()?;
    let compared = match &new.baseline {
        Some(file) => format!("compared with {}, {}", code(file), words(&new.compared)),
        None => words(&new.compared),
    };
    if new.hosts.total == 0 {
        let of = match new.compared_hosts {
            Some(hosts) => format!(" of the {} with the most traffic", number(hosts)),
            None => String::new(),
        };
        top.push(format!("No new hosts{of}, {compared}."));
        top.push(String::new());
        return None;
    }
    Some(List {
        title: "New hosts",
        about: format!(", {compared}"),
        total: new.hosts.total,
        items: Vec::from_iter(new.hosts.rows.iter().map(|row| {
            format!(
                "{} by {}: {}, {} sent, {} received",
                code(&show::destination(&row.to)),
                by(&row.by.comm, show::others(&row.by)),
                count(row.amount.connections, "connection", "connections"),
                bytes(row.amount.tx_bytes),
                bytes(row.amount.rx_bytes)
            )
        })),
    })
}

fn decided(report: &Report, top: &mut Vec<String>) -> Option<List> {
    let verdicts = &report.verdicts;
    if verdicts.rows.total == 0 && verdicts.decided > 0 {
        top.push("The policy blocked and reported nothing.".to_owned());
        top.push(String::new());
    }
    Some(List {
        title: "Blocked or reported by the policy",
        about: String::new(),
        total: verdicts.rows.total,
        items: Vec::from_iter(verdicts.rows.rows.iter().map(|row| {
            let rule = row
                .rule
                .as_deref()
                .map(|rule| format!(" by rule {}", code(rule)));
            format!(
                "{}{}: {} to {}, {}{}",
                code(&row.verdict),
                match (row.enforced, row.verdict.as_str()) {
                    (true, _) | (_, "alert") => "",
                    _ => " (only observed)",
                },
                program(&row.program),
                code(&show::destination(&row.to)),
                count(row.connections, "connection", "connections"),
                rule.unwrap_or_default()
            )
        })),
    })
}

fn raw_addresses(report: &Report) -> Option<List> {
    Some(List {
        title: "Addresses without a name",
        about: String::new(),
        total: report.raw_addresses.total,
        items: Vec::from_iter(report.raw_addresses.rows.iter().map(|row| {
            format!(
                "{} by {}: {}, {} sent",
                code(&show::destination(&row.to)),
                by(&row.by.comm, show::others(&row.by)),
                count(row.amount.connections, "connection", "connections"),
                bytes(row.amount.tx_bytes)
            )
        })),
    })
}

fn failed_connections(report: &Report) -> Option<List> {
    Some(List {
        title: "Failed connections",
        about: String::new(),
        total: report.failed_connections.total,
        items: Vec::from_iter(report.failed_connections.rows.iter().map(|row| {
            let errno = row
                .errno
                .as_deref()
                .map(|errno| format!(" ({})", code(errno)));
            format!(
                "{} by {}: {}, {}{}",
                code(&show::destination(&row.to)),
                by(&row.by.comm, show::others(&row.by)),
                number(row.connections),
                code(&row.outcome),
                errno.unwrap_or_default()
            )
        })),
    })
}

fn failed_lookups(report: &Report) -> Option<List> {
    Some(List {
        title: "Failed lookups",
        about: String::new(),
        total: report.failed_lookups.total,
        items: Vec::from_iter(report.failed_lookups.rows.iter().map(|row| {
            let by = row
                .by
                .comm
                .as_deref()
                .map(|comm| format!(" by {}", by(comm, show::lookup_others(&row.by))));
            format!(
                "{} {}{}: {}, {}",
                code(row.qname.as_deref().unwrap_or("?")),
                code(row.qtype.as_deref().unwrap_or("?")),
                by.unwrap_or_default(),
                number(row.lookups),
                code(row.rcode.as_deref().unwrap_or(&row.status))
            )
        })),
    })
}

/// A program in code spans, with its executable where the name is another one, and its
/// container.
fn program(program: &Program) -> String {
    let mut shown = code(&program.comm);
    if let Some(exe) = show::other_exe(program) {
        _ = write!(shown, " ({})", code(exe));
    }
    if let Some(container) = show::container(program) {
        _ = write!(shown, " in {}", code(&container));
    }
    shown
}

fn by(comm: &str, others: Option<i64>) -> String {
    match others {
        None => code(comm),
        Some(n) => format!("{} and {} more", code(comm), number(n)),
    }
}

/// A name as a code span. A backtick would end it and a bar the table's cell: they are shown as
/// other characters that can't be printed are.
fn code(text: &str) -> String {
    span(&show::name(text))
}

/// A sentence that may contain names: as a code span, unless it is plain words.
fn words(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " ,;:()-".contains(c);
    match text.chars().all(is_plain) && !text.contains("www") {
        true => text.to_owned(),
        false => span(&show::sentence(text)),
    }
}

fn span(shown: &str) -> String {
    let shown = shown.replace('`', "\\x60").replace('|', "\\x7c");
    match shown.trim().is_empty() {
        true => "` `".to_owned(),
        false => format!("`{shown}`"),
    }
}

/// A sentence of egrets itself with its first letter large.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

/// The same, if it begins in bold.
fn capital_in(text: &str) -> String {
    match text.strip_prefix("**") {
        Some(bold) => format!("**{}", capital(bold)),
        None => capital(text),
    }
}
