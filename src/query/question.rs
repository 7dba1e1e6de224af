//! The question language: plain English of a few forms, to a [`Question`].
//!
//! Each form is a row of words from short lists, with a name here and there.
//! The parser takes a word or leaves it, and remembers what it would have taken:
//! when none fits, that is what it can suggest.

use std::ops::Range;

use super::host::Host;
use super::refusal::NotUnderstood;
use super::words::{self, Word};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Which of these hit a host.
    Who { actors: Actors, host: Host },
    /// What someone talked to.
    Destinations { of: Subject },
    /// When someone hit a host.
    Times { of: Subject, host: Host },
    /// Which names were answered with an address, and then nobody went there.
    NeverContacted,
    /// Which questions had an error for an answer, or none.
    FailedLookups,
}

/// Whom an answer lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actors {
    Processes,
    Containers,
    Users,
}

/// Who is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// By its short name, its executable's name, or its executable's path.
    Process(String),
    Pid(u32),
    /// By its name, its id, or the beginning of its id.
    Container(String),
    /// By name or uid.
    User(String),
}

/// The longest question that is read, in characters.
const LONGEST: usize = 1000;

type Words = &'static [&'static str];

const ARTICLES: Words = &["the", "a", "an"];
const WHICH: Words = &["which"];
const WHAT: Words = &["what"];
const WHO: Words = &["who"];
const WHEN: Words = &["when"];
const AUXILIARIES: Words = &["did", "does", "do", "has", "have", "had"];
const DID: Words = &["did", "do", "does"];
const PROCESS: Words = &["process", "processes", "program", "programs"];
const CONTAINER: Words = &["container", "containers"];
const USER: Words = &["user", "users"];
const PID: Words = &["pid"];
const VERBS: Words = &[
    "hit",
    "hits",
    "reach",
    "reached",
    "reaches",
    "talk",
    "talked",
    "talks",
    "contact",
    "contacted",
    "contacts",
    "connect",
    "connected",
    "connects",
    "call",
    "called",
    "calls",
];
const PREPOSITIONS: Words = &["to", "with"];
const RAW: Words = &["raw", "bare", "nameless", "unnamed"];
const ADDRESSES: Words = &["addresses", "address", "ips", "ip"];
const WITHOUT: Words = &["without"];
const ANY: Words = &["any"];
const NAMES: Words = &[
    "names",
    "name",
    "hosts",
    "host",
    "hostnames",
    "hostname",
    "domains",
    "domain",
];
const DNS: Words = &["dns"];
const LOOKUPS: Words = &["lookups", "lookup", "queries", "query"];
const BE: Words = &["were", "was", "are", "is", "have", "has", "had"];
const BEEN: Words = &["been"];
const RESOLVED: Words = &["resolved", "looked", "queried", "asked"];
const UP: Words = &["up", "for"];
const BUT: Words = &["but", "and", "yet"];
const NEVER: Words = &["never", "not"];
const FAILED: Words = &["failed", "fail"];
const RESOLVE: Words = &["resolve"];

/// Understands a question.
///
/// # Errors
///
/// The word that it could not understand.
pub fn parse(question: &str) -> Result<Question, NotUnderstood> {
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
        question,
        words,
        next: 0,
        tried: Vec::new(),
    }
    .question()
}

struct Parser<'a> {
    question: &'a str,
    words: Vec<Word>,
    /// The word to be read.
    next: usize,
    /// What that word was compared with so far.
    tried: Vec<&'static str>,
}

