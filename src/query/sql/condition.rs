//! Predicates as SQL conditions.

use super::{doh, measure};
use crate::query::ast::{Actors, ExecutableKind, Predicate, Relation, Subject};
use crate::query::host::{Host, forms};
use crate::text::printable;

/// The range of IPv4-mapped addresses starts at `::ffff:0.0.0.0`.
const IPV4_FIRST: u128 = 0xffff_0000_0000;
const IPV4_LAST: u128 = 0xffff_ffff_ffff;

/// Bytes of a process name that the kernel keeps: TASK_COMM_LEN less its NUL.
pub const COMM_BYTES: usize = 15;

/// The outcomes that count as failures.
pub const FAILURES: &str = "'refused', 'timeout', 'unreachable', 'reset', 'denied', 'failed'";

/// The verdicts that refuse.
const REFUSING: &str = "'block', 'suspend', 'kill', 'dump'";

/// Ports of DNS servers, which are dialled by address: DNS, DNS over TLS, multicast DNS, LLMNR.
const DNS_PORTS: &str = "53, 853, 5353, 5355";

/// The condition that a connection is not to such a port.
pub const NO_RESOLVER: &str = "coalesce(dst_port, 0) NOT IN (53, 853, 5353, 5355)";

/// A predicate as an SQL condition on the view of `relation`.
pub fn condition(relation: Relation, predicate: &Predicate) -> String {
    match (predicate, relation) {
        (Predicate::By(Subject::Tree(of)), relation) => tree(&by(of), relation),
        (Predicate::By(subject), _) => by(subject),
        (Predicate::To(host), Relation::Connections) => hit(host, "host"),
        (Predicate::To(host), Relation::Lookups) => hit(host, "qname"),
        (Predicate::Failed, Relation::Connections) => format!("outcome IN ({FAILURES})"),
        (Predicate::Failed, Relation::Lookups) => "rcode IS NOT 'NOERROR'".to_owned(),
        (Predicate::Succeeded, Relation::Connections) => {
            "outcome IN ('connected', 'sent')".to_owned()
        }
        (Predicate::Succeeded, Relation::Lookups) => "rcode = 'NOERROR'".to_owned(),
        // Whether connections of an earlier recording are still open is unknown.
        (Predicate::Open, _) => measure::OPEN.to_owned(),
        (Predicate::Scope(scope), _) => format!("dst_scope = '{scope}'"),
        (Predicate::Port(port), _) => format!("dst_port = {port}"),
        (Predicate::Ports(first, last), _) => format!("dst_port BETWEEN {first} AND {last}"),
        (Predicate::SourcePort(port), _) => format!("src_port = {port}"),
        (Predicate::SourceAddress(host), _) => source_address(host),
        (Predicate::Server(host), _) => server(host),
        (Predicate::Rcode(rcode), _) => format!("rcode = '{rcode}'"),
        (Predicate::Unanswered, _) => "status = 'unanswered'".to_owned(),
        (Predicate::SinceBoot, _) => {
            "ts >= (SELECT min(start_ts) FROM recordings WHERE boot_id IS\n    \
             (SELECT boot_id FROM recordings ORDER BY id DESC LIMIT 1))"
                .to_owned()
        }
        (Predicate::Compared(comparison), _) => measure::compared(comparison, |of| {
            measure::compared_of_row(of, comparison.operator)
        }),
        // A condition on a column that is NULL is not met, so its opposite is.
        (Predicate::Not(of), relation) => {
            format!("NOT coalesce(({}), 0)", condition(relation, of))
        }
        (Predicate::Elsewhere(of), Relation::Connections) => format!(
            "NOT coalesce(({}), 0) AND {NO_RESOLVER}\n    AND direction IS NOT 'in'",
            condition(relation, of)
        ),
        (Predicate::Elsewhere(of), Relation::Lookups) => {
            format!("NOT coalesce(({}), 0)", condition(relation, of))
        }
        (Predicate::Any(of), relation) => joined(relation, of, "OR"),
        (Predicate::All(of), relation) => joined(relation, of, "AND"),
        (Predicate::Protocol(protocol), _) => format!("protocol = '{protocol}'"),
        (Predicate::Family(family), _) => format!("family = {family}"),
        (Predicate::Outcome(outcome), _) => format!("outcome = '{outcome}'"),
        (Predicate::Source(source), _) => format!("host_source = '{source}'"),
        (Predicate::Direction(direction), _) => format!("direction = '{direction}'"),
        (Predicate::Blocked, _) => {
            format!("(outcome = 'denied' OR enforced = 1 AND verdict IN ({REFUSING}))")
        }
        (Predicate::WouldBlock, _) => format!("enforced = 0 AND verdict IN ({REFUSING})"),
        (Predicate::Verdict(verdict), _) => format!("verdict = '{verdict}'"),
        (Predicate::Rule(name), _) => format!("rule = {}", literal(name)),
        (Predicate::DnsOverHttps, _) => doh::condition(),
        (Predicate::Sent(host), Relation::Connections) => {
            let any = sent(host).map(|one| format!("({one})"));
            format!("({})", any.join("\n    OR "))
        }
        (Predicate::Sent(_), Relation::Lookups) => "0".to_owned(),
        (Predicate::Country(code), Relation::Connections) => format!(
            "dst_country IS NOT NULL AND {}",
            rare(&format!("dst_country = {}", literal(code)))
        ),
        (Predicate::Country(_), Relation::Lookups) => "0".to_owned(),
        (Predicate::OtherName, _) => {
            "(host_source IS NOT 'sni' AND coalesce(sni, http_host) <> host \
             AND proxied_host IS NULL)"
                .to_owned()
        }
    }
}

