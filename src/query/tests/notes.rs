//! Notes beside an answer, and the span of a question.

use super::super::fixture::{By, CURL, History, NOW, SECOND, request};
use super::*;
use crate::when::tests::tz::Berlin;

#[test]
fn notes_say_what_is_missing_from_an_answer() {
    let history = history();
    history.lose("tcp", 120, NOW - 10 * SECOND, NOW);
    let (out, notes) = history.ask(
        "which users hit example.com",
        OutputFormat::Table,
        Some(NOW - 7200 * SECOND),
    );
    assert_eq!(out.lines().count(), 3);
    assert_eq!(
        notes,
        "\n2 users, 5 connections\n\
         note: not recording for 1h of this span\n\
         note: lost in this span: 120 tcp events\n"
    );
}

#[test]
fn only_tables_say_how_long_it_took() {
    let notes = |question, format| {
        let mut request = request(question, format, None);
        request.begun = Instant::now().checked_sub(Duration::from_secs(7200));
        let mut notes = Vec::new();
        request
            .run(&history().0, &mut Vec::new(), &mut notes)
            .unwrap();
        String::from_utf8(notes).unwrap()
    };
    assert_eq!(
        notes("when did curl hit example.com", OutputFormat::Table),
        "\n3 connections; took 2h\n"
    );
    let nothing = notes("who hit nowhere.org", OutputFormat::Table);
    let nothing = nothing.lines().next().unwrap();
    assert!(nothing.ends_with("(UTC); took 2h"), "{nothing}");
    for format in [OutputFormat::Json, OutputFormat::Csv] {
        assert_eq!(notes("when did curl hit example.com", format), "");
    }
}

#[test]
fn nothing_found_says_whether_egrets_was_recording() {
    let nothing = |history: &History, since: i64| {
        let (out, notes) = history.ask(
            "which users hit nowhere.org",
            OutputFormat::Table,
            Some(NOW - since * SECOND),
        );
        assert_eq!(out, "");
        notes
    };
    let watched = History::recording();
    assert_eq!(
        nothing(&watched, 60),
        "nothing found: egrets was watching all the time \
         from 2026-11-23 13:59:00 to 2026-11-23 14:00:00 (UTC)\n\
         note: read as: users of connections, to nowhere.org or a subdomain, since 2026-11-23 13:59:00\n\
         note: this history has no host nowhere.org\n"
    );
    assert_eq!(
        nothing(&watched, 7200),
        "nothing found, but egrets was not seeing everything \
         from 2026-11-23 12:00:00 to 2026-11-23 14:00:00 (UTC)\n\
         note: not recording for 1h of this span\n\
         note: read as: users of connections, to nowhere.org or a subdomain, since 2026-11-23 12:00:00\n\
         note: this history has no host nowhere.org\n"
    );
    let ended = History::new();
    ended.record(
        NOW - 7200 * SECOND,
        Some(NOW - 3600 * SECOND),
        NOW - 3600 * SECOND,
    );
    assert_eq!(
        nothing(&ended, 60).lines().next().unwrap(),
        "nothing found: egrets was not recording \
         from 2026-11-23 13:59:00 to 2026-11-23 14:00:00 (UTC)"
    );
    assert_eq!(
        nothing(&History::new(), 60).lines().next().unwrap(),
        "nothing found: this history has no recordings"
    );
}

#[test]
fn span_that_ends_before_it_begins_is_refused() {
    let mut request = request("who hit x.org", OutputFormat::Table, Some(NOW));
    let run = |request: &Request<Utc>| {
        request.run(&History::recording().0, &mut Vec::new(), &mut Vec::new())
    };
    assert!(run(&request).is_err());
    request.until = Some(NOW + 1);
    assert_eq!(run(&request).ok(), Some(false));
    // nor can anything be found of what begins after now
    (request.since, request.until) = (Some(NOW + 1), Some(NOW + 2));
    let refused = run(&request).unwrap_err().to_string();
    assert!(refused.contains("still to come"), "{refused}");
}

