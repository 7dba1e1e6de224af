//! Questions as people type them: the table `typed.txt`, with the rows of each answer.

use std::collections::BTreeSet;

use super::super::fixture::{By, CURL, History, NOW, SECOND};
use super::*;

const DAY: i64 = 86_400;

const fn by(
    comm: &'static str,
    exe: &'static str,
    pid: u32,
    uid: u32,
    user: &'static str,
) -> By<'static> {
    By {
        comm,
        exe: Some(exe),
        pid,
        uid,
        user: Some(user),
        container: None,
    }
}

const WGET: By = by("wget", "/usr/bin/wget", 4300, 1000, "alice");
const BASH: By = by("bash", "/bin/bash", 5000, 0, "root");
const PYTHON: By = by("python3.11", "/usr/bin/python3.11", 7877, 65534, "nobody");
const SSH: By = by("ssh", "/usr/bin/ssh", 4400, 1000, "alice");
const MINER: By = by("miner", "/tmp/.x/miner", 6666, 0, "root");
const AGENT: By = by("agent", "/opt/agent", 3000, 0, "root");
const WEB: By = By {
    container: Some((ID, Some("web"))),
    ..by("nginx", "/usr/sbin/nginx", 900, 33, "www-data")
};

/// A flow: who, the host, the address and port, and the outcome; then seconds ago, bytes sent
/// and received, and milliseconds until it was closed.
type Flow<'a> = (
    By<'a>,
    Option<&'a str>,
    (&'a str, u16),
    &'a str,
    [Option<i64>; 4],
);

const fn all(ago: i64, sent: i64, received: i64, ms: i64) -> [Option<i64>; 4] {
    [Some(ago), Some(sent), Some(received), Some(ms)]
}

const FLOWS: [Flow; 16] = [
    (
        CURL,
        Some("pypi.org"),
        ("203.0.113.10", 443),
        "connected",
        all(3600, 1000, 50_000, 2000),
    ),
    (
        CURL,
        Some("github.com"),
        ("198.51.100.4", 443),
        "connected",
        all(1800, 2000, 8000, 500),
    ),
    (
        CURL,
        None,
        ("192.0.2.53", 53),
        "sent",
        all(3601, 40, 100, 10),
    ),
    (
        CURL,
        None,
        ("192.0.2.53", 53),
        "sent",
        all(1801, 40, 100, 10),
    ),
    (
        CURL,
        Some("rare.example.net"),
        ("203.0.113.40", 443),
        "connected",
        all(8 * DAY, 500, 500, 1000),
    ),
    (
        CURL,
        Some("pypi.org"),
        ("203.0.113.10", 443),
        "connected",
        all(8 * DAY, 100, 100, 1000),
    ),
    (
        WGET,
        Some("github.com"),
        ("198.51.100.4", 443),
        "connected",
        all(1700, 300, 900_000, 60_000),
    ),
    (
        WGET,
        Some("api.github.com"),
        ("198.51.100.5", 443),
        "refused",
        [Some(1600), None, None, None],
    ),
    (
        BASH,
        Some("evil-c2.xyz"),
        ("192.0.2.66", 4444),
        "connected",
        all(11 * 3600, 5_000_000, 100, 10_800_000),
    ),
    (
        WEB,
        Some("db.svc.cluster.local"),
        ("10.0.0.9", 5432),
        "connected",
        all(600, 400, 4000, 10),
    ),
    (
        WEB,
        None,
        ("10.0.0.12", 6379),
        "timeout",
        [Some(500), None, None, None],
    ),
    (
        PYTHON,
        Some("example.com"),
        ("203.0.113.20", 80),
        "connected",
        all(18 * 3600, 100, 100, 1000),
    ),
    (
        PYTHON,
        Some("example.com"),
        ("2001:db8::20", 443),
        "sent",
        all(18 * 3600 - 100, 50, 60, 100),
    ),
    (
        SSH,
        Some("bastion.example.com"),
        ("203.0.113.22", 22),
        "connected",
        all(2 * DAY, 10, 20, 600_000),
    ),
    (
        MINER,
        Some("pool.evil.xyz"),
        ("192.0.2.67", 3333),
        "connected",
        [Some(200), Some(700), Some(70), None],
    ),
    (
        AGENT,
        Some("telemetry.example.org"),
        ("203.0.113.30", 443),
        "connected",
        all(410, 10, 10, 200),
    ),
];