/// The conditions of `of`, joined by an operator.
fn joined(relation: Relation, of: &[Predicate], operator: &str) -> String {
    let all = of
        .iter()
        .map(|predicate| format!("({})", condition(relation, predicate)));
    format!(
        "({})",
        all.collect::<Vec<_>>().join(&format!("\n    {operator} "))
    )
}

/// The condition that a connection came from this local address.
fn source_address(host: &Host) -> String {
    textual(host, "src_ip")
}

/// The condition that a lookup went to this server.
fn server(host: &Host) -> String {
    textual(host, "server_ip")
}

/// The condition that a column, which has no binary form, is this address.
fn textual(host: &Host, column: &str) -> String {
    match host {
        Host::Addresses { first, last } if first == last => {
            let address = std::net::Ipv6Addr::from_bits(*first).to_canonical();
            format!("{column} = '{address}'")
        }
        // The parser refuses networks and names here.
        _ => "0".to_owned(),
    }
}

/// The condition that the actor of a row is known.
pub fn known(actors: Actors, relation: Relation) -> Option<String> {
    let column = match actors {
        Actors::Containers => "container_id",
        Actors::Images => "container_image",
        Actors::Units => "unit",
        Actors::Pods => "pod",
        Actors::Namespaces => "pod_namespace",
        Actors::Executables => "exe",
        Actors::CommandLines => "cmdline",
        Actors::Parents => "parent_comm",
        Actors::Machines => "machine",
        Actors::Processes | Actors::Pids | Actors::Users if relation == Relation::Lookups => "uid",
        Actors::Processes | Actors::Pids | Actors::Users => return None,
    };
    Some(format!("{column} IS NOT NULL"))
}