#[test]
fn spans_of_question_and_command_line_are_intersected() {
    let history = history();
    let lines = |question, since| {
        history
            .ask(question, OutputFormat::Json, since)
            .0
            .lines()
            .count()
    };
    assert_eq!(lines("when did curl hit example.com", None), 3);
    assert_eq!(
        lines("when did curl hit example.com in the last 45s", None),
        1
    );
    let since = Some(NOW - 60 * SECOND);
    assert_eq!(lines("when did curl hit example.com since 2h", since), 2);
}

#[test]
fn new_says_what_it_was_compared_with() {
    let history = History::recording();
    history.connect(CURL, Some("old.test"), "192.0.2.1", "connected", 1800);
    history.connect(CURL, Some("old.test"), "192.0.2.1", "connected", 60);
    history.connect(CURL, Some("new.test"), "192.0.2.2", "connected", 50);
    let ask = |question| history.ask(question, OutputFormat::Csv, None).0;
    let notes = |question| history.ask(question, OutputFormat::Table, None).1;
    assert_eq!(ask("new hosts since 10m").lines().count(), 2);
    assert!(ask("new hosts since 10m").contains("new.test"));
    assert_eq!(
        notes("new hosts since 10m"),
        "\n1 destination, 1 connection\nnote: compared with 50m of recording before that\n"
    );
    assert!(notes("new hosts since 2h").ends_with(
        "note: not recording for 1h of this span\n\
         note: nothing was recorded before that, so everything is new\n"
    ));
    history.lose("share", 6, NOW - 40 * SECOND, NOW - 20 * SECOND);
    assert!(notes("new hosts since 30s").contains(
        "note: 6 connections and lookups of this span removed by retention, of users with more \
         than their share\n"
    ));
    // removed rows may have contained it
    history.lose("retention", 7, NOW - 3000 * SECOND, NOW - 2000 * SECOND);
    assert!(notes("new hosts since 30s").ends_with(
        "note: compared with 59m 30s of recording before that; \
         13 connections and lookups of that removed by retention\n"
    ));
}

#[test]
fn new_is_relative_to_the_question() {
    let history = History::recording();
    let wget = By {
        comm: "wget",
        exe: Some("/usr/bin/wget"),
        ..CURL
    };
    history.connect(wget, Some("a.test"), "192.0.2.1", "connected", 1800);
    history.connect(CURL, Some("a.test"), "192.0.2.1", "connected", 60);
    history.connect(CURL, None, "192.0.2.9", "connected", 1900);
    history.connect(CURL, None, "192.0.2.9", "connected", 50);
    history.connect(CURL, None, "192.0.2.10", "connected", 40);
    let found = |question| {
        history
            .ask(question, OutputFormat::Json, None)
            .0
            .lines()
            .count()
    };
    assert_eq!(found("new hosts since 10m"), 1, "192.0.2.10");
    assert_eq!(
        found("what new hosts did curl hit since 10m"),
        2,
        "a.test too"
    );
    assert_eq!(found("new programs since 10m"), 0);
    assert_eq!(found("new programs since 1850s"), 1, "wget");
    assert_eq!(
        found("which programs hit a.test that are new since 10m"),
        1,
        "curl"
    );
    // ICMP has no ports: a protocol without ports is new once
    history.connect_to(CURL, None, ("192.0.2.9", 0), "sent", 1900);
    history.connect_to(CURL, None, ("192.0.2.9", 0), "sent", 30);
    assert_eq!(found("new ports since 10m"), 0);
    assert_eq!(found("new ports since 1950s"), 2);
    assert_eq!(found("which connections hit raw IPs since 45s"), 2);
}

