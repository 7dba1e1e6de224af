//! Questions about many machines: which of them, each of them, or those of a name. A history is of
//! one machine, so these words belong to questions to a dataset, or to several histories.

use anyhow::{Result, bail};
use chrono::{DateTime, TimeZone};

use super::History;
use super::ast::{Actors, Counted, Predicate, Projection, Question, Subject};
use super::english::{Word, is_grammar, is_verb, parse, split};
use crate::text::printable;

const MACHINES: [&str; 2] = ["machines", "machine"];
/// Before the name of a machine, or of a label's value.
const WHERE: [&str; 4] = ["on", "in", "from", "of"];
/// Before machines that something is listed or counted for.
const EACH: [&str; 2] = ["per", "by"];
/// After machines that were talked to.
const PASSIVE: [&str; 9] = [
    "did", "do", "does", "was", "were", "is", "are", "has", "have",
];

/// The histories of the machines that a question is about.
///
/// # Errors
///
/// A machine of which there is none, with those of which there are; a label, which no history has.
pub fn asked(question: &Question, several: &[History]) -> Result<Vec<History>> {
    let mut asked = several.to_vec();
    for predicate in &question.predicates {
        let name = match predicate {
            Predicate::By(Subject::Machine(name)) => name,
            Predicate::By(Subject::Labelled(..)) => bail!(
                "histories have no labels: export them with --label to a dataset, or name the \
                 machine, \"on machine NAME\""
            ),
            _ => continue,
        };
        asked.retain(|history| history.machine == *name);
        if several.iter().any(|history| history.machine == *name) {
            continue;
        }
        let known = several.iter().map(|history| &*history.machine);
        bail!(
            "none of these histories is of a machine {}: they are of {}",
            printable(name),
            listed(Vec::from_iter(known))
        );
    }
    Ok(asked)
}

/// What is said of one history, said of several.
pub fn of_all(several: &[History], said: String) -> String {
    match several {
        [] => said,
        _ => said
            .replace("this history has ", "these histories have ")
            .replace("this history knows ", "these histories know "),
    }
}

/// Whose histories they are, before what is said about them; nothing if there is only one.
pub fn said(several: &[History], at: &[usize]) -> String {
    if several.is_empty() {
        return String::new();
    }
    let names = at.iter().filter_map(|&at| Some(&*several.get(at)?.machine));
    format!("{}: ", listed(Vec::from_iter(names)))
}

/// Some of these names, in order, and how many more there are.
fn listed(mut names: Vec<&str>) -> String {
    /// How many are named.
    const NAMED: usize = 5;
    names.sort_unstable();
    names.dedup();
    let more = match names.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    names.truncate(NAMED);
    printable(&names.join(", ")).into_owned() + &more
}

