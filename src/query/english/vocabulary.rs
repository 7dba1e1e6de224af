//! The words of the grammar. The first of each row is the one that completion offers before
//! anything is typed.

pub type Words = &'static [&'static str];

pub const ARTICLES: Words = &["the", "a", "an"];
pub const WHICH: Words = &["which", "list", "show"];
pub const WHAT: Words = &["what"];
pub const WHATS: Words = &["what's", "whats"];
pub const WHO: Words = &["who"];
pub const WHEN: Words = &["when"];
pub const HOW: Words = &["how"];
pub const MANY: Words = &["many"];
pub const MUCH: Words = &["much"];
pub const OFTEN: Words = &["often"];
pub const TIMES: Words = &["times"];
pub const TOP: Words = &["top"];
pub const MOST: Words = &["most"];
pub const FIRST: Words = &["first", "earliest"];
pub const LAST: Words = &["last", "latest"];
pub const SLOWEST: Words = &["slowest"];
pub const LONGEST: Words = &["longest"];
pub const PAST: Words = &["past", "last"];
/// Words without meaning between a question word and its noun.
pub const FILLERS: Words = &[
    "me",
    "all",
    "ever",
    "also",
    "it",
    "there",
    "any",
    "that",
    "anything",
    "currently",
    "still",
    "right",
    "now",
];
/// Adjectives that apply to every connection.
pub const OUTBOUND: Words = &["outbound", "outgoing", "total", "unique", "distinct"];
pub const THERE: Words = &["there"];
pub const WHY: Words = &["why"];
pub const COUNT: Words = &["count"];
pub const NUMBER: Words = &["number"];
pub const TIME: Words = &["time"];
pub const DO: Words = &["do", "doing", "done"];

/// Auxiliaries that a subject follows.
pub const ACTIVE: Words = &["did", "does", "do", "has", "have", "had"];
/// Auxiliaries that an object follows.
pub const PASSIVE: Words = &["was", "were", "is", "are"];
pub const BEEN: Words = &["been"];

/// Nouns that start a SUBJECT but not a list.
pub const SINGULAR: Words = &[
    "process",
    "program",
    "pid",
    "container",
    "image",
    "user",
    "unit",
    "service",
    "pod",
    "namespace",
];
pub const PROCESS: Words = &[
    "processes",
    "process",
    "programs",
    "program",
    "executables",
    "executable",
    "binaries",
    "binary",
    "talkers",
];
pub const CONTAINER: Words = &["containers", "container"];
pub const IMAGE: Words = &["images", "image"];
pub const USER: Words = &["users", "user"];
pub const UNIT: Words = &["units", "unit", "services", "service"];
pub const POD: Words = &["pods", "pod"];
pub const NAMESPACE: Words = &["namespaces", "namespace"];
pub const PID: Words = &["pid"];
pub const PIDS: Words = &["pids", "pid"];
/// Before "of" and a process.
pub const DESCENDANTS: Words = &["children", "child", "descendants", "descendant"];
/// The same without "of": "everything under make", "started by make".
pub const UNDER: Words = &["under", "below"];
pub const STARTED: Words = &["started", "spawned", "launched"];
/// "make and its children"
pub const ITS: Words = &["its", "their", "all"];
pub const OF: Words = &["of"];
pub const NAMES: Words = &[
    "hosts",
    "host",
    "names",
    "name",
    "hostnames",
    "hostname",
    "domains",
    "domain",
    "destinations",
    "destination",
    "sites",
    "site",
    "servers",
    "server",
    "endpoints",
    "endpoint",
];
/// The same before the name of a host.
pub const HOST: Words = &["host", "hostname", "domain", "name"];
pub const ADDRESSES: Words = &["IPs", "IP", "addresses", "address"];
pub const ADDRESS: Words = &["IP", "address", "network", "subnet"];
pub const PORTS: Words = &["ports", "port"];
pub const PORT: Words = &["port", "ports"];
pub const CONNECTIONS: Words = &[
    "connections",
    "connection",
    "flows",
    "flow",
    "requests",
    "request",
    "hits",
];
/// Connections that failed.
pub const ERRORS: Words = &["failures", "failure", "errors", "error"];
/// Connections that are still open.
pub const OPENED: Words = &["open", "active"];
pub const DNS: Words = &["DNS"];
pub const LOOKUPS: Words = &["lookups", "lookup", "queries", "query"];
pub const TRAFFIC: Words = &["bytes", "data", "traffic", "bandwidth"];
pub const NEW: Words = &["new", "unseen"];
pub const SEEN: Words = &["seen"];

