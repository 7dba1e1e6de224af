//! The columns that a statement selects for each projection.

use std::borrow::Cow;

use super::measure::{SUM_BOTH_WAYS, average, open_us};
use crate::query::ast::{Actors, Counted, Predicate, Projection, Property, Question, Relation};

/// How often, how much and when, for a group of connections.
const TOTALS: &str = "\
count(*) AS connections,
       sum(outcome IN ('refused', 'timeout', 'unreachable', 'reset', 'denied', 'failed')) AS failed,
       sum(tx_bytes) AS tx_bytes, sum(rx_bytes) AS rx_bytes,
       min(time) AS first_seen, max(time) AS last_seen";

/// The same from rollups.
fn rollup_totals() -> String {
    format!(
        "sum(connections) AS connections, sum(failed) AS failed,
       sum(tx_bytes) AS tx_bytes, sum(rx_bytes) AS rx_bytes,
       {}",
        rollup_times()
    )
}

/// The times of the first and the last that were totalled. Rollups store them as numbers.
fn rollup_times() -> String {
    format!(
        "{} AS first_seen,
       {} AS last_seen",
        iso("min(first_ts)"),
        iso("max(last_ts)")
    )
}

/// Nanoseconds since 1970 in the format of the views' `time` columns.
fn iso(ns: &str) -> String {
    format!(
        "strftime('%Y-%m-%dT%H:%M:%S', {ns} / 1000000000, 'unixepoch')
           || printf('.%03dZ', {ns} / 1000000 % 1000)"
    )
}

/// How often and when, for a group of lookups.
const LOOKUP_TOTALS: &str = "\
count(*) AS lookups, sum(rcode IS NOT 'NOERROR') AS failed,
       min(time) AS first_seen, max(time) AS last_seen";

/// The same from rollups.
const ROLLUP_LOOKUP_TOTALS: &str = "sum(lookups) AS lookups, sum(failed) AS failed";

/// How often and when, for a group of lookups that have one row per resource record.
const LOOKUPS: &str = "\
count(DISTINCT id) AS lookups,
       min(time) AS first_seen, max(time) AS last_seen";

/// The address in an address record.
const ADDRESS: &str = "CASE WHEN type IN ('A', 'AAAA') THEN data END";

/// Identifies a process; NULL if it is unknown.
const PROCESS: &str = "pid || ' ' || coalesce(start_ts, '')";

/// What identifies a host, if the addresses of DNS servers are one.
const FOLDED_HOST: &str = "host, CASE WHEN host IS NULL AND coalesce(dst_port, 0) NOT IN (53, 853, 5353, 5355)\n         \
                           THEN dst_ip END";

/// What identifies the content of an executable.
const HASH: &str = "comm, exe, container_image, exe_sha256, exe_hash_status, package, package_version, exe_modified";

/// Whether the file at a path had several contents; NULL if none is known.
const HASH_CHANGED: &str = "\
CASE min(exe_sha256) OVER (PARTITION BY exe, container_image)
         = max(exe_sha256) OVER (PARTITION BY exe, container_image)
       WHEN 1 THEN 'no' WHEN 0 THEN 'yes' END AS changed";

/// What identifies a decision.
const VERDICT: &str = "comm, exe, uid, container_id, host, dst_ip, dst_port, protocol, \
                       verdict, enforced, rule";

/// Whether DNS servers are one destination per port: every process talks to them, and one
/// of them is rarely asked for.
fn folds_dns(question: &Question) -> bool {
    let asked = |predicate: &Predicate| {
        matches!(
            predicate,
            Predicate::Port(_) | Predicate::Ports(..) | Predicate::To(_) | Predicate::Any(_)
        )
    };
    !question.new && !question.predicates.iter().any(asked)
}

/// The columns of an answer, what its rows are grouped by, and what breaks ties in their order.
pub struct Selection {
    pub columns: String,
    pub key: Cow<'static, str>,
    pub ties: Cow<'static, str>,
}

