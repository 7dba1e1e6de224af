//! What is tried with a question, one after the other: the grammar, the same without words that
//! say nothing, a bare name, another order, known words for typos.

use chrono::{DateTime, TimeZone};

use super::idioms;
use super::parser::{LONGEST, NEAR, Parser, commas, understood};
use super::refusal::{FORMS, NOT_UNDERSTOOD, NotUnderstood};
use super::reordered::{
    by_facets, follows_up, has_grammar_as_name, is_grammatical, judged_without, names_refused,
    proposed,
};
use super::second;
use super::share;
use super::spoken;
use super::typo;
use super::vocabulary::*;
use super::words::{self, Word};
use crate::query::ast::{Correction, Question, Typed};
use crate::query::host::Host;

/// Parses a question; its times are relative to `now` and in the zone of `now`.
///
/// # Errors
///
/// The word that was not understood.
pub fn parse<Tz: TimeZone>(question: &str, now: &DateTime<Tz>) -> Result<Question, NotUnderstood> {
    let length = question.chars().count();
    if length > LONGEST {
        return Err(NotUnderstood {
            problem: format!("this question has {length} characters; the limit is {LONGEST}"),
            place: None,
            hint: None,
        });
    }
    let question = question.trim();
    let refuse = |problem: &str, at| NotUnderstood {
        problem: problem.to_owned(),
        place: Some((question.to_owned(), at)),
        hint: None,
    };
    // SQL text ends at a NUL, and no name that the kernel reports contains one.
    if let Some(at) = question.find('\0') {
        return Err(refuse("this is a NUL character", at..at + 1));
    }
    let words =
        words::split(question).map_err(|at| refuse("this quote is never closed", at..at + 1))?;
    let words = spoken::normalize(words);
    let polite = |word: &Word| word.is_one_of(&["please"]);
    let mut words = commas(words);
    if words.len() > 1 && polite(&words[0]) {
        words.remove(0);
    }
    let words = clause_last(question, words, now);
    let otherwise = meaning(question, words.clone(), now, true);
    corrected(question, words, now, otherwise)
}

/// The meaning of words as they were typed, in any order or in that of the grammar alone.
fn meaning<Tz: TimeZone>(
    question: &str,
    words: Vec<Word>,
    now: &DateTime<Tz>,
    in_any_order: bool,
) -> Result<Question, NotUnderstood> {
    if let Some(share) = share::asked(question, &words, now) {
        return Ok(share);
    }
    if let Some((at, why)) = idioms::replace(words.clone()).refused {
        return Err(NotUnderstood {
            problem: String::new(),
            hint: Some(judged_without(&words, &at, why, now)),
            place: Some((question.to_owned(), at)),
        });
    }
    // "and to where": not a host of that name
    if let Some(both) = two_in_one(question, &words, now) {
        return Ok(both);
    }
    if let Some(refused) = second::two_questions(question, &words, now) {
        return Err(refused);
    }
    let read = understood(question, words.clone(), now);
    // "made the last connection": a word of the grammar is hardly a name
    if let Ok(read) = &read
        && in_any_order
        && has_grammar_as_name(read)
        && let Some(other) = by_facets(question, &words, now)
        && !has_grammar_as_name(&other)
    {
        return Ok(other);
    }
    read.or_else(|refused| {
        if let Some(refused) = follows_up(question, &words, now) {
            return Err(refused);
        }
        let shorter = without_fillers(question, words.clone(), now, &refused);
        let shorter = shorter.or_else(|| bare(question, words.clone(), now));
        // Where a known word is near, a typo is likelier than a name.
        let near = refused
            .hint
            .as_ref()
            .and_then(|hint| hint.strip_prefix(NEAR));
        let typed = refused.place.as_ref().map(|(text, at)| &text[at.clone()]);
        let near = near.zip(typed).is_some_and(|(near, typed)| {
            let mut near = near.split(", ");
            near.any(|known| !typo::is_another(&typed.to_lowercase(), known))
        });
        // A reason is about the whole, and holds for the same in another order. A question that
        // breaks off goes on, unless a superlative stands before its last word.
        let asks = [WHAT, WHATS, WHICH, WHO, WHEN, HOW, ACTIVE, PASSIVE];
        let asks = words.first().is_some_and(|first| {
            let mut known = asks.iter().copied().flatten();
            known.any(|one| first.text.eq_ignore_ascii_case(one))
        });
        let breaks_off = asks
            && refused.problem != NOT_UNDERSTOOD
            && !words
                .iter()
                .any(|word| MOSTLY.contains(&word.text.as_str()));
        let other = in_any_order && !refused.problem.is_empty() && !breaks_off;
        let shorter = shorter.or_else(|| match other {
            true => by_facets(question, &words, now)
                .filter(|read| !near || !names_refused(read, &refused)),
            false => None,
        });
        shorter.ok_or_else(|| with_nearest(question, words, now, refused))
    })
}

/// Most words of a question that are looked at for typos.
const MOST_TYPOS: usize = 3;

