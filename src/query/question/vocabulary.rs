//! The words that the grammar knows.

pub type Words = &'static [&'static str];

pub const ARTICLES: Words = &["the", "a", "an"];
pub const WHICH: Words = &["which", "list", "show"];
pub const WHAT: Words = &["what"];
pub const WHO: Words = &["who"];
pub const WHEN: Words = &["when"];
pub const HOW: Words = &["how"];
pub const MANY: Words = &["many"];
pub const MUCH: Words = &["much"];
pub const TOP: Words = &["top"];
pub const FIRST: Words = &["first", "earliest"];
pub const LAST: Words = &["last", "latest"];
pub const PAST: Words = &["past", "last"];
/// What may stand between a question word and its noun, and says nothing.
pub const FILLERS: Words = &["me", "all", "ever", "also", "it", "there", "any", "that"];

/// Auxiliaries after which the one who acts is named.
pub const ACTIVE: Words = &["did", "does", "do", "has", "have", "had"];
/// Auxiliaries after which that is named which somebody acts on.
pub const PASSIVE: Words = &["was", "were", "is", "are"];
pub const BEEN: Words = &["been"];

pub const PROCESS: Words = &["process", "processes", "program", "programs"];
pub const CONTAINER: Words = &["container", "containers"];
pub const IMAGE: Words = &["image", "images"];
pub const USER: Words = &["user", "users"];
pub const UNIT: Words = &["unit", "units", "service", "services"];
pub const PID: Words = &["pid"];
/// Before "of" and a process.
pub const DESCENDANTS: Words = &["children", "child", "descendants", "descendant"];
pub const OF: Words = &["of"];
pub const NAMES: Words = &[
    "names",
    "name",
    "hosts",
    "host",
    "hostnames",
    "hostname",
    "domains",
    "domain",
    "destinations",
];
/// The same before a host's own name.
pub const HOST: Words = &["host", "hostname", "domain", "name"];
pub const ADDRESSES: Words = &["addresses", "address", "ips", "ip"];
pub const ADDRESS: Words = &["address", "ip", "network", "subnet"];
pub const PORTS: Words = &["ports", "port"];
pub const PORT: Words = &["port", "ports"];
pub const CONNECTIONS: Words = &["connections", "connection", "flows", "flow"];
pub const DNS: Words = &["dns"];
pub const LOOKUPS: Words = &["lookups", "lookup", "queries", "query"];
pub const TRAFFIC: Words = &["bytes", "data", "traffic"];

pub const VERBS: Words = &[
    "hit",
    "hits",
    "reach",
    "reached",
    "reaches",
    "talk",
    "talked",
    "talks",
    "contact",
    "contacted",
    "contacts",
    "connect",
    "connected",
    "connects",
    "call",
    "called",
    "calls",
    "dial",
    "dialled",
    "dials",
    "send",
    "sent",
    "sends",
];
/// Verbs that name nobody and nothing: "how many connections did curl make".
pub const MAKE: Words = &[
    "make", "made", "open", "opened", "use", "used", "receive", "received", "happen", "happened",
];
pub const RESOLVE: Words = &["resolve", "resolved", "resolves", "queried"];
pub const LOOK: Words = &["look", "looked", "looks"];
pub const UP: Words = &["up"];
pub const ASK: Words = &["ask", "asked", "asks"];
pub const FOR: Words = &["for"];
pub const PREPOSITIONS: Words = &["to", "with"];
pub const BY: Words = &["by", "from"];
pub const IN: Words = &["in", "inside", "within", "during"];
pub const ON: Words = &["on", "over", "via", "using", "through", "at", "of"];

pub const RAW: Words = &["raw", "bare", "nameless", "unnamed"];
pub const WITHOUT: Words = &["without"];
pub const ANY: Words = &["any"];
pub const BUT: Words = &["but", "and", "yet"];
pub const NEVER: Words = &["never", "not"];

pub const FAILED: Words = &["failed", "fail"];
pub const TIMED: Words = &["timed"];
pub const OUT: Words = &["out"];
pub const OUTCOMES: Words = &["refused", "timeout", "unreachable", "reset", "denied"];
pub const PROTOCOLS: Words = &["tcp", "udp"];
pub const NAMED: Words = &["named"];
pub const SOURCES: Words = &[
    "process",
    "ancestor",
    "container",
    "netns",
    "host",
    "hosts",
    "sni",
    "history",
];

pub const SINCE: Words = &["since", "after"];
pub const UNTIL: Words = &["until", "till", "before"];
pub const BETWEEN: Words = &["between"];
pub const AND: Words = &["and"];
pub const TODAY: Words = &["today"];
pub const YESTERDAY: Words = &["yesterday"];
