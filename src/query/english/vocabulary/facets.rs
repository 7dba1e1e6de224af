//! Words of questions that are read by their facets, in whatever order they come (`facets.rs`):
//! what is asked for, how names are introduced, and what says nothing.

use super::{CONNECTIONS, CONTAINER, NAMES, PROCESS, Words};

/// What is asked for, and the words of the grammar that ask for it.
pub const HEADS: [(Words, &str); 24] = [
    (
        &[
            "who",
            "process",
            "processes",
            "program",
            "programs",
            "app",
            "apps",
            "talkers",
            "talker",
        ],
        "which processes",
    ),
    (
        &[
            "hosts",
            "host",
            "domains",
            "destinations",
            "destination",
            "where",
            "sites",
            "targets",
            "endpoints",
            "servers",
        ],
        "which hosts",
    ),
    (&["ips", "ip", "addresses", "address"], "which IPs"),
    (&["ports"], "which ports"),
    (&["users", "user"], "which users"),
    (&["containers", "container"], "which containers"),
    (&["pids"], "which pids"),
    (
        &["executables", "executable", "binaries"],
        "which executables",
    ),
    (
        &["commands", "command", "cmdline", "cmdlines"],
        "which commands",
    ),
    (&["parents", "parent"], "which parents"),
    (&["hash", "hashes", "checksum", "sha256"], "hashes"),
    (
        &[
            "bytes",
            "data",
            "traffic",
            "bandwidth",
            "volume",
            "size",
            "much",
        ],
        "traffic",
    ),
    (&["sent", "upload", "uploads", "uploaded"], "bytes sent"),
    (
        &["received", "download", "downloads", "downloaded"],
        "bytes received",
    ),
    (
        &["duration", "durations", "longest", "long"],
        "longest connections",
    ),
    (
        &[
            "connections",
            "connection",
            "conns",
            "conn",
            "flows",
            "requests",
            "sessions",
            "session",
            "attempts",
            "when",
            "timeline",
            "log",
            "logs",
            "history",
            "activity",
        ],
        "connections",
    ),
    (&["lookups", "lookup", "queries", "dns"], "lookups"),
    (
        &[
            "interval",
            "intervals",
            "beacon",
            "beacons",
            "beaconing",
            "periodic",
            "periodically",
            "regularly",
        ],
        "beacons",
    ),
    (
        &["errors", "error", "failures", "failure", "problems"],
        "failed connections",
    ),
    (&["rules"], "which rules"),
    (&["slowest"], "slowest connections"),
    (&["summary", "overview"], "summary"),
    (&["largest-transfers"], "largest connections"),
    (&["protocols"], "which protocols"),
];

/// Nouns of what is listed, before which another noun says of what kind: "host processes".
pub const LISTED_KINDS: [Words; 4] = [PROCESS, NAMES, CONTAINER, CONNECTIONS];

/// Words that count what is asked for.
pub const COUNTING: Words = &["count", "number", "amount", "many", "often"];

/// Question words that leave open what is listed: the names that follow decide.
pub const OPEN_HEADS: Words = &["what", "whats", "what's"];

/// Prepositions before where a connection went.
pub const TOWARDS: Words = &[
    "to", "with", "into", "toward", "towards", "against", "onto", "->", "-->", "=>", "→",
];

/// Prepositions before who acted. Behind a verb that fetches, "from" is before a host.
pub const OF_WHOM: Words = &["by", "from", "of", "for", "in", "inside", "within"];

/// Prepositions before a port, a protocol or a service.
pub const BY_WAY_OF: Words = &["on", "over", "via", "using", "through", "at", "in"];

/// What is left out follows. Nothing else of a question may be lost behind them.
pub const DENYING: Words = &[
    "not",
    "except",
    "excluding",
    "besides",
    "non",
    "outside",
    "minus",
    "ignoring",
    "without",
];

/// Before "but" and what is left out: "anything but curl".
pub const RESTRICTING_NOTHING: Words = &[
    "anything",
    "anyone",
    "anywhere",
    "everything",
    "everyone",
    "everywhere",
    "all",
];

/// Two words that deny.
pub const DENYING_BOTH: [(&str, &str); 5] = [
    ("other", "than"),
    ("apart", "from"),
    ("aside", "from"),
    ("but", "not"),
    ("and", "not"),
];

/// "lots of data"
pub const LOTS: Words = &["lots", "lot", "tons", "loads", "heaps", "plenty"];

/// Superlatives that order what is asked for by its bytes or its number.
pub const MOSTLY: Words = &[
    "top", "most", "biggest", "largest", "heaviest", "busiest", "greatest",
];

/// Nouns behind a name that say no more than that it is a program.
pub const BEHIND_PROGRAMS: Words = &[
    "script", "tool", "cli", "client", "daemon", "server", "program", "process", "app", "utility",
    "job",
];

/// Verbs and nouns that say no more than that there was traffic.
pub const SAYING_NOTHING: Words = &[
    "see",
    "saw",
    "show",
    "shows",
    "list",
    "give",
    "tell",
    "find",
    "display",
    "get",
    "got",
    "want",
    "need",
    "know",
    "check",
    "look",
    "me",
    "us",
    "you",
    "we",
    "i",
    "they",
    "them",
    "it",
    "its",
    "their",
    "there",
    "here",
    "this",
    "that",
    "these",
    "those",
    "our",
    "my",
    "your",
    "which",
    "whom",
    "can",
    "could",
    "would",
    "will",
    "please",
    "pls",
    "kindly",
    "hey",
    "hi",
    "ok",
    "so",
    "then",
    "also",
    "ever",
    "even",
    "actually",
    "really",
    "heck",
    "hell",
    "did",
    "does",
    "do",
    "doing",
    "done",
    "is",
    "are",
    "was",
    "were",
    "has",
    "have",
    "had",
    "been",
    "being",
    "be",
    "any",
    "all",
    "some",
    "such",
    "the",
    "a",
    "an",
    "anything",
    "something",
    "everything",
    "anyone",
    "someone",
    "everyone",
    "anywhere",
    "somewhere",
    "everywhere",
    "stuff",
    "thing",
    "things",
    "kind",
    "sort",
    "network",
    "happen",
    "happened",
    "happening",
    "occurred",
    "total",
    "overall",
    "made",
    "make",
    "makes",
    "making",
    "use",
    "uses",
    "used",
    "try",
    "tries",
    "tried",
    "trying",
    "attempted",
    "attempting",
];
