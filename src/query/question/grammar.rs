//! The parser: a head that says what is wanted, and clauses in any order.

use std::ops::Range;

use chrono::{DateTime, TimeZone};

use super::super::host::Host;
use super::super::refusal::NotUnderstood;
use super::super::words::{self, Word};
use super::vocabulary::*;
use super::{Actors, Counted, From, List, Only, Pick, Question, Subject};

/// The longest question that is read, in characters.
const LONGEST: usize = 1000;

/// Rows of a "top" that says no number.
const TOP_ROWS: u32 = 10;

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
    Parser {
        text: question,
        now,
        words,
        next: 0,
        tried: Vec::new(),
        open: Open::Nothing,
        verb: None,
        waits: None,
        only: Vec::new(),
        pick: None,
        by_bytes: None,
        since: None,
        until: None,
    }
    .question()
}

/// What a word that is none of the grammar's would name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    Subject,
    Object,
}

pub(super) struct Parser<'a, Tz: TimeZone> {
    text: &'a str,
    pub(super) now: &'a DateTime<Tz>,
    pub(super) words: Vec<Word>,
    /// The word to be read.
    pub(super) next: usize,
    /// What that word was compared with so far.
    tried: Vec<&'static str>,
    open: Open,
    /// Whether somebody contacted something or looked it up, once that is said.
    verb: Option<From>,
    /// What has to come yet.
    waits: Option<&'static str>,
    only: Vec<Only>,
    pick: Option<Pick>,
    /// Where it says "by bytes".
    by_bytes: Option<Range<usize>>,
    pub(super) since: Option<i64>,
    pub(super) until: Option<i64>,
}

