//! The parser: it takes a word or leaves it, and remembers what it would have taken.

use std::ops::Range;

use chrono::{DateTime, TimeZone};

use super::super::host::Host;
use super::super::refusal::NotUnderstood;
use super::super::words::{self, Word};
use super::vocabulary::*;
use super::{From, List, Only, Per, Pick, Question};

/// The longest question that is read, in characters.
pub(super) const LONGEST: usize = 1000;

/// Understands a question asked at `now`, whose zone its times are in.
///
/// # Errors
///
/// The word that it could not understand.
pub fn parse<Tz: TimeZone>(question: &str, now: &DateTime<Tz>) -> Result<Question, NotUnderstood> {
    let length = question.chars().count();
    if length > LONGEST {
        return Err(NotUnderstood {
            problem: format!("this question has {length} characters; I read at most {LONGEST}"),
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
    // SQL text ends at a NUL, and no name that the kernel reports holds one.
    if let Some(at) = question.find('\0') {
        return Err(refuse(
            "there is a NUL character in this question:",
            at..at + 1,
        ));
    }
    let words =
        words::split(question).map_err(|at| refuse("this quote is never closed:", at..at + 1))?;
    Parser::new(question, words, now).question()
}

/// Stands for a word that is still to be typed. No question holds a NUL.
pub(super) const HOLE: &str = "\0";

/// What a name can be of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    Host,
    Process,
    Container,
    Image,
    User,
    Unit,
    Pod,
    Namespace,
    Pid,
    Port,
}

/// What a word that is none of the grammar's would name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Open {
    Nothing,
    Subject,
    Object,
}

pub(super) struct Parser<'a, Tz: TimeZone> {
    pub(super) text: &'a str,
    pub(super) now: &'a DateTime<Tz>,
    pub(super) words: Vec<Word>,
    /// The word to be read.
    pub(super) next: usize,
    /// What that word was compared with so far.
    pub(super) tried: Vec<Words>,
    /// What a name would be of, where the question breaks off before one.
    pub(super) naming: Option<Naming>,
    pub(super) open: Open,
    /// Whether somebody contacted something or looked it up, once that is said.
    pub(super) verb: Option<From>,
    /// What has to come yet.
    pub(super) waits: Option<&'static str>,
    pub(super) only: Vec<Only>,
    pub(super) pick: Option<Pick>,
    /// Where it says "by bytes".
    pub(super) by_bytes: Option<Range<usize>>,
    pub(super) since: Option<i64>,
    pub(super) until: Option<i64>,
    pub(super) new: bool,
    pub(super) per: Option<Per>,
    /// What the numbers are for: "connections per host".
    pub(super) group: Option<List>,
    /// It begins with what it wants: "connections per hour".
    pub(super) bare: bool,
}

impl<'a, Tz: TimeZone> Parser<'a, Tz> {
    pub(super) fn new(text: &'a str, words: Vec<Word>, now: &'a DateTime<Tz>) -> Self {
        Parser {
            text,
            now,
            words,
            next: 0,
            tried: Vec::new(),
            naming: None,
            open: Open::Nothing,
            verb: None,
            waits: None,
            only: Vec::new(),
            pick: None,
            by_bytes: None,
            since: None,
            until: None,
            new: false,
            per: None,
            group: None,
            bare: false,
        }
    }

