//! Subjects: a process, a container, the descendants of a process.

use std::net::IpAddr;

use chrono::TimeZone;

use super::parser::{NameKind, Parser};
use super::refusal::NotUnderstood;
use super::vocabulary::*;
use crate::query::ast::{Actors, Subject};

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

impl<Tz: TimeZone> Parser<'_, Tz> {
    pub(super) fn actors(&mut self) -> Option<Actors> {
        ACTORS
            .into_iter()
            .find_map(|(words, actors)| self.take(words).then_some(actors))
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

    fn one(&mut self) -> Result<Subject, NotUnderstood> {
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
        let (of, kind): (_, fn(String) -> Subject) = match self.actors() {
            Some(Actors::Containers) => (NameKind::Container, Subject::Container),
            Some(Actors::Images) => (NameKind::Image, Subject::Image),
            Some(Actors::Users) => (NameKind::User, Subject::User),
            Some(Actors::Units) => (NameKind::Unit, Subject::Unit),
            Some(Actors::Pods) => (NameKind::Pod, Subject::Pod),
            Some(Actors::Namespaces) => (NameKind::Namespace, Subject::Namespace),
            Some(Actors::Processes | Actors::Pids) => (NameKind::Process, Subject::Process),
            None => return self.bare_subject(),
        };
        self.name(of).map(|name| kind(name.text))
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
        if self.next_is(OWN_PORT) && self.word_is(self.next + 1, PORT) {
            let at = self.words[self.next].at.clone();
            let hint = "questions are about destination ports; source ports are in the column src_port of the view egress";
            return Err(self.refuse_word(at, Some(hint.to_owned())));
        }
        let name = self.name(NameKind::Process)?;
        if !name.quoted && name.text.parse::<IpAddr>().is_ok() {
            let hint = "a subject is a process, a container or the like; addresses of this side are in the columns src_ip and container_ip of the view egress";
            return Err(self.refuse_word(name.at, Some(hint.to_owned())));
        }
        let goes_on = |at: usize| {
            at == self.words.len()
                || [VERBS, FETCH, MAKE, RESOLVE, LOOK, ASK, FILLERS, BEEN, DO]
                    .iter()
                    .any(|words| self.word_is(at, words))
        };
        if !self.next_is(SINGULAR) || self.next_is(PID) || !goes_on(self.next + 1) {
            return Ok(Subject::Process(name.text));
        }
        Ok(match self.actors() {
            Some(Actors::Containers) => Subject::Container(name.text),
            Some(Actors::Images) => Subject::Image(name.text),
            Some(Actors::Users) => Subject::User(name.text),
            Some(Actors::Units) => Subject::Unit(name.text),
            Some(Actors::Pods) => Subject::Pod(name.text),
            Some(Actors::Namespaces) => Subject::Namespace(name.text),
            Some(Actors::Processes | Actors::Pids) | None => Subject::Process(name.text),
        })
    }
}