/// The meaning with typos read as what they are nearest to, if that is understood, and only that.
/// Whether the history has such names is not known here.
fn corrected<Tz: TimeZone>(
    question: &str,
    words: Vec<Word>,
    now: &DateTime<Tz>,
    otherwise: Result<Question, NotUnderstood>,
) -> Result<Question, NotUnderstood> {
    let is_name = |of: &Question, text: &str| {
        let mut names = of.typed.names.iter();
        names.any(|(name, _)| name.eq_ignore_ascii_case(text))
    };
    // What was understood without a name is no typo.
    let typo = |word: &Word| match &otherwise {
        Ok(of) => is_name(of, &word.text),
        Err(_) => true,
    };
    let typos = words.iter().enumerate().filter(|(_, word)| typo(word));
    let typos = typos.filter_map(|(at, word)| Some((at, typo::meant(word)?)));
    let typos = Vec::from_iter(typos.take(MOST_TYPOS));
    let read = |with: &[(usize, &'static str)]| {
        let mut words = words.clone();
        for &(at, known) in with {
            words[at].text = known.to_owned();
        }
        // typos in words of any order could be too much
        let read = meaning(question, words, now, false).ok()?;
        // a known word that is read as a name again says nothing
        let named = with.iter().any(|(_, known)| is_name(&read, known));
        (!named && !read.bare).then_some(read)
    };
    let all = Vec::from_iter(typos.iter().map(|&(at, (known, _))| (at, known)));
    let single = all.iter().filter(|_| all.len() > 1).map(|one| vec![*one]);
    let mut attempts = [all.clone()].into_iter().chain(single);
    let found = attempts.find_map(|with| Some((read(&with)?, with)));
    let Some((read_so, with)) = found.filter(|(_, with)| !with.is_empty()) else {
        return otherwise;
    };
    let rivals = typos.iter().flat_map(|(at, (_, short))| {
        let rivals = short.iter().map(|short| vec![(*at, *short)]);
        rivals.filter(|_| with.len() == 1 && with[0].0 == *at)
    });
    if rivals.into_iter().any(|rival| read(&rival).is_some()) {
        return otherwise;
    }
    let otherwise = match otherwise {
        Ok(of) => Ok(of),
        Err(NotUnderstood {
            place: Some((_, at)),
            hint,
            ..
        }) => Err((at, hint.unwrap_or_else(|| FORMS.to_owned()))),
        refused => return refused,
    };
    let typed = with.iter().map(|&(at, _)| words[at].text.clone());
    let correction = Correction {
        words: typed.zip(with.iter().map(|&(_, known)| known)).collect(),
        otherwise,
    };
    Ok(Question {
        typed: Typed {
            correction: Some(Box::new(correction)),
            ..read_so.typed
        },
        ..read_so
    })
}

/// A question behind which a second one stands that the same answer has: "who hit x.org and when".
fn two_in_one<Tz: TimeZone>(
    question: &str,
    words: &[Word],
    now: &DateTime<Tz>,
) -> Option<Question> {
    let (first, second) = second::split(words)?;
    // "and how much did they send this week": the time is that of both
    let is_time = |words: &[Word]| {
        let mut parser = Parser::new(question, words.to_vec(), now);
        while parser.next < words.len() {
            if !matches!(parser.time(), Ok(true)) {
                return false;
            }
        }
        true
    };
    let ends = (1..=second.len()).find(|&at| is_time(&second[at..]))?;
    let (second, time) = second.split_at(ends);
    let first = understood(question, [first, time].concat(), now).ok()?;
    second::answered_with(first, second)
}

/// The same without words that say nothing where they were not understood. The answer says how
/// it was read.
fn without_fillers<Tz: TimeZone>(
    question: &str,
    mut words: Vec<Word>,
    now: &DateTime<Tz>,
    refused: &NotUnderstood,
) -> Option<Question> {
    let mut place = refused.place.clone();
    for _ in 0..MOST_DROPPED {
        let (_, at) = place?;
        let word = words.iter().position(|word| word.at == at)?;
        if !words[word].is_one_of(DROPPED) {
            return None;
        }
        words.remove(word);
        match understood(question, words.clone(), now) {
            Ok(question) => {
                return Some(Question {
                    loose: true,
                    ..question
                });
            }
            Err(refused) => place = refused.place,
        }
    }
    None
}

/// The refusal with the question that is understood, if that is the same without one word.
fn with_nearest<Tz: TimeZone>(
    question: &str,
    mut words: Vec<Word>,
    now: &DateTime<Tz>,
    mut refused: NotUnderstood,
) -> NotUnderstood {
    let place = refused.place.as_ref().filter(|_| refused.hint.is_none());
    let word = place.and_then(|(_, at)| words.iter().position(|word| word.at == *at));
    let works = |text: &str| is_grammatical(text, now);
    if let Some(word) = word {
        let before = word;
        let Word { at, text, .. } = words.remove(word);
        let shorter = [question[..at.start].trim_end(), &question[at.end..]].concat();
        let shorter = shorter.trim_start();
        let ends = |c: char| c.is_whitespace() || [',', ';', ':'].contains(&c);
        let first = question[..at.start].trim_end_matches(ends);
        // "30 minutes ago": not a port 30
        let cut = first.ends_with(|c: char| c.is_ascii_digit());
        // Without a word that joins or denies it would be another question.
        let mut joins = [NOT, BUT, AND, OR, ONLY, WITHOUT, PER]
            .into_iter()
            .flatten();
        let joins = joins.any(|one| text.eq_ignore_ascii_case(one));
        if !joins && works(shorter) {
            refused.hint = Some(format!("without it: {shorter}"));
        } else if before >= FEWEST_BEFORE && 2 * before >= words.len() && !cut && works(first) {
            refused.hint = Some(format!("understood up to there: {first}"));
        } else if !joins
            && words.len() >= FEWEST_BEFORE
            && let Some(nearest) = proposed(&words, now)
        {
            refused.hint = Some(format!("nearest: {nearest}"));
        }
    }
    refused
}

/// Fewest words before one that is not understood that are shown as a question of their own.
const FEWEST_BEFORE: usize = 3;

/// Most words that are dropped from a question.
const MOST_DROPPED: usize = 4;

/// Words that a question begins with.
const STARTS: [Words; 13] = [
    WHAT,
    WHATS,
    WHICH,
    WHO,
    HOW,
    ACTIVE,
    PASSIVE,
    TOP,
    CONNECTIONS,
    LOOKUPS,
    TRAFFIC,
    FAILED,
    &[
        "where", "when", "any", "anything", "is", "give", "tell", "find", "display",
    ],
];

/// Moves a clause from before the question to its end: "since this morning, what did curl do",
/// "on port 443, who talked".
fn clause_last<Tz: TimeZone>(text: &str, words: Vec<Word>, now: &DateTime<Tz>) -> Vec<Word> {
    let is = |word: &Word, known: &[Words]| known.iter().any(|known| word.is_one_of(known));
    let Some(question) = words
        .iter()
        .position(|word| is(word, &STARTS))
        .filter(|&at| at > 0)
    else {
        return words;
    };
    let (front, rest) = words.split_at(question);
    let mut time = front.to_vec();
    let during = ["over", "for", "throughout", "across"];
    if during
        .iter()
        .any(|word| time[0].text.eq_ignore_ascii_case(word))
    {
        time[0].text = "in".to_owned();
    }
    let mut parser = Parser::new(text, time.clone(), now);
    while parser.next < time.len() {
        if !matches!(parser.time(), Ok(true)) {
            // "on port 443, who talked"
            return match is(&front[0], &[ON, IN, BY, PER, FOR]) && front.len() > 1 {
                true => [rest, front].concat(),
                false => words,
            };
        }
    }
    [rest, &time].concat()
}

/// A question of only a name, or several, with clauses: "curl", "x.org last
/// hour". Whether it is a host or who acted is up to the history.
fn bare<Tz: TimeZone>(text: &str, words: Vec<Word>, now: &DateTime<Tz>) -> Option<Question> {
    let first = words.first()?;
    let known = [
        WHICH,
        WHAT,
        WHATS,
        WHO,
        WHEN,
        HOW,
        COUNT,
        NUMBER,
        TOP,
        FIRST,
        LAST,
        SLOWEST,
        super::vocabulary::LONGEST,
        FILLERS,
        OUTBOUND,
        ACTIVE,
        PASSIVE,
        NOT,
        AND,
        OR,
    ];
    let text_of = first.text.as_str();
    let near = |words: &[&str]| !words::nearest(text_of, words).is_empty();
    let grammar = words.len() > 1 && idioms::is_grammar(text_of);
    if !first.quoted && (words::is_short(text_of) || grammar || near(&known.concat())) {
        return None;
    }
    let before = |words: &[&str]| {
        let words = words.iter().map(|word| Word {
            text: (*word).to_owned(),
            quoted: false,
            at: 0..0,
        });
        Vec::from_iter(words)
    };
    let host = !first.quoted
        && first.text.contains(['.', ':'])
        && !first.text.starts_with('/')
        && Host::parse(&first.text, false).is_ok();
    let words = match host {
        true => [before(&["which", "processes", "hit"]), words].concat(),
        false => {
            // "curl and wget last hour": the names end where a clause begins
            let names = 1 + 2 * words[1..]
                .chunks(2)
                .take_while(|pair| {
                    pair.len() == 2 && !pair[0].quoted && JOINS.contains(&pair[0].text.as_str())
                })
                .count();
            let (names, rest) = words.split_at(names);
            // "root processes that hit x.org": not what root talked to
            if rest.first().is_some_and(|word| word.is_one_of(PROCESS)) {
                return None;
            }
            [
                before(&["what", "did"]),
                names.to_vec(),
                before(&["talk", "to"]),
                rest.to_vec(),
            ]
            .concat()
        }
    };
    let question = Parser::new(text, words, now).question().ok()?;
    let typed = Typed {
        doubtful: question.typed.names.len() > 1,
        ..question.typed
    };
    Some(Question {
        bare: true,
        typed,
        ..question
    })
}

/// Words between names.
const JOINS: [&str; 2] = ["and", "or"];
