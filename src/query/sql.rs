//! A question as SQL text over the public views, with nothing left to bind, so
//! that what `--sql` shows is what was run and runs in any SQLite.

use super::host::Host;
use super::question::{Actors, Counted, From, List, Only, Pick, Question, Subject};
use crate::text::printable;

/// The first of the addresses that stand for IPv4: `::ffff:0.0.0.0`.
const IPV4_FIRST: u128 = 0xffff_0000_0000;
const IPV4_LAST: u128 = 0xffff_ffff_ffff;

/// Bytes of a process name that the kernel keeps: TASK_COMM_LEN less its NUL.
const COMM_BYTES: usize = 15;

/// Columns that say how often, how much and when, for a group of connections.
const TOTALS: &str = "\
count(*) AS connections,
       sum(outcome IN ('refused', 'timeout', 'unreachable', 'reset', 'denied', 'failed')) AS failed,
       sum(tx_bytes) AS tx_bytes, sum(rx_bytes) AS rx_bytes,
       min(time) AS first_seen, max(time) AS last_seen";

/// Bytes there and back. Not by the names of the sums: in an expression SQLite takes
/// those for the view's columns.
const BOTH_WAYS: &str = "coalesce(tx_bytes, 0) + coalesce(rx_bytes, 0)";
const SUM_BOTH_WAYS: &str = "sum(coalesce(tx_bytes, 0) + coalesce(rx_bytes, 0))";

/// The outcomes that are failures.
const FAILURES: &str = "'refused', 'timeout', 'unreachable', 'reset', 'denied', 'failed'";

/// The same for a group of lookups.
const LOOKUP_TOTALS: &str = "\
count(*) AS lookups, sum(rcode IS NOT 'NOERROR') AS failed,
       min(time) AS first_seen, max(time) AS last_seen";

/// Columns that say how often and when, for a group of lookups, which have a row
/// for each record of their answers.
const LOOKUPS: &str = "\
count(DISTINCT id) AS lookups,
       min(time) AS first_seen, max(time) AS last_seen";

/// The address of a record that is one.
const ADDRESS: &str = "CASE WHEN type IN ('A', 'AAAA') THEN data END";

/// The condition that a record gives an address to the host that was asked for.
/// The name in a service's question is another than its host's (RFC 9460 section 2.3).
const GAVE_AN_ADDRESS: &str = "\
(qtype IN ('A', 'AAAA') AND type = qtype
       OR qtype = 'HTTPS' AND qname NOT LIKE '\\_%' ESCAPE '\\'
          AND (type = 'HTTPS' AND (instr(data, 'ipv4hint=') OR instr(data, 'ipv6hint='))
               OR type IN ('A', 'AAAA')))";

/// Whom egrets takes for a DNS server, and whose names are not looked up: DNS, DNS
/// over TLS, multicast DNS, LLMNR.
const DNS_PORTS: &str = "53, 853, 5353, 5355";

/// The statement that answers `question` for connections or lookups from `since` up to,
/// not including, `until` (nanoseconds since 1970), besides its own times. No `;` at
/// the end.
pub fn statement(question: &Question, since: Option<i64>, until: Option<i64>) -> String {
    let (since, until) = question.span(since, until);
    let mut conditions = question
        .only
        .iter()
        .map(|only| condition(question.from, only))
        .collect::<Vec<_>>();
    let view = match (question.list, question.from) {
        (List::NeverContacted, _) => "dns",
        (_, From::Connections) => "egress",
        (_, From::Lookups) => "lookups",
    };
    match question.list {
        List::Actors(actors) | List::Count(Counted::Actors(actors)) => {
            conditions.extend(known(actors, question.from));
        }
        List::NeverContacted => {
            // Only `lookups` says all of who asked.
            if !conditions.is_empty() {
                let asked = conditions.join("\n    AND ");
                conditions = vec![format!("id IN (SELECT id FROM lookups WHERE {asked})")];
            }
            conditions.extend([
                "status = 'answered'".to_owned(),
                "rcode = 'NOERROR'".to_owned(),
                GAVE_AN_ADDRESS.to_owned(),
                format!(
                    "NOT EXISTS (SELECT 1 FROM egress WHERE host = qname{})",
                    span("egress.ts", since, until)
                        .map(|condition| format!(" AND {condition}"))
                        .collect::<String>()
                ),
            ]);
        }
        _ => {}
    }
    if view == "lookups" {
        conditions.push("status IN ('answered', 'unanswered')".to_owned());
    }
    conditions.extend(span("ts", since, until));
    let filter = match conditions.is_empty() {
        true => String::new(),
        false => format!("\nWHERE {}", conditions.join("\n  AND ")),
    };
    let Answer { columns, key, ties } = answer(question);
    let group = match key {
        // One row for all, and none where nothing is found.
        "" if ties.is_empty() => "\nHAVING count(*) > 0".to_owned(),
        "" => String::new(),
        key => format!("\nGROUP BY {key}"),
    };
    let (order, limit) = order(question, ties);
    format!("SELECT {columns}\nFROM {view}{filter}{group}{order}{limit}")
}

