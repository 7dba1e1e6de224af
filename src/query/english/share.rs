//! Shares: "what share of connections failed", "percent of traffic by process", "failure rate
//! per host".
//!
//! What has the share is what the whole question says beyond its beginning: of "connections by
//! curl failed", the beginning is "connections by curl", up to the verb, and the share is of
//! those that failed. Without a verb, as in "traffic to x.org", all that is said has the share,
//! of all traffic. What is grouped and says no more has its share of all groups.

use chrono::{DateTime, TimeZone};

use super::comparison::direction_of;
use super::idioms;
use super::parser::understood;
use super::vocabulary::*;
use super::words::Word;
use crate::query::ast::{
    Counted, Measure, Predicate, Projection, Question, Ranking, Relation, Share,
};

/// Words that can stand before what is a share, and say no more.
const BEFORE_IT: Words = &[
    "what", "whats", "what's", "which", "how", "many", "much", "is", "are", "was", "were", "the",
    "a", "show", "me", "give", "get", "list", "total", "overall", "average", "current",
];

/// The question that asks for a share; none if it asks for something else, or for a share that
/// can't be computed.
pub(super) fn asked<Tz: TimeZone>(
    text: &str,
    words: &[Word],
    now: &DateTime<Tz>,
) -> Option<Question> {
    let highest = of_the_highest(words);
    let words = highest.as_deref().unwrap_or(words);
    let start = words.iter().position(|word| !word.is_one_of(BEFORE_IT))?;
    let words = &words[start..];
    match words {
        [share, of, rest @ ..] if share.is_one_of(SHARE) && of.is_one_of(OF) => {
            of_what(text, rest, now)
        }
        // "ratio of failed to successful connections" has two, "share per host" none
        [share, rest @ ..] if share.is_one_of(PER_CENT) => of_what(text, rest, now),
        _ => rate(text, words, now),
    }
}

/// "Which process has the highest failure rate" as "failure rate per process".
fn of_the_highest(words: &[Word]) -> Option<Vec<Word>> {
    let [which, noun, has, the @ .., how, rate] = words else {
        return None;
    };
    let article = |word: &&Word| !word.is_one_of(ARTICLES);
    let the = Vec::from_iter(the.iter().filter(article));
    let asks = which.is_one_of(WHICH) || which.is_one_of(WHAT);
    if !asks || !has.is_one_of(ACTIVE) || the.len() != 1 || !the[0].is_one_of(HIGHEST) {
        return None;
    }
    let per = Word {
        text: "per".to_owned(),
        ..has.clone()
    };
    Some(vec![how.clone(), rate.clone(), per, noun.clone()])
}

/// The share of what follows "share of".
fn of_what<Tz: TimeZone>(text: &str, words: &[Word], now: &DateTime<Tz>) -> Option<Question> {
    let whole = understood(text, words.to_vec(), now).ok()?;
    let verb = words.iter().enumerate().skip(1).position(|(at, word)| {
        let noun = words[at - 1].is_one_of(ARTICLES) || at == 1 && words[0].is_one_of(OUTBOUND);
        let acts = [ACTIVE, PASSIVE, VERBS, FETCH, FAILED, OUTCOMES, WHOM, TIMED];
        !noun && acts.iter().any(|known| word.is_one_of(known))
    });
    let base = match verb {
        Some(before) => {
            understood(text, words[..=before].to_vec(), now)
                .ok()?
                .predicates
        }
        None => Vec::new(),
    };
    // "the traffic went to x.org" is that in both directions
    let directs = |word: &Word| {
        direction_of(&word.text).is_some() && !word.is_one_of(&["go", "goes", "going", "went"])
    };
    let whole = match whole.projection {
        Projection::Sent | Projection::Received if !words.iter().any(directs) => Question {
            projection: Projection::Bytes,
            ..whole
        },
        _ => whole,
    };
    let part = whole.predicates.iter().filter(|p| !base.contains(p));
    let part = part.cloned().collect();
    shared(whole, base, part)
}

