//! The columns of the table for each question.

use super::cell::Show::{self, *};
use crate::query::ast::{
    Actors, Bucket, Comparison, Counted, Limit, Measure, Predicate, Projection, Property, Question,
    Ranking, Relation, Share,
};

/// A column of the table: its title and its cells.
#[derive(Clone, Copy)]
pub struct Column(pub &'static str, pub Show);

/// Of several, whose rows they are.
pub const MACHINE: Column = Column("MACHINE", First(&["machine"]));

const PROCESS: Column = Column("PROCESS", First(&["comm"]));
const PID: Column = Column("PID", OnlyNumber("pid", "pids", "pids"));
const USER: Column = Column("USER", First(&["user", "uid"]));
const CONTAINER: Column = Column("CONTAINER", Container);
const CONTAINERS: Column = Column("CONTAINERS", Number("containers"));
const IMAGE: Column = Column("IMAGE", First(&["container_image"]));
const POD: Column = Column("POD", First(&["pod"]));
const PODS: Column = Column("POD", Only(&["pod"], "pods", "pods"));
const NAMESPACE: Column = Column("NAMESPACE", First(&["pod_namespace"]));
const UNIT: Column = Column("UNIT", First(&["unit"]));
const PROGRAMS: Column = Column("PROCESS", Only(&["comm"], "comms", "programs"));

const EXECUTABLE: Column = Column("EXECUTABLE", First(&["exe"]));
const COMMAND_LINE: Column = Column("COMMAND LINE", First(&["cmdline"]));
const PROGRAMS_OF_COMMAND: Column = Column("PROCESS", First(&["comm"]));

const HOST: Column = Column("HOST", First(&["host"]));
const HOSTS: Column = Column("HOST", Only(&["host", "dst_ip"], "hosts", "hosts"));
const ADDRESSES: Column = Column("ADDRESS", Only(&["dst_ip"], "addresses", "addresses"));
const PORT: Column = Column("PORT", Service);
const SENT: Column = Column("SENT", Bytes("tx_bytes"));
const RECEIVED: Column = Column("RECEIVED", Bytes("rx_bytes"));

const NAME: Column = Column("NAME", First(&["qname"]));
const NAMES: Column = Column("NAME", Only(&["qname"], "qnames", "names"));
const TYPE: Column = Column("TYPE", First(&["qtype"]));
const RESULT: Column = Column("RESULT", First(&["result"]));
const QUERIED_BY: Column = Column("QUERIED BY", Only(&["comm"], "comms", "programs"));
const PLACE: Column = Column("CONTAINER", Only(&["container_name"], "places", "places"));
const LOOKUPS: Column = Column("LOOKUPS", Number("lookups"));

const FAILED: Column = Column("FAILED", Number("failed"));
const TIME: Column = Column("TIME", PreciseTime("time"));
const FIRST_SEEN: Column = Column("FIRST SEEN", Time("first_seen"));
const LAST_SEEN: Column = Column("LAST SEEN", Time("last_seen"));
const LATENCY: Column = Column("LATENCY", Duration("latency_us"));
const ID: Column = Column("ID", Number("id"));

/// How often, how much and when, for a group of connections.
const TOTALS: &[Column] = &[
    Column("CONNS", Number("connections")),
    FAILED,
    SENT,
    RECEIVED,
    FIRST_SEEN,
    LAST_SEEN,
];

/// The same for a group of lookups.
const LOOKUP_TOTALS: &[Column] = &[LOOKUPS, FAILED, FIRST_SEEN, LAST_SEEN];

const EACH_CONNECTION: &[Column] = &[
    TIME,
    PROCESS,
    Column("PID", Number("pid")),
    HOST,
    Column("DESTINATION", Destination),
    Column("PROTOCOL", First(&["protocol"])),
    Column("OUTCOME", First(&["outcome"])),
    SENT,
    RECEIVED,
    Column("DURATION", Lasted),
    ID,
];

const ANSWERS: &[Column] = &[
    NAME,
    Column("TYPE", First(&["type"])),
    Column("DATA", First(&["data"])),
    Column("TTL", Number("ttl")),
    LOOKUPS,
    LAST_SEEN,
];

const NAMES_OF_ADDRESS: &[Column] = &[
    Column("NAME", First(&["name"])),
    Column("ADDRESS", First(&["dst_ip"])),
    Column("CONNS", Number("connections")),
    LOOKUPS,
    FIRST_SEEN,
    LAST_SEEN,
];

const BEACONS: &[Column] = &[
    PROCESS,
    HOST,
    PORT,
    Column("CONNS", Number("connections")),
    Column("INTERVAL", Duration("interval_us")),
    Column("JITTER", Duration("jitter_us")),
    FIRST_SEEN,
    LAST_SEEN,
];

const RULES: &[Column] = &[
    Column("RULE", First(&["rule"])),
    Column("VERDICT", First(&["verdict"])),
    Column("CONNS", Number("connections")),
    Column("OBSERVED", Number("observed")),
    PROGRAMS,
    HOSTS,
    FIRST_SEEN,
    LAST_SEEN,
];

const HASHES: &[Column] = &[
    PROCESS,
    EXECUTABLE,
    IMAGE,
    Column("SHA-256", First(&["exe_sha256", "exe_hash_status"])),
    Column("CHANGED", First(&["changed"])),
    Column("PACKAGE", First(&["package"])),
    Column("VERSION", First(&["package_version"])),
    Column("MODIFIED", First(&["exe_modified"])),
    Column("CONNS", Number("connections")),
    FIRST_SEEN,
    LAST_SEEN,
];

const VERDICTS: &[Column] = &[
    PROCESS,
    USER,
    CONTAINER,
    HOST,
    Column("DESTINATION", Destination),
    Column("PROTOCOL", First(&["protocol"])),
    Column("VERDICT", First(&["verdict"])),
    Column("ENFORCED", First(&["enforced"])),
    Column("RULE", First(&["rule"])),
    Column("CONNS", Number("connections")),
    FIRST_SEEN,
    LAST_SEEN,
];

const CHANGES: &[Column] = &[
    Column("CHANGE", First(&["change"])),
    HOST,
    Column("CONNS BEFORE", Number("connections_before")),
    Column("AFTER", Number("connections_after")),
    Column("SENT BEFORE", Bytes("tx_bytes_before")),
    Column("AFTER", Bytes("tx_bytes_after")),
    Column("RECEIVED BEFORE", Bytes("rx_bytes_before")),
    Column("AFTER", Bytes("rx_bytes_after")),
];

const SUMMARY: &[Column] = &[
    Column("WHAT", First(&["item"])),
    Column("NUMBER", Quantity("item", "number")),
    Column("WHICH", First(&["name"])),
];

const EACH_LOOKUP: &[Column] = &[
    TIME,
    PROCESS,
    Column("PID", First(&["pid"])),
    CONTAINER,
    NAME,
    TYPE,
    RESULT,
    Column("SERVER", First(&["server_ip"])),
    LATENCY,
    ID,
];

/// Titles of columns that a narrow terminal leaves out, in this order.
const SPARE: [&str; 10] = [
    "FIRST SEEN",
    "DURATION",
    "LATENCY",
    "PROTOCOL",
    "FAILED",
    "PID",
    "DESTINATION",
    "RECEIVED",
    "SENT",
    "SERVER",
];

/// Words of a question that name a column.
const NAMED: [(&str, &str); 13] = [
    ("FIRST SEEN", "when"),
    ("DURATION", "duration"),
    ("DURATION", "how long"),
    ("LATENCY", "latenc"),
    ("PROTOCOL", "protocol"),
    ("FIRST SEEN", "first seen"),
    ("FIRST SEEN", "first and last"),
    ("SERVER", "server"),
    ("PID", "pid"),
    ("DESTINATION", "port"),
    ("DESTINATION", "address"),
    ("DESTINATION", "destination"),
    ("DESTINATION", " ip"),
];

/// What only lists of single connections or lookups leave out: others have totals to leave out.
const OF_EACH: [&str; 2] = ["PID", "DESTINATION"];

/// How many of them go before names are cut to what can't be read.
const MINOR: usize = 7;

/// The same for a question, those that say least apart: what it asked for goes last.
pub fn spare(question: &Question) -> (Vec<&'static str>, Vec<&'static str>) {
    let measure = match (question.projection, question.ranking) {
        (Projection::Sent, _) => Some(Measure::Sent),
        (Projection::Received, _) => Some(Measure::Received),
        (Projection::Average(measure), _) => Some(measure),
        _ if question.average.is_some() => question.average,
        (_, Some(Ranking::MostBytes(_))) => Some(Measure::Bytes),
        (_, Some(Ranking::Longest(_))) => Some(Measure::Duration),
        (_, Some(Ranking::Slowest(_))) => Some(Measure::Latency),
        (_, Some(Ranking::By { measure, .. })) => Some(measure),
        (Projection::Bytes, _) => Some(Measure::Bytes),
        _ => None,
    };
    let compared = question.predicates.iter().filter_map(|p| match p {
        Predicate::Compared(Comparison {
            limit: Limit::Of(_),
            ..
        }) => Some(Measure::Bytes),
        Predicate::Compared(comparison) => Some(comparison.measure),
        _ => None,
    });
    let than = question.having.iter().filter_map(|of| match of.limit {
        Limit::Of(measure) => Some(measure),
        Limit::Number(_) => None,
    });
    let compared = compared.chain(question.having.iter().map(|of| of.measure).chain(than));
    let measures = Vec::from_iter(measure.into_iter().chain(compared));
    let text = question.typed.text.to_lowercase();
    let named = |title: &str| {
        let mut words = NAMED.iter().filter(|(of, _)| *of == title);
        words.any(|(_, word)| text.contains(word))
    };
    let answers = |title: &str| {
        let of = |measure: &Measure| match measure {
            Measure::Bytes => title == "SENT" || title == "RECEIVED",
            Measure::Sent => title == "SENT",
            Measure::Received => title == "RECEIVED",
            Measure::Duration => title == "DURATION",
            Measure::Latency => title == "LATENCY",
            _ => false,
        };
        let failed = title == "FAILED" && question.predicates.contains(&Predicate::Failed);
        let first = title == "FIRST SEEN"
            && (question.new || matches!(question.ranking, Some(Ranking::First(_))));
        measures.iter().any(of) || failed || first || named(title)
    };
    let each = matches!(question.projection, Projection::Each | Projection::Verdicts);
    let spare = SPARE.into_iter();
    let spare = Vec::from_iter(spare.filter(|title| each || !OF_EACH.contains(title)));
    let minor = SPARE[..MINOR].iter().copied();
    let minor = minor.filter(|title| spare.contains(title) && !answers(title));
    let minor = Vec::from_iter(minor);
    let (asked, others): (Vec<_>, Vec<_>) = spare.into_iter().partition(|title| answers(title));
    let others = others
        .into_iter()
        .filter(|title| !SPARE[..MINOR].contains(title));
    // Rather than what was asked for goes where it happened.
    let single = matches!(
        question.projection,
        Projection::Each | Projection::Actors(Actors::Processes | Actors::Pids)
    );
    let others = others.chain(single.then_some("CONTAINER"));
    (minor, others.chain(asked).collect())
}

/// What the line below the table counts: singular, plural, and the column with the number
/// that each row contributes, if it is not 1.
#[derive(Clone, Copy)]
pub struct Noun(pub &'static str, pub &'static str, pub Option<&'static str>);

/// Several minutes or hours.
const SPAN: Noun = Noun("span", "spans", None);
const CONNECTION: Noun = Noun("connection", "connections", Some("connections"));
const LOOKUP: Noun = Noun("lookup", "lookups", Some("lookups"));

/// How an answer is shown in a table.
pub struct Shape {
    pub columns: Vec<Column>,
    pub nouns: Vec<Noun>,
}

/// How to show the answer to a question.
pub fn shape(question: &Question) -> Shape {
    let from = question.relation;
    let (noun, own): (Option<Noun>, &[Column]) = match (question.projection, from) {
        (Projection::Actors(actors), _) => (Some(actor(actors)), by_actor(actors)),
        (Projection::Destinations, Relation::Connections) => (
            Some(Noun("destination", "destinations", None)),
            &[Column("HOST", Host), ADDRESSES, PORT],
        ),
        (Projection::Destinations, Relation::Lookups) => (
            Some(Noun("name", "names", None)),
            &[NAME, QUERIED_BY, PID, PLACE],
        ),
        (Projection::Addresses, _) => (
            Some(Noun("address", "addresses", None)),
            &[Column("ADDRESS", First(&["dst_ip"])), HOSTS],
        ),
        (Projection::Ports, _) => (Some(Noun("port", "ports", None)), &[PORT, PROGRAMS]),
        (Projection::Properties(property), _) => {
            let (noun, own) = by_property(property, from);
            let what = match from {
                Relation::Connections => Column("HOST", Only(&["host"], "hosts", "hosts")),
                Relation::Lookups => NAMES,
            };
            let (counted, totals) = match from {
                Relation::Connections => (CONNECTION, TOTALS),
                Relation::Lookups => (LOOKUP, LOOKUP_TOTALS),
            };
            let share = question.share.as_ref().map_or([].as_slice(), share);
            return Shape {
                columns: [own, share, &[PROGRAMS, what], totals].concat(),
                nouns: vec![noun, counted],
            };
        }
        (Projection::Count(counted), _) => (None, number(counted)),
        (Projection::Bytes, _) => (None, &[Column("BYTES", Bytes("bytes"))]),
        (Projection::Sent, _) => (None, &[Column("SENT", Bytes("sent"))]),
        (Projection::Received, _) => (None, &[Column("RECEIVED", Bytes("received"))]),
        (Projection::Average(measure), _) => (None, average(measure)),
        (
            of @ (Projection::Pairs(actors)
            | Projection::FirstHosts(actors)
            | Projection::FirstActors(actors)),
            from,
        ) => {
            let own = by_actor(actors);
            let what = match from {
                Relation::Connections => &[HOST],
                Relation::Lookups => &[NAME],
            };
            let (own, what): (&[Column], &[Column]) = match of {
                Projection::FirstActors(_) => (what, own),
                _ => (own, what),
            };
            let (counted, totals) = match from {
                Relation::Connections => (CONNECTION, TOTALS),
                Relation::Lookups => (LOOKUP, LOOKUP_TOTALS),
            };
            return Shape {
                columns: [own, what, totals].concat(),
                nouns: vec![Noun("pair", "pairs", None), counted],
            };
        }
        (Projection::Answers, _) => {
            return whole(ANSWERS, Noun("record", "records", None));
        }
        (Projection::NamesOfAddress, _) => {
            return whole(NAMES_OF_ADDRESS, Noun("name", "names", None));
        }
        (Projection::DnsServers, _) => (
            Some(Noun("server", "servers", None)),
            &[
                Column("SERVER", First(&["server_ip"])),
                Column("PORT", Number("server_port")),
                Column("TRANSPORT", First(&["transport"])),
            ],
        ),
        (Projection::Rules, _) => {
            let nouns = vec![Noun("rule", "rules", None), CONNECTION];
            return Shape {
                columns: RULES.to_vec(),
                nouns,
            };
        }
        (Projection::Hashes, _) => {
            return whole(HASHES, Noun("executable", "executables", None));
        }
        (Projection::Verdicts, _) => return whole(VERDICTS, CONNECTION),
        (Projection::Beacons, _) => return whole(BEACONS, Noun("beacon", "beacons", None)),
        (Projection::Changes(_), _) => return whole(CHANGES, Noun("host", "hosts", None)),
        (Projection::Summary, _) => return whole(SUMMARY, Noun("number", "numbers", None)),
        (Projection::Each, Relation::Connections)
            if matches!(question.ranking, Some(Ranking::Slowest(_))) =>
        {
            let mut slow = EACH_CONNECTION.to_vec();
            slow.insert(slow.len() - 1, LATENCY);
            return whole(&slow, Noun("connection", "connections", None));
        }
        (Projection::Each, Relation::Connections) if question.is_about_sent_names() => {
            let mut both = EACH_CONNECTION.to_vec();
            both.insert(
                4,
                Column("SENT NAME", First(&["proxied_host", "sni", "http_host"])),
            );
            return whole(&both, Noun("connection", "connections", None));
        }
        (Projection::Each, Relation::Connections) => {
            return whole(EACH_CONNECTION, Noun("connection", "connections", None));
        }
        (Projection::Each, Relation::Lookups) => {
            return whole(EACH_LOOKUP, Noun("lookup", "lookups", None));
        }
        (Projection::FailedLookups, _) => {
            let columns = [
                NAME, TYPE, RESULT, QUERIED_BY, PID, PLACE, LOOKUPS, FIRST_SEEN, LAST_SEEN,
            ];
            return whole(&columns, LOOKUP);
        }
        (Projection::NeverContacted, _) => {
            let address = Column("ADDRESS", Only(&["ips"], "addresses", "addresses"));
            let columns = [
                NAME, QUERIED_BY, PID, PLACE, LOOKUPS, address, FIRST_SEEN, LAST_SEEN,
            ];
            return Shape {
                columns: columns.to_vec(),
                nouns: vec![Noun("name", "names", None), LOOKUP],
            };
        }
    };
    let (counted, what, totals): (_, &[Column], _) = match from {
        Relation::Connections => (CONNECTION, &[HOSTS], TOTALS),
        Relation::Lookups => (LOOKUP, &[NAMES], LOOKUP_TOTALS),
    };
    let what = match question.projection {
        Projection::Actors(_) => what,
        _ => &[],
    };
    // The mean stands behind what it is of.
    let mean = question.average.map_or(&[] as &[Column], average);
    let share = question.share.as_ref().map_or([].as_slice(), share);
    // A share of everything stands before what it is a share of.
    let own = match noun {
        Some(_) => [own, share, mean].concat(),
        None => [share, own].concat(),
    };
    let own = &*own;
    // What was asked for comes first, and only once.
    let own_titles = own.iter().map(|Column(title, _)| *title);
    let own_titles = Vec::from_iter(own_titles);
    let totals = totals
        .iter()
        .filter(|Column(title, _)| !own_titles.contains(title));
    let totals = &*Vec::from_iter(totals.copied());
    let Some(per) = question.bucket else {
        return Shape {
            columns: [own, what, totals].concat(),
            nouns: noun.into_iter().chain([counted]).collect(),
        };
    };
    // Within a bucket, the first and last times are of little interest.
    let totals = totals
        .split_last_chunk::<2>()
        .map_or(totals, |(totals, _)| totals);
    let (span, spans) = by_time(per);
    Shape {
        columns: [&[span], own, what, totals].concat(),
        nouns: match noun {
            // One row per bucket.
            None => vec![spans, counted],
            Some(_) => vec![counted],
        },
    }
}

fn by_time(per: Bucket) -> (Column, Noun) {
    match per {
        Bucket::Minute | Bucket::Minutes(_) => (
            Column("MINUTE", Span("minute", "%H:%M")),
            match per {
                Bucket::Minute => Noun("minute", "minutes", None),
                _ => SPAN,
            },
        ),
        Bucket::Hour | Bucket::Hours(_) => (
            Column("HOUR", Span("hour", "%H:%M")),
            match per {
                Bucket::Hour => Noun("hour", "hours", None),
                _ => SPAN,
            },
        ),
        Bucket::Day => (Column("DAY", Date("day")), Noun("day", "days", None)),
        Bucket::Week => (Column("WEEK", Date("week")), Noun("week", "weeks", None)),
        Bucket::Month => (
            Column("MONTH", Date("month")),
            Noun("month", "months", None),
        ),
    }
}

/// A table without totals.
fn whole(columns: &[Column], noun: Noun) -> Shape {
    Shape {
        columns: columns.to_vec(),
        nouns: vec![noun],
    }
}

fn by_actor(actors: Actors) -> &'static [Column] {
    match actors {
        Actors::Processes => &[PROCESS, PID, USER, CONTAINER],
        Actors::Pids => &[
            PROCESS,
            Column("PID", Number("pid")),
            Column("STARTED", Time("start")),
            USER,
            CONTAINER,
        ],
        Actors::Containers => &[CONTAINER, IMAGE, PROGRAMS],
        Actors::Images => &[IMAGE, CONTAINERS, PROGRAMS],
        Actors::Users => &[USER, PROGRAMS],
        Actors::Units => &[UNIT, PROGRAMS],
        Actors::Pods => &[POD, NAMESPACE, PROGRAMS],
        Actors::Namespaces => &[NAMESPACE, PODS, PROGRAMS],
        Actors::Executables => &[EXECUTABLE, PROGRAMS, PID],
        Actors::CommandLines => &[COMMAND_LINE, PROGRAMS_OF_COMMAND, PID],
        Actors::Parents => &[Column("PARENT", First(&["parent_comm"])), PROGRAMS],
        Actors::Machines => &[MACHINE, PROGRAMS],
    }
}

fn actor(actors: Actors) -> Noun {
    match actors {
        Actors::Processes => Noun("process", "processes", Some("pids")),
        Actors::Pids => Noun("process", "processes", None),
        Actors::Containers => Noun("container", "containers", None),
        Actors::Images => Noun("image", "images", None),
        Actors::Users => Noun("user", "users", None),
        Actors::Units => Noun("unit", "units", None),
        Actors::Pods => Noun("pod", "pods", None),
        Actors::Namespaces => Noun("namespace", "namespaces", None),
        Actors::Executables => Noun("executable", "executables", None),
        Actors::CommandLines => Noun("command line", "command lines", None),
        Actors::Parents => Noun("parent", "parents", None),
        Actors::Machines => Noun("machine", "machines", None),
    }
}

/// What connections or lookups have in common.
fn by_property(property: Property, relation: Relation) -> (Noun, &'static [Column]) {
    match (property, relation) {
        (Property::Outcome, Relation::Connections) => (
            Noun("outcome", "outcomes", None),
            &[
                Column("OUTCOME", First(&["outcome"])),
                Column("ERROR", First(&["errno"])),
            ],
        ),
        (Property::Outcome, Relation::Lookups) => (Noun("result", "results", None), &[RESULT]),
        (Property::Protocol, Relation::Connections) => (
            Noun("protocol", "protocols", None),
            &[Column("PROTOCOL", First(&["protocol"]))],
        ),
        (Property::Protocol, Relation::Lookups) => (
            Noun("protocol", "protocols", None),
            &[Column("TRANSPORT", First(&["transport"]))],
        ),
        (Property::QueryType, _) => (Noun("type", "types", None), &[TYPE]),
        (Property::Country, _) => (
            Noun("country", "countries", None),
            &[Column("COUNTRY", First(&["dst_country"]))],
        ),
        (Property::Network, _) => (
            Noun("network", "networks", None),
            &[
                Column("AS", First(&["dst_asn"])),
                Column("ORGANISATION", First(&["dst_as_org"])),
            ],
        ),
    }
}

/// A mean; what it is the mean of decides its unit.
fn average(measure: Measure) -> &'static [Column] {
    match measure {
        Measure::Sent => &[Column("AVERAGE SENT", Bytes("average"))],
        Measure::Received => &[Column("AVERAGE RECEIVED", Bytes("average"))],
        Measure::Duration => &[Column("AVERAGE DURATION", Duration("average"))],
        Measure::Latency => &[Column("AVERAGE LATENCY", Duration("average"))],
        _ => &[Column("AVERAGE BYTES", Bytes("average"))],
    }
}