/// Ten days of traffic.
fn history() -> History {
    let history = History::new();
    history.record(NOW - 10 * DAY * SECOND, None, NOW);
    for flow in FLOWS {
        add(&history, flow, 0);
    }
    for minute in 1..6 {
        add(&history, FLOWS[15], 60 * minute);
    }
    let a = |name, data| [(name, "A", data, 60)];
    let ok = Some("NOERROR");
    history.look_up(
        CURL,
        ("pypi.org", "A"),
        ok,
        &a("pypi.org", "203.0.113.10"),
        3601,
    );
    history.look_up(
        CURL,
        ("github.com", "A"),
        ok,
        &a("github.com", "198.51.100.4"),
        1801,
    );
    history.look_up(
        BASH,
        ("evil-c2.xyz", "A"),
        ok,
        &a("evil-c2.xyz", "192.0.2.66"),
        11 * 3600 + 1,
    );
    let db = "db.svc.cluster.local";
    history.look_up(WEB, (db, "A"), ok, &a(db, "10.0.0.9"), 601);
    history.look_up(CURL, ("typo.example", "A"), Some("NXDOMAIN"), &[], 100);
    history.look_up(WEB, ("slow.example", "A"), None, &[], 90);
    history.look_up(
        WGET,
        ("idle.test", "A"),
        ok,
        &a("idle.test", "192.0.2.99"),
        80,
    );
    history.descend("curl", &[(1200, "make", "/usr/bin/make")]);
    history
        .0
        .execute_batch(
            "UPDATE process SET parent_comm = 'make', cmdline = 'curl -s https://pypi.org' WHERE comm = 'curl';
             UPDATE process SET exe_deleted = 1 WHERE comm = 'miner';
             INSERT INTO executable (id, recording_id, serial, hash_status, sha256, setuid, world_writable_dir, packaged, package, modified)
             VALUES (1, 1, 1, 'hashed', 'c1', 0, 0, 1, 'curl', 0), (2, 1, 2, 'hashed', 'c2', 0, 0, 1, 'curl', 0),
                    (3, 1, 3, 'hashed', 'w1', 0, 0, 1, 'wget', 1), (4, 1, 4, 'too_large', NULL, 0, 1, 0, NULL, NULL),
                    (5, 1, 5, 'hashed', 'a1', 0, 0, 0, NULL, NULL), (6, 1, 6, 'unreadable', NULL, 1, 0, 1, 'ssh', NULL);
             UPDATE process SET euid = 1, euser = 'daemon' WHERE comm = 'ssh';
             UPDATE address SET country = 'DE', asn = 64500, as_org = 'Example' WHERE ip LIKE '203.0.113.%';
             UPDATE address SET country = 'US', asn = 15169, as_org = 'GOOGLE' WHERE ip LIKE '198.51.100.%';
             UPDATE address SET country = 'SE' WHERE ip = '2001:db8::20';
             UPDATE process SET executable_id = CASE comm WHEN 'wget' THEN 3 WHEN 'miner' THEN 4
                 WHEN 'agent' THEN 5 WHEN 'ssh' THEN 6 WHEN 'curl' THEN 2 END;
             UPDATE process SET executable_id = 1 WHERE id = (
                 SELECT process_id FROM connection_group g JOIN connection_daily d ON d.group_id = g.id
                 JOIN connection c ON c.daily_id = d.id WHERE c.id = 1);
             INSERT INTO address (addr, ip, scope) VALUES (x'00000000000000000000ffffac100002', '172.16.0.2', 'private');
             UPDATE connection_group SET src_id = (SELECT id FROM address WHERE ip = '172.16.0.2')
             WHERE host_id = (SELECT id FROM host WHERE name = 'pypi.org');
             UPDATE connection SET src_port = 40983 WHERE id = 1;
             INSERT INTO wire (sni) VALUES ('front.example'), ('github.com');
             UPDATE connection_group SET wire_id = 1
             WHERE id = (SELECT group_id FROM connection_daily WHERE id = (SELECT daily_id FROM connection WHERE id = 2));
             UPDATE connection_group SET wire_id = 2
             WHERE id = (SELECT group_id FROM connection_daily WHERE id = (SELECT daily_id FROM connection WHERE id = 7));
             UPDATE connection SET policy = 'd', enforced = 1, verdict = 'block', rule = 'dns elsewhere' WHERE id = 4;
             UPDATE connection SET policy = 'd', enforced = 1, verdict = 'alert', rule = 'github' WHERE id = 7;
             UPDATE connection SET policy = 'd', enforced = 0, verdict = 'block', rule = 'apis' WHERE id = 8;
             UPDATE connection SET policy = 'd', enforced = 1, verdict = 'block', rule = 'examples' WHERE id = 13;
             UPDATE connection SET policy = 'd', enforced = 1, verdict = 'allow', rule = 'default' WHERE id = 16;",
        )
        .unwrap();
    history
}

