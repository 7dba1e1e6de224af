//! The head of a question: what is to be listed.

use chrono::TimeZone;

use super::super::host::Host;
use super::super::refusal::NotUnderstood;
use super::super::words::Word;
use super::parser::{Open, Parser};
use super::subject::ACTORS;
use super::vocabulary::*;
use super::{Actors, Counted, From, List, Only, Pick};

/// Rows of a "top" that says no number.
pub(super) const TOP_ROWS: u32 = 10;

impl<Tz: TimeZone> Parser<'_, Tz> {
    pub(super) fn head(&mut self) -> Result<(List, From), NotUnderstood> {
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
            let often = self.take(OFTEN);
            if !often && !self.take(MANY) {
                return Err(self.refuse("\"many\", \"much\" or \"often\""));
            }
            if often || self.take(TIMES) {
                return Ok((List::Count(Counted::Rows), From::Connections));
            }
            if self.take(TRAFFIC) {
                return Ok((List::Bytes, From::Connections));
            }
            let (list, from) = self.noun()?;
            return Ok((List::Count(list.counted()), from));
        }
        if self.take(WHATS) || self.next_is(WHAT) && self.word_is(self.next + 1, PASSIVE) {
            if self.take(WHAT) {
                self.take(PASSIVE);
            }
            return self.what_is();
        }
        if self.take(WHAT) {
            if self.next_is(ACTIVE) {
                return Ok((List::Destinations, From::Connections));
            }
            if !self.next_is(NEW) && !self.at_noun() {
                self.waits = Some("\"did\", \"hit\" or what to list");
                return Ok((List::Actors(Actors::Processes), From::Connections));
            }
            return self.noun();
        }
        if self.take(ACTIVE) {
            self.open = Open::Subject;
            return Ok((List::Actors(Actors::Processes), From::Connections));
        }
        if self.take(PASSIVE) {
            return self.whether();
        }
        if self.next_is(WHY) {
            let at = self.words[self.next].at.clone();
            let hint = "ask which connections failed: their outcome says how, and 'egrets explain ID' what is known of a name";
            return Err(self.refuse_word(at, Some(hint.to_owned())));
        }
        if self.next_is(COMPARED) {
            return Err(self.refuse_compared());
        }
        if self.take(COUNT) || self.take(NUMBER) && self.take(OF) {
            let (list, from) = self.noun()?;
            return Ok((List::Count(list.counted()), from));
        }
        let asked = self.take(WHICH);
        while asked && (self.take(FILLERS) || self.take(OUTBOUND)) {}
        if asked && self.take(TRAFFIC) {
            return Ok((List::Bytes, From::Connections));
        }
        while self.adverb() {}
        if self.picked()? || asked {
            if self.open == Open::Subject {
                return Ok((List::Each, From::Connections));
            }
            return self.noun();
        }
        self.bare = true;
        while self.take(FILLERS) || self.take(OUTBOUND) {}
        if self.take(TRAFFIC) {
            return Ok((List::Bytes, From::Connections));
        }
        while self.adjective() {}
        if self.at_noun() {
            return self.noun();
        }
        if self.new {
            return Ok((List::Destinations, From::Connections));
        }
        let mut refused = self.refuse("a question");
        if refused.hint.is_none()
            && let Some(word) = self.words.get(self.next)
        {
            refused.hint = match Host::parse(&word.text, false) {
                Err(why) => Some(why),
                Ok(_) if word.text.contains('.') => {
                    Some(format!("ask: which processes hit {}", word.text))
                }
                Ok(_) if self.words.len() > 2 => None,
                Ok(_) => Some(format!("ask: what did {} talk to", word.text)),
            };
        }
        Err(refused)
    }

    /// The rest of "is there any traffic", "is curl talking to HOST", "was HOST contacted".
    fn whether(&mut self) -> Result<(List, From), NotUnderstood> {
        if self.take(THERE) {
            while self.take(FILLERS) {}
            if self.take(TRAFFIC) {
                return Ok((List::Bytes, From::Connections));
            }
            return self.noun();
        }
        let hit = self.words.get(self.next).filter(|word| !word.quoted);
        let hit = hit.filter(|word| word.text.contains(['.', ':']));
        if let Some(Ok(host)) = hit.map(|word| Host::parse(&word.text, false)) {
            self.advance();
            self.only.push(Only::To(host));
            self.waits = Some("\"contacted\"");
            return Ok(match self.next_is(NEW) {
                true => (List::Destinations, From::Connections),
                false => (List::Actors(Actors::Processes), From::Connections),
            });
        }
        self.open = Open::Subject;
        Ok((List::Actors(Actors::Processes), From::Connections))
    }

    /// The rest of "what is new", "what are the top hosts", "what is talking to HOST" and
    /// "what is curl talking to".
    fn what_is(&mut self) -> Result<(List, From), NotUnderstood> {
        let doing = |word: &Word| !word.quoted && word.text.to_lowercase().ends_with(DOING);
        if self.take(NEW) {
            self.new = true;
            return Ok((List::Destinations, From::Connections));
        }
        // "what is open to HOST"
        if self.take(OPENED) {
            self.only.push(Only::Open);
            return Ok((List::Each, From::Connections));
        }
        // "using" is how, elsewhere
        let verbs = [VERBS, RESOLVE, LOOK, ASK, MAKE];
        if verbs.iter().any(|verbs| self.next_is(verbs)) || self.next_is(&["using"]) {
            let doing = self.words.get(self.next).is_some_and(doing);
            return Ok((
                match doing {
                    true => List::Actors(Actors::Processes),
                    false => List::Destinations,
                },
                From::Connections,
            ));
        }
        self.skip_article();
        let one = self.next_is(SINGULAR) || self.at_descendants();
        if !one && (self.picked()? || self.at_noun()) {
            return self.noun();
        }
        self.tried.extend([NEW, VERBS]);
        (self.open, self.waits) = (Open::Subject, Some("a name"));
        Ok((List::Destinations, From::Connections))
    }

    /// Takes what may stand before a noun: "failed", "new", "hourly".
    fn adjective(&mut self) -> bool {
        if self.take(NEW) {
            self.new = true;
            return true;
        }
        if self.take(OUTBOUND) {
            return true;
        }
        if self.next_is(OPENED) && self.word_is(self.next + 1, CONNECTIONS) {
            self.advance();
            self.only.push(Only::Open);
            return true;
        }
        self.outcome() || self.adverb()
    }

    /// Takes "top 10", "first 3", "last": whether there was one.
    pub(super) fn picked(&mut self) -> Result<bool, NotUnderstood> {
        let (pick, default): (fn(u32) -> Pick, _) = if self.take(TOP) {
            (Pick::Most, TOP_ROWS)
        } else if self.take(FIRST) {
            (Pick::First, 1)
        } else if self.take(LAST) {
            (Pick::Last, 1)
        } else if self.take(SLOWEST) {
            (Pick::Slowest, TOP_ROWS)
        } else if self.take(LONGEST) {
            (Pick::Longest, TOP_ROWS)
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
        let number_or = number.unwrap_or(default);
        // "top 10 slowest lookups"
        self.pick = Some(match pick(number_or) {
            Pick::Most(n) if self.take(SLOWEST) => Pick::Slowest(n),
            Pick::Most(n) if self.take(LONGEST) => Pick::Longest(n),
            pick => pick,
        });
        // "the last time curl hit HOST"
        if number.is_none() && self.take(TIME) {
            self.open = Open::Subject;
        }
        Ok(true)
    }

    fn at_noun(&mut self) -> bool {
        self.skip_article();
        if self.at_descendants() {
            return true;
        }
        let others = [
            NAMES,
            ADDRESSES,
            PORTS,
            CONNECTIONS,
            ERRORS,
            DNS,
            LOOKUPS,
            RAW,
        ];
        let mut nouns = ACTORS.into_iter().map(|(words, _)| words).chain(others);
        nouns.any(|words| {
            self.next_is(words) || {
                self.tried.push(words);
                false
            }
        }) || self.at_scope()
    }

    /// What is to be listed.
    pub(super) fn noun(&mut self) -> Result<(List, From), NotUnderstood> {
        while self.adjective() {}
        if self.at_descendants() {
            let of = self.subject()?;
            self.only.push(Only::By(of));
            return Ok((List::Actors(Actors::Processes), From::Connections));
        }
        if let Some(actors) = self.actors() {
            return Ok((List::Actors(actors), From::Connections));
        }
        if self.take(ERRORS) {
            self.only.push(Only::Failed);
            return Ok((List::Each, From::Connections));
        }
        let dns = self.take(DNS);
        if self.take(LOOKUPS) {
            return Ok((List::Each, From::Lookups));
        }
        if dns {
            return Err(self.refuse("lookups"));
        }
        let raw = self.take(RAW);
        if let Some(scope) = self.scope() {
            self.only.push(scope);
        }
        let list = if self.take(ADDRESSES) {
            List::Addresses
        } else if raw {
            return Err(self.refuse("\"IPs\""));
        } else if self.take(NAMES) {
            List::Destinations
        } else if self.take(PORTS) {
            List::Ports
        } else if self.take(CONNECTIONS) {
            // "connection failures"
            if self.take(ERRORS) {
                self.only.push(Only::Failed);
            }
            List::Each
        } else {
            return Err(self.refuse(
                "processes, containers, pods, images, users, units, hosts, names, IPs, ports, connections or lookups",
            ));
        };
        if raw {
            self.only.push(Only::To(Host::Raw));
        }
        Ok((list, From::Connections))
    }
}
