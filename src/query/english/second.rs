//! A second question behind "and": "who hit x.org and when", "which hosts were contacted and by
//! whom". Where the answer to the first has it, or a list of the same can have it, it is answered
//! with it.

use chrono::{DateTime, TimeZone};

use super::parser::understood;
use super::refusal::NotUnderstood;
use super::vocabulary::*;
use super::words::Word;
use crate::query::ast::{
    Actors, Counted, Measure, Predicate, Projection, Question, Ranking, Relation,
};

/// What a second question asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Time,
    Numbers,
    Who,
    User,
    Host,
    Port,
    Address,
    Duration,
    Outcome,
    Pid,
    Rule,
}

/// Words that a second question starts with, or that stand in it for what is asked.
const ASKED: [(Words, Asked); 17] = [
    (WHEN, Asked::Time),
    (&["times", "time", "date", "dates"], Asked::Time),
    (&["much", "many", "often"], Asked::Numbers),
    (WHO, Asked::Who),
    (&["whom"], Asked::Who),
    (PROCESS, Asked::Who),
    (USER, Asked::User),
    (&["where"], Asked::Host),
    (NAMES, Asked::Host),
    (PORTS, Asked::Port),
    (ADDRESSES, Asked::Address),
    (&["long", "duration"], Asked::Duration),
    (WHY, Asked::Outcome),
    (GROUPED_OUTCOME, Asked::Outcome),
    (FAILED, Asked::Numbers),
    (PIDS, Asked::Pid),
    (RULES, Asked::Rule),
];

/// Words that say nothing else there.
const AROUND_IT: [Words; 18] = [
    WHICH,
    WHAT,
    HOW,
    PREPOSITIONS,
    BY,
    IN,
    ON,
    FOR,
    ACTIVE,
    PASSIVE,
    BEEN,
    VERBS,
    FETCH,
    MAKE,
    ARTICLES,
    FILLERS,
    TRAFFIC,
    &[
        "they",
        "he",
        "she",
        "them",
        "him",
        "her",
        "each",
        "its",
        "their",
        "those",
        "these",
        "exactly",
        "last",
        "back",
        "take",
        "took",
        "connections",
        "lookups",
        "asked",
        "queried",
        "with",
    ],
];

/// Words that the second question can start with.
const STARTS: [Words; 7] = [
    WHICH,
    WHAT,
    WHO,
    WHEN,
    HOW,
    WHY,
    &["where", "whom", "whose"],
];

/// The words of the first question, and those of the second one behind its "and".
pub(super) fn split(words: &[Word]) -> Option<(&[Word], &[Word])> {
    let is = |word: &Word, known: Words| {
        !word.quoted && known.iter().any(|one| word.text.eq_ignore_ascii_case(one))
    };
    let and = words.iter().enumerate().rposition(|(at, word)| {
        let preposition = words.get(at + 1).is_some_and(|word| {
            [PREPOSITIONS, BY, ON, IN, FOR]
                .iter()
                .any(|known| is(word, known))
        });
        let next = words.get(at + 1 + usize::from(preposition));
        at > 1
            && is(word, AND)
            && next.is_some_and(|word| STARTS.iter().any(|known| is(word, known)))
    })?;
    Some((&words[..and], &words[and + 1..]))
}

/// The refusal of two questions in one, each of which is understood by itself: the answer to one
/// must not pass for that to both.
pub(super) fn two_questions<Tz: TimeZone>(
    text: &str,
    words: &[Word],
    now: &DateTime<Tz>,
) -> Option<NotUnderstood> {
    let is_start = |word: &Word| STARTS.iter().any(|known| word.is_one_of(known));
    let joins = |word: &Word| word.is_one_of(&["and", "also", "then", "plus"]);
    (2..words.len().saturating_sub(1)).find_map(|at| {
        let first = words[..at].iter().rposition(|word| !joins(word))? + 1;
        let before = &words[first - 1];
        let ends = text.get(before.at.end..words[first].at.start)?;
        let ends = text[before.at.clone()].ends_with(['?', ';']) || ends.contains(['?', ';']);
        if !is_start(&words[at]) || !is_start(&words[0]) || first == at && !ends || first < 2 {
            return None;
        }
        let (first, second) = (&words[..first], &words[at..]);
        let refers = |word: &Word| word.is_one_of(REFERRING);
        if second.iter().any(refers) || understood(text, first.to_vec(), now).is_err() {
            return None;
        }
        let own = |words: &[Word]| {
            let range = words.first()?.at.start..words.last()?.at.end;
            Some(text.get(range)?.trim_end_matches(['?', ';', ',']))
        };
        let (first, other) = (own(first)?, own(second)?);
        // "which hosts did curl hit and which did wget"
        let elliptic = second.len() <= 4 && second.get(1)?.is_one_of(ACTIVE);
        let hint = match understood(text, second.to_vec(), now) {
            Ok(_) => {
                format!("these are two questions; ask each by itself: \"{first}\" and \"{other}\"")
            }
            Err(_) if elliptic => {
                format!("these are two questions; ask each by itself, the first as \"{first}\"")
            }
            Err(_) => return None,
        };
        Some(NotUnderstood {
            problem: String::new(),
            place: Some((text.to_owned(), second[0].at.start..second.last()?.at.end)),
            hint: Some(hint),
        })
    })
}

/// Words that refer to the first question: the second one can't be asked by itself.
const REFERRING: Words = &[
    "they", "them", "their", "it", "its", "those", "these", "he", "she", "him", "her", "that",
];

