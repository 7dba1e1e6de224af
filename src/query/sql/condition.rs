//! The conditions of a question as those of SQL.

use super::super::host::Host;
use super::super::question::{Actors, From, Only, Subject};
use crate::text::printable;

/// The first of the addresses that stand for IPv4: `::ffff:0.0.0.0`.
const IPV4_FIRST: u128 = 0xffff_0000_0000;
const IPV4_LAST: u128 = 0xffff_ffff_ffff;

/// Bytes of a process name that the kernel keeps: TASK_COMM_LEN less its NUL.
pub const COMM_BYTES: usize = 15;

/// The outcomes that are failures.
pub const FAILURES: &str = "'refused', 'timeout', 'unreachable', 'reset', 'denied', 'failed'";

/// Whom egrets takes for a DNS server, and whose names are not looked up: DNS, DNS
/// over TLS, multicast DNS, LLMNR.
const DNS_PORTS: &str = "53, 853, 5353, 5355";

/// A condition of a question as one of SQL.
pub fn condition(from: From, only: &Only) -> String {
    match (only, from) {
        (Only::By(Subject::Tree(of)), from) => tree(&by(of), from),
        (Only::By(subject), _) => by(subject),
        (Only::To(host), From::Connections) => hit(host, "host"),
        (Only::To(host), From::Lookups) => hit(host, "qname"),
        (Only::Failed, From::Connections) => format!("outcome IN ({FAILURES})"),
        (Only::Failed, From::Lookups) => "rcode IS NOT 'NOERROR'".to_owned(),
        (Only::Succeeded, From::Connections) => "outcome IN ('connected', 'sent')".to_owned(),
        (Only::Succeeded, From::Lookups) => "rcode = 'NOERROR'".to_owned(),
        // What an earlier recording saw open is not known to be.
        (Only::Open, _) => "outcome IN ('connected', 'in_progress') AND duration_us IS NULL\n  \
             AND ts >= (SELECT max(start_ts) FROM recordings)"
            .to_owned(),
        (Only::Scope(scope), _) => format!("dst_scope = '{scope}'"),
        (Only::Port(port), _) => format!("dst_port = {port}"),
        (Only::Protocol(protocol), _) => format!("protocol = '{protocol}'"),
        (Only::Family(family), _) => format!("family = {family}"),
        (Only::Outcome(outcome), _) => format!("outcome = '{outcome}'"),
        (Only::Source(source), _) => format!("host_source = '{source}'"),
    }
}

/// The condition that a row says which of `actors` it is of.
pub fn known(actors: Actors, from: From) -> Option<String> {
    let column = match actors {
        Actors::Containers => "container_id",
        Actors::Images => "container_image",
        Actors::Units => "unit",
        Actors::Pods => "pod",
        Actors::Namespaces => "pod_namespace",
        Actors::Processes | Actors::Pids | Actors::Users if from == From::Lookups => "uid",
        Actors::Processes | Actors::Pids | Actors::Users => return None,
    };
    Some(format!("{column} IS NOT NULL"))
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
        Host::Exact(name) => rare_of(column, &format!("{column} = {}", literal(name))),
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
            "host IS NULL\n  AND dst_scope <> 'multicast'\n  AND coalesce(dst_port, 0) NOT IN ({DNS_PORTS})"
        ),
    }
}

/// `condition`, marked as one that few rows meet: SQLite then looks for those
/// few names or processes and from there for their connections, instead of
/// going through every connection.
pub fn rare(condition: &str) -> String {
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
        Subject::Tree(of) => tree(&by(of), From::Connections),
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
        Subject::Pod(name) => pod(name),
        Subject::Namespace(name) => rare_of(
            "pod_namespace",
            &format!("pod_namespace = {}", literal(name)),
        ),
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

/// The condition that a process was in a pod of this name.
fn pod(name: &str) -> String {
    let (namespace, name) = match name.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, name),
    };
    let named = match name.strip_suffix('*') {
        Some(start) => format!(
            "substr(pod, 1, {}) = {}",
            start.chars().count(),
            literal(start)
        ),
        None => format!("pod = {}", literal(name)),
    };
    let namespace = namespace.map(|of| format!(" AND pod_namespace = {}", literal(of)));
    rare_of("pod", &(named + &namespace.unwrap_or_default()))
}

fn pid_is(pid: u32) -> String {
    rare(&format!("pid = {pid}"))
}

/// The condition that something above a process, at any depth, meets `condition`. By IN:
/// the few that do are then looked for first, and not those above each connection.
fn below_process(condition: &str) -> String {
    format!("process_id IN (SELECT process_id FROM ancestors WHERE {condition})")
}

/// The condition that a process, or something above it, meets `condition`.
fn tree(condition: &str, from: From) -> String {
    let view = match from {
        From::Connections => "egress_total",
        From::Lookups => "lookups_total",
    };
    format!(
        "process_id IN (SELECT process_id FROM ancestors WHERE {condition}\n    \
         UNION SELECT process_id FROM {view} WHERE {condition})"
    )
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