/// The columns of an answer, what its rows are grouped by, and what orders rows that
/// are as good as each other.
struct Answer {
    columns: String,
    key: &'static str,
    ties: &'static str,
}

fn answer(question: &Question) -> Answer {
    let totals = match question.from {
        From::Connections => TOTALS,
        From::Lookups => LOOKUP_TOTALS,
    };
    let grouped = |columns: String, key, ties| Answer { columns, key, ties };
    let address = if_one("dst_ip", "dst_ip", "dst_ip");
    match (question.list, question.from) {
        (List::Each, From::Connections) => grouped(
            "id, time, comm, exe, pid, uid, user, container_id, container_name,
       host, dst_ip, dst_port, protocol, outcome, errno, latency_us,
       tx_bytes, rx_bytes, duration_us"
                .to_owned(),
            "",
            "id",
        ),
        (List::Each, From::Lookups) => grouped(
            "id, time, comm, exe, pid, uid, user, container_id, container_name,
       qname, qtype, coalesce(rcode, status) AS result, server_ip, latency_us"
                .to_owned(),
            "",
            "id",
        ),
        (List::Destinations, From::Connections) => grouped(
            format!(
                "host,
       {address},
       count(DISTINCT dst_ip) AS addresses,
       dst_port, protocol,
       {totals}"
            ),
            "host, CASE WHEN host IS NULL THEN dst_ip END, dst_port, protocol",
            "host, dst_ip, dst_port, protocol",
        ),
        (List::Destinations, From::Lookups) => grouped(
            format!("qname,\n       {},\n       {totals}", asked()),
            "qname",
            "qname",
        ),
        (List::Addresses, _) => grouped(
            format!(
                "dst_ip, dst_scope,
       {host},
       count(DISTINCT coalesce(host, dst_ip)) AS hosts,
       {totals}",
                host = if_one("coalesce(host, dst_ip)", "host", "host"),
            ),
            "dst_ip",
            "dst_ip",
        ),
        (List::Ports, _) => grouped(
            format!(
                "dst_port, protocol,
       {comm},
       count(DISTINCT comm) AS comms,
       {totals}",
                comm = if_one("comm", "comm", "comm"),
            ),
            "dst_port, protocol",
            "dst_port, protocol",
        ),
        (List::NeverContacted, _) => grouped(
            format!(
                "qname,
       {asked},
       group_concat(DISTINCT {ADDRESS}) AS ips,
       count(DISTINCT {ADDRESS}) AS addresses,
       {LOOKUPS}",
                asked = asked(),
            ),
            "qname",
            "qname",
        ),
        (List::FailedLookups, _) => grouped(
            format!(
                "qname, qtype, coalesce(rcode, status) AS result,
       {asked},
       {LOOKUPS}",
                asked = asked(),
            ),
            "qname, qtype, result",
            "qname, qtype, result",
        ),
        (List::Count(counted), from) => {
            let rows = match from {
                From::Connections => "count(*)",
                From::Lookups => "count(DISTINCT id)",
            };
            let number = match counted {
                Counted::Rows => rows.to_owned(),
                Counted::Actors(actors) => format!(
                    "count(DISTINCT {})",
                    match actors {
                        Actors::Processes => "coalesce(exe, comm)",
                        Actors::Containers => "container_id",
                        Actors::Images => "container_image",
                        Actors::Users => "uid",
                        Actors::Units => "unit",
                    }
                ),
                Counted::Hosts if from == From::Lookups => "count(DISTINCT qname)".to_owned(),
                Counted::Hosts => "count(DISTINCT coalesce(host, dst_ip))".to_owned(),
                Counted::Addresses => "count(DISTINCT dst_ip)".to_owned(),
                Counted::Ports => "count(DISTINCT protocol || dst_port)".to_owned(),
            };
            grouped(
                format!("{number} AS number,\n       {totals}"),
                "1 = 1 HAVING count(*) > 0",
                "",
            )
        }
        (List::Bytes, _) => grouped(
            format!(
                "sum(coalesce(tx_bytes, 0) + coalesce(rx_bytes, 0)) AS bytes,\n       {totals}"
            ),
            "",
            "",
        ),
        (List::Actors(actors), From::Connections) => {
            let (columns, key) = group(actors);
            grouped(
                format!(
                    "{columns},
       {host},
       {address},
       count(DISTINCT coalesce(host, dst_ip)) AS hosts,
       {totals}",
                    host = if_one("coalesce(host, dst_ip)", "host", "host"),
                ),
                key,
                key,
            )
        }
        (List::Actors(actors), From::Lookups) => {
            let (columns, key) = group(actors);
            grouped(
                format!(
                    "{columns},
       {qname},
       count(DISTINCT qname) AS qnames,
       {totals}",
                    qname = if_one("qname", "qname", "qname"),
                ),
                key,
                key,
            )
        }
    }
}