/// What a second question asks for; none if it says anything else.
fn asked(words: &[Word]) -> Option<Vec<Asked>> {
    let mut all = Vec::new();
    for word in words {
        let is = |known: Words| {
            !word.quoted && known.iter().any(|one| word.text.eq_ignore_ascii_case(one))
        };
        // "and what did it send"
        let amount = is(SENDING) || is(RECEIVING);
        all.extend(amount.then_some(Asked::Numbers));
        if amount {
            continue;
        }
        if let Some((known, of)) = ASKED.iter().find(|(known, _)| is(known)) {
            // "how many failed", but not "which processes failed"
            if *known == FAILED && all.last() != Some(&Asked::Numbers) {
                return None;
            }
            all.push(*of);
        } else if !AROUND_IT.iter().any(|known| is(known)) {
            return None;
        }
    }
    all.dedup();
    (!all.is_empty()).then_some(all)
}

/// The first question, as one whose answer has what the second one asks for.
pub(super) fn answered_with(first: Question, second: &[Word]) -> Option<Question> {
    let asked = asked(second)?;
    let connections = first.relation == Relation::Connections;
    // "… and how many lookups", "… and where did they go": about other rows than the first
    let others = if connections { LOOKUPS } else { CONNECTIONS };
    let is_other = |word: &Word| {
        !word.quoted
            && others
                .iter()
                .any(|other| word.text.eq_ignore_ascii_case(other))
    };
    let of_hosts = |p: &Predicate| matches!(p, Predicate::To(_));
    if second.iter().any(is_other)
        || asked.contains(&Asked::Host) && first.predicates.iter().any(of_hosts)
    {
        return None;
    }
    let all_in = |known: &[Asked]| asked.iter().all(|of| known.contains(of));
    let totals = [Asked::Time, Asked::Numbers];
    let with = |more: &[Asked]| [&totals, more].concat();
    let has = match first.projection {
        Projection::Actors(Actors::Processes | Actors::Pids) => {
            with(&[Asked::Who, Asked::User, Asked::Pid])
        }
        Projection::Actors(Actors::Users) => with(&[Asked::User]),
        Projection::Actors(_) => with(&[]),
        Projection::Destinations if connections => {
            with(&[Asked::Host, Asked::Port, Asked::Address])
        }
        Projection::Destinations => with(&[Asked::Host, Asked::Who, Asked::Pid]),
        Projection::Addresses => with(&[Asked::Address]),
        Projection::Ports => with(&[Asked::Port]),
        Projection::Count(_) | Projection::Bytes | Projection::Sent | Projection::Received => {
            with(&[])
        }
        Projection::Each if connections => each_has(),
        Projection::Each => vec![
            Asked::Time,
            Asked::Who,
            Asked::Pid,
            Asked::Host,
            Asked::Outcome,
        ],
        Projection::Beacons => vec![Asked::Time, Asked::Numbers, Asked::Duration],
        Projection::FailedLookups => with(&[Asked::Who, Asked::Pid, Asked::Outcome]),
        Projection::Verdicts | Projection::Rules => with(&[Asked::Rule, Asked::Outcome]),
        _ => return None,
    };
    if all_in(&has) {
        return Some(Question {
            loose: true,
            ..first
        });
    }
    // each with each, or each by itself
    let plain = first.ranking.is_none_or(|ranking| {
        matches!(ranking, Ranking::First(_) | Ranking::Last(_)) && all_in(&each_has())
    }) && first.bucket.is_none()
        && first.average.is_none()
        && first.having.is_empty()
        && first.also.is_empty()
        && first.never.is_empty()
        && first.without.is_none()
        && !first.new;
    let pairs = with(&[Asked::Who, Asked::User, Asked::Pid, Asked::Host]);
    let who = all_in(&with(&[Asked::Who, Asked::User, Asked::Pid]));
    let bytes = match first.projection {
        Projection::Bytes => Some(Measure::Bytes),
        Projection::Sent => Some(Measure::Sent),
        Projection::Received => Some(Measure::Received),
        _ => None,
    };
    let projection = match first.projection {
        // "how many failed and who made them": each who did, with its number
        Projection::Count(Counted::Rows)
        | Projection::Bytes
        | Projection::Sent
        | Projection::Received
            if who =>
        {
            Projection::Actors(Actors::Processes)
        }
        Projection::Count(Counted::Rows)
            if connections && all_in(&with(&[Asked::Host, Asked::Port, Asked::Address])) =>
        {
            Projection::Destinations
        }
        Projection::Actors(of) if all_in(&pairs) && first.ranking.is_none() => {
            Projection::Pairs(of)
        }
        Projection::Destinations if connections && all_in(&pairs) && first.ranking.is_none() => {
            Projection::Pairs(Actors::Processes)
        }
        Projection::Actors(Actors::Processes | Actors::Pids)
        | Projection::Destinations
        | Projection::Addresses
        | Projection::Ports
            if connections && all_in(&each_has()) =>
        {
            Projection::Each
        }
        _ => return None,
    };
    let most = bytes.map(|measure| Ranking::By {
        measure,
        least: false,
        rows: Ranking::ALL,
    });
    plain.then_some(Question {
        projection,
        ranking: most.or(first.ranking),
        loose: true,
        ..first
    })
}

/// What a list of connections has.
fn each_has() -> Vec<Asked> {
    vec![
        Asked::Time,
        Asked::Numbers,
        Asked::Who,
        Asked::Pid,
        Asked::Host,
        Asked::Port,
        Asked::Address,
        Asked::Duration,
        Asked::Outcome,
    ]
}
