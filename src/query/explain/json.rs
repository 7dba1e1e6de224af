//! An explanation as one JSON object.

use std::io::Write;

use anyhow::Result;
use rusqlite::types::Value;

use super::row::ViewRow;
use super::{Explanation, RivalName};
use crate::query::format::json_value;

impl Explanation {
    /// Writes one object on one line: the columns of `egress`, then `lookup`,
    /// `answers`, `rivals` and `no_name`.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn json(&self, out: &mut dyn Write) -> Result<()> {
        let mut keys = columns(&self.connection);
        let lookup = self.lookup.as_ref().map(|row| object(columns(row)));
        keys.push(("lookup", lookup.unwrap_or_else(null)));
        let answers = self.answers.iter().map(|answer| {
            let mut keys = columns(&answer.record);
            keys.push(("leads", answer.leads.to_string()));
            keys.push((
                "expired",
                answer.expired.map_or_else(null, |e| e.to_string()),
            ));
            object(keys)
        });
        keys.push(("answers", array(answers)));
        keys.push(("rivals", array(self.rivals.iter().map(rival))));
        let no_name = self.unnamed.as_ref().map(|unnamed| {
            let others = unnamed.others.iter().map(|other| {
                let mut keys = columns(&other.lookup);
                keys.push(("flaw", quoted(other.flaw.as_str())));
                object(keys)
            });
            object(vec![
                ("reason", quoted(unnamed.reason.as_str())),
                ("others", array(others)),
                ("others_total", unnamed.total.to_string()),
                ("dns_lost", unnamed.lost.to_string()),
            ])
        });
        keys.push(("no_name", no_name.unwrap_or_else(null)));
        writeln!(out, "{}", object(keys))?;
        Ok(())
    }
}

fn rival(rival: &RivalName) -> String {
    let mut keys = columns(&rival.host);
    let lookup = rival.lookup.as_ref().map(|row| object(columns(row)));
    keys.push(("lookup", lookup.unwrap_or_else(null)));
    object(keys)
}

fn columns(row: &ViewRow) -> Vec<(&str, String)> {
    row.columns()
        .map(|(name, value)| (name, json_value(value.into())))
        .collect()
}

fn quoted(text: &str) -> String {
    json_value((&Value::Text(text.to_owned())).into())
}

fn null() -> String {
    "null".to_owned()
}

fn object(keys: Vec<(&str, String)>) -> String {
    let keys = keys
        .into_iter()
        .map(|(key, value)| format!("\"{key}\":{value}"));
    format!("{{{}}}", keys.collect::<Vec<_>>().join(","))
}

fn array(values: impl Iterator<Item = String>) -> String {
    format!("[{}]", values.collect::<Vec<_>>().join(","))
}