impl Parser<'_> {
    fn question(mut self) -> Result<Question, NotUnderstood> {
        let question = if self.take(WHICH) {
            match self.actors() {
                Some(actors) => self.who(actors)?,
                None => match self.about_dns()? {
                    Some(question) => question,
                    None => {
                        return Err(self.refuse("processes, containers, users, names or lookups"));
                    }
                },
            }
        } else if self.take(WHAT) {
            self.what()?
        } else if self.take(WHO) {
            self.who(Actors::Users)?
        } else if self.take(WHEN) {
            self.when()?
        } else {
            return Err(self.refuse("a question"));
        };
        match self.words.get(self.next) {
            None => Ok(question),
            Some(_) => Err(self.refuse("the end")),
        }
    }

    /// "what did SUBJECT talk to", "what processes hit HOST", "what hit HOST".
    fn what(&mut self) -> Result<Question, NotUnderstood> {
        if self.take(AUXILIARIES) {
            return self.destinations();
        }
        if let Some(actors) = self.actors() {
            return self.who(actors);
        }
        match self.about_dns()? {
            Some(question) => Ok(question),
            None => self.who(Actors::Processes),
        }
    }

    fn destinations(&mut self) -> Result<Question, NotUnderstood> {
        let of = self.subject()?;
        self.verb()?;
        Ok(Question::Destinations { of })
    }

    /// "names were resolved but never contacted", "names failed to resolve",
    /// "lookups failed"; none where it begins with none of these.
    fn about_dns(&mut self) -> Result<Option<Question>, NotUnderstood> {
        if self.take(NAMES) {
            return self.names().map(Some);
        }
        let dns = self.take(DNS);
        if !self.take(LOOKUPS) {
            return match dns {
                true => Err(self.refuse("lookups")),
                false => Ok(None),
            };
        }
        self.take(BE);
        match self.take(FAILED) {
            true => Ok(Some(Question::FailedLookups)),
            false => Err(self.refuse("\"failed\"")),
        }
    }

    fn names(&mut self) -> Result<Question, NotUnderstood> {
        if self.take(DID) {
            return self.destinations();
        }
        self.take(BE);
        self.take(BEEN);
        if self.take(FAILED) {
            self.take(PREPOSITIONS);
            self.take(RESOLVE);
            return Ok(Question::FailedLookups);
        }
        if self.take(RESOLVED) {
            self.take(UP);
            self.take(BUT);
        }
        if !self.take(NEVER) {
            return Err(self.refuse("\"resolved but never contacted\""));
        }
        self.verb()?;
        Ok(Question::NeverContacted)
    }

    fn who(&mut self, actors: Actors) -> Result<Question, NotUnderstood> {
        self.take(AUXILIARIES);
        self.verb()?;
        let host = self.host()?;
        Ok(Question::Who { actors, host })
    }

    fn when(&mut self) -> Result<Question, NotUnderstood> {
        if !self.take(AUXILIARIES) {
            return Err(self.refuse("\"did\""));
        }
        let of = self.subject()?;
        self.verb()?;
        let host = self.host()?;
        Ok(Question::Times { of, host })
    }

    fn actors(&mut self) -> Option<Actors> {
        [
            (PROCESS, Actors::Processes),
            (CONTAINER, Actors::Containers),
            (USER, Actors::Users),
        ]
        .into_iter()
        .find_map(|(words, actors)| self.take(words).then_some(actors))
    }

    fn subject(&mut self) -> Result<Subject, NotUnderstood> {
        if self.take(PID) {
            let pid = self.name("a pid")?;
            return match pid.text.parse() {
                Ok(number) => Ok(Subject::Pid(number)),
                Err(_) => Err(self.refuse_word(pid.at, Some("a pid is a number".to_owned()))),
            };
        }
        let kind = match self.actors() {
            Some(Actors::Containers) => Subject::Container,
            Some(Actors::Users) => Subject::User,
            Some(Actors::Processes) | None => Subject::Process,
        };
        self.name("a name").map(|name| kind(name.text))
    }

    fn verb(&mut self) -> Result<(), NotUnderstood> {
        if !self.take(VERBS) {
            return Err(self.refuse("\"hit\" or \"talked to\""));
        }
        self.take(PREPOSITIONS);
        Ok(())
    }

    fn host(&mut self) -> Result<Host, NotUnderstood> {
        if self.raw()? {
            return Ok(Host::Raw);
        }
        let word = self.name("a host")?;
        Host::parse(&word.text, word.quoted).map_err(|why| self.refuse_word(word.at, Some(why)))
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
        if !self.take(ADDRESSES) {
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
    fn take(&mut self, words: Words) -> bool {
        self.skip_article();
        let taken = self.next_is(words);
        if taken {
            self.advance();
        } else {
            self.tried.extend(words);
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
    fn skip_article(&mut self) {
        if self.next + 1 < self.words.len() && self.next_is(ARTICLES) {
            self.advance();
        }
    }

    fn next_is(&self, words: Words) -> bool {
        self.words.get(self.next).is_some_and(|next| {
            !next.quoted
                && words
                    .iter()
                    .any(|word| next.text.eq_ignore_ascii_case(word))
        })
    }

    fn advance(&mut self) {
        self.next += 1;
        self.tried.clear();
    }

    /// Refuses the next word, or its absence, where `wanted` should have been.
    fn refuse(&self, wanted: &str) -> NotUnderstood {
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
                place: Some((
                    self.question.to_owned(),
                    self.question.len()..self.question.len(),
                )),
                hint: None,
            },
        }
    }

    fn refuse_word(&self, at: Range<usize>, hint: Option<String>) -> NotUnderstood {
        NotUnderstood {
            problem: format!(
                "I don't understand \"{}\" in this question:",
                &self.question[at.clone()]
            ),
            place: Some((self.question.to_owned(), at)),
            hint,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::refusal::FORMS;
    use super::*;
    use proptest::prelude::*;

    fn domain(name: &str) -> Host {
        Host::Domain(name.to_owned())
    }

    fn process(name: &str) -> Subject {
        Subject::Process(name.to_owned())
    }

    fn refusal(question: &str) -> String {
        let shown = parse(question).unwrap_err().to_string();
        shown.strip_suffix(FORMS).unwrap().to_owned()
    }

    #[test]
    fn who_hit_a_host_is_understood_in_many_words() {
        for (question, actors) in [
            ("which processes hit example.com", Actors::Processes),
            (
                "Which Process has reached the Example.com?",
                Actors::Processes,
            ),
            ("what programs talked to example.com.", Actors::Processes),
            ("what hit example.com ?", Actors::Processes),
            (
                "which containers connected to \"example.com\"",
                Actors::Containers,
            ),
            ("WHO CALLED example.com", Actors::Users),
            ("which user contacted example.com", Actors::Users),
        ] {
            let host = domain("example.com");
            assert_eq!(
                parse(question),
                Ok(Question::Who { actors, host }),
                "{question}"
            );
        }
    }

    #[test]
    fn what_someone_talked_to_is_understood() {
        for (question, of) in [
            ("what did curl talk to", process("curl")),
            ("what did the process curl reach?", process("curl")),
            ("what has curl contacted", process("curl")),
            ("which hosts did curl talk to", process("curl")),
            (
                "what did /usr/bin/curl connect to",
                process("/usr/bin/curl"),
            ),
            ("what did \"Web Content\" hit", process("Web Content")),
            ("what did \"process\" call", process("process")),
            ("what did pid 4242 talk to", Subject::Pid(4242)),
            (
                "what did container web-1 talk to",
                Subject::Container("web-1".into()),
            ),
            (
                "what did the user www-data talk to",
                Subject::User("www-data".into()),
            ),
        ] {
            assert_eq!(
                parse(question),
                Ok(Question::Destinations { of }),
                "{question}"
            );
        }
    }

    #[test]
    fn when_someone_hit_a_host_is_understood() {
        let host = domain("example.com");
        for (question, of) in [
            ("when did curl hit example.com", process("curl")),
            ("when did pid 7 talk to example.com", Subject::Pid(7)),
            (
                "when did a container db connect to example.com",
                Subject::Container("db".into()),
            ),
        ] {
            let host = host.clone();
            assert_eq!(
                parse(question),
                Ok(Question::Times { of, host }),
                "{question}"
            );
        }
    }

    #[test]
    fn raw_addresses_are_a_host_in_many_words() {
        for (question, actors) in [
            ("which processes connected to raw IPs", Actors::Processes),
            ("which containers hit raw addresses?", Actors::Containers),
            ("who talked to bare ips", Actors::Users),
            ("what hit IPs without a name", Actors::Processes),
            (
                "which users reached the addresses without any hostname",
                Actors::Users,
            ),
        ] {
            let host = Host::Raw;
            assert_eq!(
                parse(question),
                Ok(Question::Who { actors, host }),
                "{question}"
            );
        }
        let (of, host) = (process("curl"), Host::Raw);
        assert_eq!(
            parse("when did curl hit raw IPs"),
            Ok(Question::Times { of, host })
        );
    }

    #[test]
    fn the_words_for_raw_addresses_can_be_names() {
        for name in ["raw", "ips", "bare", "address"] {
            let (actors, host) = (Actors::Users, domain(name));
            assert_eq!(
                parse(&format!("who hit {name}?")),
                Ok(Question::Who { actors, host })
            );
        }
        let (actors, host) = (Actors::Users, domain("raw ips"));
        assert_eq!(
            parse("who hit 'raw ips'"),
            Ok(Question::Who { actors, host })
        );
    }

    #[test]
    fn what_became_of_lookups_is_understood() {
        for question in [
            "which names were resolved but never contacted",
            "which names have been looked up and not connected to?",
            "what hosts were asked for but never reached",
            "which domains were never contacted",
        ] {
            assert_eq!(parse(question), Ok(Question::NeverContacted), "{question}");
        }
        for question in [
            "which lookups failed",
            "Which DNS queries have failed?",
            "what lookups failed",
            "which names failed to resolve",
        ] {
            assert_eq!(parse(question), Ok(Question::FailedLookups), "{question}");
        }
    }

    #[test]
    fn an_article_at_the_end_is_a_name() {
        let host = domain("a");
        let actors = Actors::Users;
        assert_eq!(parse("who hit a"), Ok(Question::Who { actors, host }));
    }

    #[test]
    fn a_slip_is_answered_with_the_words_that_would_have_fitted_there() {
        for (question, at, hint) in [
            ("wich processes hit x.org", "^^^^", "did you mean: which\n"),
            (
                "which proceses hit x.org",
                "      ^^^^^^^^",
                "did you mean: process, processes\n",
            ),
            (
                "what did curl tlak to",
                "              ^^^^",
                "did you mean: talk\n",
            ),
            (
                "what did pid curl hit",
                "             ^^^^",
                "a pid is a number\n",
            ),
            (
                "which processes hit raw adresses",
                "                        ^^^^^^^^",
                "did you mean: addresses\n",
            ),
            (
                "who hit ips witout a name",
                "            ^^^^^^",
                "did you mean: without\n",
            ),
            (
                "which naems were never contacted",
                "      ^^^^^",
                "did you mean: names\n",
            ),
            (
                "which names were resolved but nevr contacted",
                "                              ^^^^",
                "did you mean: never\n",
            ),
            (
                "which lookups faild",
                "              ^^^^^",
                "did you mean: fail, failed\n",
            ),
            ("which dns servers", "          ^^^^^^^", ""),
            (
                "when did curl hit 10.0.0.0/40",
                "                  ^^^^^^^^^^^",
                "the prefix of an IPv4 network is a number from 0 to 32\n",
            ),
            ("who hit x.org since monday", "              ^^^^^", ""),
            ("who hit", "       ^", ""),
            ("when did", "        ^", ""),
            ("who hit 'x.org", "        ^", ""),
        ] {
            let (_, rest) = refusal(question)
                .split_once('\n')
                .map(|(a, b)| (a.to_owned(), b.to_owned()))
                .unwrap();
            assert_eq!(rest, format!("  {question}\n  {at}\n{hint}"));
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (question, problem) in [
            ("", "there is no question\n"),
            ("who hit", "this question ends where I expected a host:\n"),
            (
                "which",
                "this question ends where I expected processes, containers, users, names or lookups:\n",
            ),
            (
                "which names were resolved but",
                "this question ends where I expected \"resolved but never contacted\":\n",
            ),
            (
                "which lookups",
                "this question ends where I expected \"failed\":\n",
            ),
            ("what did", "this question ends where I expected a name:\n"),
            (
                "what did pid",
                "this question ends where I expected a pid:\n",
            ),
            (
                "what did curl",
                "this question ends where I expected \"hit\" or \"talked to\":\n",
            ),
            ("when", "this question ends where I expected \"did\":\n"),
        ] {
            assert!(refusal(question).starts_with(problem), "{question}");
        }
    }

    #[test]
    fn a_hostile_question_is_echoed_harmless_with_the_caret_in_place() {
        assert_eq!(
            refusal("who \u{202e}\x1b[2J x"),
            "I don't understand \"\\u{202e}\\x1b[2J\" in this question:\n  \
             who \\u{202e}\\x1b[2J x\n      ^^^^^^^^^^^^^^^\n"
        );
    }

    #[test]
    fn a_huge_question_is_refused_without_an_echo() {
        assert_eq!(
            refusal(&"x".repeat(10_000)),
            "this question has 10000 characters; I read at most 1000\n"
        );
    }

    proptest! {
        #[test]
        fn no_text_panics_and_no_refusal_shows_a_raw_control(question in any::<String>()) {
            if let Err(refused) = parse(&question) {
                let shown = refused.to_string();
                prop_assert!(shown.lines().all(|line| line.chars().all(crate::text::is_printable)));
            }
        }

        #[test]
        fn no_row_of_known_words_panics(
            words in prop::collection::vec(prop::sample::select(vec![
                "which", "what", "who", "when", "did", "the", "a", "process", "pid", "1", "container",
                "users", "hit", "talk", "to", "\"", "'x y'", "''", "x.org", "10.0.0.0/8", "?", "é",
                "raw", "ips", "without", "names", "never", "resolved", "dns", "lookups", "failed",
            ]), 0..9)
        ) {
            if let Err(refused) = parse(&words.join(" ")) {
                prop_assert!(refused.to_string().contains("I know these forms"));
            }
        }

        #[test]
        fn any_name_can_be_asked_about_in_quotes(name in "[^\0]{1,40}") {
            let question = format!("what did '{}' talk to", name.replace('\'', "''"));
            prop_assert_eq!(parse(&question), Ok(Question::Destinations { of: process(&name) }));
        }
    }
}
