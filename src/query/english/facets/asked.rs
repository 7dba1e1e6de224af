//! What is asked for, in what order, and the question that all facets make.

use chrono::TimeZone;

use super::super::idioms;
use super::super::vocabulary::*;
use super::super::words::Word;
use super::{Facets, Leftover, Most, Role};
use crate::query::ast::Measure;

/// What two heads ask for: a list that has both.
fn both(first: &'static str, second: &'static str) -> Option<&'static str> {
    let has = |one| first == one || second == one;
    let numbers = ["traffic", "bytes sent", "bytes received"];
    // each connection has one of these
    let of_each = [
        "which processes",
        "which hosts",
        "which IPs",
        "which ports",
        "which pids",
        "connections",
        "which users",
        "which containers",
    ];
    let either = |all: &[&str]| all.contains(&first) || all.contains(&second);
    let all = |known: &[&str]| known.contains(&first) && known.contains(&second);
    if first == second {
        return Some(first);
    }
    if has("lookups") {
        return all(&["lookups", "which processes", "connections"]).then_some("lookups");
    }
    if has("failed connections") {
        if all(&["failed connections", "traffic"]) {
            return None;
        }
        return either(&of_each).then_some("failed connections");
    }
    for narrow in ["longest connections", "slowest connections", "beacons"] {
        if has(narrow) {
            let wide = all(&[narrow, "connections"]) || all(&[narrow, "traffic"]);
            return (wide || either(&of_each[..6])).then_some(narrow);
        }
    }
    if all(&numbers) {
        // "bytes sent"
        return Some(if first == "traffic" { second } else { first });
    }
    if numbers.contains(&second) && of_each.contains(&first) {
        return Some(first);
    }
    if numbers.contains(&first) && of_each.contains(&second) {
        return Some(second);
    }
    for (actors, pairs) in [
        ("which users", "pairs per user"),
        ("which containers", "pairs per container"),
    ] {
        if all(&[actors, "which hosts"]) {
            return Some(pairs);
        }
    }
    all(&of_each[..6]).then_some("connections").or_else(|| {
        let plain = all(&of_each) && has("connections");
        plain.then_some(if first == "connections" {
            second
        } else {
            first
        })
    })
}