/// The hours of a night in which clocks were set back, and the days around it.
#[test]
fn hours_and_days_are_local() {
    let history = History::recording();
    // 2026-10-25T01:00:00Z, when it was 03:00 in Berlin and became 02:00
    let change = 1_792_890_000;
    for (second, n) in [
        (-10_801, 1),
        (-1, 1),
        (1, 2),
        (3600, 3),
        (79_199, 4),
        (79_200, 5),
    ] {
        for _ in 0..n {
            let ago = NOW / SECOND - change - second;
            history.connect(CURL, Some("x.org"), "192.0.2.1", "connected", ago);
        }
    }
    let ask = |question, format| {
        let utc = request(question, format, None);
        let request = Request {
            now: utc.now.with_timezone(&Berlin),
            question: utc.question,
            since: None,
            until: None,
            format,
            width: None,
            color: false,
            explain: false,
            limit: None,
            begun: None,
        };
        let mut out = Vec::new();
        request.run(&history.0, &mut out, &mut Vec::new()).unwrap();
        String::from_utf8(out).unwrap()
    };
    let table = ask("connections per hour", OutputFormat::Table);
    let hours = table.lines().map(|line| {
        let cells = line.split_whitespace().collect::<Vec<_>>();
        cells[..3].join(" ")
    });
    assert_eq!(
        hours.collect::<Vec<_>>(),
        [
            "HOUR (local time)",
            "10-24 23:00 1",
            "10-25 02:00 1",
            "10-25 02:00 2",
            "10-25 03:00 3",
            "10-25 23:00 4",
            "10-26 00:00 5",
        ]
    );
    let hours = ask("connections per hour", OutputFormat::Csv);
    assert!(hours.contains("\n2026-10-25T02:00:00+02:00,1,"), "{hours}");
    assert!(hours.contains("\n2026-10-25T02:00:00+01:00,2,"), "{hours}");
    let days = ask("connections per day", OutputFormat::Csv);
    let days = days.lines().skip(1).map(|line| line.get(..13).unwrap());
    assert_eq!(
        days.collect::<Vec<_>>(),
        ["2026-10-24,1,", "2026-10-25,10", "2026-10-26,5,"]
    );
    let weeks = ask("connections per week", OutputFormat::Table);
    assert_eq!(weeks.lines().count(), 3, "{weeks}");
    assert!(weeks.contains("\n2026-10-19 Mon        11 "), "{weeks}");
    assert!(weeks.contains("\n2026-10-26 Mon         5 "), "{weeks}");
    let months = ask("connections per month", OutputFormat::Table);
    assert!(months.contains("\n2026-10                16 "), "{months}");
    assert!(months.starts_with("MONTH (local time) "), "{months}");
    let top = ask("top 1 hosts per hour", OutputFormat::Csv);
    let top = top.lines().skip(1).map(|line| line.get(..25).unwrap());
    assert_eq!(
        top.collect::<Vec<_>>()[1..4],
        [
            "2026-10-25T02:00:00+02:00",
            "2026-10-25T02:00:00+01:00",
            "2026-10-25T03:00:00+01:00"
        ]
    );
}

#[test]
fn host_is_what_was_looked_up_and_what_connections_asked_for() {
    let history = History::recording();
    let ask = |question| history.ask(question, OutputFormat::Csv, None);
    let through = |comm| By { comm, ..CURL };
    let proxy = ("192.0.2.8", 3128);
    history.connect(CURL, Some("x.org"), "192.0.2.1", "connected", 9);
    let (hit, notes) = ask("which processes hit x.org");
    assert!(hit.contains("\ncurl,"), "{hit}");
    assert!(!notes.contains("count too"), "{notes}");
    let proxied = history.connect_to(through("npm"), Some("proxy.lan"), proxy, "connected", 8);
    history.send_names(
        proxied,
        &[("proxied_host", "x.org"), ("proxied_port", "443")],
    );
    let fronted = history.connect(
        through("wget"),
        Some("front.net"),
        "192.0.2.2",
        "connected",
        7,
    );
    history.send_names(fronted, &[("sni", "www.x.org"), ("sni_ech", "0")]);
    let asked = history.connect(through("php"), None, "192.0.2.3", "connected", 6);
    history.send_names(asked, &[("http_host", "x.org")]);
    for question in [
        "which processes hit x.org",
        "which processes hit x.org in the last hour",
    ] {
        let (hit, notes) = ask(question);
        for comm in ["curl", "npm", "wget", "php"] {
            assert!(hit.contains(&format!("\n{comm},")), "{question}: {hit}");
        }
        assert!(
            notes.contains("note: connections that asked for x.org or a subdomain by TLS or HTTP, or asked a proxy for it, count too\n"),
            "{notes}"
        );
    }
    let (each, _) = history.ask("connections to x.org by npm", OutputFormat::Table, None);
    assert!(each.contains(" proxy.lan  x.org "), "{each}");
    let (never, _) = ask("which processes never hit x.org");
    assert!(!never.contains("npm"), "{never}");
    let (names, _) = ask("which processes showed another name than they looked up");
    assert!(
        names.contains("\nwget,") && !names.contains("npm"),
        "{names}"
    );

    history.connect(
        through("chrome"),
        Some("mozilla.cloudflare-dns.com"),
        "192.0.2.4",
        "connected",
        5,
    );
    let stub = ("192.0.2.5", 853);
    history.connect_to(through("stubby"), None, stub, "connected", 4);
    let (https, notes) = ask("which processes use DNS over HTTPS");
    assert!(
        https.contains("\nchrome,") && !https.contains("stubby"),
        "{https}"
    );
    assert!(notes.contains("well-known resolvers"), "{notes}");
    let (any, _) = ask("which processes use encrypted DNS");
    assert!(
        any.contains("\nchrome,") && any.contains("\nstubby,"),
        "{any}"
    );
}