/// Parses a question to a dataset. Besides what [`parse`] knows: "which machines hit x.org", "how
/// many machines", "per machine", "on machine web-1", "in cluster prod", "with label role=web".
///
/// # Errors
///
/// A word that is not understood, and machines where they can't be listed.
pub fn parse_of_machines<Tz: TimeZone>(text: &str, now: &DateTime<Tz>) -> Result<Question> {
    let Ok(words) = split(text) else {
        // a quote that is never closed: says where
        return Ok(parse(text, now)?);
    };
    let is = |at: usize, any: &[&str]| words.get(at).is_some_and(|word| word.is_one_of(any));
    let (mut filters, mut rest) = (Vec::new(), Vec::new());
    let (mut listed, mut each) = (false, false);
    let mut at = 0;
    // "not on machine web-1", "on machine web-1 or web-2": of one machine alone
    let single = |at: usize| {
        let denied = ["not", "except", "but", "excluding", "without", "or", "only"];
        let behind = ["or", "and"];
        if at > 0 && is(at - 1, &denied) || is(at + 3, &behind) {
            bail!(
                "a question names one machine, cluster or label, and not what it is not: ask for \
                 each, or add a condition on \"machine\" to the SQL"
            );
        }
        Ok(())
    };
    // "which machines hit x.org", "which machine has contacted x.org", and not "which machines
    // did curl contact"
    let lists = |at: usize| {
        let acts = words.get(at + 2).is_some_and(|word| is_verb(&word.text));
        let denied = is(at + 2, &["not", "never", "been"]);
        let asked = at > 0 && is(at - 1, &["which", "what"]);
        (is(at, &["machines"]) || asked && is(at, &["machine"]))
            && (!is(at + 1, &PASSIVE) || acts || denied)
    };
    while at < words.len() {
        let name = words.get(at + 2).map(name_of);
        let is_filter = is(at, &WHERE);
        // "by machine web-1", and not "by machine since monday"
        let is_named = is(at, &["by"]) && name.as_ref().is_some_and(|name| !is_grammar(name));
        let filter = match name {
            Some(name) if (is_filter || is_named) && is(at + 1, &["machine"]) => {
                Some(Subject::Machine(name))
            }
            Some(name) if is_filter && is(at + 1, &["cluster"]) => {
                Some(Subject::Labelled("cluster".to_owned(), name))
            }
            Some(name) if is(at, &["with"]) && is(at + 1, &["label"]) => name
                .split_once('=')
                .map(|(key, value)| Subject::Labelled(key.to_owned(), value.to_owned())),
            _ => None,
        };
        if let Some(filter) = filter {
            single(at)?;
            filters.push(filter);
            at += 3;
        } else if is(at, &EACH) && is(at + 1, &MACHINES) {
            each = true;
            at += 2;
        } else if !listed && lists(at) {
            listed = true;
            rest.push("processes");
            at += 1;
        } else {
            rest.push(&text[words[at].at.clone()]);
            at += 1;
        }
    }
    if rest.is_empty() {
        rest.push("connections");
    }
    let mut question = parse(&rest.join(" "), now)?;
    if listed || each {
        question.projection = match (question.projection, each) {
            (Projection::Actors(Actors::Processes), false) => Projection::Actors(Actors::Machines),
            (Projection::Count(Counted::Actors(Actors::Processes)), false) => {
                Projection::Count(Counted::Actors(Actors::Machines))
            }
            (
                Projection::Each
                | Projection::Count(Counted::Rows)
                | Projection::Bytes
                | Projection::Sent
                | Projection::Received,
                true,
            ) if !listed => Projection::Actors(Actors::Machines),
            (Projection::Destinations, true) if !listed && question.ranking.is_some() => {
                Projection::FirstHosts(Actors::Machines)
            }
            (_, true) => bail!(
                "\"per machine\" goes with connections, lookups, bytes and top hosts; ask for anything else \
                 of one machine, \"on machine NAME\", or \"which machines\" hit a host"
            ),
            (_, false) => bail!(
                "machines are what connected or looked up, as in \"which machines hit example.com\""
            ),
        };
        question.bare = false;
    }
    let filters = filters.into_iter().map(Predicate::By);
    question.predicates.extend(filters);
    Ok(question)
}

fn name_of(word: &Word) -> String {
    match word.quoted {
        true => word.text.clone(),
        false => word.text.trim_end_matches(['?', ',']).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;

    fn parsed(text: &str) -> Result<Question> {
        parse_of_machines(
            text,
            &DateTime::<Utc>::from_timestamp_nanos(1_795_000_000_000_000_000),
        )
    }

    #[test]
    fn machines_are_listed_counted_and_selected() {
        let machines = Projection::Actors(Actors::Machines);
        let web = Predicate::By(Subject::Machine("web-1".to_owned()));
        let prod = Predicate::By(Subject::Labelled("cluster".to_owned(), "prod".to_owned()));
        let role = Predicate::By(Subject::Labelled("role".to_owned(), "web".to_owned()));
        let counted = Projection::Count(Counted::Actors(Actors::Machines));
        for (text, projection, last) in [
            ("which machines hit bad.example last week", machines, None),
            ("which machines looked up bad.example", machines, None),
            ("how many machines hit bad.example", counted, None),
            ("top 3 machines by bytes", machines, None),
            ("machines", machines, None),
            ("connections per machine", machines, None),
            ("how much did curl send per machine", machines, None),
            (
                "which machines hit bad.example in cluster prod",
                machines,
                Some(&prod),
            ),
            (
                "what did curl talk to on machine web-1",
                Projection::Destinations,
                Some(&web),
            ),
            (
                "what did curl talk to on machine \"web-1\"",
                Projection::Destinations,
                Some(&web),
            ),
            (
                "which processes hit x.org with label role=web",
                Projection::Actors(Actors::Processes),
                Some(&role),
            ),
            (
                "which machines did curl talk to",
                Projection::Destinations,
                None,
            ),
        ] {
            let question = parsed(text).unwrap_or_else(|e| panic!("{text}: {e:#}"));
            assert_eq!(question.projection, projection, "{text}");
            if let Some(last) = last {
                assert_eq!(question.predicates.last(), Some(last), "{text}");
            }
        }
        for text in ["top 5 ports per machine", "which machines hti x.org"] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
