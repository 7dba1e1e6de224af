//! A report as one HTML file that opens offline: styles, scripts and data are in it, and its
//! policy lets nothing be fetched or sent. `egrets serve` shows the same, live ([`live`]).
//!
//! All that a report says is in the page's tables, which need no script. Scripts draw the
//! timeline anew, so that it can be zoomed, and copy SQL. The templates escape every text; what
//! they insert as it is are files of this directory, and data as JSON without `<`.

mod bars;
mod flow;
mod live;
mod tables;

use std::fmt::Display;

use anyhow::Result;
use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeZone;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::model::{Report, State};
use super::show::{self, Clock, bytes, count, number};
use bars::Bars;
use flow::Flow;
pub use live::{LivePage, live, update};
use tables::Table;

/// What the page looks like, and the styles of the chart library.
const STYLE: &str = concat!(
    include_str!("../../../third_party/uplot/uPlot.min.css"),
    include_str!("page.css")
);

/// The chart library with its licence, and what uses it.
const SCRIPT: &str = concat!(
    "/*\n",
    include_str!("../../../third_party/uplot/LICENSE"),
    "*/\n",
    include_str!("../../../third_party/uplot/uPlot.iife.min.js"),
    "\n",
    include_str!("page.js")
);

#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    policy: String,
    style: &'static str,
    script: &'static str,
    data: String,
    title: String,
    body: String,
}

/// What is read, without styles and scripts.
#[derive(Template)]
#[template(path = "body.html")]
struct Body {
    title: String,
    machines: Vec<String>,
    span: String,
    selected: Option<String>,
    asked: Option<String>,
    complete: bool,
    watched: String,
    unseen: Vec<String>,
    notes: Vec<String>,
    figures: Vec<Figure>,
    bars: Bars,
    flow: Flow,
    steps: Table,
    gaps: Table,
    tables: Vec<Table>,
    /// How it was made: a verb.
    made: &'static str,
    created: String,
    version: &'static str,
}

/// A total, large.
struct Figure {
    number: String,
    label: String,
    about: Option<String>,
    bad: bool,
}

/// What the script draws. Times are milliseconds since 1970.
#[derive(Serialize)]
struct Data<'a> {
    start: i64,
    step: i64,
    /// Seconds east of UTC.
    offset: i32,
    connections: &'a [i64],
    failed: &'a [i64],
    tx_bytes: &'a [i64],
    rx_bytes: &'a [i64],
    gaps: Vec<(i64, i64)>,
}

/// Writes a report as a page, with times in the zone of `zone`.
///
/// # Errors
///
/// None that a report can cause: those of the templates.
pub fn page<Tz: TimeZone>(report: &Report, zone: Tz) -> Result<String>
where
    Tz::Offset: Display,
{
    let clock = Clock(zone);
    let body = body(report, &clock, "Written");
    let page = Page {
        policy: policy(STYLE, SCRIPT),
        style: STYLE,
        script: SCRIPT,
        data: embedded(&data(report, &clock))?,
        title: body.title.clone(),
        body: body.render()?,
    };
    Ok(page.render()?)
}

/// The Content-Security-Policy of a page with this style and script.
fn policy(style: &str, script: &str) -> String {
    format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'",
        hash(script),
        hash(style)
    )
}

