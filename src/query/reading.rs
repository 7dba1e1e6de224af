//! How a question was read, in words: what stands under an empty answer and behind
//! `--explain`.

use chrono::{DateTime, TimeZone, Utc};

use super::ast::{
    Actors, Bucket, Comparison, Counted, ExecutableKind, Limit, Measure, Operator, Predicate,
    Projection, Property, Question, Ranking, Relation, Share, Subject,
};
use super::host::Host;
use crate::text::printable;

/// The question in words of the grammar, with times in the zone of `now`.
pub fn reading<Tz: TimeZone>(
    question: &Question,
    (since, until): (Option<i64>, Option<i64>),
    now: &DateTime<Tz>,
) -> String
where
    Tz::Offset: std::fmt::Display,
{
    let mut said = vec![match &question.share {
        Some(of) => share(of, question),
        None => listed(question),
    }];
    let says_failed = matches!(question.projection, Projection::FailedLookups);
    let predicates = question.predicates.iter();
    let predicates = predicates.filter(|p| !says_failed || !matches!(p, Predicate::Failed));
    said.extend(predicates.map(predicate));
    said.extend(
        question
            .also
            .iter()
            .map(|also| format!("{} {}", also_were(also), predicate(also))),
    );
    said.extend(question.never.iter().map(|never| match never {
        Predicate::By(_) => format!("but never {}", predicate(never)),
        Predicate::Not(of) if is_by(of) => {
            format!("and by none else than {}", predicate(of))
        }
        Predicate::Elsewhere(of) if question.relation == Relation::Lookups => {
            format!("and nothing else than {}", predicate(of))
        }
        Predicate::Elsewhere(of) => {
            format!("and nowhere else than {}, DNS servers apart", predicate(of))
        }
        _ => format!("that never went {}", predicate(never)),
    }));
    said.extend(
        question
            .average
            .map(|of| format!("with the average {} of each", measure(of))),
    );
    said.extend(
        question
            .having
            .iter()
            .map(|of| format!("with {}", comparison(of))),
    );
    said.extend(question.without.map(|other| {
        match other {
            Relation::Connections => "who made no connection, DNS servers apart",
            Relation::Lookups => "of whom no lookup was seen",
        }
        .to_owned()
    }));
    if question.new {
        said.push("that were not seen before".to_owned());
    }
    said.extend(question.bucket.map(|bucket| {
        format!(
            "per {}",
            match bucket {
                Bucket::Minutes(n) => format!("{n} minutes"),
                Bucket::Hours(n) => format!("{n} hours"),
                other => other.column().to_owned(),
            }
        )
    }));
    let time = |ns: i64| {
        DateTime::<Utc>::from_timestamp_nanos(ns)
            .with_timezone(&now.timezone())
            .format("%Y-%m-%d %H:%M:%S")
    };
    if let Projection::Changes(before) = question.projection {
        said.push(format!("compared with the time from {}", time(before)));
    }
    match (since, until) {
        (Some(since), Some(until)) => said.push(format!("from {} to {}", time(since), time(until))),
        (Some(since), None) => said.push(format!("since {}", time(since))),
        (None, Some(until)) => said.push(format!("before {}", time(until))),
        (None, None) => {}
    }
    let of_each = matches!(
        question.projection,
        Projection::FirstHosts(_) | Projection::FirstActors(_)
    );
    said.extend(question.ranking.map(|order| ranking(order, of_each)));
    said.join(", ")
}

/// A share in words: of what, and what counts.
fn share(of: &Share, question: &Question) -> String {
    let rows = match (of.of, question.relation) {
        (Measure::Rows, Relation::Connections) => "connections",
        (Measure::Rows, Relation::Lookups) => "lookups",
        (Measure::Bytes, _) => "bytes sent and received",
        (of, _) => measure(of),
    };
    // "connections that failed", but "bytes sent on connections to x.org"
    let on = if of.of == Measure::Rows {
        ""
    } else {
        " on connections"
    };
    let which = |part: &Predicate| match part {
        Predicate::Failed | Predicate::Succeeded => format!("that {}", predicate(part)),
        _ => predicate(part),
    };
    let part = match of.part.as_slice() {
        [] => "all".to_owned(),
        part => format!(
            "{rows}{on} {}",
            Vec::from_iter(part.iter().map(which)).join(" ")
        ),
    };
    match question.projection.is_grouped() {
        true if of.part.is_empty() => {
            format!("{}, each with its share of {rows}", listed(question))
        }
        true => format!("{}, each with the share of its {part}", listed(question)),
        false => format!("share of {part}"),
    }
}

