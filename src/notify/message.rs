//! An event in a sentence, for people.

use serde_json::{Map, Value};

use crate::text::printable;

/// A line without control characters.
pub fn message(event: &Map<String, Value>) -> String {
    let show = |key: &str| match event.get(key) {
        Some(Value::String(text)) => printable(text).into_owned(),
        None | Some(Value::Null) => "?".to_owned(),
        Some(value) => value.to_string(),
    };
    if let Some(Value::String(why)) = event.get("why").filter(|_| event.contains_key("alert")) {
        return format!("{}: {}", show("alert"), printable(why));
    }
    if event.contains_key("qname") {
        let (comm, pid, name) = (show("comm"), show("pid"), show("qname"));
        let (status, alert) = (show("status"), show("alert"));
        return format!("{comm}[{pid}] looked up {name}: {status}: alert by \"{alert}\"");
    }
    let to = match event.get("host") {
        Some(Value::String(host)) => printable(host).into_owned(),
        _ => show("dst_ip"),
    };
    let container = match event.get("container_name") {
        Some(Value::String(name)) => format!(" in {}", printable(name)),
        _ => String::new(),
    };
    format!(
        "{}[{}]{container} to {to}:{}/{}: {} by \"{}\"",
        show("comm"),
        show("pid"),
        show("dst_port"),
        show("protocol"),
        show("event"),
        match event.contains_key("alert") {
            true => show("alert"),
            false => show("rule"),
        },
    )
}
