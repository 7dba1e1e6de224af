//! Questions about the history: plain English in, a table, JSON or CSV out.
//!
//! [`parse`] understands a question or says which word it does not; no file is
//! needed for that, nor for [`Request::sql`]. [`Request::run`] reads the public
//! views (docs/schema.md), and nothing else, of a history that the caller opened. It
//! fails where SQLite or the output fails; a closed pipe among these is for the caller
//! to tell apart.

mod answer;
mod clock;
mod columns;
mod coverage;
mod explain;
#[cfg(test)]
mod fifty;
#[cfg(test)]
mod fixture;
mod host;
pub mod human;
mod question;
mod refusal;
mod sql;
mod table;
mod words;

use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use chrono::{DateTime, Offset, TimeZone, Utc};
use rusqlite::Connection;

use crate::when;
pub use clock::zone_name;
use coverage::Coverage;
pub use explain::Explanation;
pub use host::Host;
use question::From;
pub use question::{Question, parse};
pub use refusal::NotUnderstood;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns for people.
    Table,
    /// A JSON object a line.
    Json,
    /// RFC 4180, with a header.
    Csv,
}

/// A question with all that bears on its answer.
#[derive(Debug, Clone)]
pub struct Request<Tz: TimeZone> {
    pub question: Question,
    /// Connections and lookups from this time on; nanoseconds since 1970.
    pub since: Option<i64>,
    /// Connections and lookups before this time; nanoseconds since 1970.
    pub until: Option<i64>,
    pub format: Format,
    /// The columns of the terminal; none where the table goes elsewhere, and
    /// nothing is to be cut.
    pub width: Option<usize>,
    /// The time of asking, in the zone in which times are shown.
    pub now: DateTime<Tz>,
    /// Since when the one who asks has waited; none where nobody is told how long.
    pub begun: Option<Instant>,
}