/// The condition that a row's name in `column`, or its destination, matches `host`.
fn hit(host: &Host, column: &str) -> String {
    match host {
        Host::Domain(name) => any_form(column, name, |name| {
            format!("{column} = {} OR {}", literal(name), below(column, name))
        }),
        Host::Exact(name) => any_form(column, name, |name| format!("{column} = {}", literal(name))),
        Host::Subdomains(name) => any_form(column, name, |name| below(column, name)),
        Host::Label(label) => any_form(column, label, |label| {
            format!("'.' || {column} || '.' LIKE {}", like("%.", label, ".%"))
        }),
        Host::Begins(text) => any_form(column, text, |text| {
            format!("{column} LIKE {}", like("", text, "%"))
        }),
        Host::Ends(text) => any_form(column, text, |text| {
            format!("{column} LIKE {}", like("%", text, ""))
        }),
        Host::Contains(text) => any_form(column, text, |text| {
            format!("{column} LIKE {}", like("%", text, "%"))
        }),
        Host::Addresses { first, last } if first == last => format!("dst_addr = x'{first:032x}'"),
        Host::Addresses { first, last } => {
            let range = format!("dst_addr BETWEEN x'{first:032x}' AND x'{last:032x}'");
            // A large IPv6 network contains the mapped IPv4 addresses, but does not mean
            // them.
            match *first < IPV4_FIRST && IPV4_LAST <= *last {
                true => format!("{range} AND family = 6"),
                false => range,
            }
        }
        Host::Network(number) => format!(
            "dst_asn IS NOT NULL AND {}",
            rare(&format!("dst_asn = {number}"))
        ),
        Host::Raw => format!(
            "host IS NULL\n  AND dst_scope <> 'multicast'\n  AND coalesce(dst_port, 0) NOT IN ({DNS_PORTS})"
        ),
    }
}

/// The conditions that a connection sent this name, by TLS, by HTTP or to a proxy. Each alone lets
/// SQLite start from the names that were sent, which are few; joined by OR they don't.
pub fn sent(host: &Host) -> [String; 3] {
    ["sni", "http_host", "proxied_host"].map(|column| hit(host, column))
}

/// The condition that `one` gives for any of the forms of a name.
fn any_form(column: &str, name: &str, one: impl Fn(&str) -> String) -> String {
    let forms = forms(name).iter().map(|name| one(name)).collect::<Vec<_>>();
    rare_of(column, &forms.join(" OR "))
}

/// Marks `condition` as one that few rows meet: SQLite then starts from those few names or
/// processes and looks up their connections, instead of scanning all connections.
pub fn rare(condition: &str) -> String {
    format!("likelihood({condition}, 0.001)")
}

/// The same for a table that the view outer-joins: requiring that one of its columns is not
/// NULL makes it an inner join, which SQLite can start from.
fn rare_of(column: &str, condition: &str) -> String {
    format!("{column} IS NOT NULL\n  AND {}", rare(condition))
}

/// The condition that a name is a subdomain of this one.
fn below(column: &str, name: &str) -> String {
    format!("{column} LIKE {}", like("%.", name, ""))
}

/// The right side of LIKE: a text between two patterns.
fn like(before: &str, text: &str, after: &str) -> String {
    let escaped = text
        .replace('\\', r"\\")
        .replace('%', r"\%")
        .replace('_', r"\_");
    format!(
        "{} ESCAPE '\\'",
        literal(&format!("{before}{escaped}{after}"))
    )
}

/// The condition that a connection was made by `subject`.
fn by(subject: &Subject) -> String {
    match subject {
        Subject::Process(name) => process(name),
        Subject::Pid(pid) => pid_is(*pid),
        Subject::Tree(of) => tree(&by(of), Relation::Connections),
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
        Subject::Machine(name) => format!("machine = {}", literal(name)),
        Subject::Labelled(key, value) => {
            format!("label({}) = {}", literal(key), literal(value))
        }
        Subject::Shells => {
            rare("comm IN ('bash', 'sh', 'dash', 'zsh', 'ksh', 'fish', 'ash', 'tcsh')")
        }
        Subject::AnyContainer => "container_id IS NOT NULL".to_owned(),
        Subject::AnyService => "unit LIKE '%.service'".to_owned(),
        Subject::AnyUnit => "unit IS NOT NULL".to_owned(),
        Subject::ExecutableIn(directory) => {
            let directory = format!("{}/", directory.trim_end_matches('/'));
            format!("exe LIKE {}", like("", &directory, "%"))
        }
        Subject::CommandLine(part) => {
            rare_of("cmdline", &format!("cmdline LIKE {}", like("%", part, "%")))
        }
        Subject::Executables(kind) => rare(match kind {
            ExecutableKind::Deleted => "exe_deleted = 1",
            ExecutableKind::Unpackaged => "exe_packaged = 0",
            ExecutableKind::Modified => "exe_modified = 1",
            ExecutableKind::SetUserId => "exe_setuid = 1",
            ExecutableKind::InWorldWritable => "exe_world_writable_dir = 1",
            ExecutableKind::OtherRights => "euid <> uid",
        }),
        Subject::Those { of, relation, did } => those(*of, *relation, did),
        Subject::Namespace(name) => rare_of(
            "pod_namespace",
            &format!("pod_namespace = {}", literal(name)),
        ),
        Subject::User(name) => user("user", "uid", name),
        Subject::EffectiveUser(name) => user("euser", "euid", name),
    }
}

