//! Subjects: a process, a container, the descendants of a process.

use chrono::TimeZone;

use super::parser::{BareName, NameKind, Parser};
use super::refusal::NotUnderstood;
use super::vocabulary::*;
use crate::query::ast::{Actors, ExecutableKind, Projection, Relation, Subject};

/// The nouns for actors.
pub(super) const ACTORS: [(Words, Actors); 8] = [
    (PROCESS, Actors::Processes),
    (PIDS, Actors::Pids),
    (CONTAINER, Actors::Containers),
    (IMAGE, Actors::Images),
    (USER, Actors::Users),
    (UNIT, Actors::Units),
    (POD, Actors::Pods),
    (NAMESPACE, Actors::Namespaces),
];

/// What can be listed besides.
pub(super) const ORIGINS: [(Words, Actors); 3] = [
    (EXECUTABLE, Actors::Executables),
    (COMMANDS, Actors::CommandLines),
    (PARENTS, Actors::Parents),
];

/// Kinds of executables, which stand for the programs, too.
pub(super) const EXECUTABLES: [(Words, ExecutableKind); 6] = [
    (DELETED, ExecutableKind::Deleted),
    (UNPACKAGED, ExecutableKind::Unpackaged),
    (MODIFIED, ExecutableKind::Modified),
    (SET_USER_ID, ExecutableKind::SetUserId),
    (IN_WORLD_WRITABLE, ExecutableKind::InWorldWritable),
    (OTHER_RIGHTS, ExecutableKind::OtherRights),
];