/// What to select for a question, from rollups or from single rows.
pub fn selection(question: &Question, use_rollups: bool) -> Selection {
    let totals = match question.relation {
        Relation::Connections if use_rollups => rollup_totals(),
        Relation::Connections => TOTALS.to_owned(),
        Relation::Lookups if use_rollups => {
            format!("{ROLLUP_LOOKUP_TOTALS},\n       {}", rollup_times())
        }
        Relation::Lookups => LOOKUP_TOTALS.to_owned(),
    };
    let lookups = match use_rollups {
        true => format!("sum(lookups) AS lookups,\n       {}", rollup_times()),
        false => LOOKUPS.to_owned(),
    };
    let last_ts = if use_rollups { "last_ts" } else { "ts" };
    let grouped = |columns: String, key: &'static str, ties: &'static str| Selection {
        columns,
        key: key.into(),
        ties: ties.into(),
    };
    let address = if_one("dst_ip", "dst_ip", "dst_ip");
    let sent = match question.is_about_sent_names() {
        true => ", proxied_host, sni, http_host",
        false => "",
    };
    let open = match question.is_about_durations() {
        true => format!(",\n       {} AS open_us", open_us()),
        false => String::new(),
    };
    match (question.projection, question.relation) {
        (Projection::Each, Relation::Connections) => grouped(
            format!(
                "id, time, comm, exe, pid, uid, user, container_id, container_name,
       host, dst_ip, dst_port, protocol, outcome, errno, latency_us,
       tx_bytes, rx_bytes, duration_us{open}{sent}"
            ),
            "",
            "id",
        ),
        (Projection::Each, Relation::Lookups) => grouped(
            "id, time, comm, exe, pid, uid, user, container_id, container_name,
       qname, qtype, coalesce(rcode, status) AS result, server_ip, latency_us"
                .to_owned(),
            "",
            "id",
        ),
        (Projection::Destinations, Relation::Connections) => {
            let host = match folds_dns(question) {
                true => FOLDED_HOST,
                false => "host, CASE WHEN host IS NULL THEN dst_ip END",
            };
            let (port, key, ties) = match question.having.is_empty() {
                true => (
                    "dst_port, protocol".to_owned(),
                    format!("{host}, dst_port, protocol").into(),
                    "host, dst_ip, dst_port, protocol",
                ),
                // "contacted only once": of all its ports
                false => (
                    format!(
                        "{},\n       {}",
                        if_one("dst_port", "dst_port", "dst_port"),
                        if_one("protocol", "protocol", "protocol")
                    ),
                    host.into(),
                    "host, dst_ip",
                ),
            };
            Selection {
                columns: format!(
                    "host,
       {address},
       count(DISTINCT dst_ip) AS addresses,
       {port},
       {totals}"
                ),
                key,
                ties: ties.into(),
            }
        }
        (Projection::Destinations, Relation::Lookups) => grouped(
            format!("qname,\n       {},\n       {totals}", requester()),
            "qname",
            "qname",
        ),
        (Projection::Addresses, _) => grouped(
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
        (Projection::Ports, _) => grouped(
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
        (Projection::Properties(property), relation) => {
            let (columns, key) = match (property, relation) {
                (Property::Outcome, Relation::Connections) => ("outcome, errno", "outcome, errno"),
                (Property::Outcome, Relation::Lookups) => (
                    "coalesce(rcode, status) AS result",
                    "coalesce(rcode, status)",
                ),
                (Property::Protocol, Relation::Connections) => ("protocol", "protocol"),
                (Property::Protocol, Relation::Lookups) => ("transport", "transport"),
                (Property::QueryType, _) => ("qtype", "qtype"),
                (Property::Country, _) => ("dst_country", "dst_country"),
                (Property::Network, _) => ("dst_asn, max(dst_as_org) AS dst_as_org", "dst_asn"),
            };
            let (what, named) = match relation {
                Relation::Connections => ("coalesce(host, dst_ip)", "host"),
                Relation::Lookups => ("qname", "qname"),
            };
            grouped(
                format!(
                    "{columns},
       {comm},
       count(DISTINCT comm) AS comms,
       {what_one},
       count(DISTINCT {what}) AS {named}s,
       {totals}",
                    comm = if_one("comm", "comm", "comm"),
                    what_one = if_one(what, what, named),
                ),
                key,
                key,
            )
        }
        (Projection::NeverContacted, _) => grouped(
            format!(
                "qname,
       {requester},
       group_concat(DISTINCT {ADDRESS}) AS ips,
       count(DISTINCT {ADDRESS}) AS addresses,
       {lookups}",
                requester = requester(),
            ),
            "qname",
            "qname",
        ),
        (Projection::FailedLookups, _) => grouped(
            format!(
                "qname, qtype, coalesce(rcode, status) AS result,
       {requester},
       {lookups}",
                requester = requester(),
            ),
            "qname, qtype, result",
            "qname, qtype, result",
        ),
        (Projection::Count(counted), relation) => {
            let rows = match relation {
                Relation::Connections if use_rollups => "sum(connections)",
                Relation::Connections => "count(*)",
                Relation::Lookups if use_rollups => "sum(lookups)",
                Relation::Lookups => "count(DISTINCT id)",
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
                        Actors::Executables => "exe",
                        Actors::CommandLines => "cmdline",
                        Actors::Parents => "parent_comm",
                        Actors::Machines => "machine",
                    }
                ),
                Counted::Hosts if relation == Relation::Lookups => {
                    "count(DISTINCT qname)".to_owned()
                }
                Counted::Hosts => "count(DISTINCT coalesce(host, dst_ip))".to_owned(),
                Counted::Addresses => "count(DISTINCT dst_ip)".to_owned(),
                Counted::Ports => "count(DISTINCT protocol || dst_port)".to_owned(),
            };
            grouped(format!("{number} AS number,\n       {totals}"), "", "")
        }
        (Projection::Bytes, _) => grouped(
            format!("{SUM_BOTH_WAYS} AS bytes,\n       {totals}"),
            "",
            "",
        ),
        (Projection::Sent, _) => {
            grouped(format!("sum(tx_bytes) AS sent,\n       {totals}"), "", "")
        }
        (Projection::Received, _) => grouped(
            format!("sum(rx_bytes) AS received,\n       {totals}"),
            "",
            "",
        ),
        (Projection::Average(measure), _) => {
            grouped(format!("{},\n       {totals}", average(measure)), "", "")
        }
        (Projection::DnsServers, _) => grouped(
            format!("server_ip, server_port, transport,\n       {totals}"),
            "server_ip, server_port, transport",
            "server_ip, server_port, transport",
        ),
        (
            Projection::Pairs(actors)
            | Projection::FirstHosts(actors)
            | Projection::FirstActors(actors),
            relation,
        ) => {
            let columns = group(actors, last_ts);
            let (host, pair) = match relation {
                Relation::Connections => (
                    "coalesce(host, dst_ip) AS host",
                    format!("{}, coalesce(host, dst_ip)", key(actors)),
                ),
                // the parser asks for no others that lookups have not
                Relation::Lookups => ("qname", format!("{}, qname", key(actors))),
            };
            Selection {
                columns: format!("{columns},\n       {host},\n       {totals}"),
                key: pair.clone().into(),
                ties: pair.into(),
            }
        }
        (Projection::Hashes, _) => grouped(
            format!(
                "comm, exe, container_image, exe_sha256, exe_hash_status,
       {HASH_CHANGED},
       package, package_version, exe_modified,
       {totals}"
            ),
            HASH,
            HASH,
        ),
        (Projection::Rules, _) => grouped(
            format!(
                "rule, verdict,
       sum(enforced = 0) AS observed,
       {comm},
       count(DISTINCT comm) AS comms,
       {host},
       {address},
       count(DISTINCT coalesce(host, dst_ip)) AS hosts,
       {totals}",
                comm = if_one("comm", "comm", "comm"),
                host = if_one("coalesce(host, dst_ip)", "host", "host"),
            ),
            "rule, verdict",
            "rule, verdict",
        ),
        (Projection::Verdicts, _) => grouped(
            format!(
                "comm, exe, uid, user, container_id, container_name,
       host, dst_ip, dst_port, protocol,
       verdict, enforced, rule,
       {totals}"
            ),
            VERDICT,
            VERDICT,
        ),
        // They have statements of their own.
        (
            Projection::Answers
            | Projection::NamesOfAddress
            | Projection::Beacons
            | Projection::Changes(_)
            | Projection::Summary,
            _,
        ) => grouped(totals, "", ""),
        (Projection::Actors(actors), Relation::Connections) => {
            let (columns, key) = (group(actors, last_ts), key(actors));
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
        (Projection::Actors(actors), Relation::Lookups) => {
            let (columns, key) = (group(actors, last_ts), key(actors));
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

/// Of an answer with the first of each: the columns that tell those apart, and those that break ties
/// within each.
pub fn ranked_within(question: &Question) -> Option<(&'static str, &'static str)> {
    let host = match question.relation {
        Relation::Connections => "host",
        Relation::Lookups => "qname",
    };
    match question.projection {
        Projection::FirstHosts(of) => Some((shown_key(of), host)),
        Projection::FirstActors(of) => Some((host, shown_key(of))),
        _ => None,
    }
}

/// The columns that an answer shows of actors to tell them apart.
fn shown_key(actors: Actors) -> &'static str {
    match actors {
        Actors::Pids => "pid, start",
        actors => key(actors),
    }
}

/// What identifies an actor, in the views of both relations as far as they have it.
pub fn key(actors: Actors) -> &'static str {
    match actors {
        Actors::Processes => "comm, exe, uid, container_id",
        Actors::Pids => "pid, start_ts",
        Actors::Containers => "container_id",
        Actors::Images => "container_image",
        Actors::Users => "uid",
        Actors::Units => "unit",
        Actors::Pods => "pod, pod_namespace",
        Actors::Namespaces => "pod_namespace",
        Actors::Executables => "exe",
        Actors::CommandLines => "cmdline",
        Actors::Parents => "parent_comm",
        Actors::Machines => "machine",
    }
}

/// The columns that describe one of `actors`. What can be renamed
/// is shown with its name in the newest row, by the column `ts`.
fn group(actors: Actors, ts: &str) -> String {
    let last = |name: &str| format!("substr(max(printf('%019d', {ts}) || {name}), 20)");
    let newest = |name: &str| format!("{} AS {name}", last(name));
    let pid = pid();
    let comm = if_one("comm", "comm", "comm");
    match actors {
        Actors::Processes => format!(
            "comm, exe,
       {pid},
       uid, {user},
       container_id, {container}",
            user = newest("user"),
            container = newest("container_name"),
        ),
        Actors::Pids => format!(
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
        Actors::Containers => format!(
            "container_id, {container},
       {image},
       {comm},
       count(DISTINCT comm) AS comms",
            container = newest("container_name"),
            image = newest("container_image"),
        ),
        Actors::Images => format!(
            "container_image,
       count(DISTINCT container_id) AS containers,
       {comm},
       count(DISTINCT comm) AS comms"
        ),
        Actors::Units => format!(
            "unit,
       {comm},
       count(DISTINCT comm) AS comms"
        ),
        Actors::Pods => format!(
            "pod, pod_namespace,
       {comm},
       count(DISTINCT comm) AS comms"
        ),
        Actors::Namespaces => format!(
            "pod_namespace,
       {pod},
       count(DISTINCT pod) AS pods,
       {comm},
       count(DISTINCT comm) AS comms",
            pod = if_one("pod", "pod", "pod"),
        ),
        Actors::Executables => format!(
            "exe,
       {pid},
       {comm},
       count(DISTINCT comm) AS comms"
        ),
        Actors::CommandLines => format!(
            "cmdline,
       {comm},
       {pid}"
        ),
        Actors::Parents => format!(
            "parent_comm,
       {comm},
       count(DISTINCT comm) AS comms"
        ),
        Actors::Machines => format!(
            "machine,
       {comm},
       count(DISTINCT comm) AS comms"
        ),
        Actors::Users => format!(
            "uid, {user},
       {comm},
       count(DISTINCT comm) AS comms",
            user = newest("user"),
        ),
    }
}

/// The columns that describe the requesters of a group of lookups. A place is a container, or
/// the host outside of containers.
fn requester() -> String {
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

/// The pid if all rows are of one process, and the number of processes: a pid can be reused.
fn pid() -> String {
    format!(
        "{},\n       count(DISTINCT {PROCESS}) AS pids",
        if_one(PROCESS, "pid", "pid")
    )
}

/// `value` if all rows of the group agree on `key`, otherwise NULL.
fn if_one(key: &str, value: &str, name: &str) -> String {
    format!("CASE count(DISTINCT {key}) WHEN 1 THEN min({value}) END AS {name}")
}