/// ORDER BY and LIMIT: the newest first, but each row on its own in order of time.
fn order(question: &Question, ties: &str) -> (String, String) {
    let each = question.list == List::Each;
    let many = match question.from {
        From::Connections => "connections",
        From::Lookups => "lookups",
    };
    let (first, n) = match question.pick {
        _ if ties.is_empty() => return (String::new(), String::new()),
        None if each => ("ts", None),
        None => ("last_seen DESC", None),
        Some(Pick::First(n)) => (if each { "ts" } else { "first_seen" }, Some(n)),
        Some(Pick::Last(n)) if each => ("ts DESC", Some(n)),
        Some(Pick::Last(n)) => ("last_seen DESC", Some(n)),
        Some(Pick::Most(n)) if each => ("ts DESC", Some(n)),
        Some(Pick::Most(n)) => (many, Some(n)),
        Some(Pick::MostBytes(n)) if each => (BOTH_WAYS, Some(n)),
        Some(Pick::MostBytes(n)) => (SUM_BOTH_WAYS, Some(n)),
    };
    let descending = match question.pick {
        Some(Pick::MostBytes(_)) => " DESC",
        Some(Pick::Most(_)) if !each => " DESC",
        _ => "",
    };
    let limit = n.map_or_else(String::new, |n| format!("\nLIMIT {n}"));
    (format!("\nORDER BY {first}{descending}, {ties}"), limit)
}

/// The condition that a row says which of `actors` it is of.
fn known(actors: Actors, from: From) -> Option<String> {
    let column = match actors {
        Actors::Containers => "container_id",
        Actors::Images => "container_image",
        Actors::Units => "unit",
        Actors::Processes | Actors::Users if from == From::Lookups => "uid",
        Actors::Processes | Actors::Users => return None,
    };
    Some(format!("{column} IS NOT NULL"))
}

