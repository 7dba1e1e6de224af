//! Turns of phrase: the table in `idioms.txt` replaces them by words of the grammar before a
//! question is parsed.

use std::collections::HashSet;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::LazyLock;

use super::units::is_unit;
use super::vocabulary::*;
use super::words::Word;

/// Whether a word says what programs do together, and is hardly the name of one.
pub fn is_activity(word: &str) -> bool {
    ACTIVITIES.iter().any(|one| word.eq_ignore_ascii_case(one))
}

/// Most replacements in a question: no chain of idioms is longer.
const REPLACEMENTS: usize = 24;

/// What an idiom makes of its words.
enum Meaning {
    /// These words, and those that it captured, by position among its holes.
    Words(Vec<Piece>),
    /// It can't be answered: why, and the nearest question that can.
    Refused(&'static str),
}

enum Piece {
    Word(&'static str),
    Captured(usize),
}

/// A part of a pattern.
enum Part {
    /// One of these words, in lower case.
    Words(Vec<&'static str>),
    /// One of these, which the meaning has as `{}`.
    Kept(Vec<&'static str>),
    /// `<x>`, `<h>` or another letter: a hole.
    Hole(char),
}

/// What a kept word is called among the holes.
const KEPT: char = '{';

impl Part {
    /// The words that it is one of; a hole has none.
    fn words(&self) -> &[&'static str] {
        match self {
            Part::Words(words) | Part::Kept(words) => words,
            Part::Hole(_) => &[],
        }
    }
}

struct Idiom {
    at_start: bool,
    at_end: bool,
    /// Each part, and whether it may be missing.
    parts: Vec<(Part, bool)>,
    meaning: Meaning,
    /// The answer says how it was read.
    loose: bool,
}

impl Idiom {
    /// Whether one of the words of each part that may not be missing is among these.
    fn is_possible(&self, present: &HashSet<String>) -> bool {
        self.parts.iter().all(|(part, optional)| {
            let all = part.words();
            *optional || all.is_empty() || all.iter().any(|word| present.contains(*word))
        })
    }
}

static IDIOMS: LazyLock<Vec<Idiom>> = LazyLock::new(|| {
    let lines = include_str!("idioms.txt").lines();
    lines
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .filter_map(read)
        .collect()
});

/// Words that `<t>` does not stand for.
const GRAMMAR: [Words; 96] = [
    PROTOCOL_NAMES,
    ARTICLES,
    SINGULAR,
    PROCESS,
    NAMES,
    ADDRESSES,
    CONNECTIONS,
    LOOKUPS,
    TRAFFIC,
    DNS,
    VERBS,
    FETCH,
    ACTIVE,
    PASSIVE,
    BY,
    IN,
    ON,
    SINCE,
    UNTIL,
    PER,
    PREPOSITIONS,
    FAILED,
    OUTCOMES,
    JUDGED,
    OTHER_NAMED,
    ENCRYPTED_DNS,
    RULES,
    VERDICTS,
    SUCCEEDED,
    TIMED,
    PROTOCOLS,
    FAMILIES,
    SERVICES,
    NEW,
    OPENED,
    OUTBOUND,
    SCOPES,
    RAW,
    TOP,
    BOTTOM,
    LARGEST,
    SMALLEST,
    SLOWEST,
    LONGEST,
    FIRST,
    LAST,
    MOST,
    LEAST,
    HOURLY,
    DAILY,
    WEEKLY,
    MONTHLY,
    WHICH,
    WHAT,
    WHO,
    HOW,
    WHEN,
    COUNT,
    FILLERS,
    NOT,
    EXECUTABLE,
    ERRORS,
    ANYONE,
    RCODES,
    DELETED,
    UNPACKAGED,
    MODIFIED,
    SET_USER_ID,
    IN_WORLD_WRITABLE,
    OTHER_RIGHTS,
    EFFECTIVE_USER,
    IN_COUNTRY,
    HASHES,
    CONTAINER,
    IMAGE,
    USER,
    UNIT,
    POD,
    NAMESPACE,
    PIDS,
    PORTS,
    PARENTS,
    COMMANDS,
    DESCENDANTS,
    NOW,
    WITHOUT,
    RESOLVE,
    DURATION,
    LATENCY,
    SORTED,
    SEVERAL,
    DO,
    INTRANSITIVE,
    LAST_START,
    AROUND,
    UNDER,
];

/// What `<q>` stands for: words that a question begins with.
const ASKING: Words = &[
    "what", "which", "who", "whom", "when", "where", "how", "why", "did", "does", "do", "is",
    "are", "was", "were", "has", "have", "had", "top", "if", "whether",
];

/// What `<o>` stands for: what can be listed.
const LISTED: [Words; 13] = [
    NAMES,
    PROCESS,
    EXECUTABLE,
    CONTAINER,
    IMAGE,
    USER,
    UNIT,
    POD,
    ADDRESSES,
    PORTS,
    CONNECTIONS,
    LOOKUPS,
    COMMANDS,
];

/// What `<v>` stands for.
const ACTING: [Words; 5] = [VERBS, FETCH, MAKE, RESOLVE, ASK];

/// More of them.
const ADJECTIVES: Words = &[
    "shells",
    "shell",
    "bare",
    "named",
    "unanswered",
    "cron",
    "average",
    "public",
    "private",
    "internet",
    "non-existent",
    "failed",
    "many",
    "much",
    "number",
    "dns-traffic",
    "used",
    "uses",
    "use",
    "using",
    "made",
    "opened",
    "seen",
    "being",
    "been",
    "out",
    "up",
    "run",
    "ran",
    "running",
    "and",
    "or",
    "but",
    "sorted",
    "incoming",
    "inbound",
    "ingress",
    "both-directions",
    "recent",
    "recently",
    "today",
    "yesterday",
    "now",
    "both",
    "more",
    "than",
    "doing",
    "beacons",
    "changes",
    "summary",
    "answers",
    "open",
    "could",
    "would",
    "should",
    "might",
    "no",
    "why",
    "where",
    "whom",
    "its",
    "their",
    "to",
    "that",
    "if",
    "whether",
    "then",
    "so",
    "at",
    "as",
    "these",
    "those",
    "i",
    "you",
    "us",
    "my",
    "our",
    "only",
    "once",
    "twice",
    "same",
    "such",
    "else",
    "of",
    "be",
    "will",
    "can",
    "really",
    "actually",
    "anywhere",
    "somewhere",
    "everywhere",
    "elsewhere",
    "nowhere",
    "please",
    "thanks",
    "regularly",
    "periodically",
    "lot",
    "lots",
    "give",
    "answered",
    "seconds",
    "minutes",
    "hours",
    "days",
    "weeks",
    "months",
];

/// A line of the table: a pattern, what becomes of it, and its meaning.
fn read(line: &'static str) -> Option<Idiom> {
    let (sign, at) = ["=>", "~>", "=!"]
        .into_iter()
        .find_map(|sign| Some((sign, line.find(sign)?)))?;
    let (pattern, meaning) = (line[..at].trim(), line[at + sign.len()..].trim());
    let mut parts = Vec::new();
    let mut holes = Vec::new();
    for part in pattern.split_whitespace() {
        if part == "^" || part == "$" {
            continue;
        }
        let (part, optional) = match part.strip_suffix('?') {
            Some(part) => (part, true),
            None => (part, false),
        };
        let kept = part
            .strip_prefix(KEPT)
            .and_then(|part| part.strip_suffix('}'));
        let hole = part.strip_prefix('<').and_then(|part| part.chars().next());
        parts.push((
            match (kept, hole) {
                (Some(words), _) => {
                    holes.push(KEPT);
                    Part::Kept(words.split('|').collect())
                }
                (None, Some(kind)) => {
                    holes.push(kind);
                    Part::Hole(kind)
                }
                (None, None) => Part::Words(part.split('|').collect()),
            },
            optional,
        ));
    }
    let pieces = meaning.split_whitespace().map(|word| {
        let kind = match word {
            "{}" => Some(KEPT),
            word => word.strip_prefix('<').and_then(|part| part.chars().next()),
        };
        let hole = kind.and_then(|kind| holes.iter().position(|&hole| hole == kind));
        hole.map_or(Piece::Word(word), Piece::Captured)
    });
    Some(Idiom {
        at_start: pattern.starts_with('^'),
        at_end: pattern.ends_with('$'),
        parts,
        meaning: match sign {
            "=!" => Meaning::Refused(meaning),
            _ => Meaning::Words(pieces.collect()),
        },
        loose: sign == "~>",
    })
}

impl Idiom {
    /// Whether these words become others: what stays the same would be found again and again.
    fn changes(&self, words: &[Word], captured: &[Vec<Word>]) -> bool {
        let Meaning::Words(pieces) = &self.meaning else {
            return true;
        };
        let new = pieces.iter().flat_map(|piece| match piece {
            Piece::Word(text) => vec![*text],
            Piece::Captured(hole) => captured[*hole].iter().map(|w| w.text.as_str()).collect(),
        });
        !new.eq(words.iter().map(|word| word.text.as_str()))
    }

    /// Whether it makes a name of a word where an adjective or an adverb could stand as well.
    fn doubtful(&self) -> bool {
        let has = |part: &Part, word| part.words().contains(&word);
        let what = self
            .parts
            .first()
            .is_some_and(|(part, _)| has(part, "what"));
        let before = |part: &Part| has(part, "hosts") || what && has(part, "is");
        let name = |part: &(Part, bool)| matches!(part.0, Part::Hole('t'));
        self.parts.first().is_some_and(name)
            || self
                .parts
                .windows(2)
                .any(|two| before(&two[0].0) && name(&two[1]))
    }
}

/// What became of a question's words.
pub(super) struct Replaced {
    pub words: Vec<Word>,
    /// A name was taken from before a noun, where it could as well be an adjective.
    pub doubtful: bool,
    /// The answer has to say how the question was read.
    pub loose: bool,
    /// Where it can't be answered, and why.
    pub refused: Option<(Range<usize>, &'static str)>,
}

/// Replaces all idioms.
pub(super) fn replace(mut words: Vec<Word>) -> Replaced {
    let (mut loose, mut doubtful) = (false, false);
    for _ in 0..REPLACEMENTS {
        let Some((idiom, range, captured)) = find(&words) else {
            break;
        };
        let at = extent(&words[range.clone()]);
        let pieces = match &idiom.meaning {
            Meaning::Refused(why) => {
                return Replaced {
                    words,
                    doubtful,
                    loose,
                    refused: Some((at, why)),
                };
            }
            Meaning::Words(pieces) => pieces,
        };
        loose |= idiom.loose;
        doubtful |= idiom.doubtful();
        let new = pieces.iter().flat_map(|piece| match piece {
            Piece::Word(text) => vec![Word {
                text: (*text).to_owned(),
                quoted: false,
                at: at.clone(),
            }],
            Piece::Captured(hole) => captured[*hole].clone(),
        });
        let new = Vec::from_iter(new);
        words.splice(range, new);
    }
    Replaced {
        words,
        doubtful,
        loose,
        refused: None,
    }
}

/// An idiom, where it stands, and what stands in its holes.
type Found = (&'static Idiom, Range<usize>, Vec<Vec<Word>>);

/// The bytes of the question that these words came from, also where an idiom has changed their order.
fn extent(words: &[Word]) -> Range<usize> {
    let start = words.iter().map(|word| word.at.start).min();
    let end = words.iter().map(|word| word.at.end).max();
    start.unwrap_or_default()..end.unwrap_or_default()
}

/// The first idiom of the table that the words contain.
fn find(words: &[Word]) -> Option<Found> {
    let unquoted = words.iter().filter(|word| !word.quoted);
    let present: HashSet<String> = unquoted.map(|w| w.text.to_ascii_lowercase()).collect();
    // most miss a word that they need, and are not tried at every place
    let mut candidates = IDIOMS.iter().filter(|idiom| idiom.is_possible(&present));
    candidates.find_map(|idiom| {
        let starts = if idiom.at_start { 1 } else { words.len() };
        (0..starts.min(words.len())).find_map(|start| {
            let mut captured = Vec::new();
            let end = fit(idiom, 0, words, start, &mut captured)?;
            let changes = end > start && idiom.changes(&words[start..end], &captured);
            changes.then_some((idiom, start..end, captured))
        })
    })
}

/// Where the words from `at` on stop to fit the pattern from `part` on.
fn fit(
    idiom: &Idiom,
    part: usize,
    words: &[Word],
    at: usize,
    captured: &mut Vec<Vec<Word>>,
) -> Option<usize> {
    let Some((expected, optional)) = idiom.parts.get(part) else {
        return (!idiom.at_end || at == words.len()).then_some(at);
    };
    if let Some(word) = words.get(at) {
        let before = captured.len();
        match expected {
            Part::Words(all) | Part::Kept(all) => {
                let fits =
                    !word.quoted && all.iter().any(|one| word.text.eq_ignore_ascii_case(one));
                if fits && matches!(expected, Part::Kept(_)) {
                    captured.push(vec![word.clone()]);
                }
                if fits && let Some(end) = fit(idiom, part + 1, words, at + 1, captured) {
                    return Some(end);
                }
                captured.truncate(before);
            }
            Part::Hole(kind) => {
                for (filling, next) in fillings(*kind, words, at) {
                    captured.push(filling);
                    if let Some(end) = fit(idiom, part + 1, words, next, captured) {
                        return Some(end);
                    }
                    captured.truncate(before);
                }
            }
        }
        let article = !word.quoted
            && ARTICLES
                .iter()
                .any(|one| word.text.eq_ignore_ascii_case(one));
        if article
            && part > 0
            && let Some(end) = fit(idiom, part, words, at + 1, captured)
        {
            return Some(end);
        }
    }
    match optional {
        true => fit(idiom, part + 1, words, at, captured),
        false => None,
    }
}

/// What can fill a hole from `at` on, the longest first, and where it ends.
fn fillings(kind: char, words: &[Word], at: usize) -> Vec<(Vec<Word>, usize)> {
    let one = |kind| is_of(kind, &words[at]).then(|| (vec![words[at].clone()], at + 1));
    if kind != 't' {
        return Vec::from_iter(one(kind));
    }
    let mut all = Vec::from_iter(one(kind));
    all.extend(phrase(words, at));
    // "curl or wget", "user alice and user bob", "x.org, y.org or z.org"
    while let Some((first, end)) = all.last().cloned() {
        let joined = words
            .get(end)
            .is_some_and(|word| word.is_one_of(&["or", "and"]));
        let next = joined.then(|| {
            phrase(words, end + 1).or_else(|| {
                let word = words.get(end + 1)?;
                is_of(kind, word).then(|| (vec![word.clone()], end + 2))
            })
        });
        let Some((next, last)) = next.flatten() else {
            break;
        };
        all.push(([first, vec![words[end].clone()], next].concat(), last));
    }
    all.reverse();
    all
}

/// A subject of more than one word: "user alice", "the web container", "children of make"; with
/// its noun first, and where it ends.
pub(super) fn phrase(words: &[Word], at: usize) -> Option<(Vec<Word>, usize)> {
    let [first, second] = words.get(at..at + 2)? else {
        return None;
    };
    let named = |word: &Word| is_of('t', word);
    if first.is_one_of(DESCENDANTS) && second.is_one_of(OF) {
        let (of, end) = match phrase(words, at + 2) {
            Some(phrase) => phrase,
            None => (
                vec![words.get(at + 2).filter(|word| named(word))?.clone()],
                at + 3,
            ),
        };
        return Some(([vec![first.clone(), second.clone()], of].concat(), end));
    }
    if first.is_one_of(SINGULAR) && named(second) {
        return Some((vec![first.clone(), second.clone()], at + 2));
    }
    // "the ssh client"
    if named(first) && second.is_one_of(CLIENTS) {
        return Some((vec![first.clone()], at + 2));
    }
    let noun = second.is_one_of(SINGULAR) && !second.is_one_of(PID);
    (named(first) && noun).then(|| (vec![second.clone(), first.clone()], at + 2))
}

/// Whether a word can fill a hole.
fn is_of(kind: char, word: &Word) -> bool {
    let text = word.text.trim_end_matches('.');
    match kind {
        'n' | 'm' => !word.quoted && text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty(),
        'h' => {
            text.parse::<IpAddr>().is_ok()
                || text.contains('.') && !text.starts_with(['/', '.']) && !is_version(text)
        }
        // a unit of time or of size, apart or with its number
        'u' => !word.quoted && is_unit(text),
        's' | 'z' => {
            let digits = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
            !word.quoted && digits.len() < text.len() && is_unit(digits)
        }
        'a' => text.parse::<IpAddr>().is_ok(),
        'd' => {
            text.contains('.')
                && !text.starts_with(['/', '.'])
                && text.parse::<IpAddr>().is_err()
                && !is_version(text)
        }
        'p' => text.starts_with('/') && text.len() > 1,
        't' => word.quoted || !is_grammar(text) && !denies(text),
        'w' => word.quoted || !is_grammar(text) && !is_time(text) && !denies(text),
        'q' => word.is_one_of(ASKING),
        // ".xyz"
        'e' => text.len() > 1 && text.starts_with('.') && !text[1..].contains('.'),
        'o' => LISTED.iter().any(|words| word.is_one_of(words)),
        'v' => ACTING.iter().any(|words| word.is_one_of(words)),
        _ => !text.is_empty(),
    }
}

/// Whether a word is the name of a program with its version, or of a file: no name of a host
/// ends in a number, and networks do in a length.
fn is_version(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    let network = text.contains('/') || text.contains(':');
    !network && last.bytes().all(|b| b.is_ascii_digit()) || text.contains("://")
}

/// Whether a word is what something is not: "non-root".
fn denies(text: &str) -> bool {
    text.get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("non-"))
}

/// Whether a word says a time: "noon", "9:00", "monday".
fn is_time(text: &str) -> bool {
    let now = chrono::Utc::now();
    text.starts_with(|c: char| c.is_ascii_digit())
        || DAYS.iter().any(|day| text.eq_ignore_ascii_case(day))
        || crate::when::month(text, &now).is_some()
        || crate::when::parse(text, &now).is_ok()
}

/// Whether a word is a verb that names nothing, unless the history has it.
pub(in crate::query) fn is_verb(word: &str) -> bool {
    ACTING
        .iter()
        .any(|words| words.iter().any(|one| word.eq_ignore_ascii_case(one)))
}

/// Whether a word can name who acted.
pub(super) fn is_name(word: &Word) -> bool {
    let address = word.text.split('/').next().unwrap_or_default();
    is_of('t', word) && address.parse::<IpAddr>().is_err()
}

/// Whether a word is a name with a dot, or an address.
pub(super) fn is_host(word: &Word) -> bool {
    is_of('h', word)
}

/// The words of the grammar and of the table.
pub(super) fn known() -> impl Iterator<Item = &'static str> {
    let patterns = IDIOMS.iter().flat_map(|idiom| &idiom.parts);
    let patterns = patterns.flat_map(|(part, _)| part.words());
    let grammar = GRAMMAR.iter().chain([&ADJECTIVES]).copied().flatten();
    grammar.chain(patterns).copied()
}

/// Whether a word is one of the grammar, so that a name has to be quoted.
pub(in crate::query) fn is_grammar(word: &str) -> bool {
    let mut all = GRAMMAR.iter().chain([&ADJECTIVES]);
    all.any(|words| words.iter().any(|one| word.eq_ignore_ascii_case(one)))
}

#[cfg(test)]
mod tests {
    use super::super::words::split;
    use super::*;

    fn replaced(question: &str) -> String {
        let words = replace(split(question).unwrap()).words;
        let texts = words.into_iter().map(|word| word.text);
        texts.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn idioms_become_words_of_the_grammar() {
        for (question, words) in [
            (
                "what is this host talking to",
                "what is anything talking to",
            ),
            ("what did pypi.org resolve to?", "answers for pypi.org"),
            (
                "the 5 biggest connections today",
                "largest 5 connections today",
            ),
            ("what did 'this host' talk to", "what did this host talk to"),
            ("who hit example.com", "who hit example.com"),
        ] {
            assert_eq!(replaced(question), words, "{question}");
        }
    }

    /// Where one of several words denies, all do, and it may not be missing: else a pattern reads
    /// a question as its opposite.
    #[test]
    fn no_idiom_takes_a_word_that_denies_for_one_that_does_not() {
        const DENYING: [&str; 9] = [
            "no", "not", "never", "without", "except", "nothing", "nobody", "none", "cannot",
        ];
        // each denies as well, where it stands beside one of these
        const ALIKE: [&str; 19] = [
            "outside",
            "zero",
            "hide",
            "exclude",
            "omit",
            "skip",
            "besides",
            "but",
            "than",
            "rather",
            "instead",
            "excluding",
            "nowhere",
            "noone",
            "no-one",
            "couldn't",
            "can't",
            "couldnt",
            "cant",
        ];
        let mut checked = 0;
        for idiom in IDIOMS.iter() {
            let mut behind = false;
            for (part, optional) in &idiom.parts {
                let words = part.words();
                if !words.iter().any(|word| DENYING.contains(word)) {
                    behind |= words == ["but"];
                    continue;
                }
                let all = words
                    .iter()
                    .all(|word| DENYING.contains(word) || ALIKE.contains(word));
                // "any idea"; "without making any connections" is "but making any" first
                let no_denial = words == ["any", "some", "no"] || words == ["without"];
                let denied = behind && words.contains(&"any");
                assert!(all && !optional || no_denial || denied, "{words:?}");
                behind |= all;
                checked += 1;
            }
        }
        assert!(checked > 100, "{checked}");
    }

    /// What a refusal names instead is understood when it is typed in.
    #[test]
    fn every_question_that_a_refusal_names_is_understood() {
        let mut checked = 0;
        for idiom in IDIOMS.iter() {
            let Meaning::Refused(why) = idiom.meaning else {
                continue;
            };
            for named in why.split('"').skip(1).step_by(2) {
                let question = named
                    .replace("NAME", "nginx")
                    .replace("PROGRAM", "make")
                    .replace("HOST", "x.org")
                    .replace("TIME", "yesterday");
                let read = super::super::parse(&question, &chrono::Utc::now());
                assert!(read.is_ok(), "{question}: {}", read.unwrap_err());
                checked += 1;
            }
        }
        assert!(checked > 40, "{checked}");
    }

    #[test]
    fn every_line_of_the_table_is_read_and_no_idiom_leads_back_to_itself() {
        let lines = include_str!("idioms.txt").lines();
        let lines = lines.filter(|line| !line.starts_with('#') && !line.is_empty());
        assert_eq!(lines.count(), IDIOMS.len());
        for idiom in IDIOMS.iter() {
            for (part, optional) in &idiom.parts {
                let mut words = part.words().iter();
                assert!(words.all(|word| *word == word.to_ascii_lowercase()));
                // what is missing can't be kept
                assert!(!optional || !matches!(part, Part::Kept(_)));
            }
            let Meaning::Words(pieces) = &idiom.meaning else {
                continue;
            };
            let words = pieces.iter().map(|piece| match piece {
                Piece::Word(word) => *word,
                Piece::Captured(_) => "x.org",
            });
            let question = words.collect::<Vec<_>>().join(" ");
            let once = replaced(&question);
            assert_eq!(replaced(&once), once, "{question}");
        }
    }
}