    pub(super) fn question(&mut self) -> Result<Question, NotUnderstood> {
        let (mut list, mut from) = self.head()?;
        while self.next < self.words.len() {
            if self.newness()? {
                continue;
            }
            if matches!(list, List::Destinations | List::FailedLookups) && self.never()? {
                list = List::NeverContacted;
                continue;
            }
            self.clause(list)?;
        }
        if let Some(wanted) = self.waits {
            return Err(self.refuse(wanted));
        }
        let nothing_said = self.only.is_empty() && self.since.is_none() && self.until.is_none();
        if self.open == Open::Object && nothing_said && matches!(list, List::Actors(_) | List::Each)
        {
            return Err(self.refuse("a host"));
        }
        from = self.verb.unwrap_or(from);
        if from == From::Lookups {
            list = self.about_lookups(list)?;
        }
        if self.new && list == List::NeverContacted {
            return Err(self.refuse_all("I can't say which of the names never contacted are new"));
        }
        let by_time = matches!(self.pick, Some(Pick::Slowest(_) | Pick::Longest(_)));
        let long = matches!(self.pick, Some(Pick::Longest(_)));
        if by_time && (list != List::Each || self.group.is_some()) || long && from == From::Lookups
        {
            let why = "connections and lookups are slow, and connections are long: \"slowest lookups\", \"longest connections\"";
            return Err(self.refuse_all(why));
        }
        if self.new && self.since.is_none() {
            return Err(self.refuse("a time: new since when"));
        }
        if let Some(group) = self.group {
            list = self.grouped(list, group)?;
        }
        if self.per.is_some() {
            list = self.split(list)?;
        }
        if let Some(at) = self.by_bytes.take() {
            self.pick = match self.pick {
                Some(Pick::Most(n)) if from == From::Connections => Some(Pick::MostBytes(n)),
                _ => {
                    let hint =
                        "bytes order a \"top\" of connections, as in \"top 10 hosts by bytes\"";
                    return Err(self.refuse_word(at, Some(hint.to_owned())));
                }
            };
        }
        if from == From::Lookups && matches!(self.pick, Some(Pick::MostBytes(_))) {
            return Err(self.refuse_all("lookups are not counted in bytes"));
        }
        Ok(Question {
            list,
            from,
            only: std::mem::take(&mut self.only),
            since: self.since,
            until: self.until,
            pick: self.pick,
            new: self.new,
            per: self.per,
        })
    }

    /// What the answer lists where its numbers are for each of something, and whether they
    /// can be.
    fn grouped(&mut self, list: List, group: List) -> Result<List, NotUnderstood> {
        let most = match list {
            List::Bytes => Pick::MostBytes,
            List::Each | List::Count(_) | List::FailedLookups => Pick::Most,
            _ => {
                let why = "only connections, lookups and bytes are counted per something";
                return Err(self.refuse_all(why));
            }
        };
        self.bare = false;
        self.pick = match self.pick {
            // The most of each hour come first there.
            None if self.per.is_some() => None,
            None => Some(most(Pick::ALL)),
            Some(Pick::Most(n)) => Some(most(n)),
            pick => pick,
        };
        Ok(group)
    }

    /// What the answer lists for each hour or day, and whether it can.
    fn split(&mut self, list: List) -> Result<List, NotUnderstood> {
        if self.new || list == List::NeverContacted {
            let why = "I can't say per hour or day what is new or never contacted";
            return Err(self.refuse_all(why));
        }
        let list = match list {
            List::Count(_) | List::Bytes => list,
            List::Each | List::FailedLookups => List::Count(list.counted()),
            list if self.bare => List::Count(list.counted()),
            list => list,
        };
        let numbers = matches!(list, List::Count(_) | List::Bytes);
        match self.pick {
            Some(Pick::First(_) | Pick::Last(_)) => {
                Err(self.refuse_all("I can't pick the first or last of each hour or day"))
            }
            Some(_) if numbers => Err(self.refuse_all(
                "the top of each hour or day is of hosts, processes and the like: \"top 3 hosts per hour\"",
            )),
            _ => Ok(list),
        }
    }