impl<Tz: TimeZone> Parser<'_, Tz> {
    /// Takes a word for a kind of executables.
    pub(super) fn executables(&mut self) -> Option<Subject> {
        let mut kinds = EXECUTABLES.into_iter();
        let kind = kinds.find_map(|(words, kind)| self.take(words).then_some(kind))?;
        Some(Subject::Executables(kind))
    }

    pub(super) fn actors(&mut self) -> Option<Actors> {
        ACTORS
            .into_iter()
            .find_map(|(words, actors)| self.take(words).then_some(actors))
    }

    /// Takes a noun for actors, or for what they were started from or by.
    pub(super) fn listed_actors(&mut self) -> Option<Actors> {
        let origin = |parser: &mut Self| {
            let mut origins = ORIGINS.into_iter();
            origins.find_map(|(words, actors)| parser.take(words).then_some(actors))
        };
        self.actors().or_else(|| origin(self))
    }

    /// Whether a noun for actors follows.
    pub(super) fn at_actors(&self) -> bool {
        ACTORS.iter().any(|(words, _)| self.next_is(words))
    }

    /// Whether "children of" follows; "children" alone can be a name.
    pub(super) fn at_descendants(&mut self) -> bool {
        self.skip_article();
        self.tried.push(DESCENDANTS);
        self.next_is(DESCENDANTS) && self.word_is(self.next + 1, OF)
    }

    pub(super) fn subject(&mut self) -> Result<Subject, NotUnderstood> {
        let of = self.one()?;
        let words = [AND, ITS, DESCENDANTS];
        let mut all = (self.next..).zip(words);
        if !all.all(|(at, words)| self.word_is(at, words)) {
            return Ok(of);
        }
        if !matches!(of, Subject::Process(_) | Subject::Pid(_)) {
            return Err(self.refuse_children(self.next + 2));
        }
        self.next += 2;
        self.advance();
        Ok(Subject::Tree(Box::new(of)))
    }

    fn refuse_children(&self, at: usize) -> NotUnderstood {
        let hint = "only a process or a pid has children";
        self.refuse_word(self.words[at].at.clone(), Some(hint.to_owned()))
    }

    /// Whether "the processes that hit" follows, or "whatever hit": its noun, and the number of
    /// words before the verb.
    pub(super) fn at_those(&self) -> Option<(Actors, usize)> {
        let article = usize::from(self.word_is(self.next, ARTICLES));
        let at = self.next + article;
        let nouns = [
            (PROCESS, Actors::Processes),
            (USER, Actors::Users),
            (CONTAINER, Actors::Containers),
        ];
        let noun = nouns.into_iter().find(|(words, _)| self.word_is(at, words));
        let (of, mut words) = match noun {
            Some((_, of)) if self.word_is(at + 1, WHOM) || self.word_is(at + 1, WHO) => (of, 2),
            None if self.word_is(at, WHATEVER) => (Actors::Processes, 1),
            _ => return None,
        };
        while self.word_is(at + words, ACTIVE) || self.word_is(at + words, FILLERS) {
            words += 1;
        }
        let verbs = [VERBS, FETCH, RESOLVE, LOOK, ASK];
        let verb = verbs.iter().any(|verbs| self.word_is(at + words, verbs));
        verb.then_some((of, article + words))
    }

    /// Those who have been somewhere, in words: "the processes that hit x.org".
    fn those(&mut self, of: Actors, before: usize) -> Result<Subject, NotUnderstood> {
        (0..before).for_each(|_| self.advance());
        let kept = (self.verb.take(), self.direction, self.bare_name);
        let mine = std::mem::take(&mut self.predicates);
        self.verb();
        let relation = self.verb.unwrap_or(Relation::Connections);
        self.bare_name = BareName::Object;
        self.clause(Projection::Each)?;
        let mut did = std::mem::replace(&mut self.predicates, mine);
        (self.verb, self.direction, self.bare_name) = kept;
        match did.len() {
            1 => Ok(Subject::Those {
                of,
                relation,
                did: Box::new(did.remove(0)),
            }),
            _ => Err(self.refuse("a host or a port")),
        }
    }

    fn one(&mut self) -> Result<Subject, NotUnderstood> {
        if let Some((of, before)) = self.at_those() {
            return self.those(of, before);
        }
        if self.at_descendants() {
            self.next += 1;
            self.advance();
            return self.below();
        }
        if self.take(PID) {
            let pid = self.name(NameKind::Pid)?;
            return match pid.text.parse() {
                Ok(number) => Ok(Subject::Pid(number)),
                Err(_) => Err(self.refuse_word(pid.at, Some("a pid is a number".to_owned()))),
            };
        }
        if self.take(UNDER) {
            return self.below();
        }
        if self.take(EFFECTIVE_USER) {
            let name = self.name(NameKind::User)?;
            return Ok(Subject::EffectiveUser(name.text));
        }
        // "the executable curl"
        if self.next_is(EXECUTABLE) && self.next + 1 < self.words.len() {
            self.advance();
            let name = self.name(NameKind::Process)?;
            return Ok(Subject::Process(name.text));
        }
        if let Some(all) = self.all_of_a_kind() {
            return Ok(all);
        }
        let (of, kind): (_, fn(String) -> Subject) = match self.actors() {
            Some(Actors::Containers) => (NameKind::Container, Subject::Container),
            Some(Actors::Images) => (NameKind::Image, Subject::Image),
            Some(Actors::Users) => (NameKind::User, Subject::User),
            Some(Actors::Units) => (NameKind::Unit, Subject::Unit),
            Some(Actors::Pods) => (NameKind::Pod, Subject::Pod),
            Some(Actors::Namespaces) => (NameKind::Namespace, Subject::Namespace),
            Some(_) => {
                let name = self.name(NameKind::Process)?;
                return Ok(Subject::named(name.text, name.quoted));
            }
            None => return self.bare_subject(),
        };
        self.name(of).map(|name| kind(name.text))
    }

    /// Accepts "containers" or "services" without a name.
    fn all_of_a_kind(&mut self) -> Option<Subject> {
        let at = self.next + 1;
        let ends = at >= self.words.len()
            || [
                VERBS, FETCH, MAKE, RESOLVE, SINCE, UNTIL, TODAY, YESTERDAY, TO, IN, ON, DO, PER,
                BY, THAT, LAST, NOT, BUT, AND, ACTIVE, PASSIVE,
            ]
            .iter()
            .any(|words| self.word_is(at, words));
        if !ends {
            return None;
        }
        let the = self.word_is(self.next.saturating_sub(1), ARTICLES);
        if self.take(CONTAINERS) || the && self.take(CONTAINER) {
            return Some(Subject::AnyContainer);
        }
        if self.take(SERVICE_UNITS) {
            return Some(Subject::AnyService);
        }
        self.executables()
    }

    /// The descendants of the process that is named next.
    pub(super) fn below(&mut self) -> Result<Subject, NotUnderstood> {
        let start = self.next;
        match self.subject()? {
            Subject::Process(name) => Ok(Subject::BelowProcess(name)),
            Subject::Pid(pid) => Ok(Subject::BelowPid(pid)),
            _ => Err(self.refuse_children(start)),
        }
    }

    /// A name without a noun before it: a process, unless a noun follows, as in "the web
    /// container".
    fn bare_subject(&mut self) -> Result<Subject, NotUnderstood> {
        let name = self.name(NameKind::Process)?;
        let goes_on = |at: usize| {
            at == self.words.len()
                || [
                    VERBS, FETCH, MAKE, RESOLVE, LOOK, ASK, FILLERS, BEEN, DO, PER, SINCE, UNTIL,
                    TODAY, YESTERDAY, PAST, NOT, BUT,
                ]
                .iter()
                .any(|words| self.word_is(at, words))
        };
        // "the ssh client"
        if self.next_is(CLIENTS) && goes_on(self.next + 1) {
            self.advance();
            return Ok(Subject::named(name.text, name.quoted));
        }
        if !self.next_is(SINGULAR) || self.next_is(PID) || !goes_on(self.next + 1) {
            return Ok(Subject::named(name.text, name.quoted));
        }
        Ok(match self.actors() {
            Some(Actors::Containers) => Subject::Container(name.text),
            Some(Actors::Images) => Subject::Image(name.text),
            Some(Actors::Users) => Subject::User(name.text),
            Some(Actors::Units) => Subject::Unit(name.text),
            Some(Actors::Pods) => Subject::Pod(name.text),
            Some(Actors::Namespaces) => Subject::Namespace(name.text),
            _ => Subject::named(name.text, name.quoted),
        })
    }
}
