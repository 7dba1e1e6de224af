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
pub const SLOWEST: Words = &["slowest", "laggiest"];
pub const LONGEST: Words = &["longest"];
pub const PAST: Words = &["past", "last"];
/// Words without meaning between a question word and its noun.
pub const FILLERS: Words = &[
    "me", "all", "ever", "also", "it", "there", "any", "that", "anything", "actually", "really",
    "already", "even", "indeed", "too",
];
/// Adjectives that apply to every connection.
pub const OUTBOUND: Words = &[
    "outbound",
    "outgoing",
    "network",
    "total",
    "unique",
    "distinct",
    "different",
];
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
    "talkers",
    "apps",
    "app",
    "applications",
    "application",
    "tasks",
    "task",
    "daemons",
    "daemon",
    "software",
];
/// Executables by their paths.
pub const EXECUTABLE: Words = &[
    "executables",
    "executable",
    "binaries",
    "binary",
    "paths",
    "path",
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
    "websites",
    "website",
    "places",
    "place",
    "fqdns",
    "fqdn",
    "targets",
    "target",
    "peers",
    "peer",
    "machines",
    "remotes",
    "remote",
    "systems",
    "locations",
    "location",
    "parties",
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
    "upload",
    "uploaded",
    "uploads",
    "uploading",
    "exchange",
    "exchanged",
    "transfer",
    "transferred",
    "transfers",
    "go",
    "goes",
    "going",
    "went",
    "phone",
    "phoned",
    "phones",
    "phoning",
    "browse",
    "browsed",
    "browses",
    "browsing",
    "touch",
    "touched",
    "touches",
    "touching",
    "poll",
    "polled",
    "polls",
    "polling",
    "probe",
    "probed",
    "probes",
    "probing",
    "target",
    "targeted",
    "targets",
    "targeting",
    "message",
    "messaged",
    "messages",
    "messaging",
    "approach",
    "approached",
    "approaches",
    "approaching",
    "interact",
    "interacted",
    "interacts",
    "interacting",
    "converse",
    "conversed",
    "converses",
    "conversing",
    "transmit",
    "transmitted",
    "transmits",
    "transmitting",
    "push",
    "pushed",
    "pushes",
    "pushing",
    "post",
    "posted",
    "posts",
    "posting",
    "exfiltrate",
    "exfiltrated",
    "exfiltrates",
    "exfiltrating",
    "leak",
    "leaked",
    "leaks",
    "leaking",
    "stream",
    "streamed",
    "streams",
    "streaming",
    "chat",
    "chatted",
    "chats",
    "chatting",
    "engage",
    "engaged",
    "engages",
    "engaging",
    "attack",
    "attacked",
    "attacks",
    "attacking",
    "beaconed",
    "beaconing",
    "dealt",
    "deal",
    "deals",
    "dealing",
    "relay",
    "relayed",
    "relays",
    "relaying",
    "emit",
    "emitted",
    "emits",
    "emitting",
    "ship",
    "shipped",
    "shipping",
    "report",
    "reported",
    "reporting",
    "scanned",
    "scanning",
    "scan",
    "scans",
    "consult",
    "consulted",
    "consults",
    "consulting",
    "hammer",
    "hammered",
    "hammers",
    "hammering",
    "flood",
    "flooded",
    "floods",
    "flooding",
    "crawl",
    "crawled",
    "crawls",
    "crawling",
    "scrape",
    "scraped",
    "scrapes",
    "scraping",
    "sync",
    "synced",
    "syncs",
    "syncing",
    "synchronize",
    "synchronized",
    "synchronizes",
    "synchronizing",
    "handshake",
    "handshaked",
    "handshakes",
    "handshaking",
    "subscribe",
    "subscribed",
    "subscribes",
    "subscribing",
    "pair",
    "paired",
    "pairs",
    "pairing",
    "join",
    "joined",
    "joins",
    "joining",
    "tunnel",
    "tunneled",
    "tunnelled",
    "tunneling",
    "tunnels",
    "ring",
    "rang",
    "rings",
    "ringing",
    "surf",
    "surfed",
    "surfs",
    "surfing",
    "route",
    "routed",
    "routing",
    "hook",
    "hooked",
    "hooks",
    "hooking",
    "liaise",
    "liaised",
    "liaises",
    "liaising",
    "peer",
    "peered",
    "peering",
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
    "grab",
    "grabbed",
    "grabs",
    "grabbing",
    "retrieve",
    "retrieved",
    "retrieves",
    "retrieving",
    "obtain",
    "obtained",
    "obtains",
    "obtaining",
    "import",
    "imported",
    "imports",
    "importing",
    "requested",
    "requesting",
    "load",
    "loaded",
    "loads",
    "loading",
];
/// "hitting": a verb in progress.
pub const DOING: &str = "ing";
/// Verbs without an object: "how many connections did curl make".
pub const MAKE: Words = &[
    "make",
    "made",
    "making",
    "open",
    "opened",
    "opening",
    "use",
    "uses",
    "used",
    "happen",
    "happened",
    "seen",
    "appear",
    "appeared",
    "appears",
    "establish",
    "established",
    "establishes",
    "establishing",
    "initiate",
    "initiated",
    "initiates",
    "initiating",
    "create",
    "created",
    "creates",
    "creating",
    "generate",
    "generated",
    "generates",
    "generating",
    "attempt",
    "attempted",
    "attempts",
    "attempting",
    "issue",
    "issued",
    "issues",
    "issuing",
    "perform",
    "performed",
    "performs",
    "performing",
    "cause",
    "caused",
    "causes",
    "causing",
    "trigger",
    "triggered",
    "triggers",
    "triggering",
    "produce",
    "produced",
    "produces",
    "producing",
    "occur",
    "occurred",
    "occurs",
    "using",
    "arise",
    "arose",
    "exist",
    "existed",
    "utilize",
    "utilized",
    "utilise",
    "utilised",
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

pub const FAILED: Words = &[
    "failed",
    "fail",
    "failing",
    "fails",
    "unsuccessful",
    "unsuccessfully",
    "broke",
    "broken",
    "errored",
];
pub const SUCCEEDED: Words = &[
    "succeeded",
    "succeed",
    "successful",
    "established",
    "successfully",
    "worked",
    "successes",
    "success",
    "ok",
];
pub const TIMED: Words = &["timed"];
pub const OUT: Words = &["out"];
pub const OUTCOMES: Words = &[
    "refused",
    "timeout",
    "unreachable",
    "reset",
    "denied",
    "rejected",
];
/// What a policy decided.
pub const JUDGED: Words = &[
    "blocked",
    "would-block",
    "alerted",
    "killed",
    "suspended",
    "dumped",
];
/// A connection's own name, which is not the one that was looked up.
pub const OTHER_NAMED: Words = &["other-named"];
pub const ENCRYPTED_DNS: Words = &["encrypted-dns", "dns-over-https"];
pub const RULES: Words = &["rules", "rule"];
pub const VERDICTS: Words = &["verdicts", "verdict"];
pub const RULE_IS: Words = &["rule-is"];
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
/// First words of what may follow a whole question: times, places and groups.
pub const CLAUSES: [Words; 11] = [
    SINCE,
    UNTIL,
    BETWEEN,
    TODAY,
    YESTERDAY,
    THIS,
    IN,
    ON,
    PER,
    BY,
    PREPOSITIONS,
];
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
    "anything",
    "anyone",
    "anybody",
    "someone",
    "somebody",
    "everyone",
    "everybody",
    "something",
    "everything",
    "we",
    "i",
    "they",
    "us",
];
/// All public addresses.
pub const INTERNET: Words = &["internet", "outside"];
/// Before what is left out.
pub const NOT: Words = &["not", "except", "excluding", "besides", "never", "nor"];
pub const OTHER: Words = &["other"];
pub const APART: Words = &["apart", "aside"];
pub const THAN: Words = &["than"];
pub const OR: Words = &["or"];
/// Comparisons that stand at the beginning of a question.
pub const COMPARED: Words = &["than", "longer", "larger", "bigger", "slower", "fastest"];
pub const LEAST: Words = &["least", "fewest"];
pub const BOTTOM: Words = &["bottom"];
pub const LARGEST: Words = &["largest", "biggest", "heaviest", "greatest", "hugest"];
pub const SMALLEST: Words = &["smallest"];
pub const ONLY: Words = &["only", "exactly", "just"];
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
/// "only", before whom or what nothing else may be.
pub const EXCLUSIVELY: Words = &["exclusively", "solely", "only", "purely"];
pub const EVER: Words = &["ever"];
/// What idioms make of "made no connections", "without lookups", "sent nothing".
pub const NO_CONNECTIONS: Words = &["no-connections"];
pub const NO_LOOKUPS: Words = &["no-lookups"];
pub const NO_BYTES: Words = &["sent-nothing", "received-nothing"];
pub const SOME_BYTES: Words = &["sent-something", "received-something"];
pub const ONCE: Words = &["once"];
pub const TWICE: Words = &["twice"];
pub const TIMES_OR_TIME: Words = &["times", "time"];
pub const AVERAGE: Words = &["average", "mean", "avg"];
pub const DURATION: Words = &["duration"];
pub const LATENCY: Words = &["latency"];
/// Verbs and nouns of data that a process sends.
pub const SENDING: Words = &[
    "send",
    "sends",
    "sent",
    "sending",
    "upload",
    "uploads",
    "uploaded",
    "uploading",
    "go",
    "goes",
    "going",
    "went",
    "transmit",
    "transmitted",
    "transmits",
    "transmitting",
    "push",
    "pushed",
    "pushes",
    "pushing",
    "exfiltrate",
    "exfiltrated",
    "exfiltrates",
    "exfiltrating",
    "leak",
    "leaked",
    "leaks",
    "leaking",
    "post",
    "posted",
    "posts",
    "posting",
    "emit",
    "emitted",
    "emits",
    "emitting",
];
/// Verbs and nouns of data that a process receives.
pub const RECEIVING: Words = &[
    "receive",
    "receives",
    "received",
    "receiving",
    "download",
    "downloads",
    "downloaded",
    "downloading",
    "get",
    "gets",
    "got",
    "getting",
    "come",
    "comes",
    "came",
    "coming",
    "pull",
    "pulled",
    "pulls",
    "pulling",
    "fetch",
    "fetched",
    "fetches",
    "fetching",
    "grab",
    "grabbed",
    "grabs",
    "grabbing",
    "retrieve",
    "retrieved",
    "retrieves",
    "retrieving",
    "obtain",
    "obtained",
    "obtains",
    "obtaining",
];
pub const DIRECTIONS: Words = &["sent", "received", "uploaded", "downloaded"];
/// Parts of names.
pub const ENDING: Words = &["ending", "end", "ends"];
pub const BEGINNING: Words = &[
    "starting",
    "beginning",
    "starts",
    "begins",
    "start",
    "begin",
];
pub const CONTAINING: Words = &[
    "containing",
    "contain",
    "contains",
    "matching",
    "match",
    "matches",
];
pub const LIKE: Words = &["like"];
pub const THAT: Words = &["that", "which", "whose", "names", "name"];
/// Services that are recognised by their ports.
pub const SERVICES: Words = &[
    "https",
    "http",
    "quic",
    "http3",
    "http/3",
    "h3",
    "ssh",
    "sftp",
    "ftp",
    "telnet",
    "smtp",
    "imap",
    "pop3",
    "ntp",
    "snmp",
    "syslog",
    "ldap",
    "ldaps",
    "smb",
    "rdp",
    "vnc",
    "postgres",
    "postgresql",
    "mysql",
    "redis",
    "mongodb",
    "kafka",
];
pub const DNS_TRAFFIC: Words = &["dns-traffic"];
pub const DNS_SERVER: Words = &["dns-server"];
pub const DNS_SERVERS: Words = &["servers", "server", "resolvers", "resolver"];
pub const RCODES: Words = &["nxdomain", "servfail"];
pub const IN_DIRECTORY: Words = &["in-directory"];
pub const DELETED: Words = &["deleted-programs", "deleted"];
pub const SHELLS: Words = &["shells", "shell"];
pub const COMMANDS: Words = &["commands", "command"];
pub const PARENTS: Words = &["parents", "parent"];
pub const PAIRS: Words = &["pairs"];
pub const ANSWERS: Words = &["answers"];
pub const BEACONS: Words = &["beacons"];
pub const CHANGES: Words = &["changes"];
pub const SUMMARY: Words = &["summary"];
/// Times of day: "at 3am".
pub const AT: Words = &["at"];
pub const AROUND: Words = &["around", "about", "circa", "near"];
pub const NOW: Words = &["now", "currently", "presently"];
pub const LAST_START: Words = &["boot", "reboot", "bootup", "startup", "restart"];
/// All containers, or all services.
pub const CONTAINERS: Words = &["containers"];
pub const SERVICE_UNITS: Words = &["services"];