impl<Tz: TimeZone> Request<Tz>
where
    Tz::Offset: Display,
{
    /// The SQL that answers the question, to be run as it is by any SQLite.
    pub fn sql(&self) -> String {
        sql::statement(&self.question, self.since, self.until) + ";"
    }

    /// Writes the answer to `out`, and beside a table what it is worth to
    /// `notes`: how much was found, in what time, and what egrets did not see.
    /// Whether anything was found.
    ///
    /// # Errors
    ///
    /// When `since` is not before `until`, SQLite's, and those of the writers.
    pub fn run(&self, db: &Connection, out: &mut dyn Write, notes: &mut dyn Write) -> Result<bool> {
        let now = when::to_ns(self.now.to_utc());
        let (since, until) = self.question.span(self.since, self.until);
        ensure!(
            since.is_none_or(|since| since < until.unwrap_or(now)),
            "the time asked about ends before it begins: its beginning has to lie before its end, and before now"
        );
        // One snapshot, so that the notes are about the rows.
        let db = db.unchecked_transaction()?;
        for (asked, view, about) in [
            (self.question.from == From::Lookups, "lookups", "lookups"),
            (
                self.question.about_descendants(),
                "ancestors",
                "descendants",
            ),
        ] {
            let has = "SELECT 1 FROM sqlite_schema WHERE name = ?1";
            ensure!(
                !asked || db.prepare(has)?.exists([view])?,
                "an older egrets wrote this history, and it can't be asked about {about} yet: \
                 'sudo egrets record --for 1s' brings it up to date"
            );
        }
        let mut statement = db.prepare(&self.sql())?;
        let mut rows = statement.query([])?;
        match self.format {
            Format::Json => answer::json(&mut rows, out),
            Format::Csv => answer::csv(&mut rows, out),
            Format::Table => {
                let found = answer::table(&self.question, &mut rows, &self.now)?;
                // Not with the time that a pager takes to read it.
                let took = self.begun.map(|begun| begun.elapsed());
                if let Some((table, _)) = &found {
                    table.write(self.width, out)?;
                }
                // Both may go to one terminal: the table comes first.
                out.flush()?;
                let coverage = Coverage::read(&db, since, until, now)?;
                let counted = found.as_ref().map(|(_, counted)| counted.as_str());
                self.note(counted, took, &coverage, notes)?;
                Ok(found.is_some())
            }
        }
    }

    /// Says what was found, and what may be missing.
    fn note(
        &self,
        counted: Option<&str>,
        took: Option<Duration>,
        coverage: &Coverage,
        notes: &mut dyn Write,
    ) -> Result<()> {
        match counted {
            Some(counted) => write!(notes, "\n{counted}")?,
            None if !coverage.any_recording => {
                write!(notes, "nothing found: this history holds no recording")?;
            }
            None => {
                let span = self.span(coverage);
                let what = match (coverage.is_void(), coverage.is_complete()) {
                    (true, _) => "nothing found: egrets was not recording",
                    (_, true) => "nothing found: egrets was watching all the time",
                    _ => "nothing found, but egrets was not seeing everything",
                };
                write!(notes, "{what} {span}")?;
            }
        }
        match took.map(|took| i64::try_from(took.as_micros()).unwrap_or(i64::MAX)) {
            Some(us) => writeln!(notes, "; took {}", human::duration(us))?,
            None => writeln!(notes)?,
        }
        // Where nothing was recorded, all is said.
        if counted.is_some() || !coverage.is_void() {
            for note in coverage.notes() {
                writeln!(notes, "note: {note}")?;
            }
            if let Some(ended) = coverage.ended {
                let ended = DateTime::<Utc>::from_timestamp_nanos(ended)
                    .with_timezone(&self.now.timezone());
                writeln!(
                    notes,
                    "note: recorded until {}",
                    ended.format("%Y-%m-%d %H:%M:%S")
                )?;
            }
        }
        Ok(())
    }

    /// The span asked about, in words.
    fn span(&self, coverage: &Coverage) -> String {
        let zone = self.now.timezone();
        let times = [coverage.from, coverage.to]
            .map(|ns| DateTime::<Utc>::from_timestamp_nanos(ns).with_timezone(&zone));
        let mut offsets = times
            .each_ref()
            .map(|time| time.offset().fix().local_minus_utc())
            .to_vec();
        offsets.dedup();
        let [from, to] = times.map(|time| time.format("%Y-%m-%d %H:%M:%S").to_string());
        format!("from {from} to {to} ({})", zone_name(offsets))
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::{Answer, By, CURL, History, NOW, SECOND, request};
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const NGINX: By = By {
        comm: "nginx",
        exe: Some("/usr/sbin/nginx"),
        pid: 900,
        uid: 101,
        user: None,
        container: Some((ID, Some("web-1"))),
    };

    /// An hour of traffic: retries and two pids of curl, a container with a
    /// name and one without, addresses of both families, hostile names.
    fn history() -> History {
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
        history.connect(NGINX, api, "192.0.2.7", "connected", 1800);
        history.connect(NGINX, None, "10.0.0.9", "timeout", 1700);
        let nameless = By {
            comm: "it's \"x\",\n\x1b[2J",
            exe: None,
            container: Some((&ID[1..], None)),
            ..NGINX
        };
        history.connect(
            nameless,
            Some("a%_.example.com"),
            "192.0.2.9",
            "connected",
            5,
        );
        history
    }

    fn table(question: &str) -> (String, String) {
        history().ask(question, Format::Table, None)
    }

    #[test]
    fn which_processes_hit_a_name() {
        let (out, notes) = table("which processes hit example.com");
        assert_eq!(
            out,
            "\
PROCESS                PID  USER   CONTAINER     HOST             CONNS  FAILED     SENT  RECEIVED  FIRST SEEN (UTC)  LAST SEEN
it's \"x\",\\n\\x1b[2J     900  101    123456789abc  a%_.example.com      1       0    700 B   5.2 KiB  11-23 13:59:55    11-23 13:59:55
curl                2 pids  alice  -             2 hosts              3       1  1.4 KiB  10.4 KiB  11-23 13:58:59    11-23 13:59:30
nginx                  900  101    web-1         api.example.com      1       0    700 B   5.2 KiB  11-23 13:30:00    11-23 13:30:00
"
        );
        assert_eq!(notes, "\n4 processes, 5 connections\n");
    }

    #[test]
    fn which_containers_hit_a_name() {
        let (out, notes) = table("which containers talked to example.com?");
        assert_eq!(
            out,
            "\
CONTAINER     IMAGE       PROCESS             HOST             CONNS  FAILED   SENT  RECEIVED  FIRST SEEN (UTC)  LAST SEEN
123456789abc  nginx:1.29  it's \"x\",\\n\\x1b[2J  a%_.example.com      1       0  700 B   5.2 KiB  11-23 13:59:55    11-23 13:59:55
web-1         nginx:1.29  nginx               api.example.com      1       0  700 B   5.2 KiB  11-23 13:30:00    11-23 13:30:00
"
        );
        assert_eq!(notes, "\n2 containers, 2 connections\n");
    }

    #[test]
    fn which_users_hit_a_network() {
        let (out, notes) = table("who reached 192.0.2.0/24");
        assert_eq!(
            out,
            "\
USER   PROCESS     HOST     CONNS  FAILED     SENT  RECEIVED  FIRST SEEN (UTC)  LAST SEEN
101    2 programs  2 hosts      2       0  1.4 KiB  10.4 KiB  11-23 13:30:00    11-23 13:59:55
alice  curl        2 hosts      2       0  1.4 KiB  10.4 KiB  11-23 13:59:00    11-23 13:59:30
"
        );
        assert_eq!(notes, "\n2 users, 4 connections\n");
    }

    #[test]
    fn what_a_container_talked_to() {
        let (out, notes) = table("what did container web-1 talk to");
        assert_eq!(
            out,
            "\
HOST             ADDRESS    PORT     CONNS  FAILED   SENT  RECEIVED  FIRST SEEN (UTC)  LAST SEEN
-                10.0.0.9   443/tcp      1       1      -         -  11-23 13:31:40    11-23 13:31:40
api.example.com  192.0.2.7  443/tcp      1       0  700 B   5.2 KiB  11-23 13:30:00    11-23 13:30:00
"
        );
        assert_eq!(notes, "\n2 destinations, 2 connections\n");
    }

    #[test]
    fn when_a_process_hit_a_name() {
        let (out, notes) = table("when did curl hit example.com");
        assert_eq!(
            out,
            "\
TIME (UTC)          PROCESS   PID  HOST             DESTINATION        PROTOCOL  OUTCOME     SENT  RECEIVED  DURATION  ID
11-23 13:58:59.000  curl     4242  api.example.com  [2001:db8::7]:443  tcp       refused        -         -         -   2
11-23 13:59:00.000  curl     4242  api.example.com  192.0.2.7:443      tcp       connected  700 B   5.2 KiB   125.3ms   1
11-23 13:59:30.000  curl     4300  example.com      192.0.2.8:443      tcp       connected  700 B   5.2 KiB   125.3ms   3
"
        );
        assert_eq!(notes, "\n3 connections\n");
    }

    #[test]
    fn which_processes_hit_raw_addresses() {
        let history = history();
        // DNS servers and multicast groups are never dialled by name
        history.connect_to(CURL, None, ("192.0.2.53", 53), "connected", 1);
        history.connect_to(CURL, None, ("192.0.2.53", 853), "connected", 1);
        history.connect_to(CURL, None, ("224.0.0.251", 8000), "connected", 1);
        history.connect_to(CURL, None, ("127.0.0.1", 8000), "connected", 1);
        let (out, notes) = history.ask("which processes connected to raw IPs", Format::Table, None);
        assert_eq!(
            out,
            "\
PROCESS   PID  USER   CONTAINER  HOST       CONNS  FAILED   SENT  RECEIVED  FIRST SEEN (UTC)  LAST SEEN
curl     4242  alice  -          127.0.0.1      1       0  700 B   5.2 KiB  11-23 13:59:59    11-23 13:59:59
nginx     900  101    web-1      10.0.0.9       1       1      -         -  11-23 13:31:40    11-23 13:31:40
"
        );
        assert_eq!(notes, "\n2 processes, 2 connections\n");
        let (out, _) = history.ask("which containers hit raw IPs", Format::Csv, None);
        assert_eq!(out.lines().count(), 2, "{out}");
        let (out, _) = history.ask("when did curl hit raw IPs", Format::Csv, None);
        assert_eq!(out.lines().count(), 2, "{out}");
    }

    /// Lookups of every fate, a minute to a few minutes before now.
    fn lookups() -> History {
        let history = history();
        let ok = Some("NOERROR");
        let look_up = |by, question, rcode, records: &[Answer], ago| {
            history.look_up(by, question, rcode, records, ago);
        };
        let a = |name, data| (name, "A", data, 60);
        // contacted, by somebody
        look_up(
            NGINX,
            ("example.com", "A"),
            ok,
            &[a("example.com", "192.0.2.8")],
            60,
        );
        // never: by two programs, with two addresses behind an alias; by a hint alone
        let alias = ("cdn.test", "CNAME", "x.cdn.test", 60);
        look_up(
            CURL,
            ("cdn.test", "A"),
            ok,
            &[alias, a("x.cdn.test", "192.0.2.1")],
            120,
        );
        look_up(
            NGINX,
            ("cdn.test", "A"),
            ok,
            &[alias, a("x.cdn.test", "192.0.2.2")],
            90,
        );
        let hint = "1 . alpn=h2 ipv4hint=192.0.2.3";
        look_up(
            CURL,
            ("hint.test", "HTTPS"),
            ok,
            &[("hint.test", "HTTPS", hint, 60)],
            70,
        );
        // no address: no record of the type, an alias to nothing, a service, an error
        look_up(CURL, ("none.test", "AAAA"), ok, &[], 50);
        look_up(
            CURL,
            ("lost.test", "A"),
            ok,
            &[("lost.test", "CNAME", "gone.test", 60)],
            50,
        );
        look_up(
            CURL,
            ("_x._https.a.test", "HTTPS"),
            ok,
            &[("_x._https.a.test", "HTTPS", hint, 60)],
            50,
        );
        look_up(CURL, ("nx.test", "A"), Some("NXDOMAIN"), &[], 40);
        look_up(CURL, ("nx.test", "A"), Some("NXDOMAIN"), &[], 39);
        look_up(
            NGINX,
            ("evil\x1b.test", "PTR"),
            Some("SERVFAIL"),
            &[a("a", "192.0.2.9"), a("b", "192.0.2.9")],
            38,
        );
        look_up(CURL, ("nx.test", "A"), None, &[], 30);
        history
    }

    #[test]
    fn which_names_were_resolved_but_never_contacted() {
        let question = "which names were resolved but never contacted";
        let (out, notes) = lookups().ask(question, Format::Table, None);
        assert_eq!(
            out,
            "\
NAME       ASKED BY       PID  CONTAINER  LOOKUPS  ADDRESS      FIRST SEEN (UTC)  LAST SEEN
hint.test  curl          4242  -                1  -            11-23 13:58:50    11-23 13:58:50
cdn.test   2 programs  2 pids  2 places         2  2 addresses  11-23 13:58:00    11-23 13:58:30
"
        );
        assert_eq!(notes, "\n2 names, 3 lookups\n");
        let (out, _) = lookups().ask(question, Format::Json, Some(NOW - 25 * SECOND));
        assert_eq!(out, "");
    }

    #[test]
    fn contacts_outside_of_the_span_do_not_count() {
        let question = "which names were resolved but never contacted";
        let mut request = request(question, Format::Csv, Some(NOW - 65 * SECOND));
        request.until = Some(NOW - 55 * SECOND);
        let mut out = Vec::new();
        request
            .run(&lookups().0, &mut out, &mut Vec::new())
            .unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "qname,comm,comms,pid,pids,container_name,places,ips,addresses,lookups,first_seen,last_seen\r\n\
             example.com,nginx,1,900,1,web-1,1,192.0.2.8,1,1,2026-11-23T13:59:00.000Z,2026-11-23T13:59:00.000Z\r\n"
        );
    }

    #[test]
    fn which_lookups_failed() {
        let history = lookups();
        let unasked = "INSERT INTO lookup (ts, transport, rcode, status)
                       VALUES (?1, 'udp', 'REFUSED', 'unsolicited'), (?1, 'udp', NULL, 'malformed')";
        history.0.execute(unasked, [NOW - SECOND]).unwrap();
        let (out, notes) = history.ask("which lookups failed", Format::Table, None);
        assert_eq!(
            out,
            "\
NAME           TYPE  RESULT      ASKED BY   PID  CONTAINER  LOOKUPS  FIRST SEEN (UTC)  LAST SEEN
nx.test        A     unanswered  curl      4242  -                1  11-23 13:59:30    11-23 13:59:30
evil\\x1b.test  PTR   SERVFAIL    nginx      900  web-1            1  11-23 13:59:22    11-23 13:59:22
nx.test        A     NXDOMAIN    curl      4242  -                2  11-23 13:59:20    11-23 13:59:21
"
        );
        assert_eq!(notes, "\n4 lookups\n");
        let (out, _) = history.ask(
            "which lookups failed",
            Format::Json,
            Some(NOW - 25 * SECOND),
        );
        assert_eq!(out, "");
    }

    #[test]
    fn json_is_raw_and_safe_to_show() {
        let (out, notes) = history().ask("which processes hit example.com", Format::Json, None);
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
    fn json_gives_back_the_very_text_that_was_recorded() {
        let comm = "\u{9b}2J\u{202e}\u{e0041}\u{7f}\"\\é";
        let history = History::recording();
        history.connect(By { comm, ..CURL }, None, "192.0.2.1", "connected", 1);
        let (out, _) = history.ask("when did alice hit 192.0.2.1", Format::Json, None);
        assert_eq!(out, "", "alice is no process");
        let (out, _) = history.ask("when did user alice hit 192.0.2.1", Format::Json, None);
        assert!(out.trim_end().chars().all(crate::text::is_printable));
        let row: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(row["comm"], comm);
        assert_eq!(row["tx_bytes"], 700);
        assert_eq!(row["errno"], serde_json::Value::Null);
    }

    #[test]
    fn csv_has_a_header_and_quotes_by_rfc_4180() {
        let (out, notes) = history().ask("what did container web-1 talk to", Format::Csv, None);
        assert_eq!(notes, "");
        assert_eq!(
            out,
            "host,dst_ip,addresses,dst_port,protocol,connections,failed,tx_bytes,rx_bytes,first_seen,last_seen\r\n\
             ,10.0.0.9,1,443,tcp,1,1,,,2026-11-23T13:31:40.000Z,2026-11-23T13:31:40.000Z\r\n\
             api.example.com,192.0.2.7,1,443,tcp,1,0,700,5300,2026-11-23T13:30:00.000Z,2026-11-23T13:30:00.000Z\r\n"
        );
        let (out, _) = history().ask("which processes hit a%_.example.com", Format::Csv, None);
        assert!(
            out.lines()
                .nth(1)
                .unwrap()
                .starts_with(r#""it's ""x"",\n\x1b[2J",,900,1,101,"#)
        );
        let (out, _) = history().ask("who hit nowhere.org", Format::Csv, None);
        assert_eq!(out.lines().count(), 1);
    }

    #[test]
    fn a_narrow_terminal_cuts_names_and_nothing_else() {
        let mut request = request("what did container web-1 talk to", Format::Table, None);
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
        assert!(out.contains("\napi.examp…  192.0.2.7  443/tcp"), "{out}");
    }

    #[test]
    fn times_are_shown_in_the_zone_of_now_with_the_year_if_it_is_another() {
        let history = History::recording();
        let year = 365 * 86_400;
        history.connect(CURL, Some("x.org"), "192.0.2.1", "connected", year);
        let zone = chrono::FixedOffset::west_opt(5 * 3600 + 1800).unwrap();
        let utc = request("when did curl hit x.org", Format::Table, None);
        let request = Request {
            question: utc.question,
            since: None,
            until: None,
            format: Format::Table,
            width: None,
            now: utc.now.with_timezone(&zone),
            begun: None,
        };
        let mut out = Vec::new();
        request.run(&history.0, &mut out, &mut Vec::new()).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.starts_with("TIME (UTC-05:30)"), "{out}");
        assert!(out.contains("\n2025-11-23 08:30:00.000  curl"), "{out}");
    }

    #[test]
    fn what_is_missing_from_an_answer_is_noted() {
        let history = history();
        history.lose("tcp", 120, NOW - 10 * SECOND, NOW);
        let (out, notes) = history.ask(
            "who hit example.com",
            Format::Table,
            Some(NOW - 7200 * SECOND),
        );
        assert_eq!(out.lines().count(), 3);
        assert_eq!(
            notes,
            "\n2 users, 5 connections\n\
             note: not recording for 1h of this span\n\
             note: 120 tcp events lost in this span\n"
        );
    }

    #[test]
    fn people_are_told_how_long_it_took_and_programs_are_not() {
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
            notes("when did curl hit example.com", Format::Table),
            "\n3 connections; took 2h\n"
        );
        let nothing = notes("who hit nowhere.org", Format::Table);
        assert!(nothing.ends_with("(UTC); took 2h\n"), "{nothing}");
        for format in [Format::Json, Format::Csv] {
            assert_eq!(notes("when did curl hit example.com", format), "");
        }
    }

    #[test]
    fn nothing_found_says_whether_egrets_was_watching() {
        let nothing = |history: &History, since: i64| {
            let (out, notes) = history.ask(
                "who hit nowhere.org",
                Format::Table,
                Some(NOW - since * SECOND),
            );
            assert_eq!(out, "");
            notes
        };
        let watched = History::recording();
        assert_eq!(
            nothing(&watched, 60),
            "nothing found: egrets was watching all the time \
             from 2026-11-23 13:59:00 to 2026-11-23 14:00:00 (UTC)\n"
        );
        assert_eq!(
            nothing(&watched, 7200),
            "nothing found, but egrets was not seeing everything \
             from 2026-11-23 12:00:00 to 2026-11-23 14:00:00 (UTC)\n\
             note: not recording for 1h of this span\n"
        );
        let ended = History::new();
        ended.record(
            NOW - 7200 * SECOND,
            Some(NOW - 3600 * SECOND),
            NOW - 3600 * SECOND,
        );
        assert_eq!(
            nothing(&ended, 60),
            "nothing found: egrets was not recording \
             from 2026-11-23 13:59:00 to 2026-11-23 14:00:00 (UTC)\n"
        );
        assert_eq!(
            nothing(&History::new(), 60),
            "nothing found: this history holds no recording\n"
        );
    }

    #[test]
    fn a_span_that_ends_before_it_begins_is_refused() {
        let mut request = request("who hit x.org", Format::Table, Some(NOW));
        let run = |request: &Request<Utc>| {
            request.run(&History::recording().0, &mut Vec::new(), &mut Vec::new())
        };
        assert!(run(&request).is_err());
        request.until = Some(NOW + 1);
        assert_eq!(run(&request).ok(), Some(false));
    }

    #[test]
    fn a_history_without_the_view_says_how_to_bring_it_up_to_date() {
        let old = History::of_version(2);
        let run = |question| {
            request(question, Format::Table, None).run(&old.0, &mut Vec::new(), &mut Vec::new())
        };
        let refused = run("what did curl resolve").unwrap_err().to_string();
        assert!(refused.contains("brings it up to date"), "{refused}");
        for question in [
            "what did children of bash talk to",
            "who hit x.org by children of bash",
        ] {
            let refused = run(question).unwrap_err().to_string();
            assert!(
                refused.contains("descendants yet") && refused.contains("brings it up to date"),
                "{refused}"
            );
        }
        assert_eq!(run("what did curl talk to").ok(), Some(false));
        let without_lookups = History::of_version(3);
        let (out, _) = without_lookups.ask("what did children of bash hit", Format::Table, None);
        assert_eq!(out, "");
    }

    #[test]
    fn the_times_of_a_question_and_of_the_command_line_both_hold() {
        let history = history();
        let lines = |question, since| history.ask(question, Format::Json, since).0.lines().count();
        assert_eq!(lines("when did curl hit example.com", None), 3);
        assert_eq!(
            lines("when did curl hit example.com in the last 45s", None),
            1
        );
        let since = Some(NOW - 60 * SECOND);
        assert_eq!(lines("when did curl hit example.com since 2h", since), 2);
    }

    #[test]
    fn the_most_bytes_are_those_of_all_connections() {
        let history = History::recording();
        let big = By {
            comm: "big",
            exe: None,
            ..CURL
        };
        for ago in 1..4 {
            history.connect(big, Some("x.org"), "192.0.2.1", "connected", ago);
        }
        history.connect(CURL, Some("x.org"), "192.0.2.1", "connected", 9);
        let (out, _) = history.ask("top 1 process by bytes", Format::Json, None);
        assert!(out.starts_with("{\"comm\":\"big\""), "{out}");
        assert_eq!(
            history
                .ask("top 1 connection by bytes", Format::Json, None)
                .0
                .lines()
                .count(),
            1
        );
    }

    #[test]
    fn the_sql_that_is_shown_gives_the_same_answer() {
        let history = history();
        let request = request("which processes hit example.com", Format::Json, None);
        let sql = request.sql();
        assert!(sql.ends_with(';'));
        let mut statement = history.0.prepare(&sql).unwrap();
        let hosts = statement
            .query_map([], |row| row.get::<_, i64>("hosts"))
            .unwrap();
        assert_eq!(hosts.collect::<Result<Vec<_>, _>>().unwrap(), [1, 2, 1]);
    }
}
