//! An answer as JSON, CSV and SQL, in a narrow terminal, in another zone.

use super::super::fixture::{By, CURL, History, request};
use super::*;

#[test]
fn json_is_exact_and_safe_to_show() {
    let (out, notes) = history().ask("which processes hit example.com", OutputFormat::Json, None);
    assert_eq!(notes, "");
    assert_eq!(out.lines().count(), 3);
    assert_eq!(
        out.lines().next(),
        Some(
            "{\"comm\":\"it's \\\"x\\\",\\n\\u001b[2J\",\"exe\":null,\"pid\":900,\"pids\":1,\
             \"uid\":101,\"user\":null,\
             \"container_id\":\"123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\",\
             \"container_name\":null,\"host\":\"a%_.example.com\",\"dst_ip\":\"192.0.2.9\",\
             \"hosts\":1,\"connections\":1,\"failed\":0,\"tx_bytes\":700,\"rx_bytes\":5300,\
             \"first_seen\":\"2026-11-23T13:59:55.000Z\",\"last_seen\":\"2026-11-23T13:59:55.000Z\"}"
        )
    );
}

#[test]
fn json_preserves_recorded_text_exactly() {
    let comm = "\u{9b}2J\u{202e}\u{e0041}\u{7f}\"\\é";
    let history = History::recording();
    history.connect(By { comm, ..CURL }, None, "192.0.2.1", "connected", 1);
    let (out, notes) = history.ask("when did alice hit 192.0.2.1", OutputFormat::Json, None);
    assert_eq!(out.lines().count(), 1, "alice is no process, but a user");
    assert_eq!(
        notes,
        "note: no process alice made a connection: read as user alice\n"
    );
    let (out, _) = history.ask(
        "when did user alice hit 192.0.2.1",
        OutputFormat::Json,
        None,
    );
    assert!(out.trim_end().chars().all(crate::text::is_printable));
    let row: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(row["comm"], comm);
    assert_eq!(row["tx_bytes"], 700);
    assert_eq!(row["errno"], serde_json::Value::Null);
}

#[test]
fn csv_has_a_header_and_quotes_by_rfc_4180() {
    let (out, notes) = history().ask("what did container web-1 talk to", OutputFormat::Csv, None);
    assert_eq!(notes, "");
    assert_eq!(
        out,
        "host,dst_ip,addresses,dst_port,protocol,connections,failed,tx_bytes,rx_bytes,first_seen,last_seen\r\n\
         ,10.0.0.9,1,443,tcp,1,1,,,2026-11-23T13:31:40.000Z,2026-11-23T13:31:40.000Z\r\n\
         api.example.com,192.0.2.7,1,443,tcp,1,0,700,5300,2026-11-23T13:30:00.000Z,2026-11-23T13:30:00.000Z\r\n"
    );
    let (out, _) = history().ask(
        "which processes hit a%_.example.com",
        OutputFormat::Csv,
        None,
    );
    assert!(
        out.lines()
            .nth(1)
            .unwrap()
            .starts_with(r#""it's ""x"",\n\x1b[2J",,900,1,101,"#)
    );
    let (out, _) = history().ask("who hit nowhere.org", OutputFormat::Csv, None);
    assert_eq!(out.lines().count(), 1);
}

#[test]
fn narrow_terminal_cuts_only_names() {
    let mut request = request(
        "what did container web-1 talk to",
        OutputFormat::Table,
        None,
    );
    request.width = Some(96);
    let mut out = Vec::new();
    request
        .run(&history().0, &mut out, &mut Vec::new())
        .unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(
        out.lines().all(|line| crate::text::width(line) <= 96),
        "{out}"
    );
    // FIRST SEEN goes, so that names stay whole
    assert!(
        out.contains("\napi.example.com  192.0.2.7  443/tcp"),
        "{out}"
    );
    request.width = Some(54);
    let mut out = Vec::new();
    request
        .run(&history().0, &mut out, &mut Vec::new())
        .unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(
        out.lines().all(|line| crate::text::width(line) <= 54),
        "{out}"
    );
    assert!(out.contains("\n…ample.com  192.0.2.7  443/tcp"), "{out}");
}

#[test]
fn too_narrow_a_terminal_leaves_out_columns_and_says_which() {
    let mut request = request("which processes hit example.com", OutputFormat::Table, None);
    request.width = Some(80);
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    request.run(&history().0, &mut out, &mut notes).unwrap();
    let [out, notes] = [out, notes].map(|text| String::from_utf8(text).unwrap());
    assert_eq!(
        out,
        "\
PROCESS         PID  USER   CONTAINER    HOST             CONNS  LAST SEEN (UTC)
it's \"x\",\\…     900  101    123456789a…  a%_.example.com      1  11-23 13:59:55
curl         2 pids  alice  -            2 hosts              3  11-23 13:59:30
nginx           900  101    web-1        api.example.com      1  11-23 13:30:00
"
    );
    assert_eq!(
        notes,
        "\n4 processes, 5 connections\n\
         note: this terminal is too narrow for FIRST SEEN, FAILED, RECEIVED, SENT\n"
    );
}

#[test]
fn times_are_local_and_have_a_year_unless_it_is_the_current_one() {
    let history = History::recording();
    let year = 365 * 86_400;
    history.connect(CURL, Some("x.org"), "192.0.2.1", "connected", year);
    let zone = chrono::FixedOffset::west_opt(5 * 3600 + 1800).unwrap();
    let utc = request("when did curl hit x.org", OutputFormat::Table, None);
    let request = Request {
        question: utc.question,
        since: None,
        until: None,
        format: OutputFormat::Table,
        width: None,
        now: utc.now.with_timezone(&zone),
        color: false,
        explain: false,
        limit: None,
        begun: None,
    };
    let mut out = Vec::new();
    request.run(&history.0, &mut out, &mut Vec::new()).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(out.starts_with("TIME (UTC-05:30)"), "{out}");
    assert!(out.contains("\n2025-11-23 08:30:00.000  curl"), "{out}");
}

#[test]
fn shown_sql_gives_the_same_answer() {
    let history = history();
    let request = request("which processes hit example.com", OutputFormat::Json, None);
    let sql = request.sql();
    assert!(sql.ends_with(';'));
    let mut statement = history.0.prepare(&sql).unwrap();
    let hosts = statement
        .query_map([], |row| row.get::<_, i64>("hosts"))
        .unwrap();
    assert_eq!(hosts.collect::<Result<Vec<_>, _>>().unwrap(), [1, 2, 1]);
}
