//! Alerts: what questions find in a history while a recorder writes to it, each once. It reads the
//! views, so it needs no more than the right to read the file, and costs the recorder nothing.

mod health;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use chrono::{DateTime, TimeZone};
use hashlink::LruCache;
use rusqlite::types::ValueRef;
use rusqlite::{Connection as Db, Row, params};

pub use health::Health;

use crate::notify::{Subject, Throttle};
use crate::query::{Question, Selected, json_value, parse};
use crate::text::printable;

/// Rows that began so long ago are looked at: an attempt that times out does so after two minutes.
pub const WINDOW: Duration = Duration::from_secs(180);

/// How old a connection is when it is looked at, in nanoseconds: its name may come after its
/// beginning.
const SETTLE: i64 = 2_000_000_000;

/// Rows that have had their alert, or need none.
const MAX_SEEN: usize = 262_144;

/// Rows of a rule that are looked at in one check; the rest comes with the next one.
const MAX_ROWS: usize = 10_000;

const SINCE: &str = " since today";

/// What is worth an alert.
#[derive(Debug, Clone)]
pub struct Rule {
    /// As it was typed.
    pub text: Rc<str>,
    question: Question,
    /// Only the first connection to a host.
    new: bool,
}

impl Rule {
    /// Parses a question about connections or lookups, or what could follow "connections":
    /// "to public IPs".
    ///
    /// # Errors
    ///
    /// What is not understood, or needs more than a single row to be answered.
    pub fn parse<Tz: TimeZone>(text: &str, now: &DateTime<Tz>) -> Result<Rule> {
        // What is new, is so since a time, which is that of each connection here.
        let alternatives = [
            format!("{text}{SINCE}"),
            format!("connections {text}"),
            format!("connections {text}{SINCE}"),
        ];
        let mut question = match parse(text, now) {
            Ok(question) => question,
            Err(refused) => {
                let mut parsed = alternatives.iter().map(|text| (text, parse(text, now)));
                match parsed.find_map(|(text, question)| Some((text, question.ok()?))) {
                    Some((text, question)) if text.ends_with(SINCE) => Question {
                        since: None,
                        ..question
                    },
                    Some((_, question)) => question,
                    None => return Err(refused.into()),
                }
            }
        };
        let new = std::mem::take(&mut question.new);
        ensure!(
            question.only_selects(),
            "\"{text}\": an alert is about single connections or lookups, but this question ranks, \
             groups or compares them: ask for some, such as \"connections to raw IPs\""
        );
        ensure!(
            question.since.is_none() && question.until.is_none(),
            "\"{text}\": an alert is about what happens from now on: leave out the time"
        );
        ensure!(
            !new || question.is_about_connections(),
            "\"{text}\": nothing says which lookups are new: ask for new hosts"
        );
        Ok(Rule {
            text: text.into(),
            question,
            new,
        })
    }
}

/// An alert, in both forms.
pub struct Alert {
    /// For people.
    pub line: String,
    /// A JSON object: `event`, `alert` (the question), `suppressed`, and the row.
    pub json: String,
}

impl Alert {
    /// One about the rule, or the recorder, rather than a row.
    fn without_row(rule: &str, why: &str) -> Alert {
        let json = serde_json::json!({
            "event": "alert", "alert": rule, "suppressed": 0, "why": why
        });
        Alert {
            line: format!("{}: {why}", printable(rule)),
            json: json.to_string(),
        }
    }
}

/// What has had an alert, and what may have one.
pub struct Watch {
    rules: Vec<Rule>,
    throttle: Throttle,
    seen: LruCache<(usize, i64), ()>,
    /// What began before is none of its business, nanoseconds since 1970.
    start_ts: i64,
    /// When it last looked.
    looked_ts: i64,
}

impl Watch {
    pub fn new(rules: Vec<Rule>, start_ts: i64) -> Watch {
        Watch {
            rules,
            throttle: Throttle::default(),
            seen: LruCache::new(MAX_SEEN),
            start_ts,
            looked_ts: start_ts,
        }
    }

    /// Another history has taken the place of the one before: its rows are others.
    pub fn forget_seen(&mut self) {
        self.seen.clear();
    }