/// The condition that a user has this name, or this id.
fn user(column: &str, id: &str, name: &str) -> String {
    // whatever uid 0 is called, if it has a name at all
    let uid = match name {
        "root" => Ok(0),
        name => name.parse::<u32>(),
    };
    let uid = uid.map(|uid| format!(" OR {id} = {uid}"));
    rare(&format!(
        "{column} = {}{}",
        literal(name),
        uid.unwrap_or_default()
    ))
}

/// The condition that a process was in a pod with this name.
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

/// The condition that an ancestor of a process, at any depth, meets `condition`. With IN,
/// SQLite first finds the few ancestors that do, instead of walking up from each connection.
fn below_process(condition: &str) -> String {
    format!("process_id IN (SELECT process_id FROM ancestors WHERE {condition})")
}

/// The condition that a process or one of its ancestors meets `condition`.
fn tree(condition: &str, relation: Relation) -> String {
    let view = match relation {
        Relation::Connections => "egress_total",
        Relation::Lookups => "lookups_total",
    };
    format!(
        "process_id IN (SELECT process_id FROM ancestors WHERE {condition}\n    \
         UNION SELECT process_id FROM {view} WHERE {condition})"
    )
}

/// The condition that a process, user or container has a row that meets `did`, at any time.
fn those(of: Actors, relation: Relation, did: &Predicate) -> String {
    let key = match of {
        Actors::Users => "uid",
        Actors::Containers => "container_id",
        // a process that was recorded twice is one
        _ => "json_array(pid, start_ts)",
    };
    let view = match (relation, is_covered(did)) {
        (Relation::Connections, true) => "egress_total",
        (Relation::Connections, false) => "egress",
        (Relation::Lookups, true) => "lookups_total",
        (Relation::Lookups, false) => "lookups",
    };
    let did = condition(relation, did).replace('\n', "\n    ");
    format!("{key} IN (SELECT {key} FROM {view} WHERE {did})")
}

/// Whether rollups have the columns of a predicate.
pub(super) fn is_covered(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::Open
        | Predicate::SourcePort(_)
        | Predicate::SourceAddress(_)
        | Predicate::SinceBoot
        | Predicate::Compared(_)
        | Predicate::Blocked
        | Predicate::WouldBlock
        | Predicate::Verdict(_)
        | Predicate::Rule(_)
        | Predicate::By(Subject::Executables(_)) => false,
        Predicate::Not(of) => is_covered(of),
        Predicate::Elsewhere(_) => false,
        Predicate::Any(of) | Predicate::All(of) => of.iter().all(is_covered),
        _ => true,
    }
}

/// The condition that a process is called `name`: the kernel's short name, or the end of its
/// executable's path.
fn process(name: &str) -> String {
    if name.starts_with('/') {
        return rare(&format!("comm = {0} OR exe = {0}", literal(name)));
    }
    let end = format!("/{name}");
    let by_exe = format!("substr(exe, -{}) = {}", end.chars().count(), literal(&end));
    let by_comm = match name.as_bytes().get(..COMM_BYTES) {
        Some(cut) if name.len() > COMM_BYTES => {
            // The kernel truncates the short name, so that another long name may look the
            // same: it matches unless the executable shows that it is another one.
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

/// `text` as an SQL expression, in hexadecimal if it contains unprintable characters: a
/// statement that is shown must not control the terminal, and SQL text ends at a NUL.
fn literal(text: &str) -> String {
    if printable(text) == text {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let hex = text.bytes().map(|byte| format!("{byte:02x}"));
    format!("CAST(x'{}' AS TEXT)", hex.collect::<String>())
}
