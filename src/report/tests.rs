//! Reports of histories in memory.

use chrono::{DateTime, Utc};

use super::*;
use crate::query::{self, Host};
use crate::store::tests::history::{By, CURL, History, NOW, SECOND};

const HOUR: i64 = 3600 * SECOND;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

const NGINX: By = By {
    comm: "nginx",
    exe: Some("/usr/sbin/nginx"),
    pid: 900,
    uid: 101,
    user: None,
    container: Some((ID, Some("web-1"))),
};

/// Names that try to get out of wherever they are shown.
const HOSTILE: [&str; 9] = [
    "a|b`c``d|`@octocat #1 :tada:.test",
    "<img src=x onerror=alert(1)>.test",
    "</script><script>alert(1)</script>",
    "](javascript:alert(1))![x](http://evil.test)",
    "line\n| --- |\r\n## title\u{2028}\u{202e}",
    "\x1b[31mred\x07\0",
    "www.evil.test&lt;&#x3c;\"'",
    "--><!--%%{{7*7}}${x}",
    "   ",
];

fn wanted(question: &str) -> Wanted<'static> {
    let now = DateTime::<Utc>::from_timestamp_nanos(NOW);
    Wanted {
        text: Some(question.to_owned()).filter(|text| text != "connections"),
        question: query::parse(question, &now).unwrap(),
        hosts: Vec::new(),
        since: None,
        until: None,
        now: NOW,
        baseline: None,
    }
}

fn report(history: &History, question: &str) -> Report {
    Report::read(&history.0, wanted(question)).unwrap()
}

/// An hour of traffic, as tables of questions have it, with a loss.
fn traffic() -> History {
    let history = History::recording();
    let api = Some("api.example.com");
    history.connect(CURL, api, "192.0.2.7", "connected", 60);
    history.connect(CURL, api, "2001:db8::7", "refused", 61);
    history.connect(
        By { pid: 4300, ..CURL },
        Some("example.com"),
        "192.0.2.8",
        "connected",
        30,
    );
    let shared = history.connect(NGINX, api, "192.0.2.7", "connected", 1800);
    history.rest_on(shared, "host", None, &[("other.example.com", None)], 3);
    history.connect(NGINX, None, "10.0.0.9", "timeout", 1700);
    history.connect(NGINX, None, "198.51.100.4", "connected", 1600);
    history.connect(NGINX, None, "127.0.0.1", "connected", 1500);
    let renamed = By {
        comm: "kworker",
        ..CURL
    };
    history.connect(renamed, Some("example.net"), "192.0.2.9", "connected", 5);
    history.look_up(CURL, ("api.example.com", "A"), Some("NOERROR"), &[], 61);
    history.look_up(
        CURL,
        ("nowhere.example.com", "A"),
        Some("NXDOMAIN"),
        &[],
        50,
    );
    history.look_up(NGINX, ("slow.example.com", "AAAA"), None, &[], 1700);
    history.lose("connect", 7, NOW - 100 * SECOND, NOW - 90 * SECOND);
    history
}

fn decide(history: &History, id: i64, verdict: &str, rule: &str, enforced: bool) {
    let sql = "UPDATE connection SET verdict = ?2, rule = ?3, enforced = ?4 WHERE id = ?1";
    history
        .0
        .execute(sql, (id, verdict, rule, enforced))
        .unwrap();
}

#[test]
fn figures_are_those_of_the_rows() {
    let history = traffic();
    let blocked = history.connect(CURL, Some("bad.test"), "192.0.2.66", "denied", 20);
    let observed = history.connect(CURL, Some("odd.test"), "192.0.2.67", "connected", 20);
    decide(&history, blocked, "block", "no bad hosts", true);
    decide(&history, observed, "block", "default", false);
    decide(&history, observed - 1, "block", "no bad hosts", true);
    let report = report(&history, "connections");
    let totals = &report.totals;
    assert_eq!((totals.connections, totals.failed), (10, 3));
    assert_eq!((totals.tx_bytes, totals.rx_bytes), (7 * 700, 7 * 5300));
    assert_eq!(
        (totals.hosts, totals.programs, totals.containers),
        (8, 2, 1)
    );
    assert_eq!((totals.lookups, totals.failed_lookups), (Some(3), Some(2)));
    for (series, sum) in [
        (&report.timeline.connections, 10),
        (&report.timeline.failed, 3),
        (&report.timeline.tx_bytes, 4900),
    ] {
        assert_eq!(series.iter().sum::<i64>(), sum);
    }
    assert_eq!(report.timeline.step_ms, 5000);
    let programs = Vec::from_iter(report.programs.rows.iter().map(|row| {
        let container = row.program.container_name.as_deref();
        (
            row.program.comm.as_str(),
            container,
            row.hosts,
            row.amount.connections,
        )
    }));
    assert_eq!(
        programs,
        [
            ("curl", None, 4, 5),
            ("nginx", Some("web-1"), 4, 4),
            ("kworker", None, 1, 1)
        ]
    );
    let raw = Vec::from_iter(report.raw_addresses.rows.iter().map(|row| {
        (
            row.to.address.as_deref().unwrap(),
            row.scope.as_deref().unwrap(),
        )
    }));
    assert_eq!(raw, [("198.51.100.4", "public"), ("10.0.0.9", "private")]);
    let rival = &report.uncertain_names.rows[0];
    assert_eq!((rival.host.as_str(), rival.rivals), ("api.example.com", 3));
    assert_eq!(rival.rival_hosts, ["other.example.com"]);
    let verdicts = Vec::from_iter(report.verdicts.rows.rows.iter().map(|row| {
        (
            row.to.host.as_deref().unwrap(),
            row.enforced,
            row.rule.as_deref().unwrap(),
        )
    }));
    assert_eq!(
        verdicts,
        [
            ("bad.test", true, "no bad hosts"),
            ("odd.test", false, "default")
        ]
    );
    assert_eq!(report.verdicts.decided, 2);
}