    /// How the rules are read in this history, one sentence each.
    ///
    /// # Errors
    ///
    /// A rule that contradicts itself, SQLite's.
    pub fn readings(&self, db: &Db, now: i64) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        for rule in &self.rules {
            let selected = self.selected(db, rule, now)?;
            notes.extend(selected.notes);
        }
        Ok(notes)
    }

    /// What the rules find at `now` that they have not found before.
    ///
    /// # Errors
    ///
    /// SQLite's.
    pub fn check(&mut self, db: &Db, now: i64) -> Result<Vec<Alert>> {
        let mut alerts = Vec::new();
        for index in 0..self.rules.len() {
            let Some(rule) = self.rules.get(index).cloned() else {
                continue;
            };
            let selected = self.selected(db, &rule, now)?;
            // the newest first, so that a flood keeps no later row from being looked at
            let sql = format!("SELECT * FROM {} ORDER BY ts DESC", selected.rows());
            let mut statement = db.prepare(&sql)?;
            let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
            let mut rows = statement.query([])?;
            let mut left = MAX_ROWS;
            while let Some(row) = rows.next()? {
                let key = (index, row.get("id")?);
                if self.seen.contains_key(&key) {
                    continue;
                }
                if rule.question.is_about_connections() && now - row.get::<_, i64>("ts")? < SETTLE {
                    continue; // TLS may still say its name
                }
                let Some(less) = left.checked_sub(1) else {
                    alerts.extend(self.overflow(&rule));
                    break;
                };
                left = less;
                self.seen.insert(key, ());
                if rule.new && !is_new(db, &selected, row)? {
                    continue;
                }
                let subject = subject(row)?;
                let same = same(row)?;
                let admitted = self
                    .throttle
                    .admit(&rule.text, subject, same, Instant::now());
                if let Some(suppressed) = admitted {
                    alerts.push(alert(&rule, row, &names, suppressed)?);
                }
            }
        }
        self.looked_ts = now;
        Ok(alerts)
    }

    /// That rows of the rule were left out, once in a while.
    fn overflow(&mut self, rule: &Rule) -> Option<Alert> {
        let why = format!("more than {MAX_ROWS} rows at once: some were left out");
        let subject = (u32::MAX, None);
        self.throttle
            .admit(&rule.text, subject, &why, Instant::now())?;
        Some(Alert::without_row(&rule.text, &why))
    }

    fn selected(&self, db: &Db, rule: &Rule, now: i64) -> Result<Selected> {
        let looked = self.looked_ts.min(now);
        let since = (looked - WINDOW.as_nanos() as i64).max(self.start_ts);
        let since = since.min(now - 1); // a span is not empty
        Selected::read(db, &rule.question, Vec::new(), (Some(since), None), now)
    }
}

/// Whether the rule has found no earlier connection to the host, or to the address without a name.
fn is_new(db: &Db, selected: &Selected, row: &Row<'_>) -> Result<bool> {
    let host: Option<String> = row.get("host")?;
    let before: i64 = row.get("ts")?;
    let Some(sql) = selected.seen_before(host.is_some(), Some(before)) else {
        return Ok(true);
    };
    let mut statement = db.prepare_cached(&sql)?;
    let seen: bool = match host {
        Some(host) => statement.query_row([host], |row| row.get(0))?,
        None => {
            let address: Option<Vec<u8>> = row.get("dst_addr")?;
            statement.query_row(params![address], |row| row.get(0))?
        }
    };
    Ok(!seen)
}

fn subject(row: &Row<'_>) -> Result<Subject> {
    let uid: Option<u32> = row.get("uid")?;
    let container: Option<String> = row.get("container_id")?;
    let hash = |id: String| {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        hasher.finish()
    };
    Ok((uid.unwrap_or(u32::MAX), container.map(hash)))
}

/// What two alerts have in common that say the same.
fn same(row: &Row<'_>) -> Result<Vec<Option<String>>> {
    let columns: &[&str] = match row.get_ref("qname") {
        Ok(_) => &["exe", "comm", "user", "container_id", "qname", "status"],
        Err(_) => &[
            "exe",
            "comm",
            "user",
            "container_id",
            "host",
            "dst_ip",
            "dst_port",
            "outcome",
        ],
    };
    columns
        .iter()
        .map(|column| Ok(shown(row, column)))
        .collect()
}

/// A column's value as text; None where it has none.
fn shown(row: &Row<'_>, column: &str) -> Option<String> {
    match row.get_ref(column).ok()? {
        ValueRef::Null | ValueRef::Blob(_) => None,
        ValueRef::Integer(n) => Some(n.to_string()),
        ValueRef::Real(n) => Some(n.to_string()),
        ValueRef::Text(text) => Some(printable(&String::from_utf8_lossy(text)).into_owned()),
    }
}

fn alert(rule: &Rule, row: &Row<'_>, names: &[String], suppressed: u64) -> Result<Alert> {
    let text = serde_json::to_string(&*rule.text)?;
    let mut json = format!("{{\"event\":\"alert\",\"alert\":{text},\"suppressed\":{suppressed}");
    for (index, name) in names.iter().enumerate() {
        let value = row.get_ref(index)?;
        if !matches!(value, ValueRef::Blob(_)) {
            json.push_str(&format!(",\"{name}\":{}", json_value(value)));
        }
    }
    json.push('}');
    let show = |column: &str| shown(row, column);
    let who = format!(
        "{}[{}]{}{}",
        show("comm").unwrap_or_else(|| "?".to_owned()),
        show("pid").unwrap_or_else(|| "?".to_owned()),
        show("user").map_or(String::new(), |user| format!(" of {user}")),
        show("container_name").map_or(String::new(), |name| format!(" in {name}")),
    );
    let what = match row.get_ref("qname") {
        Ok(_) => format!(
            "looked up {} {}: {}",
            show("qname").unwrap_or_else(|| "?".to_owned()),
            show("qtype").unwrap_or_default(),
            show("rcode").or(show("status")).unwrap_or_default()
        ),
        Err(_) => format!(
            "to {}{}/{}: {}",
            show("host")
                .or(show("dst_ip"))
                .unwrap_or_else(|| "?".to_owned()),
            show("dst_port").map_or(String::new(), |port| format!(":{port}")),
            show("protocol").unwrap_or_default(),
            show("outcome").unwrap_or_default()
        ),
    };
    let more = match suppressed {
        0 => String::new(),
        n => format!(" ({n} more were not reported)"),
    };
    Ok(Alert {
        line: format!("{who} {what}: \"{}\"{more}", printable(&rule.text)),
        json,
    })
}