/// Whether it says who acted.
fn is_by(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::By(_) => true,
        Predicate::Any(all) | Predicate::All(all) => all.iter().all(is_by),
        _ => false,
    }
}

fn listed(question: &Question) -> String {
    let rows = match question.relation {
        Relation::Connections => "connections",
        Relation::Lookups => "lookups",
    };
    match question.projection {
        Projection::Actors(of) => format!("{} of {rows}", actors(of)),
        Projection::Destinations => match question.relation {
            Relation::Connections => "hosts of connections".to_owned(),
            Relation::Lookups => "names of lookups".to_owned(),
        },
        Projection::Addresses => "addresses of connections".to_owned(),
        Projection::Ports => "ports of connections".to_owned(),
        Projection::Properties(Property::Outcome) => format!("outcomes of {rows}"),
        Projection::Properties(Property::Protocol) => format!("protocols of {rows}"),
        Projection::Properties(Property::QueryType) => format!("query types of {rows}"),
        Projection::Properties(Property::Country) => format!("countries of {rows}"),
        Projection::Properties(Property::Network) => format!("autonomous systems of {rows}"),
        Projection::Each => rows.to_owned(),
        Projection::Count(Counted::Rows) => format!("number of {rows}"),
        Projection::Count(Counted::Actors(of)) => format!("number of {} of {rows}", actors(of)),
        Projection::Count(Counted::Hosts) => format!("number of hosts of {rows}"),
        Projection::Count(Counted::Addresses) => "number of addresses".to_owned(),
        Projection::Count(Counted::Ports) => "number of ports".to_owned(),
        Projection::Bytes => "bytes sent and received".to_owned(),
        Projection::Sent => "bytes sent".to_owned(),
        Projection::Received => "bytes received".to_owned(),
        Projection::Average(of) => format!("average {} of {rows}", measure(of)),
        Projection::Pairs(of) | Projection::FirstHosts(of) => {
            format!("hosts of each of the {}", actors(of))
        }
        Projection::FirstActors(of) => format!("{} of each of the hosts", actors(of)),
        Projection::Answers => "records of DNS answers".to_owned(),
        Projection::NamesOfAddress => "names of an address".to_owned(),
        Projection::DnsServers => "DNS servers of lookups".to_owned(),
        Projection::Beacons => "connections at regular intervals".to_owned(),
        Projection::Changes(_) => "hosts with more or fewer connections".to_owned(),
        Projection::Summary => "totals of connections and lookups".to_owned(),
        Projection::NeverContacted => "names that were resolved and never contacted".to_owned(),
        Projection::FailedLookups => "failed lookups".to_owned(),
        Projection::Hashes => "hashes of executables".to_owned(),
        Projection::Rules => "rules of policies that decided on connections".to_owned(),
        Projection::Verdicts => "what policies decided on connections".to_owned(),
    }
}

fn actors(actors: Actors) -> &'static str {
    match actors {
        Actors::Processes => "processes",
        Actors::Pids => "pids",
        Actors::Containers => "containers",
        Actors::Images => "images",
        Actors::Users => "users",
        Actors::Units => "units",
        Actors::Pods => "pods",
        Actors::Namespaces => "namespaces",
        Actors::Executables => "executables",
        Actors::CommandLines => "command lines",
        Actors::Parents => "parents",
        Actors::Machines => "machines",
    }
}

fn also_were(predicate: &Predicate) -> &'static str {
    match predicate {
        Predicate::By(_) => "that were contacted",
        _ => "that also went",
    }
}