/// "failure rate of curl", "dns error rate per process": the share of those that ended so.
fn rate<Tz: TimeZone>(text: &str, words: &[Word], now: &DateTime<Tz>) -> Option<Question> {
    let of_dns = |word: &Word| word.is_one_of(DNS) || word.is_one_of(LOOKUPS);
    let is_noun = |word: &Word| of_dns(word) || word.is_one_of(CONNECTIONS);
    let is_actor = |word: &Word| idioms::is_name(word) || idioms::is_host(word);
    // "wget success rate"
    let actor = words.first().filter(|word| is_actor(word));
    let words = &words[usize::from(actor.is_some())..];
    let before = words.iter().take_while(|word| is_noun(word)).count();
    let [how, rate, rest @ ..] = &words[before..] else {
        return None;
    };
    if !rate.is_one_of(RATE) {
        return None;
    }
    // "failure rate of dns lookups"
    let behind = match rest {
        [of, nouns @ ..] if of.is_one_of(OF) || of.is_one_of(FOR) => {
            let nouns = nouns.iter().take_while(|word| is_noun(word)).count();
            if nouns > 0 { 1 + nouns } else { 0 }
        }
        _ => 0,
    };
    let (noun, rest) = rest.split_at(behind);
    let rcode = RCODES.iter().find(|known| how.is_one_of(&[known]));
    let dns = words[..before].iter().chain(noun).any(of_dns) || rcode.is_some();
    let part = match () {
        () if how.is_one_of(ERRORS) || how.is_one_of(FAILED) => Predicate::Failed,
        () if how.is_one_of(SUCCEEDED) || how.is_one_of(&["success"]) => Predicate::Succeeded,
        () if how.is_one_of(&["timeout"]) && !dns => Predicate::Outcome("timeout"),
        () if how.is_one_of(&["refusal"]) && !dns => Predicate::Outcome("refused"),
        () if rcode == Some(&"nxdomain") => Predicate::Rcode("NXDOMAIN"),
        () if rcode == Some(&"servfail") => Predicate::Rcode("SERVFAIL"),
        () => return None,
    };
    let noun = Word {
        text: if dns { "lookups" } else { "connections" }.to_owned(),
        ..how.clone()
    };
    let by = actor.map(|actor| {
        let by = match idioms::is_host(actor) {
            true if dns => "of",
            true => "to",
            false => "by",
        };
        let by = Word {
            text: by.to_owned(),
            ..actor.clone()
        };
        vec![by, actor.clone()]
    });
    let whole = [&[noun], &*by.unwrap_or_default(), rest].concat();
    let whole = understood(text, whole, now).ok()?;
    let base = whole.predicates.clone();
    shared(whole, base, vec![part])
}

/// A question with the share of this part of it.
fn shared(whole: Question, base: Vec<Predicate>, part: Vec<Predicate>) -> Option<Question> {
    let grouped = whole.projection.is_grouped() && whole.projection != Projection::Destinations
        || whole.ranking.is_some();
    let (of, projection) = match (whole.projection, whole.ranking) {
        (list, Some(Ranking::Most(Ranking::ALL))) if list.is_grouped() => (Measure::Rows, list),
        (list, Some(Ranking::MostBytes(Ranking::ALL))) if list.is_grouped() => {
            (Measure::Bytes, list)
        }
        (
            list,
            Some(Ranking::By {
                measure: measure @ (Measure::Sent | Measure::Received),
                least: false,
                rows: Ranking::ALL,
            }),
        ) if list.is_grouped() => (measure, list),
        _ if grouped => return None,
        (Projection::Bytes, _) => (Measure::Bytes, Projection::Bytes),
        (Projection::Sent, _) => (Measure::Sent, Projection::Sent),
        (Projection::Received, _) => (Measure::Received, Projection::Received),
        (Projection::Each | Projection::FailedLookups | Projection::Count(Counted::Rows), _) => {
            (Measure::Rows, Projection::Count(Counted::Rows))
        }
        _ => return None,
    };
    let plain = whole.bucket.is_none()
        && whole.average.is_none()
        && whole.having.is_empty()
        && whole.also.is_empty()
        && whole.never.is_empty()
        && whole.without.is_none()
        && !whole.new
        && !part
            .iter()
            .any(|p| matches!(p, Predicate::Open | Predicate::SinceBoot));
    let lookups = whole.relation == Relation::Lookups && of != Measure::Rows;
    if !plain || lookups || part.is_empty() && !projection.is_grouped() {
        return None;
    }
    // the greatest share first, where it is not that of all groups
    let ranking = whole.ranking.filter(|_| part.is_empty());
    Some(Question {
        projection,
        predicates: base,
        ranking,
        share: Some(Share { of, part }),
        loose: true,
        ..whole
    })
}