fn body<Tz: TimeZone>(report: &Report, clock: &Clock<Tz>, made: &'static str) -> Body
where
    Tz::Offset: Display,
{
    let machines = report.machines.iter().map(|m| show::name(m).into_owned());
    let machines = Vec::from_iter(machines);
    let mut unseen = Vec::from_iter(
        report
            .coverage
            .ended
            .map(|ended| format!("recorded until {}", clock.time(ended.0))),
    );
    let notes = report.coverage.notes.iter();
    unseen.extend(notes.map(|note| show::sentence(note).into_owned()));
    Body {
        title: match &machines[..] {
            [] => "Outgoing traffic".to_owned(),
            [first, ..] => format!("Outgoing traffic of {first}"),
        },
        machines,
        span: clock.span(report.from.0, report.to.0),
        selected: report
            .selected
            .as_deref()
            .map(|s| show::sentence(s).into_owned()),
        asked: report
            .question
            .as_deref()
            .map(|s| show::sentence(s).into_owned()),
        complete: report.coverage.state == State::Complete && report.coverage.ended.is_none(),
        watched: show::watched(report).to_owned(),
        unseen,
        notes: Vec::from_iter(report.notes.iter().map(|n| show::sentence(n).into_owned())),
        figures: figures(report),
        bars: Bars::new(report, clock),
        flow: Flow::new(report),
        steps: tables::steps(report, clock),
        gaps: tables::gaps(report, clock),
        tables: tables::all(report, clock),
        made,
        created: clock.time(report.created.0),
        version: report.egrets,
    }
}

fn figures(report: &Report) -> Vec<Figure> {
    let totals = &report.totals;
    let figure = |n: i64, one: &str, many: &str, failed: Option<i64>| Figure {
        number: number(n),
        label: if n == 1 { one } else { many }.to_owned(),
        about: failed.map(|failed| format!("{} failed", number(failed))),
        bad: failed.is_some_and(|failed| failed > 0),
    };
    let amount = |n: i64, label: &str| Figure {
        number: bytes(Some(n)),
        label: label.to_owned(),
        about: None,
        bad: false,
    };
    let mut figures = vec![
        figure(
            totals.connections,
            "connection",
            "connections",
            Some(totals.failed),
        ),
        amount(totals.tx_bytes, "sent"),
        amount(totals.rx_bytes, "received"),
        figure(totals.hosts, "host", "hosts", None),
        figure(totals.programs, "program", "programs", None),
    ];
    if let Some(lookups) = totals.lookups {
        figures.push(figure(lookups, "lookup", "lookups", totals.failed_lookups));
    }
    if report.verdicts.decided > 0 {
        let rows = report.verdicts.rows.rows.iter();
        let refused = rows.filter(|row| row.enforced && row.verdict != "alert");
        let refused = refused.map(|row| row.connections).sum();
        figures.push(Figure {
            about: Some(format!(
                "of {}",
                count(
                    report.verdicts.decided,
                    "connection decided on",
                    "connections decided on"
                )
            )),
            bad: refused > 0,
            ..amount(0, "blocked by the policy")
        });
        if let Some(last) = figures.last_mut() {
            last.number = number(refused);
        }
    }
    figures
}

fn data<'a, Tz: TimeZone>(report: &'a Report, clock: &Clock<Tz>) -> Data<'a>
where
    Tz::Offset: Display,
{
    let timeline = &report.timeline;
    let ms = |ns: i64| ns.div_euclid(1_000_000);
    let gaps = report.coverage.gaps.rows.iter();
    Data {
        start: ms(timeline.start.0),
        step: timeline.step_ms,
        offset: clock.offset(report.to.0),
        connections: &timeline.connections,
        failed: &timeline.failed,
        tx_bytes: &timeline.tx_bytes,
        rx_bytes: &timeline.rx_bytes,
        gaps: Vec::from_iter(gaps.map(|gap| (ms(gap.from.0), ms(gap.to.0)))),
    }
}

/// JSON that can't end the element that it stands in.
fn embedded(data: &impl Serialize) -> Result<String> {
    let json = serde_json::to_string(data)?;
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                safe.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => safe.push(c),
        }
    }
    Ok(safe)
}

/// The hash of a style or script as a Content-Security-Policy has it.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_cannot_end_its_element() {
        let json = embedded(&"</script><!--\u{2028}&").unwrap();
        assert_eq!(json, r#""\u003c/script\u003e\u003c!--\u2028\u0026""#);
        let read: String = serde_json::from_str(&json).unwrap();
        assert_eq!(read, "</script><!--\u{2028}&");
    }

    #[test]
    fn styles_and_scripts_do_not_end_their_elements() {
        assert!(!SCRIPT.to_lowercase().contains("</script"));
        assert!(!SCRIPT.contains("<!--") && !STYLE.contains("</"));
        // nothing in them is fetched
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    }
}
