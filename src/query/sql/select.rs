//! What a statement selects: the columns of each kind of answer.

use super::super::question::{Actors, Counted, From, List, Question};

/// Columns that say how often, how much and when, for a group of connections.
const TOTALS: &str = "\
count(*) AS connections,
       sum(outcome IN ('refused', 'timeout', 'unreachable', 'reset', 'denied', 'failed')) AS failed,
       sum(tx_bytes) AS tx_bytes, sum(rx_bytes) AS rx_bytes,
       min(time) AS first_seen, max(time) AS last_seen";

/// The same of sums.
fn summed_totals() -> String {
    format!(
        "sum(connections) AS connections, sum(failed) AS failed,
       sum(tx_bytes) AS tx_bytes, sum(rx_bytes) AS rx_bytes,
       {}",
        summed_span()
    )
}

/// When the first and the last were that sums are of. The times become text only where they
/// are shown.
fn summed_span() -> String {
    format!(
        "{} AS first_seen,
       {} AS last_seen",
        iso("min(first_ts)"),
        iso("max(last_ts)")
    )
}

/// Nanoseconds since 1970 as the views write times.
fn iso(ns: &str) -> String {
    format!(
        "strftime('%Y-%m-%dT%H:%M:%S', {ns} / 1000000000, 'unixepoch')
           || printf('.%03dZ', {ns} / 1000000 % 1000)"
    )
}

/// The same for a group of lookups.
const LOOKUP_TOTALS: &str = "\
count(*) AS lookups, sum(rcode IS NOT 'NOERROR') AS failed,
       min(time) AS first_seen, max(time) AS last_seen";

/// The same of sums.
const SUMMED_LOOKUP_TOTALS: &str = "sum(lookups) AS lookups, sum(failed) AS failed";

/// Bytes there and back. Not by the names of the sums: in an expression SQLite takes
/// those for the view's columns.
pub const BOTH_WAYS: &str = "coalesce(tx_bytes, 0) + coalesce(rx_bytes, 0)";
pub const SUM_BOTH_WAYS: &str = "sum(coalesce(tx_bytes, 0) + coalesce(rx_bytes, 0))";

/// Columns that say how often and when, for a group of lookups, which have a row
/// for each record of their answers.
const LOOKUPS: &str = "\
count(DISTINCT id) AS lookups,
       min(time) AS first_seen, max(time) AS last_seen";

/// The address of a record that is one.
const ADDRESS: &str = "CASE WHEN type IN ('A', 'AAAA') THEN data END";

/// What tells processes apart; NULL where it is not known which it was.
const PROCESS: &str = "pid || ' ' || coalesce(start_ts, '')";

/// The columns of an answer, what its rows are grouped by, and what orders rows that
/// are as good as each other.
pub struct Answer {
    pub columns: String,
    pub key: &'static str,
    pub ties: &'static str,
}