pub const VERBS: Words = &[
    "hit",
    "hits",
    "hitting",
    "reach",
    "reached",
    "reaches",
    "reaching",
    "talk",
    "talked",
    "talks",
    "talking",
    "contact",
    "contacted",
    "contacts",
    "contacting",
    "connect",
    "connected",
    "connects",
    "connecting",
    "call",
    "called",
    "calls",
    "calling",
    "dial",
    "dialed",
    "dialled",
    "dials",
    "dialing",
    "dialling",
    "send",
    "sent",
    "sends",
    "sending",
    "access",
    "accessed",
    "accesses",
    "accessing",
    "visit",
    "visited",
    "visits",
    "visiting",
    "speak",
    "spoke",
    "spoken",
    "speaks",
    "speaking",
    "communicate",
    "communicated",
    "communicates",
    "communicating",
];
/// Verbs after which "from" introduces the destination.
pub const FETCH: Words = &[
    "download",
    "downloaded",
    "downloads",
    "downloading",
    "fetch",
    "fetched",
    "fetches",
    "fetching",
    "pull",
    "pulled",
    "pulls",
    "pulling",
    "receive",
    "received",
    "receives",
    "receiving",
    "get",
    "got",
    "gets",
    "getting",
    "come",
    "came",
    "comes",
    "coming",
];
/// "hitting": a verb in progress.
pub const DOING: &str = "ing";
/// Verbs without an object: "how many connections did curl make".
pub const MAKE: Words = &[
    "make", "made", "making", "open", "opened", "opening", "use", "uses", "used", "happen",
    "happened", "seen", "appear", "appeared", "appears",
];
pub const RESOLVE: Words = &[
    "resolve",
    "resolved",
    "resolves",
    "resolving",
    "query",
    "queried",
    "querying",
];
pub const LOOK: Words = &["look", "looked", "looks", "looking"];
pub const UP: Words = &["up"];
pub const ASK: Words = &["ask", "asked", "asks", "asking"];
pub const FOR: Words = &["for"];
pub const PREPOSITIONS: Words = &["to", "with"];
pub const BY: Words = &["by", "from"];
/// Before a host: without its subdomains.
pub const EXACTLY: Words = &["exactly", "just"];
pub const IN: Words = &["in", "inside", "within", "during"];
pub const ON: Words = &["on", "over", "via", "using", "through", "at", "of"];

pub const RAW: Words = &["raw", "bare", "nameless", "unnamed"];
/// Address scopes, before "IPs" or "hosts".
pub const SCOPES: Words = &[
    "public",
    "private",
    "loopback",
    "multicast",
    "external",
    "internal",
];
pub const WITHOUT: Words = &["without"];
/// "IP addresses directly": without a name.
pub const DIRECTLY: Words = &["directly"];
pub const FAMILIES: Words = &["ipv4", "ipv6"];
pub const ANY: Words = &["any"];
pub const BUT: Words = &["but", "and", "yet"];
pub const NEVER: Words = &["never", "not"];

pub const FAILED: Words = &["failed", "fail", "failing"];
pub const SUCCEEDED: Words = &["succeeded", "succeed", "successful", "established"];
pub const TIMED: Words = &["timed"];
pub const OUT: Words = &["out"];
pub const OUTCOMES: Words = &[
    "refused",
    "timeout",
    "unreachable",
    "reset",
    "denied",
    "rejected",
    "blocked",
];
pub const PROTOCOL: Words = &["protocol"];
pub const PROTOCOLS: Words = &[
    "tcp", "udp", "udplite", "icmp", "icmpv6", "sctp", "packet", "igmp", "gre", "esp", "ospf",
    "vrrp",
];
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
pub const THIS: Words = &["this"];
/// "from 9:00 to 10:30"
pub const FROM: Words = &["from"];
pub const TO: Words = &["to", "until", "till"];

pub const PER: Words = &["per", "each", "every"];
pub const MINUTE: Words = &["minute", "minutes"];
pub const HOUR: Words = &["hour", "hours"];
pub const DAY: Words = &["day", "days"];
pub const WEEK: Words = &["week", "weeks"];
pub const MONTH: Words = &["month", "months"];
pub const HOURLY: Words = &["hourly"];
pub const DAILY: Words = &["daily"];
pub const WEEKLY: Words = &["weekly"];
pub const MONTHLY: Words = &["monthly"];
/// Days of the week, as times.
pub const DAYS: Words = &[
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// Subjects that restrict nothing.
pub const ANYONE: Words = &[
    "anyone",
    "anybody",
    "someone",
    "somebody",
    "everyone",
    "everybody",
    "something",
    "anything",
    "everything",
    "we",
    "i",
];
/// All public addresses.
pub const INTERNET: Words = &["internet", "outside"];
/// Logical operators, which questions don't have.
pub const LOGIC: Words = &[
    "or", "and", "not", "except", "nor", "besides", "don't", "doesn't", "didn't",
];
/// Comparisons, which questions don't have.
pub const COMPARED: Words = &[
    "than", "longer", "larger", "bigger", "slower", "fastest", "largest", "biggest", "busiest",
];
/// The local end of a connection, which questions can't be about.
pub const OWN_PORT: Words = &["src", "source", "local"];
