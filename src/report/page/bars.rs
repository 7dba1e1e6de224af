//! The timeline as a picture that needs no script: what is printed, and what stands in the page
//! until its script has drawn another one.

use std::fmt::Display;

use chrono::TimeZone;

use crate::report::model::Report;
use crate::report::show::{Clock, count, number};

const WIDTH: i64 = 720;
const HEIGHT: i64 = 130;
/// Most bars.
const MOST: usize = 180;

/// The picture's parts, in its own units.
pub struct Bars {
    pub about: String,
    pub all: Vec<Bar>,
    pub failed: Vec<Bar>,
    pub gaps: Vec<Bar>,
    pub most: String,
    pub from: String,
    pub to: String,
}

pub struct Bar {
    pub x: String,
    pub y: String,
    pub width: String,
    pub height: String,
}

impl Bars {
    pub fn new<Tz: TimeZone>(report: &Report, clock: &Clock<Tz>) -> Bars
    where
        Tz::Offset: Display,
    {
        let timeline = &report.timeline;
        let parts = timeline.connections.len().div_ceil(MOST).max(1);
        let sums =
            |of: &[i64]| Vec::from_iter(of.chunks(parts).map(|part| part.iter().sum::<i64>()));
        let connections = sums(&timeline.connections);
        let most = connections.iter().copied().max().unwrap_or(0);
        let bars = |heights: &[i64]| {
            let bars = heights.iter().enumerate().filter(|(_, n)| **n > 0);
            Vec::from_iter(bars.map(|(at, &n)| bar(at, connections.len(), n, most)))
        };
        let step = timeline.step_ns().saturating_mul(parts as i64);
        let end = step.saturating_mul(connections.len() as i64);
        let x = |ts: i64| {
            let at = ts.saturating_sub(timeline.start.0).clamp(0, end);
            at as f64 / end.max(1) as f64 * WIDTH as f64
        };
        let gaps = report.coverage.gaps.rows.iter().map(|gap| {
            let (from, to) = (x(gap.from.0), x(gap.to.0));
            Bar {
                x: format!("{from:.1}"),
                y: "0".to_owned(),
                width: format!("{:.1}", (to - from).max(1.0)),
                height: HEIGHT.to_string(),
            }
        });
        Bars {
            about: format!(
                "Connections over time: {} in all, {} at most in {}. The table below has the figures.",
                number(report.totals.connections),
                number(most),
                crate::human::duration(step / 1000)
            ),
            gaps: gaps.collect(),
            failed: bars(&sums(&timeline.failed)),
            all: bars(&connections),
            most: format!(
                "{} in {}",
                count(most, "connection", "connections"),
                crate::human::duration(step / 1000)
            ),
            from: clock.time(timeline.start.0),
            to: clock.time(timeline.start.0.saturating_add(end)),
        }
    }
}

/// A bar of `n` of `most`, the `at`th of so many.
fn bar(at: usize, bars: usize, n: i64, most: i64) -> Bar {
    let slot = WIDTH as f64 / bars.max(1) as f64;
    let height = (n as f64 / most.max(1) as f64 * HEIGHT as f64).max(1.0);
    Bar {
        x: format!("{:.1}", slot * at as f64),
        y: format!("{:.1}", HEIGHT as f64 - height),
        width: format!("{:.1}", (slot * 0.85).max(0.5)),
        height: format!("{height:.1}"),
    }
}