/// The columns of sums, or of connections or lookups themselves.
pub fn answer(question: &Question, sums: bool) -> Answer {
    let totals = match question.from {
        From::Connections if sums => summed_totals(),
        From::Connections => TOTALS.to_owned(),
        From::Lookups if sums => format!("{SUMMED_LOOKUP_TOTALS},\n       {}", summed_span()),
        From::Lookups => LOOKUP_TOTALS.to_owned(),
    };
    let lookups = match sums {
        true => format!("sum(lookups) AS lookups,\n       {}", summed_span()),
        false => LOOKUPS.to_owned(),
    };
    let last_ts = if sums { "last_ts" } else { "ts" };
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
       {lookups}",
                asked = asked(),
            ),
            "qname",
            "qname",
        ),
        (List::FailedLookups, _) => grouped(
            format!(
                "qname, qtype, coalesce(rcode, status) AS result,
       {asked},
       {lookups}",
                asked = asked(),
            ),
            "qname, qtype, result",
            "qname, qtype, result",
        ),
        (List::Count(counted), from) => {
            let rows = match from {
                From::Connections if sums => "sum(connections)",
                From::Connections => "count(*)",
                From::Lookups if sums => "sum(lookups)",
                From::Lookups => "count(DISTINCT id)",
            };
            let number = match counted {
                Counted::Rows => rows.to_owned(),
                Counted::Actors(actors) => format!(
                    "count(DISTINCT {})",
                    match actors {
                        Actors::Processes => "coalesce(exe, comm)",
                        Actors::Pids => PROCESS,
                        Actors::Containers => "container_id",
                        Actors::Images => "container_image",
                        Actors::Users => "uid",
                        Actors::Units => "unit",
                        Actors::Pods => "coalesce(pod_namespace, '') || '/' || pod",
                        Actors::Namespaces => "pod_namespace",
                    }
                ),
                Counted::Hosts if from == From::Lookups => "count(DISTINCT qname)".to_owned(),
                Counted::Hosts => "count(DISTINCT coalesce(host, dst_ip))".to_owned(),
                Counted::Addresses => "count(DISTINCT dst_ip)".to_owned(),
                Counted::Ports => "count(DISTINCT protocol || dst_port)".to_owned(),
            };
            grouped(format!("{number} AS number,\n       {totals}"), "", "")
        }
        (List::Bytes, _) => grouped(
            format!("{SUM_BOTH_WAYS} AS bytes,\n       {totals}"),
            "",
            "",
        ),
        (List::Actors(actors), From::Connections) => {
            let (columns, key) = group(actors, last_ts);
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
            let (columns, key) = group(actors, last_ts);
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

/// The columns that describe one of `actors`, and those that tell them apart. What may have
/// been renamed is shown as it was in the last of the rows, by the column `ts`.
fn group(actors: Actors, ts: &str) -> (String, &'static str) {
    let last = |name: &str| format!("substr(max(printf('%019d', {ts}) || {name}), 20)");
    let newest = |name: &str| format!("{} AS {name}", last(name));
    let pid = pid();
    let comm = if_one("comm", "comm", "comm");
    match actors {
        Actors::Processes => (
            format!(
                "comm, exe,
       {pid},
       uid, {user},
       container_id, {container}",
                user = newest("user"),
                container = newest("container_name"),
            ),
            "comm, exe, uid, container_id",
        ),
        Actors::Pids => (
            format!(
                "{comm}, {exe}, pid,
       {start} AS start,
       CAST({uid} AS INTEGER) AS uid, {user},
       {id}, {container}",
                comm = newest("comm"),
                exe = newest("exe"),
                start = iso("start_ts"),
                uid = last("uid"),
                user = newest("user"),
                id = newest("container_id"),
                container = newest("container_name"),
            ),
            "pid, start_ts",
        ),
        Actors::Containers => (
            format!(
                "container_id, {container},
       {image},
       {comm},
       count(DISTINCT comm) AS comms",
                container = newest("container_name"),
                image = newest("container_image"),
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
        Actors::Pods => (
            format!(
                "pod, pod_namespace,
       {comm},
       count(DISTINCT comm) AS comms"
            ),
            "pod, pod_namespace",
        ),
        Actors::Namespaces => (
            format!(
                "pod_namespace,
       {pod},
       count(DISTINCT pod) AS pods,
       {comm},
       count(DISTINCT comm) AS comms",
                pod = if_one("pod", "pod", "pod"),
            ),
            "pod_namespace",
        ),
        Actors::Users => (
            format!(
                "uid, {user},
       {comm},
       count(DISTINCT comm) AS comms",
                user = newest("user"),
            ),
            "uid",
        ),
    }
}

/// The columns that say who asked, for a group of lookups. A place is a container, or
/// the host outside of them.
fn asked() -> String {
    let comm = if_one("comm", "comm", "comm");
    let pid = pid();
    let place = "coalesce(container_name, '')";
    let container = if_one(place, "container_name", "container_name");
    format!(
        "{comm},
       count(DISTINCT comm) AS comms,
       {pid},
       {container},
       count(DISTINCT {place}) AS places"
    )
}

/// The pid where all rows are of one process, and how many processes they are of: one pid
/// may have been several.
fn pid() -> String {
    format!(
        "{},\n       count(DISTINCT {PROCESS}) AS pids",
        if_one(PROCESS, "pid", "pid")
    )
}

/// `value` where all rows of the group agree on `key`, else NULL.
fn if_one(key: &str, value: &str, name: &str) -> String {
    format!("CASE count(DISTINCT {key}) WHEN 1 THEN min({value}) END AS {name}")
}