/// A condition of a question as one of SQL.
fn condition(from: From, only: &Only) -> String {
    match (only, from) {
        (Only::By(subject), _) => by(subject),
        (Only::To(host), From::Connections) => hit(host, "host"),
        (Only::To(host), From::Lookups) => hit(host, "qname"),
        (Only::Failed, From::Connections) => format!("outcome IN ({FAILURES})"),
        (Only::Failed, From::Lookups) => "rcode IS NOT 'NOERROR'".to_owned(),
        (Only::Port(port), _) => format!("dst_port = {port}"),
        (Only::Protocol(protocol), _) => format!("protocol = '{protocol}'"),
        (Only::Outcome(outcome), _) => format!("outcome = '{outcome}'"),
        (Only::Source(source), _) => format!("host_source = '{source}'"),
    }
}

/// The conditions that a time is in the span asked about.
fn span(ts: &str, since: Option<i64>, until: Option<i64>) -> impl Iterator<Item = String> {
    let from = since.map(|since| format!("{ts} >= {since}"));
    let to = until.map(|until| format!("{ts} < {until}"));
    from.into_iter().chain(to)
}

/// The columns that describe one of `actors`, and those that tell them apart.
fn group(actors: Actors) -> (String, &'static str) {
    let pid = if_one("pid", "pid", "pid");
    let comm = if_one("comm", "comm", "comm");
    match actors {
        Actors::Processes => (
            format!(
                "comm, exe,
       {pid},
       count(DISTINCT pid) AS pids,
       uid, max(user) AS user,
       container_id, max(container_name) AS container_name"
            ),
            "comm, exe, uid, container_id",
        ),
        Actors::Containers => (
            format!(
                "container_id, max(container_name) AS container_name,
       max(container_image) AS container_image,
       {comm},
       count(DISTINCT comm) AS comms"
            ),
            "container_id",
        ),
        Actors::Images => (
            format!(
                "container_image,
       count(DISTINCT container_id) AS containers,
       {comm},
       count(DISTINCT comm) AS comms"
            ),
            "container_image",
        ),
        Actors::Units => (
            format!(
                "unit,
       {comm},
       count(DISTINCT comm) AS comms"
            ),
            "unit",
        ),
        Actors::Users => (
            format!(
                "uid, max(user) AS user,
       {comm},
       count(DISTINCT comm) AS comms"
            ),
            "uid",
        ),
    }
}

/// The columns that say who asked, for a group of lookups. A place is a container, or
/// the host outside of them.
fn asked() -> String {
    let comm = if_one("comm", "comm", "comm");
    let pid = if_one("pid", "pid", "pid");
    let place = "coalesce(container_name, '')";
    let container = if_one(place, "container_name", "container_name");
    format!(
        "{comm},
       count(DISTINCT comm) AS comms,
       {pid},
       count(DISTINCT pid) AS pids,
       {container},
       count(DISTINCT {place}) AS places"
    )
}

/// `value` where all rows of the group agree on `key`, else NULL.
fn if_one(key: &str, value: &str, name: &str) -> String {
    format!("CASE count(DISTINCT {key}) WHEN 1 THEN min({value}) END AS {name}")
}

/// The condition that a row's name in `column`, or its destination, is `host`.
fn hit(host: &Host, column: &str) -> String {
    match host {
        Host::Domain(name) => {
            let itself = literal(name);
            rare_of(
                column,
                &format!("{column} = {itself} OR {}", below(column, name)),
            )
        }
        Host::Subdomains(name) => rare_of(column, &below(column, name)),
        Host::Addresses { first, last } if first == last => format!("dst_addr = x'{first:032x}'"),
        Host::Addresses { first, last } => {
            let range = format!("dst_addr BETWEEN x'{first:032x}' AND x'{last:032x}'");
            // A large IPv6 network holds the numbers that stand for IPv4, and
            // does not mean them.
            match *first < IPV4_FIRST && IPV4_LAST <= *last {
                true => format!("{range} AND family = 6"),
                false => range,
            }
        }
        Host::Raw => format!(
            "host IS NULL\n  AND dst_scope <> 'multicast'\n  AND dst_port NOT IN ({DNS_PORTS})"
        ),
    }
}

/// `condition`, marked as one that few rows meet: SQLite then looks for those
/// few names or processes and from there for their connections, instead of
/// going through every connection.
fn rare(condition: &str) -> String {
    format!("likelihood({condition}, 0.001)")
}