fn add(history: &History, flow: Flow<'_>, later: i64) {
    let (who, host, to, outcome, [ago, sent, received, ms]) = flow;
    let id = history.connect_to(who, host, to, outcome, ago.unwrap() - later);
    let protocol = if outcome == "sent" { "udp" } else { "tcp" };
    let bytes = "tx_known = ?2 IS NOT NULL, tx_bytes = coalesce(?2, 0), rx_known = ?3 IS NOT NULL, rx_bytes = coalesce(?3, 0)";
    let group = "SELECT d.group_id FROM connection_daily d JOIN connection c ON c.daily_id = d.id WHERE c.id = ?1";
    let db = &history.0;
    db.execute(
        "UPDATE connection SET tx_bytes = ?2, rx_bytes = ?3, duration_us = 1000 * ?4 WHERE id = ?1",
        rusqlite::params![id, sent, received, ms],
    )
    .unwrap();
    let daily = format!(
        "UPDATE connection_daily SET {bytes} WHERE id = (SELECT daily_id FROM connection WHERE id = ?1)"
    );
    db.execute(&daily, rusqlite::params![id, sent, received])
        .unwrap();
    let totals = format!("UPDATE connection_group SET {bytes}, protocol = ?4 WHERE id = ({group})");
    db.execute(&totals, rusqlite::params![id, sent, received, protocol])
        .unwrap();
}

/// What an answer has to be.
enum Expected<'a> {
    /// These columns of its rows; whether in this order.
    Rows(Vec<&'a str>, Vec<Vec<&'a str>>, bool),
    /// Nothing, and a note that contains this.
    Nothing(&'a str),
    Refused(&'a str),
}

/// How a question was answered.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Right,
    Refused(String),
    Misread(String),
}

/// The questions of the table, each with its answer.
fn table() -> Vec<(&'static str, &'static str)> {
    let mut expected = "";
    let mut questions = Vec::new();
    for line in include_str!("typed.txt").lines() {
        match line.get(..2) {
            None | Some("# ") => {}
            Some("= " | "~ " | "0 " | "! ") => expected = line,
            Some(_) if line.starts_with('#') => {}
            Some(_) => questions.push((line, expected)),
        }
    }
    questions
}

fn read(expected: &str) -> Expected<'_> {
    let (kind, rest) = expected.split_once(' ').unwrap();
    match kind {
        "0" => Expected::Nothing(rest),
        "!" => Expected::Refused(rest),
        _ => {
            let (columns, rows) = rest.split_once('|').unwrap();
            Expected::Rows(
                columns.split(',').map(str::trim).collect(),
                rows.split(';')
                    .map(|row| row.split(',').map(str::trim).collect())
                    .collect(),
                kind == "=",
            )
        }
    }
}

/// The rows of an answer, as JSON, and its notes.
fn ask(history: &History, question: &str) -> Result<(Vec<serde_json::Value>, String), String> {
    let now = DateTime::<Utc>::from_timestamp_nanos(NOW);
    let question = parse(question, &now).map_err(|refused| refused.to_string())?;
    let answer = |format| {
        let request = Request {
            question: question.clone(),
            since: None,
            until: None,
            format,
            width: None,
            now,
            color: false,
            explain: false,
            limit: None,
            begun: None,
        };
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        request
            .run(&history.0, &mut out, &mut notes)
            .map_err(|e| e.to_string())?;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ok::<_, String>((text(out), text(notes)))
    };
    let (rows, notes) = answer(OutputFormat::Json)?;
    let (_, beside_table) = answer(OutputFormat::Table)?;
    // Only an empty answer says more beside a table.
    let notes = match rows.is_empty() {
        true => beside_table,
        false => notes,
    };
    let rows = rows.lines().map(|row| serde_json::from_str(row).unwrap());
    Ok((rows.collect(), notes))
}

