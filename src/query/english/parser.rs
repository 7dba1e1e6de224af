//! The parser: it consumes a word or leaves it, and remembers what it would have accepted.

use std::ops::Range;

use chrono::{DateTime, TimeZone};

use super::idioms;
use super::refusal::{NOT_UNDERSTOOD, NotUnderstood};
use super::vocabulary::*;
use super::words::{self, Word};
use crate::query::ast::{
    Actors, Bucket, Comparison, Counted, Limit, Measure, Operator, Predicate, Projection, Property,
    Question, Ranking, Relation, Subject, Typed,
};
use crate::query::host::Host;
use crate::when;

/// What stands before known words that are nearest to one that is not understood.
pub(super) const NEAR: &str = "did you mean: ";

/// Why numbers over time have no order but that of time.
const TOP_PER_SPAN: &str =
    "a \"top\" that is split by time needs hosts, processes or the like: \"top 3 hosts per hour\"";

/// The longest question that is accepted, in characters.
pub(super) const LONGEST: usize = 1000;

/// The meaning of words, once idioms are replaced.
pub(super) fn understood<Tz: TimeZone>(
    question: &str,
    words: Vec<Word>,
    now: &DateTime<Tz>,
) -> Result<Question, NotUnderstood> {
    let replaced = idioms::replace(words);
    let understood = Parser::new(question, replaced.words, now).question()?;
    let typed = Typed {
        doubtful: understood.typed.doubtful || replaced.doubtful,
        ..understood.typed
    };
    Ok(Question {
        loose: replaced.loose || understood.loose,
        typed,
        ..understood
    })
}

/// Drops commas and other punctuation at the ends of words. Between names, they mean "or".
/// Most words of what stands before a question.
const LONGEST_HEADING: usize = 3;

pub(super) fn commas(words: Vec<Word>) -> Vec<Word> {
    let mut all: Vec<Word> = Vec::new();
    let mut words = words.into_iter().peekable();
    while let Some(mut word) = words.next() {
        let bare = word.text.trim_end_matches(',').len();
        let comma = !word.quoted && (1..word.text.len()).contains(&bare);
        // "bash: how much", "who hit x.org!"; "fe80::" is an address
        let colon = word.text.find(':') == Some(word.text.len().saturating_sub(1));
        let ends = match word.text.chars().next_back() {
            Some(':') => colon,
            Some(';' | '!') => true,
            _ => false,
        };
        let bare = match ends && !word.quoted && word.text.len() > 1 {
            true => word.text.len() - 1,
            false => bare,
        };
        if bare > 0 && bare < word.text.len() && !word.quoted {
            word.at.end -= word.text.len() - bare;
            word.text.truncate(bare);
        }
        // "prod alert: who hit x.org"
        if ends && colon && word.is_one_of(HEADINGS) && all.len() < LONGEST_HEADING {
            all.clear();
            continue;
        }
        let is_name = |word: &Word| {
            word.quoted || !(idioms::is_grammar(&word.text) || word.is_one_of(ORDERS))
        };
        let or = match words.peek() {
            Some(next) if comma && is_name(&word) && is_name(next) => Some(Word {
                text: "or".to_owned(),
                quoted: false,
                at: word.at.clone(),
            }),
            _ => None,
        };
        all.push(word);
        all.extend(or);
    }
    all
}

/// The predicates that one consists of.
fn parts(predicate: &Predicate) -> Vec<&Predicate> {
    match predicate {
        Predicate::Not(of) | Predicate::Elsewhere(of) => parts(of),
        Predicate::Any(of) | Predicate::All(of) => of.iter().flat_map(parts).collect(),
        predicate => vec![predicate],
    }
}

/// The word that is still to be typed, for completion. No question contains a NUL.
pub(super) const HOLE: &str = "\0";

/// What a name is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
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
    /// By its id; not in questions.
    Connection,
}

/// What a word outside the grammar would name at this point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BareName {
    Nothing,
    Subject,
    Object,
}

