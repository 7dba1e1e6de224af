//! Which program talks to which host, as a picture: bands from the programs on the left to the
//! hosts on the right, as wide as there are connections.

use std::collections::HashMap;

use crate::report::model::{FlowRow, Report};
use crate::report::show::{self, count};

/// Most programs and hosts that have an end of their own.
const MOST_PROGRAMS: usize = 10;
const MOST_HOSTS: usize = 16;
const OTHER_PROGRAMS: &str = "other programs";
/// How many colours the styles have.
const COLOURS: usize = 6;

/// Units of the picture: where the ends stand, and how high all bands are together.
const LEFT: f64 = 190.0;
const RIGHT: f64 = 500.0;
const END: f64 = 8.0;
const BANDS: f64 = 300.0;
/// The least height of an end with its label.
const LINE: f64 = 17.0;
const SPACE: f64 = 5.0;
/// Characters of a label that fit.
const LABEL: usize = 30;

/// The picture's parts.
pub struct Flow {
    pub about: String,
    /// That not all is in it, in words.
    pub part: Option<String>,
    pub height: String,
    pub ends: Vec<End>,
    pub bands: Vec<Band>,
}

/// A program or a host.
pub struct End {
    pub x: String,
    pub y: String,
    pub height: String,
    pub label: String,
    pub label_x: String,
    pub label_y: String,
    pub is_left: bool,
    pub colour: usize,
}

pub struct Band {
    pub path: String,
    pub width: String,
    pub about: String,
    pub colour: usize,
}

/// An end while the picture is laid out.
struct Node {
    label: String,
    weight: i64,
    top: f64,
    height: f64,
    /// Where its next band begins.
    next: f64,
}

impl Flow {
    pub fn new(report: &Report) -> Flow {
        let flows = &report.flows.rows;
        let (programs, of_program) = ends(flows, MOST_PROGRAMS, OTHER_PROGRAMS, |flow| {
            let mut label = show::name(&flow.program.comm).into_owned();
            if let Some(container) = show::container(&flow.program) {
                label.push_str(&format!(" in {container}"));
            }
            label
        });
        let (hosts, of_host) = ends(flows, MOST_HOSTS, "other hosts", |flow| {
            show::destination(&flow.to)
        });
        let mut weights: HashMap<(usize, usize), i64> = HashMap::new();
        for (flow, (&program, &host)) in flows.iter().zip(of_program.iter().zip(&of_host)) {
            let weight = weights.entry((program, host)).or_default();
            *weight = weight.saturating_add(flow.amount.connections);
        }
        let mut weights = Vec::from_iter(weights);
        weights.sort_unstable();
        let total = weights.iter().map(|(_, n)| *n as f64).sum::<f64>().max(1.0);
        let thick = |n: i64| (n as f64 / total * BANDS).max(1.0);
        let (mut programs, left) = stacked(programs, thick);
        let (mut hosts, right) = stacked(hosts, thick);
        let bands = weights.iter().map(|&((program, host), n)| {
            let width = thick(n);
            let from = programs[program].take(width);
            let to = hosts[host].take(width);
            let (x0, x1, middle) = (LEFT + END, RIGHT, (LEFT + END + RIGHT) / 2.0);
            Band {
                path: format!(
                    "M{x0:.0} {from:.1}C{middle:.0} {from:.1} {middle:.0} {to:.1} {x1:.0} {to:.1}"
                ),
                width: format!("{width:.1}"),
                about: format!(
                    "{} to {}: {}",
                    programs[program].label,
                    hosts[host].label,
                    count(n, "connection", "connections")
                ),
                colour: programs[program].colour(program),
            }
        });
        let bands = Vec::from_iter(bands);
        let shown = programs
            .iter()
            .enumerate()
            .map(|(at, node)| node.end(true, node.colour(at)));
        let shown = shown.chain(hosts.iter().map(|node| node.end(false, COLOURS)));
        let part = report.flows.total > flows.len() as i64;
        Flow {
            about: "Connections from programs to hosts. The table below has the figures."
                .to_owned(),
            part: part.then(|| {
                format!(
                    "Of {} pairs of a program and a host, only the {} with the most bytes.",
                    show::number(report.flows.total),
                    flows.len()
                )
            }),
            height: format!("{:.0}", left.max(right) + SPACE),
            ends: shown.collect(),
            bands,
        }
    }
}

/// The ends of flows, those with the most connections first and the rest as one; and for each
/// flow the index of its end.
fn ends(
    flows: &[FlowRow],
    most: usize,
    rest: &str,
    label: impl Fn(&FlowRow) -> String,
) -> (Vec<Node>, Vec<usize>) {
    let mut weights: HashMap<String, i64> = HashMap::new();
    for flow in flows {
        let weight = weights.entry(label(flow)).or_default();
        *weight = weight.saturating_add(flow.amount.connections);
    }
    let mut order = Vec::from_iter(weights);
    order.sort_unstable_by(|(a, n), (b, m)| m.cmp(n).then_with(|| a.cmp(b)));
    let others = (order.len() > most).then(|| {
        let others = order.split_off(most - 1);
        let sum = others
            .iter()
            .fold(0_i64, |sum, (_, n)| sum.saturating_add(*n));
        (rest.to_owned(), sum)
    });
    order.extend(others);
    let places: HashMap<&str, usize> = order
        .iter()
        .enumerate()
        .map(|(at, (label, _))| (label.as_str(), at))
        .collect();
    let last = order.len().saturating_sub(1);
    let of_flow = flows.iter().map(|flow| {
        let place = places.get(label(flow).as_str());
        place.copied().unwrap_or(last)
    });
    let of_flow = Vec::from_iter(of_flow);
    let nodes = order.into_iter().map(|(label, weight)| Node {
        label,
        weight,
        top: 0.0,
        height: 0.0,
        next: 0.0,
    });
    (nodes.collect(), of_flow)
}

/// Stands the ends below each other. Returns how high they are together.
fn stacked(mut nodes: Vec<Node>, thick: impl Fn(i64) -> f64) -> (Vec<Node>, f64) {
    let mut y = SPACE;
    for node in &mut nodes {
        node.height = thick(node.weight);
        let slot = node.height.max(LINE);
        node.top = y + (slot - node.height) / 2.0;
        node.next = node.top;
        y += slot + SPACE;
    }
    (nodes, y)
}

impl Node {
    /// The colour of what begins here, the `at`th from the top; several programs have none.
    fn colour(&self, at: usize) -> usize {
        match self.label == OTHER_PROGRAMS {
            true => COLOURS,
            false => at % COLOURS,
        }
    }

    /// The middle of its next band.
    fn take(&mut self, width: f64) -> f64 {
        let middle = self.next + width / 2.0;
        self.next += width;
        middle
    }

    fn end(&self, is_left: bool, colour: usize) -> End {
        let x = if is_left { LEFT } else { RIGHT };
        End {
            x: format!("{x:.0}"),
            y: format!("{:.1}", self.top),
            height: format!("{:.1}", self.height),
            label: crate::text::clip(&self.label, LABEL).into_owned(),
            label_x: format!("{:.0}", if is_left { x - 6.0 } else { x + END + 6.0 }),
            label_y: format!("{:.1}", self.top + self.height / 2.0 + 4.0),
            is_left,
            colour,
        }
    }
}
