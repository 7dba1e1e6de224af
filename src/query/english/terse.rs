//! Questions of nouns and names alone, in any order: "miner destinations", "alice wget github
//! bytes", "failed last hour count". They are put into words of the grammar; the answer says how
//! they were read.

use super::idioms;
use super::vocabulary::*;
use super::words::Word;

/// What is asked for, and the words of the grammar that ask for it.
const HEADS: [(Words, &str); 15] = [
    (
        &[
            "who",
            "process",
            "processes",
            "program",
            "programs",
            "app",
            "apps",
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
        ],
        "which hosts",
    ),
    (&["ips", "ip", "addresses", "address"], "which IPs"),
    (&["ports"], "which ports"),
    (&["users", "user"], "which users"),
    (&["containers"], "which containers"),
    (&["pids"], "which pids"),
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
    (&["duration", "durations", "longest"], "longest connections"),
    (
        &[
            "connections",
            "connection",
            "conns",
            "flows",
            "requests",
            "when",
            "timeline",
            "log",
            "history",
        ],
        "connections",
    ),
    (&["lookups", "queries", "dns"], "lookups"),
    (
        &["interval", "intervals", "beacon", "beacons", "beaconing"],
        "beacons",
    ),
    (&["errors", "failures", "why"], "failed connections"),
];

/// Words that count what is asked for.
const COUNTING: Words = &["count", "number", "amount"];

/// Adjectives, which stand before the head.
const ADJECTIVES: [Words; 4] = [FAILED, OUTCOMES, RCODES, OPENED];

/// Words that end the names: clauses follow.
const CLAUSES_BEGIN: [Words; 8] = [SINCE, UNTIL, BETWEEN, TODAY, YESTERDAY, THIS, PAST, IN];

/// Whether a name can have this byte without quotes.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-/@+*".contains(&byte)
}

/// What two heads ask for: a list that has both.
fn both(first: &'static str, second: &'static str) -> Option<&'static str> {
    let has = |one| first == one || second == one;
    let numbers = ["traffic", "bytes sent", "bytes received"];
    let of_each = [
        "which processes",
        "which hosts",
        "which IPs",
        "which ports",
        "which pids",
        "connections",
    ];
    let either = |all: &[&str]| all.contains(&first) || all.contains(&second);
    let all = |known: &[&str]| known.contains(&first) && known.contains(&second);
    if first == second {
        return Some(first);
    }
    if has("lookups") {
        return all(&["lookups", "which processes", "connections"]).then_some("lookups");
    }
    if has("failed connections") {
        return either(&of_each).then_some("failed connections");
    }
    if has("longest connections") {
        return either(&of_each).then_some("longest connections");
    }
    if all(&numbers) {
        // "bytes sent"
        return Some(if first == "traffic" { second } else { first });
    }
    if numbers.contains(&second) && of_each.contains(&first) {
        return Some(first);
    }
    if numbers.contains(&first) && of_each.contains(&second) {
        return Some(second);
    }
    all(&of_each).then_some("connections")
}

/// Whether two words are a length of time: "30 min".
fn is_length(number: &str, unit: &str) -> bool {
    number.parse::<u32>().is_ok() && unit.len() > 1 && super::units::microseconds_in(unit).is_some()
}

/// The question in words of the grammar; none if it has other words than nouns, names and a time
/// at its end. All words are where they were typed.
pub(super) fn spelled_out(words: &[Word]) -> Option<Vec<Word>> {
    let is = |word: &Word, known: Words| {
        !word.quoted && known.iter().any(|one| word.text.eq_ignore_ascii_case(one))
    };
    let at = 0..words.last()?.at.end;
    let new = |text: &str| Word {
        text: text.to_owned(),
        quoted: false,
        at: at.clone(),
    };
    let (mut head, mut counting) = (None, false);
    let (mut adjectives, mut clauses) = (Vec::new(), Vec::new());
    let (mut names, mut at, mut length) = (0, 0, false);
    while at < words.len() {
        let word = &words[at];
        let next = words.get(at + 1);
        if CLAUSES_BEGIN.iter().any(|known| is(word, known)) {
            // up to a noun, which can stand behind the time
            let ends =
                |word: &Word| HEADS.iter().any(|(known, _)| is(word, known)) || is(word, COUNTING);
            let rest = &words[at..];
            let length = rest.iter().position(ends).unwrap_or(rest.len());
            clauses.extend(rest[..length].iter().cloned());
            at += length;
            continue;
        }
        if is(word, COUNTING) {
            counting = true;
        } else if let Some((phrase, end)) = idioms::phrase(words, at) {
            clauses.push(new("by"));
            clauses.extend(phrase);
            names += 1;
            at = end;
            continue;
        } else if is(word, PORT) && next.is_some_and(|next| next.text.parse::<u16>().is_ok()) {
            clauses.extend([new("on"), word.clone(), words[at + 1].clone()]);
            names += 1;
            at += 2;
            continue;
        } else if let Some((_, of)) = HEADS.iter().find(|(known, _)| is(word, known)) {
            head = match head {
                Some(before) => Some(both(before, of)?),
                None => Some(*of),
            };
        } else if next.is_some_and(|unit| is_length(&word.text, &unit.text)) {
            // "30 min"
            length = true;
            clauses.extend([new("in"), new("last"), word.clone(), words[at + 1].clone()]);
            at += 2;
            continue;
        } else if is(word, HOW) && next.is_some_and(|next| is(next, &["much", "many"])) {
            // the next word is a head
        } else if ADJECTIVES.iter().any(|known| is(word, known)) {
            adjectives.push(word.clone());
        } else if is(word, SERVICES) || is(word, PROTOCOLS) || is(word, FAMILIES) {
            clauses.extend([new("over"), word.clone()]);
            names += 1;
        } else if word.text.bytes().all(|b| b.is_ascii_digit()) {
            // a port, or a pid?
            return None;
        } else if idioms::is_host(word) {
            clauses.extend([new("to"), word.clone()]);
            names += 1;
        } else if idioms::is_name(word) && word.text.bytes().all(is_plain) {
            clauses.extend([new("by"), word.clone()]);
            names += 1;
        } else {
            return None;
        }
        at += 1;
    }
    if names == 0 && adjectives.is_empty()
        || head.is_none() && !counting && adjectives.is_empty() && names < 2 && !length
    {
        return None;
    }
    let head = match (head, counting) {
        (None | Some("connections"), true) => "how many connections",
        (Some("which hosts"), true) => "how many hosts",
        (Some("which IPs"), true) => "how many IPs",
        (Some("which ports"), true) => "how many ports",
        (Some("which processes"), true) => "how many processes",
        (Some("lookups"), true) => "how many lookups",
        (Some("failed connections"), true) => "how many failed connections",
        (_, true) => return None,
        (None, false) => "connections",
        (Some(head), false) => head,
    };
    // "failed" stands before its noun
    let mut spelled = Vec::from_iter(head.split(' ').map(new));
    let noun = spelled.len() - 1;
    let lists = [
        "which hosts",
        "which processes",
        "which users",
        "which IPs",
        "which ports",
        "which pids",
        "which containers",
        "traffic",
    ];
    match lists.contains(&head) {
        true if !adjectives.is_empty() => {
            spelled.extend(adjectives);
        }
        _ => {
            spelled.splice(noun..noun, adjectives);
        }
    }
    spelled.extend(clauses);
    Some(spelled)
}