#[test]
fn host_that_was_looked_up_alone_is_said_to_be() {
    let history = History::recording();
    history.connect(CURL, Some("x.org"), "192.0.2.1", "connected", 9);
    history.look_up(CURL, ("gone.test", "A"), Some("NXDOMAIN"), &[], 8);
    let (_, notes) = history.ask("which processes hit gone.test", OutputFormat::Table, None);
    assert!(
        notes.contains("note: no connection was to gone.test; it was looked up (NXDOMAIN): ask \"who resolved gone.test\"\n"),
        "{notes}"
    );
    let (_, notes) = history.ask("who resolved gone.test", OutputFormat::Table, None);
    assert!(!notes.contains("no connection"), "{notes}");
}

#[test]
fn name_that_is_not_a_process_is_read_as_what_it_is() {
    let history = History::recording();
    let web = By {
        comm: "npm install",
        container: Some(("c0ffee", Some("web"))),
        ..CURL
    };
    history.connect(web, Some("x.org"), "192.0.2.1", "connected", 9);
    let ask = |question| history.ask(question, OutputFormat::Table, None);
    let said = |question| ask(question).1;
    let suggestion =
        |name, other| format!("note: no process called {name} made a connection, but {other}\n");
    for (question, reading) in [
        (
            "what did alice talk to",
            "no process alice made a connection: read as user alice",
        ),
        (
            "when did web hit x.org",
            "no process web made a connection: read as container web",
        ),
        (
            "traffic from x.org",
            "no process x.org made a connection: read as host x.org",
        ),
        ("connections to x", "no host is called x: read as x.org"),
        (
            "connections from 192.0.2.1",
            "no connection came from 192.0.2.1: read as traffic with 192.0.2.1",
        ),
    ] {
        let (rows, notes) = ask(question);
        assert_eq!(rows.lines().count(), 2, "{question}: {notes}");
        assert!(
            notes.ends_with(&format!("note: {reading}\n")),
            "{question}: {notes}"
        );
    }
    for (question, unknown) in [
        (
            "what did user alic talk to",
            "this history has no user alic; it has alice",
        ),
        (
            "who hit y.org",
            "this history has no host y.org; it has x.org",
        ),
        (
            "what did pid 7 talk to",
            "this history has no traffic of pid 7",
        ),
        (
            "what did process 7 talk to",
            "this history has no traffic of pid 7",
        ),
    ] {
        let notes = said(question);
        assert!(
            notes.ends_with(&format!("note: {unknown}\n")),
            "{question}: {notes}"
        );
        assert!(notes.contains("note: read as: "), "{question}: {notes}");
    }
    assert!(said("what did npm talk to").ends_with(&suggestion("npm", "these did: 'npm install'")));
    history.descend("npm install", &[(9, "make", "/usr/bin/make")]);
    assert!(said("what did make talk to").ends_with("read as children of make\n"));
    assert!(!said("what did wget talk to").contains("called"));
    assert!(!said("what did 'npm install' resolve").contains("called"));
}
