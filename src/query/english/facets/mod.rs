//! Questions by their facets: what is asked for, who acted, where to, how it went, when, and in
//! what order, however these follow each other: "miner destinations", "curl failed dns 1h",
//! "the traffic of the python script to example.com". They are put into words of the grammar,
//! and the answer says how they were read.
//!
//! Each word belongs to a facet, or is one that says nothing (`vocabulary/facets.rs`), or names
//! something that the history must have: no other word is dropped, so that none that denies,
//! compares or restricts gets lost. A word that no facet takes refuses the question.

mod asked;
mod clauses;
mod names;

use chrono::{DateTime, TimeZone};

use super::comparison::direction_of;
use super::vocabulary::*;
use super::words::Word;
use crate::query::ast::Measure;

/// How the next name is introduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Unsaid,
    By,
    To,
    /// "from": who acted, or where data came from.
    From,
    Way,
}

/// What is done with a word that no facet takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leftover {
    /// The question is not understood.
    Refused,
    /// It is left out: for a question that a refusal proposes, never for an answer.
    LeftOut,
}

/// A superlative: of how many rows.
struct Most {
    rows: Option<u32>,
    /// "most connections"; by bytes otherwise, if these are said.
    of_bytes: bool,
}

struct Facets<'a, Tz: TimeZone> {
    words: &'a [Word],
    now: &'a DateTime<Tz>,
    leftover: Leftover,
    at: usize,
    head: Option<&'static str>,
    /// "what" left open what is listed.
    open: bool,
    counting: bool,
    /// "why", which is answered by what failed.
    why: bool,
    failed: bool,
    most: Option<Most>,
    /// "hosts by upload": the order of what is listed.
    by_bytes: Option<&'static str>,
    /// "everything" is listed.
    things: bool,
    /// "first" or "last", and of how many.
    first: Option<(&'static str, Option<u32>)>,
    /// "the longest connection" is asked for alone.
    single: bool,
    /// Two kinds were asked for, which single connections have.
    paired: bool,
    direction: Option<Measure>,
    role: Role,
    denied: bool,
    /// The last verb was one that fetches, or contacts.
    fetched: bool,
    acted: bool,
    subjects: usize,
    hosts: usize,
    /// Conditions beside names: ports, outcomes, times.
    others: usize,
    clauses: Vec<Word>,
}

/// The question in words of the grammar; none if a word belongs to no facet. All words are where
/// they were typed.
pub(super) fn spelled_out<Tz: TimeZone>(
    words: &[Word],
    now: &DateTime<Tz>,
    leftover: Leftover,
) -> Option<Vec<Word>> {
    let words = &*Vec::from_iter(words.iter().flat_map(without_prefix));
    let mut facets = Facets {
        words,
        now,
        leftover,
        at: 0,
        head: None,
        open: false,
        counting: false,
        why: false,
        failed: false,
        most: None,
        by_bytes: None,
        things: false,
        first: None,
        single: false,
        paired: false,
        direction: None,
        role: Role::Unsaid,
        denied: false,
        fetched: false,
        acted: false,
        subjects: 0,
        hosts: 0,
        others: 0,
        clauses: Vec::new(),
    };
    while facets.at < words.len() {
        if facets.next().is_none() {
            match leftover {
                Leftover::Refused => return None,
                // without a word that denies, another question would be proposed
                Leftover::LeftOut if is_kept(&words[facets.at]) => return None,
                Leftover::LeftOut => {
                    facets.at += 1;
                    (facets.role, facets.denied) = (Role::Unsaid, false);
                }
            }
        }
    }
    let one = facets.subjects <= 1 || leftover == Leftover::Refused;
    facets.assembled().filter(|_| one)
}

/// "non-root" as two words.
fn without_prefix(word: &Word) -> Vec<Word> {
    let rest = word
        .text
        .get(4..)
        .filter(|rest| !rest.is_empty() && !word.quoted);
    let denied = rest.filter(|_| word.text[..4].eq_ignore_ascii_case("non-"));
    let of = |text: &str| Word {
        text: text.to_owned(),
        ..word.clone()
    };
    denied.map_or_else(|| vec![word.clone()], |rest| vec![of("non"), of(rest)])
}