#[test]
fn every_statement_runs_as_it_is_shown() {
    let history = traffic();
    for (question, since) in [
        ("connections", None),
        ("connections", Some(NOW - 2 * HOUR)),
        ("connections from 10.0.0.1", None),
        ("api.example.com", Some(NOW - HOUR)),
    ] {
        let wanted = Wanted {
            since,
            ..wanted(question)
        };
        let report = Report::read(&history.0, wanted).unwrap();
        let statements = [
            &report.timeline.sql,
            &report.programs.sql,
            &report.flows.sql,
            &report.hosts.sql,
            &report.raw_addresses.sql,
            &report.failed_connections.sql,
        ];
        for sql in statements {
            let mut statement = history.0.prepare(sql.as_ref().unwrap()).unwrap();
            let mut rows = statement.query([]).unwrap();
            while rows.next().unwrap().is_some() {}
        }
        assert_eq!(
            report.timeline.connections.iter().sum::<i64>(),
            report.totals.connections,
            "{question}"
        );
    }
}

#[test]
fn summary_of_a_job_is_short_and_says_what_was_not_seen() {
    let history = traffic();
    let baseline = History::recording();
    baseline.connect(CURL, Some("api.example.com"), "192.0.2.7", "connected", 9);
    let blocked = history.connect(CURL, Some("bad.test"), "192.0.2.66", "denied", 20);
    decide(&history, blocked, "block", "no bad hosts", true);
    let wanted = Wanted {
        baseline: Some(Baseline {
            db: &baseline.0,
            path: "last.db".as_ref(),
        }),
        ..wanted("connections")
    };
    let report = Report::read(&history.0, wanted).unwrap();
    // The baseline's recorder has been running since an hour before its newest batch.
    let text = markdown(&report, Utc);
    insta::assert_snapshot!(text);
    assert!(text.lines().count() < 60);
}

#[test]
fn a_question_and_hosts_select_what_is_reported() {
    let history = traffic();
    let curl = report(&history, "curl");
    assert_eq!(
        (curl.totals.connections, curl.totals.lookups),
        (3 + 1, Some(2))
    );
    assert_eq!(curl.selected.as_deref(), Some("by process curl"));
    let by_port = report(&history, "connections on port 443 by nginx");
    assert_eq!(
        (by_port.totals.connections, by_port.totals.lookups),
        (4, None)
    );
    assert!(
        by_port
            .notes
            .iter()
            .any(|note| note.starts_with("lookups are left out")),
        "{:?}",
        by_port.notes
    );
    let hosts = Wanted {
        hosts: vec![
            Host::parse("example.com", false).unwrap(),
            Host::parse("10.0.0.0/8", false).unwrap(),
        ],
        since: Some(NOW - 1750 * SECOND),
        ..wanted("connections")
    };
    let hosts = Report::read(&history.0, hosts).unwrap();
    assert_eq!(hosts.totals.connections, 4);
    for question in [
        "top 5 hosts",
        "which hosts are new since yesterday",
        "beacons",
        "summary of today",
    ] {
        let refused = Report::read(&history.0, wanted(question)).unwrap_err();
        let refused = refused.to_string();
        assert!(
            refused.starts_with("a report is about the rows"),
            "{question}: {refused}"
        );
    }
}

#[test]
fn hosts_are_new_if_the_history_has_none_from_before() {
    let history = History::new();
    history.record(NOW - 48 * HOUR, None, NOW);
    history.connect(CURL, Some("old.test"), "192.0.2.1", "connected", 40 * 3600);
    history.connect(CURL, None, "192.0.2.2", "connected", 40 * 3600);
    for (host, ip) in [
        (Some("old.test"), "192.0.2.1"),
        (Some("new.test"), "192.0.2.1"),
        (None, "192.0.2.2"),
        (None, "192.0.2.3"),
    ] {
        history.connect(CURL, host, ip, "connected", 60);
    }
    let since = Wanted {
        since: Some(NOW - HOUR),
        ..wanted("connections")
    };
    let report = Report::read(&history.0, since).unwrap();
    let new = report.new_hosts.as_ref().unwrap();
    let names = Vec::from_iter(new.hosts.rows.iter().map(|row| {
        row.to
            .host
            .as_deref()
            .or(row.to.address.as_deref())
            .unwrap()
    }));
    assert_eq!(names, ["192.0.2.3", "new.test"]);
    assert_eq!(
        new.compared,
        "compared with 1d 23h of recording before that"
    );
    assert!(
        super::tests::report(&history, "connections")
            .new_hosts
            .is_none()
    );
}

