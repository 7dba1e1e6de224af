//! The key `notify`.

use super::super::{Notify, Webhook};
use super::fields::Reader;
use super::yaml::{Item, Node};

const KEYS: [&str; 3] = ["exec", "journald", "webhook"];

const WEBHOOK_KEYS: [&str; 3] = ["url", "header_file", "ca_file"];

/// Arguments of a program.
const MAX_ARGUMENTS: usize = 64;

pub fn read(reader: &mut Reader, item: &Item) -> Notify {
    let mut notify = Notify::default();
    for (key, value) in reader.entries(item, &KEYS, "notify") {
        match key {
            "exec" => notify.exec = exec(reader, value),
            "journald" => notify.journald = reader.flag(value, key).unwrap_or_default(),
            _ => notify.webhook = webhook(reader, value),
        }
    }
    notify
}

fn webhook(reader: &mut Reader, item: &Item) -> Option<Webhook> {
    let mut webhook = Webhook {
        url: String::new(),
        header_file: None,
        ca_file: None,
    };
    if let Node::Scalar(url) = &item.node {
        webhook.url.clone_from(url);
    } else {
        for (key, value) in reader.entries(item, &WEBHOOK_KEYS, "webhook") {
            match key {
                "url" => webhook.url = reader.scalar(value, key)?.to_owned(),
                "header_file" => webhook.header_file = path(reader, value, key),
                _ => webhook.ca_file = path(reader, value, key),
            }
        }
    }
    if let Some(problem) = webhook.problem() {
        reader.problem(item.at, problem);
        return None;
    }
    Some(webhook)
}

fn path(reader: &mut Reader, item: &Item, key: &str) -> Option<String> {
    let path = reader.scalar(item, key)?;
    if !path.starts_with('/') || path.contains('\0') {
        reader.problem(item.at, format!("{key} is an absolute path"));
    }
    Some(path.to_owned())
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