    /// What the answer lists of lookups, and whether what is asked of them can be.
    fn about_lookups(&mut self, list: List) -> Result<List, NotUnderstood> {
        for only in &self.only {
            let problem = match only {
                Only::By(_)
                | Only::Failed
                | Only::Succeeded
                | Only::To(Host::Domain(_) | Host::Subdomains(_) | Host::Exact(_)) => {
                    continue;
                }
                Only::To(_) => {
                    "a lookup is of a name, not of an address: say \"hit\" for connections"
                }
                _ => {
                    "a lookup has no port, protocol or address, and may only have failed or succeeded: say \"hit\" for connections"
                }
            };
            return Err(self.refuse_all(problem));
        }
        Ok(match list {
            List::Destinations | List::Each if self.only.contains(&Only::Failed) => {
                List::FailedLookups
            }
            List::Addresses | List::Ports | List::Bytes => {
                return Err(self.refuse_all("lookups are of names: ask which names were resolved"));
            }
            list => list,
        })
    }

    /// Takes the next word if it is one of `words`.
    pub(super) fn take(&mut self, words: Words) -> bool {
        self.take_one(words).is_some()
    }

    /// The same, and says which.
    pub(super) fn take_one(&mut self, words: Words) -> Option<&'static str> {
        self.skip_article();
        let taken = self
            .words
            .get(self.next)
            .filter(|next| !next.quoted)
            .and_then(|next| {
                let same = |word: &&&str| next.text.eq_ignore_ascii_case(word);
                words.iter().find(same).copied()
            });
        match taken {
            Some(_) => self.advance(),
            None => self.tried.push(words),
        }
        taken
    }

    /// Takes the next word as the name of something, whatever it is.
    pub(super) fn name(&mut self, of: Naming) -> Result<Word, NotUnderstood> {
        self.skip_article();
        let what = match of {
            Naming::Host => "a host",
            Naming::Port => "a port",
            Naming::Pid => "a pid",
            _ => "a name",
        };
        match self.words.get(self.next).cloned() {
            Some(word) if word.text == HOLE => {
                self.naming = Some(of);
                Err(self.refuse(what))
            }
            Some(word) if !word.text.is_empty() => {
                self.advance();
                Ok(word)
            }
            _ => Err(self.refuse(what)),
        }
    }

    /// An article says nothing, unless it is the last word: then it is a name.
    pub(super) fn skip_article(&mut self) {
        if self.next + 1 < self.words.len() && self.next_is(ARTICLES) {
            self.advance();
        }
    }

    pub(super) fn next_is(&self, words: Words) -> bool {
        self.word_is(self.next, words)
    }

    pub(super) fn word_is(&self, at: usize, words: Words) -> bool {
        self.words.get(at).is_some_and(|word| {
            !word.quoted
                && words
                    .iter()
                    .any(|known| word.text.eq_ignore_ascii_case(known))
        })
    }

    pub(super) fn advance(&mut self) {
        self.next += 1;
        self.tried.clear();
    }

    /// Refuses the next word, or its absence, where `wanted` should have been.
    pub(super) fn refuse(&self, wanted: &str) -> NotUnderstood {
        match self.words.get(self.next) {
            Some(word) => {
                let near = words::nearest(&word.text, &self.tried.concat());
                let hint = (!near.is_empty()).then(|| format!("did you mean: {}", near.join(", ")));
                self.refuse_word(word.at.clone(), hint)
            }
            None if self.words.is_empty() => NotUnderstood {
                problem: "there is no question".to_owned(),
                place: None,
                hint: None,
            },
            None => NotUnderstood {
                problem: format!("this question ends where I expected {wanted}:"),
                place: Some((self.text.to_owned(), self.text.len()..self.text.len())),
                hint: None,
            },
        }
    }

    pub(super) fn refuse_word(&self, at: Range<usize>, hint: Option<String>) -> NotUnderstood {
        NotUnderstood {
            problem: format!(
                "I don't understand \"{}\" in this question:",
                &self.text[at.clone()]
            ),
            place: Some((self.text.to_owned(), at)),
            hint,
        }
    }

    /// Refuses what the question means as a whole.
    pub(super) fn refuse_all(&self, why: &str) -> NotUnderstood {
        NotUnderstood {
            problem: "I can't answer this question:".to_owned(),
            place: Some((self.text.to_owned(), 0..self.text.len())),
            hint: Some(why.to_owned()),
        }
    }
}