#[test]
fn a_history_that_recorded_nothing_says_so() {
    let report = report(&History::new(), "connections");
    let text = markdown(&report, Utc);
    assert!(
        text.contains("**This history has no recordings.**"),
        "{text}"
    );
    assert!(
        page(&report, Utc)
            .unwrap()
            .contains("this history has no recordings")
    );
}

/// A history in which each text is hostile, `n` times.
fn hostile(n: usize) -> History {
    let history = History::recording();
    history.0.execute_batch("BEGIN").unwrap();
    for at in 0..n {
        let name = format!("{at}{}", HOSTILE[at % HOSTILE.len()]);
        let comm = String::from_iter(name.chars().take(12));
        let long = format!("{name}{}", "&<\u{202e}".repeat(60));
        let by = By {
            comm: &comm,
            exe: Some(&long),
            user: Some(&name),
            container: Some((&long, Some(&long))),
            ..CURL
        };
        let ip = format!("198.51.{}.{}", at / 250, at % 250);
        let id = history.connect(by, Some(&long), &ip, "denied", 60);
        history.rest_on(id, "host", None, &[(&name, None), (&long, None)], 2);
        decide(&history, id, &long, &long, at % 2 == 0);
        history.connect(by, None, &ip, "connected", 60);
        history.look_up(by, (&long, "A"), Some("NXDOMAIN"), &[], 60);
        history.lose(&long, 1, NOW - 100 * SECOND, NOW);
    }
    history.0.execute_batch("COMMIT").unwrap();
    history
}

fn with_baseline(history: &History) -> Report {
    let baseline = History::recording();
    let wanted = Wanted {
        text: Some(HOSTILE.concat()),
        baseline: Some(Baseline {
            db: &baseline.0,
            path: "la|st`.db".as_ref(),
        }),
        ..wanted("connections")
    };
    Report::read(&history.0, wanted).unwrap()
}

#[test]
fn hostile_names_stay_within_code_spans_and_cells() {
    let text = markdown(&with_baseline(&hostile(HOSTILE.len())), Utc);
    assert!(text.lines().count() < 60, "{text}");
    let forbidden = ["<", ">", "@", "](", "www.", ":tada:", "{{", "\\|"];
    for line in text.lines() {
        assert!(line.chars().all(crate::text::is_printable), "{line:?}");
        // what is not within a pair of backticks is egrets' own text
        let parts = Vec::from_iter(line.split('`'));
        assert_eq!(parts.len() % 2, 1, "{line}");
        for own in parts.iter().step_by(2) {
            for text in forbidden {
                assert!(!own.contains(text), "{text} in {line}");
            }
        }
        if line.starts_with('|') {
            assert_eq!(line.matches('|').count(), 7, "{line}");
        }
        let begins = ["| ", "- ", "**", "## ", "2026", "Egrets"];
        assert!(
            line.is_empty() || begins.iter().any(|start| line.starts_with(start)),
            "{line}"
        );
    }
}

#[test]
fn hostile_names_are_text_in_the_page() {
    let text = page(&with_baseline(&hostile(HOSTILE.len())), Utc).unwrap();
    // the page's own elements only
    assert_eq!(text.matches("<script").count(), 2);
    assert_eq!(text.matches("</script").count(), 2);
    assert_eq!(text.matches("<img").count(), 0);
    assert!(text.contains("&#60;img src=x onerror=alert(1)&#62;"));
    for c in ["\x1b", "\u{202e}", "\u{2028}", "\0"] {
        assert!(!text.contains(c), "{c:?}");
    }
    // nothing is fetched, and no attribute is a script or a style
    for fetched in ["src=\"", "href=\"http", " on", "style=\""] {
        let in_tags = text.split('<').filter_map(|tag| tag.split('>').next());
        let mut tags = in_tags.filter(|tag| tag.contains('"'));
        let found = match fetched {
            " on" => tags.find(|tag| tag.split('"').step_by(2).any(|own| own.contains(" on"))),
            fetched => tags.find(|tag| tag.split(' ').any(|part| part.starts_with(fetched))),
        };
        assert_eq!(found, None, "{fetched}");
    }
    assert!(text.contains("default-src 'none'; script-src 'sha256-"));
}

#[test]
fn the_size_is_bounded_whatever_the_history_holds() {
    let report = with_baseline(&hostile(400));
    assert_eq!(report.hosts.total, 800);
    let size = page(&report, Utc).unwrap().len();
    assert!(size < 1_000_000, "{size}");
    assert!(markdown(&report, Utc).lines().count() < 60);
    let size = serde_json::to_string(&report).unwrap().len();
    assert!(size < 4_000_000, "{size}");
}