/// A share in per cent, and what is of the part, unless that is all of the group.
fn share(share: &Share) -> &'static [Column] {
    const SHARE: Column = Column("SHARE", Percent("share"));
    match (share.part.is_empty(), share.of) {
        (true, _) => &[SHARE],
        (_, Measure::Rows) => &[SHARE, Column("PART", Number("part"))],
        _ => &[SHARE, Column("PART", Bytes("part"))],
    }
}

/// The count, unless it is of the rows: that is among the totals.
fn number(counted: Counted) -> &'static [Column] {
    match counted {
        Counted::Rows => &[],
        Counted::Actors(Actors::Processes) => &[Column("PROCESSES", Number("number"))],
        Counted::Actors(Actors::Pids) => &[Column("PIDS", Number("number"))],
        Counted::Actors(Actors::Containers) => &[Column("CONTAINERS", Number("number"))],
        Counted::Actors(Actors::Images) => &[Column("IMAGES", Number("number"))],
        Counted::Actors(Actors::Users) => &[Column("USERS", Number("number"))],
        Counted::Actors(Actors::Units) => &[Column("UNITS", Number("number"))],
        Counted::Actors(Actors::Pods) => &[Column("PODS", Number("number"))],
        Counted::Actors(Actors::Namespaces) => &[Column("NAMESPACES", Number("number"))],
        Counted::Actors(Actors::Executables) => &[Column("EXECUTABLES", Number("number"))],
        Counted::Actors(Actors::CommandLines) => &[Column("COMMAND LINES", Number("number"))],
        Counted::Actors(Actors::Parents) => &[Column("PARENTS", Number("number"))],
        Counted::Actors(Actors::Machines) => &[Column("MACHINES", Number("number"))],
        Counted::Hosts => &[Column("HOSTS", Number("number"))],
        Counted::Addresses => &[Column("ADDRESSES", Number("number"))],
        Counted::Ports => &[Column("PORTS", Number("number"))],
    }
}