/// The local end of a connection.
pub const OWN_PORT: Words = &["src", "source", "local"];
/// Before two hosts.
pub const BOTH: Words = &["both", "either"];
/// Verbs that can end a question.
pub const INTRANSITIVE: Words = &[
    "connected",
    "connecting",
    "connect",
    "talked",
    "talking",
    "communicated",
    "communicating",
];

/// Of flows whose peer sent first.
pub const INCOMING: Words = &["incoming", "inbound", "ingress"];
pub const BOTH_DIRECTIONS: Words = &["both-directions"];
/// Before what the answer is sorted by.
pub const SORTED: Words = &["sorted", "ordered", "ranked"];
pub const SIZE: Words = &["size", "volume"];
/// "right before 21:19": a minute.
pub const RIGHT: Words = &["right", "just", "shortly", "immediately"];
pub const ALL: Words = &["all"];
/// What a program can be called after its name: "the ssh client".
pub const CLIENTS: Words = &[
    "client",
    "daemon",
    "tool",
    "command",
    "binary",
    "executable",
    "utility",
];
/// Words that may be left out where they are not understood: without them, a question asks for
/// the same.
pub const DROPPED: Words = &[
    "which",
    "that",
    "who",
    "whom",
    "being",
    "been",
    "be",
    "is",
    "are",
    "was",
    "were",
    "do",
    "does",
    "did",
    "has",
    "have",
    "had",
    "of",
    "as",
    "it",
    "them",
    "they",
    "there",
    "here",
    "also",
    "then",
    "so",
    "some",
    "any",
    "such",
    "these",
    "those",
    "our",
    "my",
    "your",
    "us",
    "me",
    "network",
    "activity",
    "just",
    "simply",
    "even",
    "specifically",
    "ever",
    "kind",
    "sort",
    "called",
];
/// How a connection or an answer begins.
pub const BEGINS: Words = &[
    "connect",
    "establish",
    "open",
    "complete",
    "answer",
    "respond",
    "reply",
    "resolve",
    "succeed",
];
pub const WHOM: Words = &["that", "which", "whom"];
pub const SEVERAL: Words = &["several", "multiple"];