impl<Tz: TimeZone> Parser<'_, Tz> {
    fn question(mut self) -> Result<Question, NotUnderstood> {
        let (mut list, mut from) = self.head()?;
        while self.next < self.words.len() {
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
        Ok(Question {
            list,
            from,
            only: self.only,
            since: self.since,
            until: self.until,
            pick: self.pick,
        })
    }

    /// What the answer lists of lookups, and whether what is asked of them can be.
    fn about_lookups(&mut self, list: List) -> Result<List, NotUnderstood> {
        for only in &self.only {
            let problem = match only {
                Only::By(_) | Only::Failed | Only::To(Host::Domain(_) | Host::Subdomains(_)) => {
                    continue;
                }
                Only::To(_) => {
                    "a lookup is of a name, not of an address: say \"hit\" for connections"
                }
                _ => {
                    "a lookup has no port, protocol or outcome but \"failed\": say \"hit\" for connections"
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

    fn head(&mut self) -> Result<(List, From), NotUnderstood> {
        if self.take(WHO) {
            self.waits = Some("\"hit\" or \"talked to\"");
            return Ok((List::Actors(Actors::Users), From::Connections));
        }
        if self.take(WHEN) {
            self.waits = Some("\"did\"");
            return Ok((List::Each, From::Connections));
        }
        if self.take(HOW) {
            if self.take(MUCH) {
                self.take(TRAFFIC);
                self.waits = Some("\"did\"");
                return Ok((List::Bytes, From::Connections));
            }
            if !self.take(MANY) {
                return Err(self.refuse("\"many\" or \"much\""));
            }
            if self.take(TRAFFIC) {
                return Ok((List::Bytes, From::Connections));
            }
            let (list, from) = self.noun()?;
            let counted = match list {
                List::Actors(actors) => Counted::Actors(actors),
                List::Addresses => Counted::Addresses,
                List::Ports => Counted::Ports,
                List::Destinations => Counted::Hosts,
                _ => Counted::Rows,
            };
            return Ok((List::Count(counted), from));
        }
        if self.take(WHAT) {
            if self.next_is(ACTIVE) {
                return Ok((List::Destinations, From::Connections));
            }
            if !self.at_noun() {
                self.waits = Some("\"did\", \"hit\" or what to list");
                return Ok((List::Actors(Actors::Processes), From::Connections));
            }
            return self.noun();
        }
        let asked = self.take(WHICH);
        while asked && self.take(FILLERS) {}
        if self.picked()? || asked {
            return self.noun();
        }
        Err(self.refuse("a question"))
    }

    /// Takes "top 10", "first 3", "last": whether there was one.
    fn picked(&mut self) -> Result<bool, NotUnderstood> {
        let (pick, default): (fn(u32) -> Pick, _) = if self.take(TOP) {
            (Pick::Most, TOP_ROWS)
        } else if self.take(FIRST) {
            (Pick::First, 1)
        } else if self.take(LAST) {
            (Pick::Last, 1)
        } else {
            return Ok(false);
        };
        let number = match self.words.get(self.next) {
            Some(word) if !word.quoted => word.text.parse::<u32>().ok(),
            _ => None,
        };
        if number == Some(0) {
            return Err(self.refuse("a number from 1 on"));
        }
        if number.is_some() {
            self.advance();
        }
        self.pick = Some(pick(number.unwrap_or(default)));
        Ok(true)
    }

    fn at_noun(&mut self) -> bool {
        self.skip_article();
        if self.at_descendants() {
            return true;
        }
        [
            PROCESS,
            CONTAINER,
            IMAGE,
            USER,
            UNIT,
            NAMES,
            ADDRESSES,
            PORTS,
            CONNECTIONS,
            DNS,
            LOOKUPS,
            RAW,
        ]
        .iter()
        .any(|words| {
            self.next_is(words) || {
                self.tried.extend(*words);
                false
            }
        })
    }

    /// What is to be listed.
    fn noun(&mut self) -> Result<(List, From), NotUnderstood> {
        while self.outcome() {}
        if self.at_descendants() {
            let of = self.subject()?;
            self.only.push(Only::By(of));
            return Ok((List::Actors(Actors::Processes), From::Connections));
        }
        if let Some(actors) = self.actors() {
            return Ok((List::Actors(actors), From::Connections));
        }
        let dns = self.take(DNS);
        if self.take(LOOKUPS) {
            return Ok((List::Each, From::Lookups));
        }
        if dns {
            return Err(self.refuse("lookups"));
        }
        let raw = self.take(RAW);
        let list = if self.take(ADDRESSES) {
            List::Addresses
        } else if raw {
            return Err(self.refuse("\"IPs\""));
        } else if self.take(NAMES) {
            List::Destinations
        } else if self.take(PORTS) {
            List::Ports
        } else if self.take(CONNECTIONS) {
            List::Each
        } else {
            return Err(self.refuse(
                "processes, containers, images, users, units, hosts, names, IPs, ports, connections or lookups",
            ));
        };
        if raw {
            self.only.push(Only::To(Host::Raw));
        }
        Ok((list, From::Connections))
    }

    /// Takes "but never contacted", "were never contacted".
    fn never(&mut self) -> Result<bool, NotUnderstood> {
        let start = self.next;
        let but = self.verb.is_some() && self.take(BUT);
        if !self.take(NEVER) {
            self.next = start;
            return match but && self.next + 1 >= self.words.len() {
                true => {
                    self.advance();
                    Err(self.refuse("\"never contacted\""))
                }
                false if but => {
                    self.advance();
                    self.tried.extend(NEVER);
                    Err(self.refuse("\"never contacted\""))
                }
                false => Ok(false),
            };
        }
        while self.take(BEEN) {}
        if !self.take(VERBS) {
            return Err(self.refuse("\"hit\" or \"talked to\""));
        }
        self.take(PREPOSITIONS);
        self.verb = Some(From::Lookups);
        self.open = Open::Nothing;
        self.waits = None;
        Ok(true)
    }

    fn clause(&mut self, list: List) -> Result<(), NotUnderstood> {
        // "have failed": nobody is named after this auxiliary.
        if self.outcome() {
            if self.open == Open::Subject {
                self.open = Open::Nothing;
            }
            self.waits = None;
            return Ok(());
        }
        if self.time()? || self.named()? {
            self.waits = self.waits.filter(|_| self.open == Open::Subject);
            return Ok(());
        }
        if self.open == Open::Subject {
            if self.picked()? {
                return Ok(());
            }
            return self.subject_clause();
        }
        if self.verb.is_none() && self.take(ACTIVE) {
            // "have been resolved"
            if self.take(BEEN) {
                return Ok(());
            }
            (self.open, self.waits) = match list {
                List::Destinations
                | List::Addresses
                | List::Ports
                | List::Each
                | List::Bytes
                | List::Count(_) => (Open::Subject, Some("a name")),
                _ => (Open::Nothing, Some("\"hit\" or \"talked to\"")),
            };
            return Ok(());
        }
        if self.verb.is_none() && self.take(PASSIVE) {
            self.waits = None;
            if matches!(list, List::Each) {
                self.open = Open::Object;
            }
            return Ok(());
        }
        if self.take(BEEN) || self.take(FILLERS) || self.take(FOR) {
            return Ok(());
        }
        if self.by_or_from()? {
            return Ok(());
        }
        if self.take(IN) || self.take(ON) {
            return match self.outcome() {
                true => Ok(()),
                false => self.keyword(list),
            };
        }
        if self.take(PREPOSITIONS) {
            self.open = Open::Object;
            return Ok(());
        }
        if self.open == Open::Object && self.object()? {
            return Ok(());
        }
        if self.verb.is_none() && self.verb() {
            self.waits = None;
            self.open = match list {
                List::Destinations | List::Addresses | List::Ports => Open::Nothing,
                _ => Open::Object,
            };
            return Ok(());
        }
        if self.picked()? {
            return Ok(());
        }
        self.keyword(list)
    }

    /// Who acts, after "did".
    fn subject_clause(&mut self) -> Result<(), NotUnderstood> {
        let of = self.subject()?;
        self.only.push(Only::By(of));
        self.open = Open::Nothing;
        self.waits = Some("\"hit\" or \"talked to\"");
        Ok(())
    }

    fn by_or_from(&mut self) -> Result<bool, NotUnderstood> {
        if !self.take(BY) {
            return Ok(false);
        }
        if self.next_is(TRAFFIC) {
            self.by_bytes = self.words.get(self.next).map(|word| word.at.clone());
            self.advance();
            return Ok(true);
        }
        let of = self.subject()?;
        self.only.push(Only::By(of));
        self.open = Open::Nothing;
        Ok(true)
    }

    /// What is acted on, directly after its verb.
    fn object(&mut self) -> Result<bool, NotUnderstood> {
        let last = self.next + 1 == self.words.len();
        if self.raw()? {
            self.only.push(Only::To(Host::Raw));
        } else if !last && self.at_keyword() {
            return Ok(false);
        } else {
            if !last {
                self.take(HOST);
                self.take(ADDRESS);
            }
            let word = self.name("a host")?;
            let host = self.host(&word)?;
            self.only.push(Only::To(host));
        }
        self.open = Open::Nothing;
        Ok(true)
    }

    fn host(&self, word: &Word) -> Result<Host, NotUnderstood> {
        Host::parse(&word.text, word.quoted)
            .map_err(|why| self.refuse_word(word.at.clone(), Some(why)))
    }

    fn at_keyword(&self) -> bool {
        [
            PROCESS, CONTAINER, IMAGE, USER, UNIT, PID, PORT, LAST, FIRST,
        ]
        .iter()
        .any(|words| self.next_is(words))
    }

    /// A condition that begins with its own word: "port 443", "container web".
    fn keyword(&mut self, list: List) -> Result<(), NotUnderstood> {
        if self.take(PORT) {
            let word = self.name("a port")?;
            let port = word.text.parse().map_err(|_| {
                self.refuse_word(word.at, Some("a port is a number up to 65535".to_owned()))
            })?;
            self.only.push(Only::Port(port));
        } else if self.take(HOST) || self.take(ADDRESS) {
            let word = self.name("a host")?;
            let host = self.host(&word)?;
            self.only.push(Only::To(host));
        } else if self.next_is(PID) || self.at_descendants() || self.kinds() {
            let of = self.subject()?;
            self.only.push(Only::By(of));
        } else {
            let wanted = match (self.waits, list) {
                (Some(wanted), _) => wanted,
                _ => "the end",
            };
            if self.verb.is_none() {
                self.tried.extend(VERBS);
                self.tried.extend(RESOLVE);
            }
            self.tried.extend(PID);
            return Err(self.refuse(wanted));
        }
        self.open = Open::Nothing;
        self.waits = self
            .waits
            .filter(|_| self.verb.is_none() && !matches!(list, List::Actors(_)));
        Ok(())
    }

    fn kinds(&mut self) -> bool {
        let kinds = [PROCESS, CONTAINER, IMAGE, USER, UNIT];
        let found = kinds.iter().any(|words| self.next_is(words));
        self.tried.extend(kinds.concat());
        found
    }

    fn actors(&mut self) -> Option<Actors> {
        [
            (PROCESS, Actors::Processes),
            (CONTAINER, Actors::Containers),
            (IMAGE, Actors::Images),
            (USER, Actors::Users),
            (UNIT, Actors::Units),
        ]
        .into_iter()
        .find_map(|(words, actors)| self.take(words).then_some(actors))
    }

    /// Whether "children of" comes next; "children" alone can be a name.
    fn at_descendants(&mut self) -> bool {
        self.skip_article();
        self.tried.extend(DESCENDANTS);
        self.next_is(DESCENDANTS) && self.word_is(self.next + 1, OF)
    }

    fn subject(&mut self) -> Result<Subject, NotUnderstood> {
        if self.at_descendants() {
            self.next += 1;
            self.advance();
            let start = self.next;
            return match self.subject()? {
                Subject::Process(name) => Ok(Subject::BelowProcess(name)),
                Subject::Pid(pid) => Ok(Subject::BelowPid(pid)),
                _ => {
                    let hint = "only a process or a pid has children";
                    let at = self.words[start].at.clone();
                    Err(self.refuse_word(at, Some(hint.to_owned())))
                }
            };
        }
        if self.take(PID) {
            let pid = self.name("a pid")?;
            return match pid.text.parse() {
                Ok(number) => Ok(Subject::Pid(number)),
                Err(_) => Err(self.refuse_word(pid.at, Some("a pid is a number".to_owned()))),
            };
        }
        let kind = match self.actors() {
            Some(Actors::Containers) => Subject::Container,
            Some(Actors::Images) => Subject::Image,
            Some(Actors::Users) => Subject::User,
            Some(Actors::Units) => Subject::Unit,
            Some(Actors::Processes) | None => Subject::Process,
        };
        self.name("a name").map(|name| kind(name.text))
    }

    /// Takes a verb with the words that belong to it.
    fn verb(&mut self) -> bool {
        let start = self.next;
        let from = if self.take(VERBS) {
            self.take(PREPOSITIONS);
            Some(From::Connections)
        } else if self.take(MAKE) {
            None
        } else if self.take(RESOLVE)
            || self.take(LOOK) && self.take(UP)
            || self.take(ASK) && self.take(FOR)
        {
            Some(From::Lookups)
        } else {
            self.next = start;
            return false;
        };
        self.verb = self.verb.or(from);
        true
    }

    /// Takes "failed", "refused", "timed out"; whether there was one.
    fn outcome(&mut self) -> bool {
        if self.take(FAILED) {
            // "failed to resolve", "failed lookups"
            let next = self.next;
            if !(self.take(PREPOSITIONS) && self.take(RESOLVE)) {
                self.next = next;
            } else {
                self.verb = Some(From::Lookups);
            }
            self.only.push(Only::Failed);
            return true;
        }
        if self.take(TIMED) {
            self.take(OUT);
            self.only.push(Only::Outcome("timeout"));
            return true;
        }
        for (words, only) in [
            (OUTCOMES, Only::Outcome as fn(&'static str) -> Only),
            (PROTOCOLS, Only::Protocol),
        ] {
            if let Some(word) = self.take_one(words) {
                self.only.push(only(word));
                return true;
            }
        }
        false
    }

    /// Takes "named by SOURCE".
    fn named(&mut self) -> Result<bool, NotUnderstood> {
        if !self.take(NAMED) {
            return Ok(false);
        }
        self.take(BY);
        match self.take_one(SOURCES) {
            Some(source) => self.only.push(Only::Source(source)),
            None => return Err(self.refuse("where the name came from")),
        }
        Ok(true)
    }

    /// Takes "raw IPs" or "addresses without a name". A first word of these that
    /// is the last one of the question is a host's name.
    fn raw(&mut self) -> Result<bool, NotUnderstood> {
        if self.next + 1 == self.words.len() {
            return Ok(false);
        }
        if self.take(RAW) {
            return match self.take(ADDRESSES) {
                true => Ok(true),
                false => Err(self.refuse("\"IPs\"")),
            };
        }
        let start = self.next;
        if !self.take(ADDRESSES) {
            return Ok(false);
        }
        // "the IP 192.0.2.1"
        if self
            .words
            .get(self.next)
            .is_some_and(|word| word.text.parse::<std::net::IpAddr>().is_ok())
        {
            self.next = start;
            return Ok(false);
        }
        if !self.take(WITHOUT) {
            return Err(self.refuse("\"without a name\""));
        }
        self.take(ANY);
        match self.take(NAMES) {
            true => Ok(true),
            false => Err(self.refuse("\"a name\"")),
        }
    }

    /// Takes the next word if it is one of `words`.
    pub(super) fn take(&mut self, words: Words) -> bool {
        self.take_one(words).is_some()
    }

    /// The same, and says which.
    fn take_one(&mut self, words: Words) -> Option<&'static str> {
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
            None => self.tried.extend(words),
        }
        taken
    }

    /// Takes the next word as the name of something, whatever it is.
    fn name(&mut self, what: &str) -> Result<Word, NotUnderstood> {
        self.skip_article();
        match self.words.get(self.next).cloned() {
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

    fn word_is(&self, at: usize, words: Words) -> bool {
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
                let near = words::nearest(&word.text, &self.tried);
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
    fn refuse_all(&self, why: &str) -> NotUnderstood {
        NotUnderstood {
            problem: "I can't answer this question:".to_owned(),
            place: Some((self.text.to_owned(), 0..self.text.len())),
            hint: Some(why.to_owned()),
        }
    }
}