/// The same for a table that the view joins from outside: a `column` of it that
/// is not NULL makes the join an inner one, which may be entered from there.
fn rare_of(column: &str, condition: &str) -> String {
    format!("{column} IS NOT NULL\n  AND {}", rare(condition))
}

/// The condition that a name is below this one.
fn below(column: &str, name: &str) -> String {
    let escaped = name
        .replace('\\', r"\\")
        .replace('%', r"\%")
        .replace('_', r"\_");
    format!(
        "{column} LIKE {} ESCAPE '\\'",
        literal(&format!("%.{escaped}"))
    )
}

/// The condition that a connection was made by `subject`.
fn by(subject: &Subject) -> String {
    match subject {
        Subject::Process(name) => process(name),
        Subject::Pid(pid) => pid_is(*pid),
        Subject::BelowProcess(name) => below_process(&process(name)),
        Subject::BelowPid(pid) => below_process(&pid_is(*pid)),
        Subject::Container(name) => {
            let exact = literal(name);
            let digits = name.len();
            let id_prefix =
                match (12..64).contains(&digits) && name.bytes().all(|b| b.is_ascii_hexdigit()) {
                    true => format!(
                        " OR substr(container_id, 1, {digits}) = '{}'",
                        name.to_ascii_lowercase()
                    ),
                    false => String::new(),
                };
            rare_of(
                "container_id",
                &format!("container_name = {exact} OR container_id = {exact}{id_prefix}"),
            )
        }
        Subject::Image(name) => {
            let image = literal(name);
            let tag = literal(&format!("{name}:"));
            let any_tag = format!(
                "substr(container_image, 1, {}) = {tag}",
                name.chars().count() + 1
            );
            rare_of(
                "container_image",
                &format!("container_image = {image} OR {any_tag}"),
            )
        }
        Subject::Unit(name) => {
            let service = literal(&format!("{name}.service"));
            rare_of("unit", &format!("unit IN ({}, {service})", literal(name)))
        }
        Subject::User(name) => {
            let uid = name.parse::<u32>().map(|uid| format!(" OR uid = {uid}"));
            rare(&format!(
                "user = {}{}",
                literal(name),
                uid.unwrap_or_default()
            ))
        }
    }
}

fn pid_is(pid: u32) -> String {
    rare(&format!("pid = {pid}"))
}

/// The condition that something above a process, at any depth, meets `condition`. By IN:
/// the few that do are then looked for first, and not those above each connection.
fn below_process(condition: &str) -> String {
    format!("process_id IN (SELECT process_id FROM ancestors WHERE {condition})")
}

/// The condition that a process is called `name`: by the kernel's short name,
/// or by the end of its executable's path.
fn process(name: &str) -> String {
    if name.starts_with('/') {
        return rare(&format!("comm = {0} OR exe = {0}", literal(name)));
    }
    let end = format!("/{name}");
    let by_exe = format!("substr(exe, -{}) = {}", end.chars().count(), literal(&end));
    let by_comm = match name.as_bytes().get(..COMM_BYTES) {
        Some(cut) if name.len() > COMM_BYTES => {
            // The short name is cut, and other long names may be cut alike: it
            // counts unless the executable tells that it was one of those.
            let cut = String::from_utf8_lossy(cut);
            format!(
                "(comm = {} AND coalesce(instr(exe, {}), 0) = 0)",
                literal(&cut),
                literal(&format!("/{cut}"))
            )
        }
        _ => format!("comm = {}", literal(name)),
    };
    rare(&format!("{by_comm} OR {by_exe}"))
}

