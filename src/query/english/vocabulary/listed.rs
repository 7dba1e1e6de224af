//! What is listed beside actors and places: connections, lookups, bytes, rules; and what they are grouped by.

use super::Words;

pub const CONNECTIONS: Words = &[
    "connections",
    "connection",
    "conns",
    "conn",
    "flows",
    "flow",
    "requests",
    "request",
    "hits",
    "sockets",
    "socket",
    "conversations",
    "conversation",
    "calls",
    "call",
    "links",
    "link",
    "attempts",
    "attempt",
    "communications",
    "communication",
    "streams",
];
/// Connections that failed.
pub const ERRORS: Words = &[
    "failures", "failure", "errors", "error", "refusals", "problems", "problem",
];
/// Connections that are still open.
pub const OPENED: Words = &["open", "active"];
pub const DNS: Words = &["DNS"];
pub const LOOKUPS: Words = &["lookups", "lookup", "queries", "query"];
pub const TRAFFIC: Words = &["bytes", "data", "traffic", "bandwidth"];
pub const DNS_TRAFFIC: Words = &["dns-traffic"];
pub const DNS_SERVER: Words = &["dns-server"];
pub const DNS_SERVERS: Words = &["servers", "server", "resolvers", "resolver"];
pub const RULES: Words = &["rules", "rule"];
pub const VERDICTS: Words = &["verdicts", "verdict"];
pub const RULE_IS: Words = &["rule-is"];
/// Of executables.
pub const HASHES: Words = &[
    "hashes",
    "hash",
    "checksums",
    "checksum",
    "sha256",
    "sha-256",
    "sha256sum",
    "sha256sums",
];
/// Behind "per": whatever the names of the question are names of.
pub const EACH_NAMED: Words = &["each-named"];
pub const PAIRS: Words = &["pairs"];
pub const ANSWERS: Words = &["answers"];
pub const BEACONS: Words = &["beacons"];
pub const CHANGES: Words = &["changes"];
pub const SUMMARY: Words = &["summary"];
pub const AVERAGE: Words = &["average", "mean", "avg"];
/// Before "of": how much of the whole something is.
pub const SHARE: Words = &[
    "share",
    "percentage",
    "percent",
    "%",
    "fraction",
    "proportion",
    "portion",
    "part",
];
/// The same, also without "of".
pub const PER_CENT: Words = &["percent", "percentage", "%"];
/// Behind how something ended: how often it does.
pub const RATE: Words = &["rate", "rates", "ratio", "percentage", "share"];
/// Before a rate, of which the greatest is asked for.
pub const HIGHEST: Words = &["highest", "worst", "greatest", "biggest", "most"];
/// What connections and lookups can be counted by, beside who, where and when.
pub const GROUPED_PROTOCOL: Words = &["protocol", "protocols", "transport"];
pub const GROUPED_OUTCOME: Words = &[
    "outcome", "outcomes", "reason", "reasons", "result", "results", "status", "statuses", "error",
    "errors", "cause", "causes", "rcode", "rcodes", "errno",
];
pub const GROUPED_TYPE: Words = &["qtype", "qtypes"];
pub const GROUPED_COUNTRY: Words = &["country", "countries"];
/// Autonomous systems.
pub const GROUPED_NETWORK: Words = &["asn", "asns"];
/// Before a country's code.
pub const IN_COUNTRY: Words = &["in-country"];
/// Of flows whose peer sent first.
pub const INCOMING: Words = &["incoming", "inbound", "ingress"];
pub const BOTH_DIRECTIONS: Words = &["both-directions"];
/// Nouns of one: "the longest connection".
pub const ONE: Words = &[
    "process",
    "program",
    "app",
    "application",
    "task",
    "daemon",
    "pid",
    "container",
    "image",
    "user",
    "unit",
    "service",
    "pod",
    "namespace",
    "executable",
    "binary",
    "host",
    "name",
    "hostname",
    "domain",
    "destination",
    "site",
    "server",
    "endpoint",
    "website",
    "place",
    "target",
    "peer",
    "machine",
    "IP",
    "address",
    "port",
    "connection",
    "flow",
    "request",
    "socket",
    "conversation",
    "call",
    "lookup",
    "query",
    "command",
    "parent",
];