fn cell(row: &serde_json::Value, column: &str) -> String {
    match &row[column] {
        serde_json::Value::Null => "-".to_owned(),
        serde_json::Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn judge(history: &History, question: &str, expected: &str) -> Outcome {
    let answer = ask(history, question);
    match (read(expected), answer) {
        (Expected::Refused(hint), Err(refusal)) => match refusal.contains(hint) {
            true => Outcome::Right,
            false => Outcome::Refused(refusal),
        },
        (_, Err(refusal)) => Outcome::Refused(refusal),
        (Expected::Nothing(note), Ok((rows, notes))) => {
            match rows.is_empty() && notes.contains(note) {
                true => Outcome::Right,
                false => Outcome::Misread(format!("{} rows; {notes}", rows.len())),
            }
        }
        (Expected::Refused(_), Ok((rows, _))) => Outcome::Misread(format!("{} rows", rows.len())),
        (Expected::Rows(columns, rows, ordered), Ok((found, notes))) => {
            let cells = |row| Vec::from_iter(columns.iter().map(|column| cell(row, column)));
            let mut found = Vec::from_iter(found.iter().map(cells));
            let mut rows = rows
                .into_iter()
                .map(|row| row.into_iter().map(str::to_owned).collect::<Vec<_>>())
                .collect::<Vec<_>>();
            if !ordered {
                found.sort();
                rows.sort();
            }
            match found == rows {
                true => Outcome::Right,
                false => Outcome::Misread(format!("{found:?}; {notes}")),
            }
        }
    }
}

#[test]
fn questions_are_answered_as_they_are_meant() {
    let history = history();
    let table = table();
    let (mut right, mut refused, mut misread) = (0, 0, 0);
    let mut wrong = String::new();
    for (question, expected) in &table {
        match judge(&history, question, expected) {
            Outcome::Right => right += 1,
            Outcome::Refused(why) => {
                refused += 1;
                wrong += &format!("refused: {question}\n{why}\n\n");
            }
            Outcome::Misread(rows) => {
                misread += 1;
                wrong += &format!("misread: {question}\n  expected {expected}\n  found {rows}\n\n");
            }
        }
    }
    println!(
        "{} questions: {right} right, {refused} refused, {misread} misread",
        table.len()
    );
    assert!(wrong.is_empty(), "{wrong}");
    assert!(table.len() >= 400, "{}", table.len());
    let distinct = BTreeSet::from_iter(table.iter().map(|(question, _)| question));
    assert_eq!(
        distinct.len(),
        table.len(),
        "a question is twice in the table"
    );
}

/// What a server of this host answers is not what its processes contacted.
#[test]
fn answers_to_peers_are_left_out_and_counted() {
    let history = history();
    let server = by("dnsmasq", "/usr/sbin/dnsmasq", 53, 0, "root");
    for port in 0..20 {
        history.connect_to(server, None, ("10.0.0.7", 40_000 + port), "sent", 50);
    }
    history
        .0
        .execute_batch(
            "UPDATE connection_group SET direction = 'in', protocol = 'udp' WHERE dst_port BETWEEN 40000 AND 40019",
        )
        .unwrap();
    let of_server = |question: &str| {
        let (rows, notes) = ask(&history, question).unwrap_or_else(|e| panic!("{question}: {e}"));
        let is = |row: &&serde_json::Value| {
            cell(row, "comm") == "dnsmasq" || cell(row, "dst_ip") == "10.0.0.7"
        };
        (rows.iter().filter(is).count(), notes)
    };
    for question in [
        "which hosts were contacted only once",
        "least used hosts",
        "new hosts today",
        "which processes made the most connections",
        "what did root connect to",
        "connections without a name",
        "connections to 10.0.0.0/8",
        "udp connections",
        "which processes use udp but not dns",
        "new processes today",
        "top 30 hosts by bytes sent",
        "show me outbound connections",
        "what did dnsmasq talk to",
    ] {
        let (rows, notes) = of_server(question);
        assert_eq!(rows, 0, "{question}");
        assert!(
            notes.contains("20 answers to peers that sent first are not shown"),
            "{question}: {notes}"
        );
    }
    for (question, shown) in [
        ("incoming connections", 20),
        ("what did dnsmasq answer", 20),
        ("clients of dnsmasq", 20),
        ("connections in both directions", 20),
        ("show me all connections", 20),
        ("what hit 10.0.0.7", 1),
        ("connections on port 40003", 1),
        ("what did pid 53 talk to", 20),
        ("top 30 processes by bytes", 1),
        ("top talkers", 1),
    ] {
        let (rows, notes) = of_server(question);
        assert_eq!(rows, shown, "{question}: {notes}");
        assert!(!notes.contains("not shown"), "{question}: {notes}");
    }
    let (rows, notes) = ask(
        &history,
        "how many connections by dnsmasq in both directions",
    )
    .unwrap();
    assert_eq!(cell(&rows[0], "number"), "20", "{notes}");
}

/// What no policy decided on is not merely nothing.
#[test]
fn a_history_without_a_policy_says_so() {
    let history = History::new();
    history.record(NOW - DAY * SECOND, None, NOW);
    for question in [
        "what was killed",
        "which rules were hit",
        "which process was suspended",
        "was anything killed by the policy",
        "alerts",
        "what was blocked",
    ] {
        let (rows, notes) = ask(&history, question).unwrap_or_else(|e| panic!("{question}: {e}"));
        assert!(rows.is_empty(), "{question}");
        assert!(
            notes.contains("no policy was in force"),
            "{question}: {notes}"
        );
    }
}

/// What a typo was read as stands above the answer; and where a process is called so, it is none.
#[test]
fn typos_are_read_as_known_words_unless_they_are_names() {
    let history = history();
    for format in [OutputFormat::Table, OutputFormat::Json] {
        let (_, notes) = history.ask("which proceses hit github.com", format, None);
        assert!(
            notes.starts_with("note: read \"proceses\" as \"processes\"\n"),
            "{notes}"
        );
    }
    let named = By {
        comm: "proceses",
        ..WGET
    };
    history.connect_to(
        named,
        Some("github.com"),
        ("198.51.100.4", 443),
        "connected",
        60,
    );
    let refused = ask(&history, "which proceses hit github.com").unwrap_err();
    assert!(
        refused.ends_with("did you mean: process, processes"),
        "{refused}"
    );
}

/// A question in slightly other words.
fn mutations(question: &str, seed: usize) -> Vec<String> {
    let words = Vec::from_iter(question.split(' '));
    let joined = |words: &[String]| words.join(" ");
    let map = |at: usize, new: String| {
        let mut words = Vec::from_iter(words.iter().map(|word| (*word).to_owned()));
        words[at] = new;
        joined(&words)
    };
    let mut all = vec![
        question.to_uppercase(),
        format!("  {question} ?"),
        format!("please {question}"),
    ];
    let swaps = [
        ("processes", "process"),
        ("hosts", "host"),
        ("hosts", "domains"),
        ("users", "user"),
        ("connections", "connection"),
        ("connections", "flows"),
        ("hit", "hits"),
        ("talked", "talks"),
        ("contacted", "reached"),
        ("which", "what"),
        ("lookups", "queries"),
    ];
    for (at, word) in words.iter().enumerate() {
        for (from, to) in swaps {
            // "the largest connection" is one of "the largest connections"
            let one = from.trim_end_matches('s').len() < from.len() && to.len() < from.len();
            let best = |word: &&str| word.ends_with("est") || ["top", "most"].contains(word);
            if *word == from && !(one && words[..at].iter().any(best)) {
                all.push(map(at, to.to_owned()));
            }
        }
        if at > 0 && ["the", "a", "an"].contains(word) {
            all.push(map(at, String::new()).replace("  ", " "));
        }
    }
    // An article before a noun, and a typo: two neighbours swapped, one letter lost or doubled.
    let at = seed % words.len();
    if ["hosts", "processes", "connections", "users", "lookups"].contains(&words[at]) {
        all.push(map(at, format!("the {}", words[at])));
    }
    let letters = Vec::from_iter(words[at].chars());
    // A number or a time with a typo is another one.
    let is_value = words[at].contains(|c: char| c.is_ascii_digit() || c == '.');
    if letters.len() > 3 && !is_value && words.len() > 1 {
        let k = 1 + seed % (letters.len() - 2);
        let mut swapped = letters.clone();
        swapped.swap(k, k + 1);
        let lost = letters.iter().enumerate().filter(|(i, _)| *i != k);
        let lost = lost.map(|(_, c)| *c).collect::<String>();
        all.push(map(at, swapped.into_iter().collect()));
        all.push(map(at, lost));
    }
    all
}

/// A question in other words has the same answer, is refused, or names what the history does
/// not have; it never has another one.
#[test]
fn other_words_never_change_an_answer() {
    let history = history();
    let mut wrong = String::new();
    let (mut same, mut refused, mut unknown) = (0, 0, 0);
    let answered = table()
        .into_iter()
        .filter(|(_, expected)| expected.starts_with(['=', '~']));
    // A third of them: one does not differ much from its neighbours in the table.
    for (seed, (question, expected)) in answered.enumerate().step_by(3) {
        for mutated in mutations(question, seed) {
            match judge(&history, &mutated, expected) {
                Outcome::Right => same += 1,
                Outcome::Refused(_) => refused += 1,
                Outcome::Misread(found) if found.contains("this history has no") => unknown += 1,
                Outcome::Misread(found) => {
                    wrong += &format!(
                        "{mutated}\n  of {question}\n  expected {expected}\n  found {found}\n"
                    );
                }
            }
        }
    }
    println!("{same} same, {refused} refused, {unknown} with an unknown name");
    assert!(wrong.is_empty(), "{wrong}");
    assert!(same > refused, "{same} {refused}");
}

/// The rows of a "most" or "least" are in the order of the direction that was asked for.
#[test]
fn no_order_contradicts_the_direction() {
    let history = history();
    let nouns = [
        "processes",
        "pids",
        "users",
        "hosts",
        "IPs",
        "ports",
        "executables",
        "containers",
        "connections",
    ];
    let mut checked = 0;
    for noun in nouns {
        for (direction, column) in [
            ("sent", "tx_bytes"),
            ("received", "rx_bytes"),
            ("uploaded", "tx_bytes"),
            ("downloaded", "rx_bytes"),
        ] {
            let mut forms = vec![(format!("top 20 {noun} by bytes {direction}"), column, true)];
            if !["hosts", "IPs", "ports", "connections"].contains(&noun) {
                forms.push((
                    format!("which {noun} {direction} the most data"),
                    column,
                    true,
                ));
                forms.push((format!("which {noun} {direction} the least"), column, false));
            }
            for (question, column, most) in forms {
                let (rows, _) =
                    ask(&history, &question).unwrap_or_else(|e| panic!("{question}: {e}"));
                let numbers =
                    Vec::from_iter(rows.iter().map(|row| row[column].as_i64().unwrap_or(0)));
                let ordered = match most {
                    true => numbers.is_sorted_by(|a, b| a >= b),
                    false => numbers.is_sorted(),
                };
                assert!(ordered && !numbers.is_empty(), "{question}: {numbers:?}");
                checked += 1;
            }
        }
    }
    assert!(checked >= 60, "{checked}");
}

/// Prints the answers to the questions of a file, one a line: `QUESTIONS=FILE cargo test --lib
/// prints_answers -- --ignored --nocapture`.
#[test]
#[ignore = "prints the answers to the questions of the file $QUESTIONS"]
fn prints_answers() {
    let history = history();
    let width = std::env::var("COLUMNS").map_or(100, |width| width.parse().unwrap());
    let file = std::env::var("QUESTIONS").expect("QUESTIONS names a file");
    for question in std::fs::read_to_string(file).unwrap().lines() {
        println!("\n### {question}");
        let now = DateTime::<Utc>::from_timestamp_nanos(NOW);
        let question = match parse(question, &now) {
            Ok(question) => question,
            Err(refusal) => {
                println!("REFUSED {refusal}");
                continue;
            }
        };
        let request = Request {
            question,
            since: None,
            until: None,
            format: OutputFormat::Table,
            width: Some(width),
            now,
            color: false,
            explain: true,
            limit: None,
            begun: None,
        };
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        match request.run(&history.0, &mut out, &mut notes) {
            Ok(_) => println!(
                "{}{}",
                String::from_utf8(out).unwrap(),
                String::from_utf8(notes).unwrap()
            ),
            Err(error) => println!("REFUSED {error}"),
        }
    }
}
