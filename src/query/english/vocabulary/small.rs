//! Articles, prepositions, conjunctions and negations, and words without a meaning of their own.

use super::Words;
use super::times::{BETWEEN, PER, SINCE, THIS, TODAY, UNTIL, YESTERDAY};

pub const ARTICLES: Words = &["the", "a", "an"];
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
/// What stands before a question, with a colon: "prod alert:".
pub const HEADINGS: Words = &[
    "alert", "check", "question", "query", "incident", "issue", "ticket", "request", "urgent",
    "ioc", "iocs", "help", "q",
];
/// Begin an order behind a comma, and are no names: "x.org, newest first".
pub const ORDERS: Words = &[
    "newest", "oldest", "recent", "biggest", "largest", "sorted", "sort", "ordered", "order",
    "ranked", "grouped", "show", "tell", "give", "please", "thanks",
];
pub const ANY: Words = &["any"];
pub const ALL: Words = &["all"];
pub const BUT: Words = &["but", "and", "yet"];
pub const NEVER: Words = &["never", "not"];
/// Before what is left out.
pub const NOT: Words = &["not", "except", "excluding", "besides", "never", "nor"];
pub const NO: Words = &[
    "no", "nothing", "nobody", "none", "nowhere", "neither", "without",
];
pub const OTHER: Words = &["other"];
pub const APART: Words = &["apart", "aside"];
pub const WITHOUT: Words = &["without"];
pub const AND: Words = &["and"];
pub const OR: Words = &["or"];
/// Before two hosts.
pub const BOTH: Words = &["both", "either"];
pub const OF: Words = &["of"];
pub const FOR: Words = &["for"];
pub const PREPOSITIONS: Words = &["to", "with"];
pub const BY: Words = &["by", "from"];
pub const IN: Words = &["in", "inside", "within", "during"];
pub const ON: Words = &["on", "over", "via", "using", "through", "at", "of"];
pub const WHOM: Words = &["that", "which", "whom"];
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
    "happened",
    "happen",
    "happens",
    "happening",
    "occurred",
];
