//! The key `notify`.

use super::super::Notify;
use super::fields::Reader;
use super::yaml::{Item, Node};

const KEYS: [&str; 3] = ["exec", "journald", "webhook"];

/// Arguments of a program.
const MAX_ARGUMENTS: usize = 64;

pub fn read(reader: &mut Reader, item: &Item) -> Notify {
    let mut notify = Notify::default();
    for (key, value) in reader.entries(item, &KEYS, "notify") {
        match key {
            "exec" => notify.exec = exec(reader, value),
            "journald" => notify.journald = reader.flag(value, key).unwrap_or_default(),
            _ => reader.problem(
                value.at,
                "webhook is not supported yet: exec can run a program that calls it",
            ),
        }
    }
    notify
}

fn exec(reader: &mut Reader, item: &Item) -> Vec<String> {
    let is_list = matches!(&item.node, Node::List(items) if items.len() <= MAX_ARGUMENTS);
    if !is_list {
        let text = format!(
            "exec is a list of a program and its arguments, {MAX_ARGUMENTS} at most: [/usr/local/bin/alert, --team, ops]"
        );
        reader.problem(item.at, text);
        return Vec::new();
    }
    let words = reader.scalars(item, "exec");
    if let Some((program, at)) = words.first()
        && !program.starts_with('/')
    {
        reader.problem(*at, "the program of exec is an absolute path");
    }
    for (word, at) in &words {
        if word.contains('\0') {
            reader.problem(*at, "an argument can't have a NUL");
        }
    }
    words.into_iter().map(|(word, _)| word.to_owned()).collect()
}