/// A predicate in words.
pub fn predicate(predicate: &Predicate) -> String {
    match predicate {
        Predicate::By(of) => format!("by {}", subject(of)),
        Predicate::To(of) => format!("to {}", host(of)),
        Predicate::Port(port) => format!("on port {port}"),
        Predicate::Ports(first, last) => format!("on ports {first} to {last}"),
        Predicate::SourcePort(port) => format!("from source port {port}"),
        Predicate::SourceAddress(of) => format!("from source {}", host(of)),
        Predicate::Server(of) => format!("sent to {}", host(of)),
        Predicate::Rcode(rcode) => format!("answered with {rcode}"),
        Predicate::Unanswered => "unanswered".to_owned(),
        Predicate::SinceBoot => "since the last boot".to_owned(),
        Predicate::Compared(of) => format!("with {}", comparison(of)),
        Predicate::Not(of) => format!("not {}", self::predicate(of)),
        Predicate::Elsewhere(of) => {
            format!(
                "anywhere else than {}, DNS servers apart",
                self::predicate(of)
            )
        }
        Predicate::Any(all) => joined(all, " or "),
        Predicate::All(all) => joined(all, " "),
        Predicate::Protocol(protocol) => format!("over {protocol}"),
        Predicate::Family(family) => format!("over IPv{family}"),
        Predicate::Outcome(outcome) => format!("with outcome {outcome}"),
        Predicate::Failed => "failed".to_owned(),
        Predicate::Succeeded => "succeeded".to_owned(),
        Predicate::Open => "still open".to_owned(),
        Predicate::Scope(scope) => format!("to {scope} addresses"),
        Predicate::Source(source) => format!("named by {source}"),
        Predicate::Direction("in") => {
            "to peers that sent first (TCP that comes in is not recorded)".to_owned()
        }
        Predicate::Direction(_) => "that a process of this host began".to_owned(),
        Predicate::Blocked => "refused by a policy, or with outcome denied".to_owned(),
        Predicate::WouldBlock => {
            "that a policy would refuse, and let through as it observes".to_owned()
        }
        Predicate::Verdict(verdict) => format!("with verdict {verdict}"),
        Predicate::DnsOverHttps => "to well-known resolvers of DNS over HTTPS".to_owned(),
        Predicate::Sent(of) => format!("that sent the name {}", host(of)),
        Predicate::Country(code) => format!("to the country {}", printable(code)),
        Predicate::OtherName => "that sent another name than was looked up".to_owned(),
        Predicate::Rule(name) => format!("decided by the rule {}", printable(name)),
    }
}

fn joined(all: &[Predicate], between: &str) -> String {
    all.iter().map(predicate).collect::<Vec<_>>().join(between)
}

/// Who acted, in words.
pub fn subject(subject: &Subject) -> String {
    let shown = |name: &str| printable(name).into_owned();
    match subject {
        Subject::Process(name) => format!("process {}", shown(name)),
        Subject::Pid(pid) => format!("pid {pid}"),
        Subject::BelowProcess(name) => format!("children of {}", shown(name)),
        Subject::BelowPid(pid) => format!("children of pid {pid}"),
        Subject::Tree(of) => format!("{} and its children", self::subject(of)),
        Subject::Container(name) => format!("container {}", shown(name)),
        Subject::Image(name) => format!("image {}", shown(name)),
        Subject::User(name) => format!("user {}", shown(name)),
        Subject::EffectiveUser(name) => format!("processes with the rights of {}", shown(name)),
        Subject::Unit(name) => format!("unit {}", shown(name)),
        Subject::Machine(name) => format!("machine {}", shown(name)),
        Subject::Labelled(key, value) => format!("{} {}", shown(key), shown(value)),
        Subject::Pod(name) => format!("pod {}", shown(name)),
        Subject::Namespace(name) => format!("namespace {}", shown(name)),
        Subject::Shells => "shells".to_owned(),
        Subject::AnyContainer => "any container".to_owned(),
        Subject::AnyService => "any service".to_owned(),
        Subject::AnyUnit => "any unit".to_owned(),
        Subject::ExecutableIn(path) => format!("executables in {}", shown(path)),
        Subject::CommandLine(part) => format!("command lines with {}", shown(part)),
        Subject::Executables(kind) => match kind {
            ExecutableKind::Deleted => "deleted or replaced executables",
            ExecutableKind::Unpackaged => "executables of no package",
            ExecutableKind::Modified => "executables that differ from their package",
            ExecutableKind::SetUserId => "set-user-ID executables",
            ExecutableKind::InWorldWritable => "executables in world-writable directories",
            ExecutableKind::OtherRights => "processes whose effective user is not their real one",
        }
        .to_owned(),
        Subject::Those { of, relation, did } => {
            let went = match relation {
                Relation::Connections => "with any connection",
                Relation::Lookups => "with any lookup",
            };
            format!("{} {went} {}", actors(*of), predicate(did))
        }
    }
}