/// Whether a question has another meaning without this word.
fn is_kept(word: &Word) -> bool {
    let known = [
        NOT, NEVER, ONLY, WITHOUT, OR, OTHER, THAN, COMPARING, LEAST, BOTTOM, SMALLEST, DIRECTIONS,
    ];
    known.iter().any(|known| word.is_one_of(known)) || word.is_one_of(NO)
}

impl<'a, Tz: TimeZone> Facets<'a, Tz> {
    fn word(&self, at: usize) -> Option<&'a Word> {
        self.words.get(at)
    }

    fn at_is(&self, at: usize, known: Words) -> bool {
        self.word(at).is_some_and(|word| word.is_one_of(known))
    }

    fn written(&self, text: &str) -> Word {
        Word {
            text: text.to_owned(),
            quoted: false,
            at: 0..self.words.last().map_or(0, |word| word.at.end),
        }
    }

    /// Takes the next facet; none if nothing takes the next word.
    fn next(&mut self) -> Option<()> {
        if self.denial() || self.clause() || self.numbered()? {
            return Some(());
        }
        if self.asked()? || self.role() {
            return Some(());
        }
        // "how much did it see", but "started by make"
        let word = self.word(self.at)?;
        let vague = self.role == Role::Unsaid || self.role == Role::To && word.is_one_of(MAKE);
        if !(vague && word.is_one_of(SAYING_NOTHING)) && self.named()? {
            return Some(());
        }
        // "not" has to be before what it denies
        let verb = word.is_one_of(VERBS) || word.is_one_of(FETCH);
        if verb && !self.denied {
            self.fetched =
                word.is_one_of(FETCH) && !word.is_one_of(&["come", "came", "comes", "coming"]);
            self.acted = true;
            let vague = [
                "go", "goes", "going", "went", "get", "got", "gets", "getting",
            ];
            let direction = direction_of(&word.text).filter(|_| !vague.contains(&&*word.text));
            if direction.is_some() && self.direction.is_some_and(|said| Some(said) != direction) {
                return None;
            }
            self.direction = direction.or(self.direction);
            // "tried to reach"
            self.role = Role::Unsaid;
            self.at += 1;
            return Some(());
        }
        if word.is_one_of(SAYING_NOTHING) && !(self.denied && word.is_one_of(ACTIVE)) {
            // "failed to make a connection"
            if vague && word.is_one_of(MAKE) {
                self.role = Role::Unsaid;
            }
            self.things |=
                word.is_one_of(RESTRICTING_NOTHING) || word.is_one_of(&["something", "stuff"]);
            self.at += 1;
            return Some(());
        }
        // "processes and their hosts", "failed and to port 443"
        if word.is_one_of(&["and"]) && !self.denied && self.at > 0 {
            let goes_on = |known: Words| self.at_is(self.at + 1, known);
            let heads = HEADS.iter().any(|(known, _)| goes_on(known));
            if heads
                || [TOWARDS, OF_WHOM, BY_WAY_OF, OPEN_HEADS, ITS]
                    .iter()
                    .any(|k| goes_on(k))
            {
                self.at += 1;
                return Some(());
            }
        }
        None
    }

    /// Takes "not", "apart from".
    fn denial(&mut self) -> bool {
        if self.denied {
            return false;
        }
        let two = DENYING_BOTH.iter().any(|(first, second)| {
            let texts = [self.at, self.at + 1].map(|at| self.word(at).map(|word| &*word.text));
            texts == [Some(*first), Some(*second)]
        });
        // "without" is denied by the grammar, where it knows what of
        let before = self.at.checked_sub(1);
        let any = before.is_some_and(|before| self.at_is(before, RESTRICTING_NOTHING));
        let one = self.at_is(self.at, DENYING) || any && self.at_is(self.at, &["but"]);
        let dns = self.at_is(self.at, WITHOUT) && self.at_is(self.at + 1, DNS);
        if dns || !two && !one {
            return false;
        }
        self.denied = true;
        self.at += if two { 2 } else { 1 };
        true
    }
}