impl<Tz: TimeZone> Facets<'_, Tz> {
    /// Takes a word for what is asked for, or for its order.
    pub(super) fn asked(&mut self) -> Option<bool> {
        let Some(word) = self.word(self.at) else {
            return Some(false);
        };
        // "by user alice", "the web container"
        let introduced = matches!(self.role, Role::By | Role::To | Role::From);
        if self.denied || introduced && self.subject_phrase().is_some() {
            return Some(false);
        }
        if word.is_one_of(OPEN_HEADS) {
            // "and what they talked to"
            if self.at > 0 && self.head.is_some() {
                self.head = Some(both(self.head?, "which hosts")?);
            }
            self.open = true;
        } else if word.is_one_of(WHY) {
            self.why = true;
        } else if word.is_one_of(HOW) {
            // the next word is a head
            let known = [MUCH, MANY, OFTEN, &["long"]];
            known.iter().find(|known| self.at_is(self.at + 1, known))?;
        } else if word.is_one_of(COUNTING) {
            self.counting = true;
        } else if word.is_one_of(LOTS) {
            // "a lot of data"
            self.most.get_or_insert(Most {
                rows: None,
                of_bytes: true,
            });
        } else if word.is_one_of(MOSTLY) {
            if self.most.is_some() {
                return None;
            }
            let rows = self
                .word(self.at + 1)
                .and_then(|next| next.text.parse().ok());
            let of_bytes = !word.is_one_of(&["top", "most", "busiest"]);
            self.at += usize::from(rows.is_some());
            self.most = Some(Most { rows, of_bytes });
        } else if word.is_one_of(FIRST) || word.is_one_of(LAST) {
            // "how long did it last"
            if self.at + 1 == self.words.len() && self.head == Some("longest connections") {
                self.at += 1;
                return Some(true);
            }
            if self.first.is_some() {
                return None;
            }
            let rows = self
                .word(self.at + 1)
                .and_then(|next| next.text.parse().ok());
            // "the last weekend" is a time
            let of = self.at + 1 + usize::from(rows.is_some());
            let ends = of == self.words.len();
            let rows_of = [CONNECTIONS, LOOKUPS, ERRORS, FAILED, DNS, TIME, &["thing"]];
            if !ends && !rows_of.iter().any(|known| self.at_is(of, known)) {
                return None;
            }
            let first = if word.is_one_of(FIRST) {
                "first"
            } else {
                "last"
            };
            self.first = Some((first, rows));
            self.at += usize::from(rows.is_some());
            // "the last time"
            self.at += usize::from(self.at_is(self.at + 1, TIME));
        } else if let Some((known, of)) = HEADS.iter().find(|(known, _)| word.is_one_of(known)) {
            if self.subject_phrase().is_some() {
                return Some(false);
            }
            // "from containers" restricts, and asks for none of them
            if introduced && self.restricts() && !word.is_one_of(&["who", "where"]) {
                let all = word.is_one_of(CONTAINERS) || word.is_one_of(SERVICE_UNITS);
                match all {
                    true => return Some(false),
                    false if of.starts_with("which ") => return None,
                    false => {}
                }
            }
            // "host processes" are not those of all hosts
            let kind =
                word.is_one_of(SINGULAR) || word.is_one_of(&["host", "ip", "address", "port"]);
            let next = self.word(self.at + 1).filter(|_| kind);
            if next.is_some_and(|next| LISTED_KINDS.iter().any(|kinds| next.is_one_of(kinds))) {
                return None;
            }
            // "users who ..."
            let relative = known.contains(&"who") && word.text.eq_ignore_ascii_case("who");
            let actors = self.head.is_some_and(|head| {
                ["which users", "which containers", "which executables"].contains(&head)
            });
            if !(relative && actors) {
                let by = self.at.checked_sub(1);
                let by = by.is_some_and(|by| self.at_is(by, &["by"]));
                let ordered = by || self.most.is_some();
                self.head = match self.head {
                    Some(before) => {
                        let of_bytes = ["traffic", "bytes sent", "bytes received"].contains(of);
                        self.by_bytes = (ordered && of_bytes).then_some(*of).or(self.by_bytes);
                        // "the longest connection" is one
                        self.single |= word.is_one_of(&["connection"])
                            && self.at_is(self.at.wrapping_sub(1), &["longest", "slowest"]);
                        let both = both(before, of)?;
                        self.paired |= both == "connections" && ![before, *of].contains(&both);
                        Some(both)
                    }
                    None => Some(*of),
                };
                // "the most contacted host" is one
                if let Some(most) = &mut self.most
                    && word.is_one_of(ONE)
                {
                    most.rows.get_or_insert(1);
                }
            }
            // "command lines"
            let line = word.is_one_of(&["command", "commands"]);
            self.at += usize::from(line && self.at_is(self.at + 1, &["line", "lines"]));
        } else {
            return Some(false);
        }
        self.role = Role::Unsaid;
        self.at += 1;
        Some(true)
    }

    /// Whether the next noun follows "by" or "from" itself, which say whose connections are meant.
    fn restricts(&self) -> bool {
        let article = |at: &usize| self.at_is(*at, ARTICLES) || self.at_is(*at, &["all", "any"]);
        let before = (0..self.at).rev().find(|at| !article(at));
        before.is_some_and(|at| self.at_is(at, &["by", "from"]))
    }

    /// The question that the facets make. None that were found are dropped: what can't be said of
    /// what is asked for refuses the question.
    pub(super) fn assembled(self) -> Option<Vec<Word>> {
        let proposed = self.leftover == Leftover::LeftOut;
        let conditions = self.subjects + self.hosts + self.others;
        if self.denied || self.role != Role::Unsaid && self.hosts + self.subjects == 0 {
            return None;
        }
        let said = usize::from(self.head.is_some())
            + usize::from(self.counting)
            + usize::from(self.open || self.things)
            + usize::from(self.most.is_some())
            + usize::from(self.first.is_some());
        let ordered = self.first.is_some() || self.most.is_some();
        // "top 3 hosts and their processes" are not the top 3 of their connections
        if self.paired && self.most.is_some() {
            return None;
        }
        if conditions == 0 && !ordered
            || conditions + said < 2 && !proposed
            || self.why && !self.failed
        {
            return None;
        }
        let of_number = |number: &str| match number {
            "bytes sent" => Some(Measure::Sent),
            "bytes received" => Some(Measure::Received),
            _ => None,
        };
        // "uploads that it received"
        let directions = [
            self.direction,
            self.by_bytes.and_then(of_number),
            self.head.and_then(of_number),
        ];
        let mut directions = directions.into_iter().flatten();
        let direction = directions.next();
        if directions.any(|other| Some(other) != direction) {
            return None;
        }
        let direction = match direction {
            Some(Measure::Sent) => " sent",
            Some(Measure::Received) => " received",
            _ => "",
        };
        let open = match (self.subjects, self.hosts) {
            _ if self.counting || self.failed || !self.open => "connections",
            (1.., 0) => "which hosts",
            (0, 1..) => "which processes",
            _ => "connections",
        };
        let head = self.head.unwrap_or(open);
        let noun = head.strip_prefix("which ").unwrap_or(head);
        let head = match (&self.most, self.counting) {
            _ if let Some((first, rows)) = self.first => {
                let single = self.most.is_none() && !self.counting;
                let noun = match head {
                    "which hosts" | "which processes" if self.open => "connections",
                    "connections" | "lookups" | "failed connections" => head,
                    _ => return None,
                };
                match rows {
                    _ if !single => return None,
                    Some(rows) => format!("{first} {rows} {noun}"),
                    None => format!("{first} {}", noun.trim_end_matches('s')),
                }
            }
            (Some(_), true) => return None,
            (Some(most), false) => {
                let rows = most.rows.map_or(String::new(), |rows| format!(" {rows}"));
                let of_bytes = most.of_bytes
                    || self.by_bytes.is_some()
                    || !direction.is_empty()
                    || ["traffic", "bytes sent", "bytes received"].contains(&head);
                let noun = match head {
                    "traffic" | "bytes sent" | "bytes received" => {
                        open.strip_prefix("which ").unwrap_or(open)
                    }
                    _ if noun.contains(' ') => return None,
                    _ => noun,
                };
                let by = if of_bytes {
                    format!(" by bytes{direction}")
                } else {
                    String::new()
                };
                let of = |noun| format!("top{rows} {noun}");
                // the order stands behind its noun, before all conditions
                format!("{}{by}", of(noun))
            }
            (None, true) => match head {
                "traffic" if !direction.is_empty() => format!("bytes{direction}"),
                "traffic" | "bytes sent" | "bytes received" => head.to_owned(),
                "connections" | "lookups" | "failed connections" => format!("how many {head}"),
                _ if head.starts_with("which ") => format!("how many {noun}"),
                _ => return None,
            },
            (None, false) => match head {
                "traffic" if !direction.is_empty() => format!("bytes{direction}"),
                "longest connections" | "slowest connections" if self.single => {
                    head.replacen(' ', " 1 ", 1)
                }
                head => head.to_owned(),
            },
        };
        let mut spelled = Vec::from_iter(head.split(' ').map(|text| self.written(text)));
        if self.by_bytes.is_some() && self.most.is_none() {
            if !head.starts_with("which ") && head != "connections" {
                return None;
            }
            let sorted = format!("sorted by bytes{direction}");
            spelled.extend(sorted.split(' ').map(|text| self.written(text)));
        }
        let unsaid = !spelled
            .iter()
            .any(|word| word.is_one_of(&["sent", "received"]));
        if !direction.is_empty() && unsaid && !head.starts_with("which ") {
            return None;
        }
        if self.why && !spelled.iter().any(|word| word.is_one_of(FAILED)) {
            let failed = self.written("failed");
            spelled.push(failed);
        }
        // lookups are "to" a server, and "for" a name
        let lookups = head.ends_with("lookups");
        let names = self.clauses.iter().skip(1).map(idioms::is_host);
        let names = Vec::from_iter(names.chain([false]));
        for (mut word, before_host) in self.clauses.into_iter().zip(names) {
            if lookups && before_host && word.is_one_of(&["to"]) {
                word.text = "for".to_owned();
            }
            spelled.push(word);
        }
        Some(spelled)
    }
}