/// `text` as an SQL expression. What does not print is given in hexadecimal: a
/// statement that is shown can then drive no terminal, and SQL text ends at a
/// NUL anyway.
fn literal(text: &str) -> String {
    if printable(text) == text {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let hex = text.bytes().map(|byte| format!("{byte:02x}"));
    format!("CAST(x'{}' AS TEXT)", hex.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{By, CURL, History, NOW, SECOND, parsed};
    use super::*;
    use proptest::prelude::*;

    fn question(list: List, only: Vec<Only>) -> Question {
        Question {
            list,
            only,
            ..parsed("which connections")
        }
    }

    fn who(host: Host) -> Question {
        question(List::Actors(Actors::Processes), vec![Only::To(host)])
    }

    fn host(text: &str) -> Host {
        Host::parse(text, false).unwrap()
    }

    /// The processes, by name, that hit a host.
    fn hitters(history: &History, host: Host) -> Vec<String> {
        let sql = statement(&who(host), None, None);
        let mut statement = history.0.prepare(&sql).unwrap();
        let mut names = statement
            .query_map([], |row| row.get("comm"))
            .unwrap()
            .collect::<Result<Vec<String>, _>>()
            .unwrap();
        names.sort();
        names
    }

    /// How many connections a subject made.
    fn made(history: &History, of: Subject) -> i64 {
        let sql = statement(
            &question(List::Destinations, vec![Only::By(of)]),
            None,
            None,
        );
        let total = format!("SELECT coalesce(sum(connections), 0) FROM ({sql})");
        history.0.query_row(&total, [], |row| row.get(0)).unwrap()
    }

    fn process(name: &str) -> Subject {
        Subject::Process(name.to_owned())
    }

    /// A history in which each of these processes connected once.
    fn connected(by: &[By]) -> History {
        let history = History::recording();
        for &by in by {
            history.connect(by, None, "192.0.2.1", "connected", 1);
        }
        history
    }

    fn called<'a>(comm: &'a str, exe: Option<&'a str>) -> By<'a> {
        By { comm, exe, ..CURL }
    }

    #[test]
    fn a_statement_reads_as_written_by_hand() {
        let sql = statement(&who(host("it's.example.com")), Some(5), Some(9));
        assert_eq!(
            sql,
            "\
SELECT comm, exe,
       CASE count(DISTINCT pid) WHEN 1 THEN min(pid) END AS pid,
       count(DISTINCT pid) AS pids,
       uid, max(user) AS user,
       container_id, max(container_name) AS container_name,
       CASE count(DISTINCT coalesce(host, dst_ip)) WHEN 1 THEN min(host) END AS host,
       CASE count(DISTINCT dst_ip) WHEN 1 THEN min(dst_ip) END AS dst_ip,
       count(DISTINCT coalesce(host, dst_ip)) AS hosts,
       count(*) AS connections,
       sum(outcome IN ('refused', 'timeout', 'unreachable', 'reset', 'denied', 'failed')) AS failed,
       sum(tx_bytes) AS tx_bytes, sum(rx_bytes) AS rx_bytes,
       min(time) AS first_seen, max(time) AS last_seen
FROM egress
WHERE host IS NOT NULL
  AND likelihood(host = 'it''s.example.com' OR host LIKE '%.it''s.example.com' ESCAPE '\\', 0.001)
  AND ts >= 5
  AND ts < 9
GROUP BY comm, exe, uid, container_id
ORDER BY last_seen DESC, comm, exe, uid, container_id"
        );
    }

    #[test]
    fn a_name_finds_itself_and_what_is_below_it() {
        let history = History::recording();
        for (comm, host) in [
            ("apex", "example.com"),
            ("www", "www.example.com"),
            ("deep", "a.b.example.com"),
            ("other", "notexample.com"),
            ("longer", "example.com.evil.org"),
        ] {
            history.connect(called(comm, None), Some(host), "192.0.2.1", "connected", 1);
        }
        assert_eq!(
            hitters(&history, host("example.com")),
            ["apex", "deep", "www"]
        );
        assert_eq!(hitters(&history, host("*.example.com")), ["deep", "www"]);
    }

    #[test]
    fn underscores_and_percents_in_a_name_stand_for_themselves() {
        let history = History::recording();
        for (comm, host) in [
            ("one", "x._a%.org"),
            ("two", "x.ba%.org"),
            ("three", "x._abc.org"),
            ("four", r"x.\_a%.org"),
        ] {
            history.connect(called(comm, None), Some(host), "192.0.2.1", "connected", 1);
        }
        assert_eq!(hitters(&history, host("_a%.org")), ["one"]);
        assert_eq!(hitters(&history, host(r"\_a%.org")), ["four"]);
    }

    #[test]
    fn networks_find_their_addresses_and_no_other_family() {
        let history = History::recording();
        for (comm, ip) in [
            ("ten", "10.255.0.1"),
            ("eleven", "11.0.0.0"),
            ("six", "2001:db8::5"),
        ] {
            history.connect(called(comm, None), None, ip, "connected", 1);
        }
        assert_eq!(hitters(&history, host("10.0.0.0/8")), ["ten"]);
        assert_eq!(hitters(&history, host("11.0.0.0")), ["eleven"]);
        assert_eq!(hitters(&history, host("0.0.0.0/0")), ["eleven", "ten"]);
        assert_eq!(hitters(&history, host("2001:DB8::/32")), ["six"]);
        assert_eq!(hitters(&history, host("::/0")), ["six"]);
        assert_eq!(hitters(&history, host("::ffff:10.255.0.1")), ["ten"]);
    }

    #[test]
    fn a_process_is_found_by_its_name_its_executable_and_its_path() {
        let history = connected(&[
            called("curl", Some("/usr/bin/curl")),
            called("worker-1", Some("/opt/x/python3.13")),
            called("other", Some("/usr/bin/notcurl")),
            called("unknown", None),
        ]);
        for (name, n) in [
            ("curl", 1),
            ("Curl", 0),
            ("python3.13", 1),
            ("python3_13", 0),
            ("x/python3.13", 1),
            ("/opt/x/python3.13", 1),
            ("/python3.13", 0),
            ("worker-1", 1),
            ("unknown", 1),
            ("", 0),
        ] {
            assert_eq!(made(&history, process(name)), n, "{name}");
        }
    }

    #[test]
    fn a_long_name_is_found_by_what_the_kernel_keeps_of_it() {
        let history = connected(&[
            called("kube-controller", Some("/usr/bin/kube-controller-manager")),
            called("kube-controller", Some("/usr/bin/kube-controller-other")),
            called("kube-controller", None),
            called("my-long-script-", Some("/usr/bin/python3.13")),
        ]);
        assert_eq!(made(&history, process("kube-controller-manager")), 2);
        assert_eq!(made(&history, process("kube-controller")), 3);
        assert_eq!(made(&history, process("my-long-script-name.py")), 1);
    }

    #[test]
    fn a_container_is_found_by_name_id_and_a_beginning_of_the_id() {
        let id = "0123456789abcdef".repeat(4);
        let history = connected(&[
            By {
                container: Some((&id, Some("web"))),
                ..CURL
            },
            By {
                container: Some(("0123456789ab-not-hex", Some("Web"))),
                ..CURL
            },
            CURL,
        ]);
        for (name, n) in [
            ("web", 1),
            (&*id, 1),
            ("0123456789abc", 1),
            ("0123456789ABC", 1),
            ("0123456789ab", 2),
            ("0123456789a", 0),
            ("0123456789ab%", 0),
        ] {
            assert_eq!(
                made(&history, Subject::Container(name.to_owned())),
                n,
                "{name}"
            );
        }
    }

    #[test]
    fn a_user_is_found_by_name_and_number_and_a_process_by_pid() {
        let history = connected(&[
            CURL,
            By {
                pid: 7,
                uid: 0,
                user: None,
                ..CURL
            },
        ]);
        assert_eq!(made(&history, Subject::User("alice".to_owned())), 1);
        assert_eq!(made(&history, Subject::User("1000".to_owned())), 1);
        assert_eq!(made(&history, Subject::User("0".to_owned())), 1);
        assert_eq!(made(&history, Subject::Pid(7)), 1);
        assert_eq!(made(&history, Subject::Pid(8)), 0);
    }

    #[test]
    fn no_question_needs_to_go_through_every_connection() {
        let history = History::new();
        for question in [
            "which processes hit example.com",
            "which containers hit *.example.com",
            "who hit 192.0.2.0/24",
            "what did curl talk to",
            "what did /usr/bin/curl talk to",
            "what did pid 7 talk to",
            "what did container web talk to",
            "when did user alice hit example.com",
            "which names were resolved but never contacted",
        ] {
            let sql = statement(&parsed(question), None, None);
            let mut plan = history
                .0
                .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
                .unwrap();
            let mut steps = plan
                .query_map([], |row| row.get::<_, String>("detail"))
                .unwrap();
            assert!(
                !steps.any(|step| step.unwrap().starts_with("SCAN c")),
                "{question}"
            );
        }
    }

    #[test]
    fn the_span_holds_its_beginning_and_not_its_end() {
        let history = connected(&[CURL]);
        let question = question(
            List::Each,
            vec![Only::By(process("curl")), Only::To(host("192.0.2.1"))],
        );
        let at = NOW - SECOND;
        for (since, until, found) in [
            (None, None, true),
            (Some(at), Some(at + 1), true),
            (Some(at + 1), None, false),
            (None, Some(at), false),
        ] {
            let sql = statement(&question, since, until);
            assert_eq!(history.0.prepare(&sql).unwrap().exists([]).unwrap(), found);
        }
    }

    #[test]
    fn a_statement_never_holds_a_raw_control_character() {
        let sql = statement(
            &question(
                List::Destinations,
                vec![Only::By(process("a\n\x1b[2J';--\0"))],
            ),
            None,
            None,
        );
        assert!(sql.lines().all(|line| printable(line) == line));
        assert!(sql.contains("CAST(x'610a1b5b324a273b2d2d00' AS TEXT)"));
    }

    /// Text that is hard on quoting: SQL's and LIKE's own characters often.
    fn hostile() -> impl Strategy<Value = String> {
        prop_oneof![
            "[-'\"\\\\%_;.* \n\x1baé]{1,12}",
            "\\PC{1,24}",
            "[^\0]{1,24}"
        ]
    }

    proptest! {
        #[test]
        fn any_host_that_is_accepted_makes_a_statement_that_sqlite_prepares(
            text in any::<String>(), literal in any::<bool>()
        ) {
            if let Ok(host) = Host::parse(&text, literal) {
                let history = History::new();
                prop_assert!(history.0.prepare(&statement(&who(host), None, None)).is_ok());
            }
        }

        #[test]
        fn any_name_finds_exactly_its_own_row(name in hostile()) {
            let (other, lower) = (format!("{name}x"), name.to_ascii_lowercase());
            let history = History::recording();
            // An id and a uid that none of the names can be.
            for (comm, id) in [(&name, "1".repeat(64)), (&other, "2".repeat(64))] {
                let id = id.as_str();
                let by = By { comm, exe: None, pid: 1, uid: u32::MAX, user: Some(comm), container: Some((id, Some(comm))) };
                history.connect(by, Some(&comm.to_ascii_lowercase()), "192.0.2.1", "connected", 1);
            }
            prop_assert_eq!(hitters(&history, Host::Domain(lower)), [name.clone()]);
            prop_assert_eq!(made(&history, Subject::Container(name.clone())), 1);
            prop_assert_eq!(made(&history, Subject::User(name.clone())), 1);
            if other.len() <= COMM_BYTES {
                prop_assert_eq!(made(&history, process(&name)), 1);
            }
        }

        #[test]
        fn any_name_finds_exactly_what_is_below_it(base in hostile()) {
            let base = base.to_ascii_lowercase();
            let history = History::recording();
            history.connect(called("below", None), Some(&format!("a.{base}")), "192.0.2.1", "connected", 1);
            history.connect(called("beside", None), Some(&format!("a.b{base}")), "192.0.2.1", "connected", 1);
            history.connect(called("itself", None), Some(&base), "192.0.2.1", "connected", 1);
            prop_assert_eq!(hitters(&history, Host::Subdomains(base)), ["below"]);
        }
    }
}