pub(super) struct Parser<'a, Tz: TimeZone> {
    pub(super) text: &'a str,
    pub(super) now: &'a DateTime<Tz>,
    pub(super) words: Vec<Word>,
    /// Index of the next word.
    pub(super) next: usize,
    /// What that word was compared with.
    pub(super) tried: Vec<Words>,
    /// The kind of name that is missing, if the question breaks off before one.
    pub(super) naming: Option<NameKind>,
    pub(super) bare_name: BareName,
    /// Set by the verb: whether something was contacted or looked up.
    pub(super) verb: Option<Relation>,
    /// What still has to follow.
    pub(super) expecting: Option<&'static str>,
    pub(super) predicates: Vec<Predicate>,
    pub(super) ranking: Option<Ranking>,
    /// Where "by bytes" stands.
    pub(super) by_bytes: Option<Range<usize>>,
    pub(super) since: Option<i64>,
    pub(super) until: Option<i64>,
    pub(super) new: bool,
    pub(super) bucket: Option<Bucket>,
    /// How many of the buckets are asked for, those with most first.
    pub(super) busiest: Option<u32>,
    /// What to group by: "connections per host".
    pub(super) group: Option<Projection>,
    /// Whether data that was sent or received is meant.
    pub(super) direction: Option<Measure>,
    /// The day that was named, and the times of day of "between".
    pub(super) named_day: Option<String>,
    pub(super) clocks: Option<(String, String)>,
    /// The times of day of "after" and "before".
    pub(super) clock_after: Option<String>,
    pub(super) clock_before: Option<String>,
    /// An auxiliary introduced who acted.
    pub(super) auxiliary: bool,
    /// The answer has to say how the question was read.
    pub(super) loose: bool,
    pub(super) compared: Vec<Comparison>,
    pub(super) also: Vec<Predicate>,
    pub(super) never: Vec<Predicate>,
    /// Where "only" stands.
    pub(super) only: Option<Range<usize>>,
    /// Who did nothing of this.
    pub(super) without: Option<Relation>,
    /// It starts with the noun: "connections per hour".
    pub(super) no_question_word: bool,
    /// "sorted by" stands before what the answer is sorted by.
    pub(super) sorted: bool,
    /// Answers to peers that sent first are asked for too.
    pub(super) both_directions: bool,
    /// Unquoted names without a dot, and where they stand.
    pub(super) names: Vec<(String, Range<usize>)>,
    /// A name was taken from where another word could stand.
    pub(super) doubtful: bool,
    /// Names of who acted, before their verb.
    pub(super) acting: Vec<String>,
    /// What each group has the mean of.
    pub(super) average: Option<Measure>,
    /// Names are compared, whatever they are names of.
    pub(super) compares: bool,
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
            bare_name: BareName::Nothing,
            verb: None,
            expecting: None,
            predicates: Vec::new(),
            ranking: None,
            by_bytes: None,
            busiest: None,
            since: None,
            until: None,
            new: false,
            bucket: None,
            group: None,
            direction: None,
            named_day: None,
            clocks: None,
            clock_after: None,
            clock_before: None,
            auxiliary: false,
            loose: false,
            compared: Vec::new(),
            also: Vec::new(),
            never: Vec::new(),
            only: None,
            without: None,
            no_question_word: false,
            sorted: false,
            both_directions: false,
            names: Vec::new(),
            doubtful: false,
            acting: Vec::new(),
            average: None,
            compares: false,
        }
    }

    pub(super) fn question(&mut self) -> Result<Question, NotUnderstood> {
        let (mut list, mut relation) = self.projection()?;
        while self.next < self.words.len() {
            if self.newness()? {
                continue;
            }
            if matches!(list, Projection::Destinations | Projection::FailedLookups)
                && self.never()?
            {
                list = Projection::NeverContacted;
                continue;
            }
            self.clause(list)?;
        }
        self.apply_clocks();
        // What is still open has no duration yet: the longest began first.
        if let Some(Ranking::Longest(rows)) = self.ranking
            && self.predicates.contains(&Predicate::Open)
        {
            self.ranking = Some(Ranking::First(rows));
            self.loose = true;
        }
        let is = |words| (0..self.words.len()).any(|at| self.word_is(at, words));
        self.both_directions |= is(ALL) && !is(&["outbound", "outgoing"]);
        // A user, or a process? The answer has both.
        self.loose |= self.word_is(0, WHO) && self.ranking.is_some();
        if let Some(wanted) = self.expecting {
            return Err(self.refuse(wanted));
        }
        let nothing_said = self.predicates.is_empty()
            && self.also.is_empty()
            && self.never.is_empty()
            && self.without.is_none()
            && self.compared.is_empty()
            && self.ranking.is_none()
            && self.since.is_none()
            && self.until.is_none();
        if self.bare_name == BareName::Object
            && nothing_said
            && matches!(list, Projection::Actors(_) | Projection::Each)
        {
            return Err(self.refuse("a host"));
        }
        // "lookups that went to x.org" would list connections
        if relation == Relation::Lookups && self.verb == Some(Relation::Connections) {
            return Err(self.refuse_all(
                "a lookup is of a name, and sent to a DNS server: \"lookups of NAME\", \"lookups sent to ADDRESS\"",
            ));
        }
        relation = self.verb.unwrap_or(relation);
        if relation == Relation::Lookups {
            list = self.about_lookups(list)?;
        }
        if self.new && list == Projection::NeverContacted {
            return Err(self.refuse_all("\"new\" and \"never contacted\" can't be combined"));
        }
        let by_time = matches!(
            self.ranking,
            Some(Ranking::Slowest(_) | Ranking::Longest(_))
        );
        let long = matches!(self.ranking, Some(Ranking::Longest(_)));
        if by_time && (list != Projection::Each || self.group.is_some())
            || long && relation == Relation::Lookups
        {
            let why = "\"slowest\" applies to connections and lookups, \"longest\" to connections: \"slowest lookups\", \"longest connections\"";
            return Err(self.refuse_all(why));
        }
        if self.new && self.since.is_none() {
            return Err(self.refuse("a time, as in \"new since yesterday\""));
        }
        if let Some(group) = self.group {
            list = self.grouped(list, group)?;
        }
        if list == Projection::Properties(Property::QueryType) && relation == Relation::Connections
        {
            return Err(self.refuse_all("a type is one of lookups: \"lookups per qtype\""));
        }
        let of_places = matches!(
            list,
            Projection::Properties(Property::Country | Property::Network)
        );
        if of_places && relation == Relation::Lookups {
            return Err(self.refuse_all(
                "countries and networks are those of connections: use \"connections\"",
            ));
        }
        let having = self.apply_comparisons(list, relation)?;
        if self.bucket.is_some() {
            list = self.split(list)?;
        }
        if let Some(at) = self.by_bytes.take() {
            self.ranking = match self.ranking {
                Some(Ranking::Most(n)) if relation == Relation::Connections => {
                    Some(Ranking::MostBytes(n))
                }
                // "bottom 5 hosts by bytes"
                Some(Ranking::By {
                    measure: Measure::Rows,
                    least: true,
                    rows,
                }) if relation == Relation::Connections => Some(Ranking::By {
                    measure: Measure::Bytes,
                    least: true,
                    rows,
                }),
                None if relation == Relation::Connections && self.sorted || list.is_grouped() => {
                    Some(Ranking::MostBytes(Ranking::ALL))
                }
                _ => {
                    let hint = "\"by bytes\" sorts a \"top\" of connections, as in \"top 10 hosts by bytes\"";
                    return Err(self.refuse_word(at, Some(hint.to_owned())));
                }
            };
        }
        // "connections per hour sorted by bytes"
        let numbers = matches!(list, Projection::Count(_) | Projection::Bytes);
        if self.bucket.is_some() && self.ranking.is_some() && numbers {
            return Err(self.refuse_all(TOP_PER_SPAN));
        }
        if let Some(n) = self.busiest.filter(|_| numbers && self.bucket.is_some()) {
            self.ranking = Some(match list {
                Projection::Bytes => Ranking::MostBytes(n),
                _ => Ranking::Most(n),
            });
        }
        if let Some(at) = self.only.take() {
            self.apply_only(list, at)?;
        }
        if let Some(other) = self.without {
            self.check_without(list, relation, other)?;
        }
        if !self.never.is_empty() {
            // Who "hit x but never y": rows of both decide.
            let never = self.never.clone();
            let is_host = |p: &Predicate| match p {
                Predicate::To(_) => true,
                Predicate::Any(all) => all.iter().all(|p| matches!(p, Predicate::To(_))),
                p => never.iter().any(|never| p.is_of_one_kind_with(never)),
            };
            let hosts = self.predicates.extract_if(.., |p| is_host(p));
            self.also.extend(hosts);
        }
        list = self.directed(list);
        let bytes = |ranking| match ranking {
            Ranking::MostBytes(_) => true,
            Ranking::By { measure, .. } => {
                matches!(measure, Measure::Bytes | Measure::Sent | Measure::Received)
            }
            _ => false,
        };
        if relation == Relation::Lookups && self.ranking.is_some_and(bytes) {
            return Err(self.refuse_all("lookups have no bytes"));
        }
        if list == Projection::Changes(0) {
            list = self.changes()?;
        }
        self.check(list)?;
        Ok(Question {
            projection: list,
            relation,
            predicates: std::mem::take(&mut self.predicates),
            since: self.since,
            until: self.until,
            ranking: self.ranking,
            new: self.new,
            bucket: self.bucket,
            average: self.average,
            share: None,
            having,
            also: std::mem::take(&mut self.also),
            never: std::mem::take(&mut self.never),
            without: self.without,
            bare: false,
            loose: self.loose,
            both_directions: self.both_directions,
            typed: Typed {
                text: self.text.to_owned(),
                names: std::mem::take(&mut self.names),
                doubtful: self.doubtful,
                acting: std::mem::take(&mut self.acting),
                correction: None,
                compared: self.compares,
            },
        })
    }

    /// Applies the direction of the data to what is listed and to its order.
    fn directed(&mut self, list: Projection) -> Projection {
        let Some(measure) = self.direction else {
            return list;
        };
        match self.ranking {
            Some(Ranking::MostBytes(rows)) => {
                self.ranking = Some(Ranking::By {
                    measure,
                    least: false,
                    rows,
                });
            }
            Some(Ranking::By {
                measure: Measure::Bytes,
                least,
                rows,
            }) => {
                self.ranking = Some(Ranking::By {
                    measure,
                    least,
                    rows,
                });
            }
            _ => {}
        }
        match (list, measure) {
            (Projection::Bytes, Measure::Sent) => Projection::Sent,
            (Projection::Bytes, Measure::Received) => Projection::Received,
            (Projection::Average(Measure::Bytes), measure) => Projection::Average(measure),
            (list, _) => list,
        }
    }

    /// What to compare the span with: the day, week or month before, or as long a time.
    fn changes(&self) -> Result<Projection, NotUnderstood> {
        let Some(since) = self.since else {
            return Err(self.refuse("a time, as in \"changes since yesterday\""));
        };
        let begins = |text: &str| when::parse(text, self.now).map(when::to_ns).ok();
        let now = when::to_ns(self.now.to_utc());
        let day = self.now.clone();
        let before = if Some(since) == begins("today") {
            begins("yesterday")
        } else if Some(since) == begins("this week") {
            when::span("last week", &day).map(|(from, _)| when::to_ns(from))
        } else if Some(since) == begins("this month") {
            when::span("last month", &day).map(|(from, _)| when::to_ns(from))
        } else {
            None
        };
        let before =
            before.unwrap_or(since.saturating_sub(self.until.unwrap_or(now).saturating_sub(since)));
        Ok(Projection::Changes(before))
    }

    /// Refuses what contradicts itself.
    fn check(&self, list: Projection) -> Result<(), NotUnderstood> {
        let of = |kind: fn(&Predicate) -> bool| self.predicates.iter().filter(move |p| kind(p));
        let differ = |kind: fn(&Predicate) -> bool| {
            let mut all = of(kind);
            let first = all.next();
            first.is_some() && all.any(|other| Some(other) != first)
        };
        let contradicts = [
            (
                differ(|p| matches!(p, Predicate::Outcome(_) | Predicate::Succeeded)),
                "a connection has one outcome",
            ),
            (
                differ(|p| matches!(p, Predicate::Protocol(_))),
                "a connection has one protocol",
            ),
            (
                differ(|p| matches!(p, Predicate::Family(_))),
                "a connection has one IP version",
            ),
            (
                differ(|p| matches!(p, Predicate::Port(_))),
                "a connection has one port: \"port 80 or 443\" asks for either",
            ),
            (
                differ(|p| matches!(p, Predicate::SourcePort(_))),
                "a connection has one source port",
            ),
            (
                differ(|p| matches!(p, Predicate::Scope(_))),
                "an address has one scope",
            ),
            (
                differ(|p| matches!(p, Predicate::Country(_))),
                "an address is in one country: ask about each of them, or \"connections per country\"",
            ),
            (
                differ(|p| matches!(p, Predicate::Rcode(_))),
                "a lookup has one answer",
            ),
            (
                differ(|p| matches!(p, Predicate::By(Subject::Pid(_)))),
                "a connection has one pid",
            ),
            (
                differ(|p| matches!(p, Predicate::By(Subject::User(_)))),
                "a connection has one user",
            ),
            (
                differ(|p| matches!(p, Predicate::By(Subject::Container(_)))),
                "a connection has one container",
            ),
        ];
        if let Some((_, why)) = contradicts.into_iter().find(|(is, _)| *is) {
            return Err(self.refuse_all(why));
        }
        let failed = self.predicates.contains(&Predicate::Failed);
        if failed && self.predicates.contains(&Predicate::Succeeded) {
            return Err(self.refuse_all("a connection has either failed or succeeded"));
        }
        let ended = |p: &Predicate| {
            let outcome = matches!(p, Predicate::Outcome(of) if *of != "connected");
            outcome || matches!(p, Predicate::Failed | Predicate::Blocked)
        };
        if self.predicates.contains(&Predicate::Open) && self.predicates.iter().any(ended) {
            return Err(self.refuse_all(
                "what failed is not open: \"failed connections in the last 10 minutes\" are the latest",
            ));
        }
        let denied = |predicate: &Predicate| {
            let not = Predicate::Not(Box::new(predicate.clone()));
            self.predicates.contains(&not) || self.never.contains(predicate)
        };
        let asked = self.predicates.iter().chain(&self.also);
        if asked.into_iter().any(denied) {
            return Err(self.refuse_all("the same can't be asked for and left out"));
        }
        if self.new
            && (!self.also.is_empty()
                || !self.never.is_empty()
                || self.without.is_some()
                || !self.compared.is_empty())
        {
            return Err(self.refuse_all("\"new\" can't be combined with that"));
        }
        let subjects_only = list == Projection::Summary;
        let other = |predicate: &&Predicate| match predicate {
            Predicate::To(host) => matches!(host, Host::Addresses { .. } | Host::Raw),
            predicate => !matches!(predicate, Predicate::By(_) | Predicate::SinceBoot),
        };
        if subjects_only && self.predicates.iter().flat_map(parts).any(|p| other(&p)) {
            return Err(self.refuse_all(
                "a summary is of a span, a host, or who acted: \"summary of curl today\"",
            ));
        }
        let single = matches!(
            list,
            Projection::Summary
                | Projection::Beacons
                | Projection::Changes(_)
                | Projection::Answers
                | Projection::NamesOfAddress
                | Projection::Average(_)
                | Projection::Pairs(_)
                | Projection::FirstHosts(_)
                | Projection::FirstActors(_)
                | Projection::Properties(_)
                | Projection::Hashes
                | Projection::Rules
                | Projection::Verdicts
        );
        if single && (self.new || self.bucket.is_some()) {
            return Err(self.refuse_all("this can't be split by time, nor be \"new\""));
        }
        Ok(())
    }

    /// The projection of a question that groups its numbers, if they can be grouped.
    fn grouped(
        &mut self,
        list: Projection,
        group: Projection,
    ) -> Result<Projection, NotUnderstood> {
        if let Projection::Average(measure) = list {
            if self.bucket.is_some() || self.ranking.is_some() {
                return Err(self.refuse_all("averages of groups are neither ranked nor split by time: \"average bytes per process\""));
            }
            self.average = match (measure, self.direction) {
                (Measure::Bytes, Some(direction)) => Some(direction),
                (measure, _) => Some(measure),
            };
            self.no_question_word = false;
            return Ok(group);
        }
        // "top 3 hosts per process"
        let ranked = matches!(
            self.ranking,
            Some(Ranking::Most(_) | Ranking::MostBytes(_) | Ranking::By { .. })
        );
        if ranked && self.bucket.is_none() {
            match (list, group) {
                (Projection::Destinations, Projection::Actors(of)) => {
                    return Ok(Projection::FirstHosts(of));
                }
                (Projection::Actors(of), Projection::Destinations) => {
                    return Ok(Projection::FirstActors(of));
                }
                _ => {}
            }
        }
        let counts = match (list, group) {
            (
                Projection::Destinations | Projection::Count(Counted::Hosts),
                Projection::Actors(_) | Projection::Ports | Projection::Addresses,
            ) => Some(Measure::Hosts),
            (
                Projection::Addresses | Projection::Count(Counted::Addresses),
                Projection::Actors(_) | Projection::Destinations | Projection::Ports,
            ) => Some(Measure::Addresses),
            (
                Projection::Ports | Projection::Count(Counted::Ports),
                Projection::Actors(_) | Projection::Destinations | Projection::Addresses,
            ) => Some(Measure::Ports),
            (Projection::Count(Counted::Actors(Actors::Processes)), _) => Some(Measure::Processes),
            (Projection::Actors(Actors::Processes), _) if self.no_question_word => {
                Some(Measure::Processes)
            }
            (Projection::Count(Counted::Rows), _) => None,
            (Projection::Count(_), _) => {
                return Err(self.refuse_all("only connections, lookups, bytes, hosts, IPs, ports and processes can be counted \"per\" something"));
            }
            _ => None,
        };
        if counts.is_some() && matches!(self.ranking, Some(Ranking::Most(_))) {
            let why = "the first of each are hosts, or who contacted them: \"top 3 hosts per process\", \"top 3 hosts per hour\"; without \"top\", they are counted: \"ports per process\"";
            return Err(self.refuse_all(why));
        }
        if let Some(measure) = counts
            && self.bucket.is_none()
            && self.ranking.is_none()
        {
            self.no_question_word = false;
            self.ranking = Some(Ranking::By {
                measure,
                least: false,
                rows: Ranking::ALL,
            });
            return Ok(group);
        }
        let most = match list {
            Projection::Bytes => Ranking::MostBytes,
            Projection::Each | Projection::Count(_) | Projection::FailedLookups => Ranking::Most,
            _ => {
                let why = "only connections, lookups and bytes can be counted \"per\" something";
                return Err(self.refuse_all(why));
            }
        };
        self.no_question_word = false;
        self.ranking = match self.ranking {
            // Within each bucket, the most come first anyway.
            None if self.bucket.is_some() => None,
            None => Some(most(Ranking::ALL)),
            Some(Ranking::Most(n)) => Some(most(n)),
            pick => pick,
        };
        Ok(group)
    }

    /// The projection of a question that is split into buckets, if it can be split.
    fn split(&mut self, list: Projection) -> Result<Projection, NotUnderstood> {
        if self.new || list == Projection::NeverContacted {
            let why = "\"new\" and \"never contacted\" can't be split by time";
            return Err(self.refuse_all(why));
        }
        let list = match list {
            Projection::Count(_) | Projection::Bytes | Projection::Sent | Projection::Received => {
                list
            }
            Projection::Each | Projection::FailedLookups => Projection::Count(list.counted()),
            list if self.no_question_word => Projection::Count(list.counted()),
            list => list,
        };
        let numbers = matches!(list, Projection::Count(_) | Projection::Bytes);
        match self.ranking {
            Some(Ranking::First(_) | Ranking::Last(_)) => {
                Err(self.refuse_all("\"first\" and \"last\" can't be split by time"))
            }
            Some(_) if numbers => Err(self.refuse_all(TOP_PER_SPAN)),
            _ => Ok(list),
        }
    }

    /// The projection of a question about lookups, if its predicates apply to lookups.
    fn about_lookups(&mut self, list: Projection) -> Result<Projection, NotUnderstood> {
        // What "timed out" means for a lookup.
        for predicate in &mut self.predicates {
            let no_answer = match predicate {
                Predicate::Not(of) => matches!(
                    **of,
                    Predicate::Compared(Comparison {
                        measure: Measure::Received,
                        operator: Operator::More,
                        limit: Limit::Number(0),
                    })
                ),
                Predicate::Outcome(outcome) => *outcome == "timeout",
                _ => false,
            };
            if no_answer {
                *predicate = Predicate::Unanswered;
            }
        }
        let groups = self.also.iter().chain(&self.never);
        for predicate in self.predicates.iter().chain(groups).flat_map(parts) {
            let problem = match predicate {
                Predicate::Compared(of)
                    if !matches!(of.measure, Measure::Duration | Measure::Latency) =>
                {
                    "lookups have no bytes"
                }
                Predicate::By(Subject::Executables(_)) => {
                    "what an executable is, is known of connections alone: use \"hit\" to ask about them"
                }
                Predicate::By(Subject::CommandLine(_)) => {
                    "lookups have no command line: use \"hit\" to ask about connections"
                }
                Predicate::Country(_) | Predicate::To(Host::Network(_)) => {
                    "countries and networks are those of connections: use \"hit\" to ask about them"
                }
                Predicate::Rcode(_)
                | Predicate::Unanswered
                | Predicate::Server(_)
                | Predicate::SinceBoot
                | Predicate::Compared(_)
                | Predicate::To(
                    Host::Label(_) | Host::Begins(_) | Host::Ends(_) | Host::Contains(_),
                )
                | Predicate::By(_)
                | Predicate::Failed
                | Predicate::Succeeded
                | Predicate::To(Host::Domain(_) | Host::Subdomains(_) | Host::Exact(_)) => {
                    continue;
                }
                Predicate::To(_) => {
                    "a lookup is for a name, not for an address: use \"hit\" to ask about connections"
                }
                _ => {
                    "a lookup has no port, protocol or address, and its only outcomes are \"failed\" and \"succeeded\": use \"hit\" to ask about connections"
                }
            };
            return Err(self.refuse_all(problem));
        }
        Ok(match list {
            Projection::Destinations | Projection::Each
                if self.predicates.contains(&Predicate::Failed) =>
            {
                Projection::FailedLookups
            }
            Projection::Addresses
            | Projection::Ports
            | Projection::Bytes
            | Projection::Beacons
            | Projection::Changes(_)
            | Projection::Hashes
            | Projection::Rules
            | Projection::Verdicts
            | Projection::Actors(Actors::CommandLines | Actors::Parents) => {
                return Err(
                    self.refuse_all("lookups are for names: ask \"which names were resolved\"")
                );
            }
            list => list,
        })
    }

    /// Consumes the next word if it is one of `words`.
    pub(super) fn take(&mut self, words: Words) -> bool {
        self.take_one(words).is_some()
    }

    /// The same; which one it was.
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

    /// Consumes the next word as a name, whatever it is.
    pub(super) fn name(&mut self, of: NameKind) -> Result<Word, NotUnderstood> {
        self.skip_article();
        let what = match of {
            NameKind::Host => "a host",
            NameKind::Port => "a port",
            NameKind::Pid => "a pid",
            _ => "a name",
        };
        match self.words.get(self.next).cloned() {
            Some(word) if word.text == HOLE => {
                self.naming = Some(of);
                Err(self.refuse(what))
            }
            Some(word) if !word.text.is_empty() => {
                if !word.quoted && !word.text.contains(['.', ':', '/']) {
                    self.names.push((word.text.clone(), word.at.clone()));
                }
                self.advance();
                Ok(word)
            }
            _ => Err(self.refuse(what)),
        }
    }

    /// Skips an article, unless it is the last word: then it is a name.
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

    /// Refuses the next word, or its absence, where `wanted` was expected.
    pub(super) fn refuse(&self, wanted: &str) -> NotUnderstood {
        match self.words.get(self.next) {
            Some(word) => {
                // words with hyphens are what idioms make
                let tried = self.tried.concat();
                let typed = tried.into_iter().filter(|word| !word.contains('-'));
                let near = words::nearest(&word.text, &Vec::from_iter(typed));
                let hint = (!near.is_empty()).then(|| format!("{NEAR}{}", near.join(", ")));
                self.refuse_word(word.at.clone(), hint)
            }
            None if self.words.is_empty() => NotUnderstood {
                problem: "there is no question".to_owned(),
                place: None,
                hint: None,
            },
            None => NotUnderstood {
                problem: format!("the question ends early; expected {wanted}"),
                place: Some((self.text.to_owned(), self.text.len()..self.text.len())),
                hint: None,
            },
        }
    }

    pub(super) fn refuse_word(&self, at: Range<usize>, hint: Option<String>) -> NotUnderstood {
        NotUnderstood {
            problem: NOT_UNDERSTOOD.to_owned(),
            place: Some((self.text.to_owned(), at)),
            hint,
        }
    }

    /// Refuses the question as a whole.
    pub(super) fn refuse_all(&self, why: &str) -> NotUnderstood {
        NotUnderstood {
            problem: String::new(),
            place: Some((self.text.to_owned(), 0..self.text.len())),
            hint: Some(why.to_owned()),
        }
    }
}