/// A destination in words.
pub fn host(host: &Host) -> String {
    let shown = |name: &str| printable(name).into_owned();
    match host {
        Host::Domain(name) => format!("{} or a subdomain", shown(name)),
        Host::Exact(name) => shown(name),
        Host::Subdomains(name) => format!("subdomains of {}", shown(name)),
        Host::Label(name) => format!("names with the label {}", shown(name)),
        Host::Begins(text) => format!("names beginning with {}", shown(text)),
        Host::Ends(text) => format!("names ending in {}", shown(text)),
        Host::Contains(text) => format!("names containing {}", shown(text)),
        Host::Addresses { first, last } if first == last => address(*first),
        Host::Addresses { first, last } => format!("{} to {}", address(*first), address(*last)),
        Host::Network(number) => format!("addresses of AS{number}"),
        Host::Raw => "addresses without a name".to_owned(),
    }
}

fn address(bits: u128) -> String {
    std::net::Ipv6Addr::from_bits(bits)
        .to_canonical()
        .to_string()
}

fn measure(measure: Measure) -> &'static str {
    match measure {
        Measure::Rows => "times",
        Measure::Bytes => "bytes",
        Measure::Sent => "bytes sent",
        Measure::Received => "bytes received",
        Measure::Duration => "duration",
        Measure::Latency => "latency",
        Measure::Hosts => "hosts",
        Measure::Addresses => "addresses",
        Measure::Ports => "ports",
        Measure::Processes => "processes",
    }
}

fn comparison(of: &Comparison) -> String {
    let operator = match of.operator {
        Operator::More => "more than",
        Operator::AtLeast => "at least",
        Operator::Less => "less than",
        Operator::AtMost => "at most",
        Operator::Exactly => "exactly",
    };
    match (of.measure, of.limit) {
        (measured, Limit::Of(other)) => {
            format!("{} {operator} {}", measure(measured), measure(other))
        }
        (Measure::Duration | Measure::Latency, Limit::Number(limit)) => format!(
            "a {} of {operator} {}",
            measure(of.measure),
            crate::human::duration(limit)
        ),
        (measured, Limit::Number(1)) => {
            let one = match measured {
                Measure::Rows => "time",
                Measure::Hosts => "host",
                Measure::Addresses => "address",
                Measure::Ports => "port",
                Measure::Processes => "process",
                Measure::Bytes => "byte",
                Measure::Sent => "byte sent",
                Measure::Received => "byte received",
                Measure::Duration | Measure::Latency => measure(measured),
            };
            format!("{operator} 1 {one}")
        }
        (measured, Limit::Number(limit)) => format!("{operator} {limit} {}", measure(measured)),
    }
}

/// The order, and how many rows it has: in all, or of each of those that have rows of their own.
fn ranking(ranking: Ranking, of_each: bool) -> String {
    let (what, rows) = match ranking {
        Ranking::Most(n) => ("most".to_owned(), n),
        Ranking::MostBytes(n) => ("most bytes sent and received".to_owned(), n),
        Ranking::First(n) => ("earliest".to_owned(), n),
        Ranking::Last(n) => ("latest".to_owned(), n),
        Ranking::Slowest(n) => ("slowest".to_owned(), n),
        Ranking::Longest(n) => ("longest".to_owned(), n),
        Ranking::By {
            measure: of,
            least,
            rows,
        } => {
            let order = if least { "fewest" } else { "most" };
            (format!("{order} {}", measure(of)), rows)
        }
    };
    match (rows, of_each) {
        (Ranking::ALL, _) => format!("{what} first"),
        (n, true) => format!("{what} first, {n} of each at most"),
        (n, false) => format!("{what} first, {n} at most"),
    }
}
