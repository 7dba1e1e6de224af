//! Names, by what introduces them: who acted, where to.

use chrono::TimeZone;

use super::super::idioms;
use super::super::vocabulary::*;
use super::super::words::Word;
use super::{Facets, Role};

/// Whether a name can have this byte without quotes.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-/@+*:".contains(&byte)
}

impl<Tz: TimeZone> Facets<'_, Tz> {
    /// A subject of more than one word: "user alice", "the web container".
    pub(super) fn subject_phrase(&self) -> Option<(Vec<Word>, usize)> {
        idioms::phrase(self.words, self.at)
    }

    /// Takes what introduces a name.
    pub(super) fn role(&mut self) -> bool {
        let Some(word) = self.word(self.at) else {
            return false;
        };
        let role = if word.is_one_of(TOWARDS) {
            Role::To
        } else if word.is_one_of(&["from"]) {
            Role::From
        } else if word.is_one_of(&["using"]) && self.role == Role::Unsaid && self.subjects > 0 {
            // "is alice using wget"
            Role::By
        } else if word.is_one_of(BY_WAY_OF) && !word.is_one_of(&["in"]) {
            Role::Way
        } else if word.is_one_of(OF) && self.head.is_none() && !self.counting {
            // "gibberish of a kind"
            return false;
        } else if word.is_one_of(OF_WHOM) {
            Role::By
        } else {
            return false;
        };
        self.role = role;
        self.at += 1;
        true
    }

    /// Takes a name, or several that are joined, with what they are.
    pub(super) fn named(&mut self) -> Option<bool> {
        let Some(word) = self.word(self.at) else {
            return Some(false);
        };
        let fits = |word: &Word| {
            word.quoted || word.text.bytes().all(is_plain) && !word.text.contains("//")
        };
        let denied = Vec::from_iter(self.denied.then(|| self.written("not")));
        if word.is_one_of(INTERNET) || word.is_one_of(SCOPES) {
            let to = match word.is_one_of(INTERNET) {
                true => [self.written("to"), self.written("internet")],
                false => [word.clone(), self.written("hosts")],
            };
            let noun = ADDRESSES
                .iter()
                .chain(NAMES)
                .chain(CONNECTIONS)
                .chain(TRAFFIC);
            let noun = Vec::from_iter(noun.copied());
            let next = self.word(self.at + 1);
            let beside =
                next.is_some_and(|next| noun.iter().any(|n| next.text.eq_ignore_ascii_case(n)));
            self.at +=
                1 + usize::from(!word.is_one_of(INTERNET) && beside && self.role == Role::To);
            self.clauses.extend(denied);
            if to[0].text != "to" {
                let word = self.written("to");
                self.clauses.push(word);
            }
            self.clauses.extend(to);
            self.hosts += 1;
            (self.role, self.denied) = (Role::Unsaid, false);
            return Some(true);
        }
        if let Some((phrase, end)) = self.subject_phrase() {
            let by = self.written("by");
            self.clauses
                .extend(denied.into_iter().chain([by]).chain(phrase));
            self.subjects += 1;
            (self.role, self.denied) = (Role::Unsaid, false);
            self.at = end;
            return Some(true);
        }
        if self.denied && (word.is_one_of(DNS) || word.is_one_of(DNS_TRAFFIC)) {
            let words = [self.written("except"), self.written("dns")];
            self.clauses.extend(words);
            self.others += 1;
            (self.role, self.denied) = (Role::Unsaid, false);
            self.at += 1;
            return Some(true);
        }
        // "non-root" is by rights, as "as root" is
        let non = self
            .at
            .checked_sub(1)
            .is_some_and(|at| self.at_is(at, &["non"]));
        if self.denied && non && word.is_one_of(&["root"]) {
            let words = ["by", "effective-user", "root"].map(|text| self.written(text));
            self.clauses.extend(denied.into_iter().chain(words));
            self.subjects += 1;
            (self.role, self.denied) = (Role::Unsaid, false);
            self.at += 1;
            return Some(true);
        }
        let host = idioms::is_host(word);
        if !host && !idioms::is_name(word) {
            // "containers" after "from" names all of them
            let all = word.is_one_of(CONTAINERS) || word.is_one_of(SERVICE_UNITS);
            if all && matches!(self.role, Role::By | Role::From) {
                let words = [self.written("by"), word.clone()];
                self.clauses.extend(denied.into_iter().chain(words));
                self.subjects += 1;
                (self.role, self.denied) = (Role::Unsaid, false);
                self.at += 1;
                return Some(true);
            }
            return Some(false);
        }
        if !fits(word) {
            return None;
        }
        // "processes frobnicated": what they did, and no name
        let before = self.at.checked_sub(1).filter(|_| self.role == Role::Unsaid);
        let listed = [PROCESS, CONNECTIONS, &["who", "which"], RESTRICTING_NOTHING];
        let acts = [VERBS, FETCH, MAKE, FAILED, ACTIVE, PASSIVE];
        let acts = acts.iter().any(|known| self.at_is(self.at + 1, known));
        if before.is_some_and(|at| listed.iter().any(|known| self.at_is(at, known)))
            && !self.denied
            && (!acts || before.is_some_and(|at| self.at_is(at, &["which"])))
        {
            return None;
        }
        let address = word.text.parse::<std::net::IpAddr>().is_ok();
        let to = match self.role {
            // "doing on github"
            Role::To | Role::Way => true,
            Role::By => host,
            Role::From if address && !self.fetched => return None,
            Role::From => host || self.fetched,
            // "curl hit github", but "connections curl made"
            Role::Unsaid => host || self.acted && !self.denied && self.subjects > 0,
        };
        let mut names = vec![word.clone()];
        self.at += 1;
        while (self.at_is(self.at, OR) || self.at_is(self.at, AND))
            && let Some(next) = self.word(self.at + 1)
            && fits(next)
            && (idioms::is_host(next) || idioms::is_name(next))
            && idioms::is_host(next) == host
        {
            names.extend([self.words[self.at].clone(), next.clone()]);
            self.at += 2;
        }
        if !to && self.at_is(self.at, BEHIND_PROGRAMS) {
            self.at += 1;
        }
        let by = self.written(if to { "to" } else { "by" });
        self.clauses
            .extend(denied.into_iter().chain([by]).chain(names));
        match to {
            true => self.hosts += 1,
            false => self.subjects += 1,
        }
        (self.role, self.denied, self.fetched) = (Role::Unsaid, false, false);
        Some(true)
    }
}
