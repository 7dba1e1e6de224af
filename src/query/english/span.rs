//! Times: "since yesterday", "in the last 2 hours", "between 9:00 and 10:30", "on Monday".

use chrono::{DateTime, Days, TimeZone, Utc};

use super::parser::{BareName, HOLE, Parser};
use super::refusal::NotUnderstood;
use super::units::microseconds_in;
use super::vocabulary::*;
use super::words::Word;
use crate::query::ast::Predicate;
use crate::when;

/// Most words that one time can have: "2 h 30 m ago".
const LONGEST: usize = 5;

impl<Tz: TimeZone> Parser<'_, Tz> {
    /// Accepts a clause about time; whether there was one.
    pub(super) fn time(&mut self) -> Result<bool, NotUnderstood> {
        if self.named_span() || self.around_time() || self.right_now() {
            return Ok(true);
        }
        if self.length_beside()? {
            return Ok(true);
        }
        let before = self.word_is(self.next + 1, UNTIL);
        if self.next_is(RIGHT) && (before || self.word_is(self.next + 1, SINCE)) {
            self.next += 1;
            self.advance();
            let clock = self.clock();
            let time = self.moment()?;
            let time = clock.and_then(|clock| self.day_of(&clock)).unwrap_or(time);
            let minute = chrono::TimeDelta::minutes(1);
            self.begin(if before { time - minute } else { time });
            self.end(if before { time } else { time + minute });
            self.loose = true;
            return Ok(true);
        }
        if self.take(SINCE) {
            if self.last_start() {
                self.predicates.push(Predicate::SinceBoot);
                return Ok(true);
            }
            let clock = self.clock();
            let time = self.moment()?;
            match clock.map(|clock| (self.day_of(&clock), clock)) {
                Some((None, clock)) => self.clock_after = Some(clock),
                Some((Some(time), _)) => self.begin(time),
                None => self.begin(time),
            }
        } else if self.of_span() {
            return Ok(true);
        } else if self.next_is(FROM)
            && (self.time_at(self.next + 1).is_some() || self.span_at(self.next + 1).is_some())
        {
            self.advance();
            let first = self.clock();
            let from = self.moment()?;
            if self.is_onwards() {
                self.advance();
            }
            let ends = self.next_is(TO) || self.word_is(self.next, &["until", "till"]);
            if !ends || self.time_at(self.next + 1).is_none() {
                match first.map(|clock| (self.day_of(&clock), clock)) {
                    Some((None, clock)) => self.clock_after = Some(clock),
                    Some((Some(time), _)) => self.begin(time),
                    None => self.begin(from),
                }
                return Ok(true);
            }
            self.advance();
            let last = self.clock();
            let whole = self.whole_day();
            let to = self.moment()?;
            self.clocks = first.zip(last);
            if self.clocks.is_none() {
                self.begin(from);
                self.end(whole.unwrap_or(to));
            }
        } else if self.next_is(THIS) && self.time_at(self.next).is_some() {
            let from = self.moment()?;
            self.begin(from);
        } else if self.take(UNTIL) {
            let clock = self.clock();
            let time = self.moment()?;
            match clock.map(|clock| (self.day_of(&clock), clock)) {
                Some((None, clock)) => self.clock_before = Some(clock),
                Some((Some(time), _)) => self.end(time),
                None => self.end(time),
            }
        } else if self.take(BETWEEN) {
            let first = self.clock();
            let from = self.moment()?;
            if !self.take(AND) {
                return Err(self.refuse("\"and\""));
            }
            let last = self.clock();
            let whole = self.whole_day();
            let to = self.moment()?;
            let to = whole.unwrap_or(to);
            self.clocks = first.zip(last);
            if self.clocks.is_none() {
                // "between 5 and 10 minutes ago"
                self.begin(from.min(to));
                self.end(from.max(to));
            }
        } else if self.take(TODAY) {
            self.day("today");
        } else if self.take(YESTERDAY) {
            self.day("yesterday");
        } else {
            return self.last_or_on();
        }
        Ok(true)
    }

    /// Accepts "in the 5 minutes before 14:00", "2 hours after noon".
    fn length_beside(&mut self) -> Result<bool, NotUnderstood> {
        let start = self.next;
        self.take(IN);
        self.skip_article();
        let text = |at: usize| {
            let word = self.words.get(self.next + at).filter(|word| !word.quoted);
            word.map_or("", |word| word.text.as_str())
        };
        let (number, unit) = match text(0).parse::<i64>() {
            Ok(number) => (Some(number), text(1)),
            Err(_) => (Some(1), text(0)),
        };
        let words = if text(0) == unit { 1 } else { 2 };
        let length = microseconds_in(unit).filter(|_| unit.len() > 1);
        let length = number.zip(length).filter(|(number, _)| *number < 10_000);
        let beside = self.next + words;
        let before = self.word_is(beside, &["before", "until"]);
        let (Some((number, unit)), true) = (
            length,
            before || self.word_is(beside, &["after", "following"]),
        ) else {
            self.next = start;
            return Ok(false);
        };
        (0..=words).for_each(|_| self.advance());
        let time = self.moment()?;
        let length = chrono::TimeDelta::microseconds(unit as i64 * number);
        self.begin(if before { time - length } else { time });
        self.end(if before { time } else { time + length });
        Ok(true)
    }

    /// Accepts "last night", "in the afternoon of", "yesterday evening".
    fn named_span(&mut self) -> bool {
        let start = self.next;
        let within = self.take(IN) || self.take(ON);
        self.skip_article();
        let rest = &self.words[self.next.min(self.words.len())..];
        for n in (1..=3.min(rest.len())).rev() {
            if rest[..n].iter().any(|word| word.quoted) {
                continue;
            }
            let texts = rest[..n].iter().map(|word| word.text.as_str());
            let text = texts.collect::<Vec<_>>().join(" ").to_lowercase();
            // "on Nov 22" is a day
            let day = self.longest().is_some_and(|(words, ..)| words > n);
            let month = when::month(&text, self.now).filter(|_| within && !day);
            if let Some((from, to)) = when::span(&text, self.now).or(month) {
                (0..n).for_each(|_| self.advance());
                self.begin(from);
                self.end(to);
                // the past 7 days could be meant
                self.loose |= ["last week", "last month", "last year"].contains(&&*text);
                return true;
            }
        }
        self.next = start;
        false
    }

    /// Accepts "at 3am", "around 10:53", "yesterday at 3am", "at 3am yesterday", "5 minutes ago".
    fn around_time(&mut self) -> bool {
        let start = self.next;
        let at = self.take(AT) | self.take(AROUND);
        let Some((words, text, _)) = self.longest() else {
            self.next = start;
            return false;
        };
        if let Some((from, to)) = when::ago(&text, self.now) {
            (0..words).for_each(|_| self.advance());
            self.begin(from);
            self.end(to);
            // how much around it was not said
            self.loose = true;
            return true;
        }
        let day_at = text.to_lowercase().contains(" at ");
        let Some((mut from, mut to)) = when::around(&text, self.now).filter(|_| at || day_at)
        else {
            self.next = start;
            return false;
        };
        (0..words).for_each(|_| self.advance());
        // "at 3am yesterday", "at 3am on Monday"
        let next = self.next;
        self.take(ON);
        if let Some((words, day, _)) = self.longest()
            && let Some(whole) = when::around(&format!("{day} {text}"), self.now)
        {
            (0..words).for_each(|_| self.advance());
            (from, to) = whole;
        } else {
            self.next = next;
        }
        self.begin(from);
        self.end(to);
        true
    }

    /// Accepts "from yesterday", "from last week", "from Monday", unless another end is said: "from
    /// yesterday to today", "from Monday on".
    fn of_span(&mut self) -> bool {
        let start = self.next;
        let before = (self.since, self.until, self.loose);
        if !self.take(FROM) {
            return false;
        }
        let mut is_span = self.named_span();
        if !is_span && let Some((end, (words, _, from))) = self.whole_day().zip(self.longest()) {
            (0..words).for_each(|_| self.advance());
            self.begin(from);
            self.end(end);
            self.loose = before.2;
            is_span = true;
        }
        let to = self.next_is(TO) && self.time_at(self.next + 1).is_some();
        if !is_span || to || self.is_onwards() {
            self.next = start;
            (self.since, self.until, self.loose) = before;
            return false;
        }
        true
    }

    /// "onwards", and "on" where the question ends with it: "on" is before a port, too.
    fn is_onwards(&self) -> bool {
        self.next_is(ONWARDS) || self.next_is(&["on"]) && self.next + 1 == self.words.len()
    }

    /// Accepts "now": what is still open.
    fn right_now(&mut self) -> bool {
        // "who hit now": a host
        if self.bare_name == BareName::Subject || !self.take(NOW) {
            return false;
        }
        if !self.predicates.contains(&Predicate::Open) {
            self.predicates.push(Predicate::Open);
        }
        true
    }

    /// Accepts "boot", "the last reboot" after "since".
    fn last_start(&mut self) -> bool {
        let start = self.next;
        self.take(LAST);
        let found = self.take(LAST_START);
        if !found {
            self.next = start;
        }
        found
    }

    /// Accepts "in the last 2 hours", "last week", "on Monday", unless the words go on
    /// differently.
    fn last_or_on(&mut self) -> Result<bool, NotUnderstood> {
        let start = self.next;
        let tried = |parser: &mut Self| parser.next = start;
        // "over 1500 ms" is not a time
        if self.next_is(&["on", "at"]) && self.take(ON) {
            // "on the 21st"
            self.skip_article();
            match self.longest() {
                Some((words, text, _)) if !text.contains(':') => {
                    (0..words).for_each(|_| self.advance());
                    self.day(&text);
                    return Ok(true);
                }
                _ => {
                    tried(self);
                    return Ok(false);
                }
            }
        }
        self.take(IN);
        if self.take(PAST) {
            if let Some(day) = self.past_weekday() {
                self.advance();
                self.day(&day);
                return Ok(true);
            }
            let next = self.words.get(self.next).map(|word| word.text.as_str());
            // "the last hour" is 1 hour; before a number, "1 " would be another digit
            let unit = next.filter(|text| text.starts_with(char::is_alphabetic));
            if let Some(text) = unit.map(|unit| format!("1 {unit}"))
                && let Ok(time) = when::parse(&text, self.now)
            {
                self.advance();
                self.begin(time);
                return Ok(true);
            }
            if let Some((words, _, time)) = self.longest() {
                (0..words).for_each(|_| self.advance());
                self.begin(time);
                return Ok(true);
            }
        }
        tried(self);
        Ok(false)
    }

    pub(super) fn moment(&mut self) -> Result<DateTime<Utc>, NotUnderstood> {
        let next = self.next;
        self.skip_article();
        let time = self.longest().map_or(0, |(words, ..)| words);
        if let Some((words, from)) = self.start_of_span()
            && words >= time
        {
            (0..words).for_each(|_| self.advance());
            return Ok(from);
        }
        self.next = next;
        match self.longest() {
            Some((words, _, time)) => {
                (0..words).for_each(|_| self.advance());
                Ok(time)
            }
            None => match self.words.get(self.next) {
                Some(word) if word.text == HOLE => {
                    self.tried.extend([TODAY, YESTERDAY, THIS, DAYS]);
                    Err(self.refuse("a time"))
                }
                Some(word) => {
                    let why = when::parse(&word.text, self.now).err();
                    let why = why.map(|why| why.to_string());
                    Err(self.refuse_word(word.at.clone(), why))
                }
                None => Err(self.refuse("a time")),
            },
        }
    }

    /// The date of the weekday that follows, alone, before today.
    fn past_weekday(&self) -> Option<String> {
        let (words, text, from) = self.longest()?;
        if words != 1 || !self.next_is(DAYS) || text.contains(':') {
            return None;
        }
        let zone = self.now.timezone();
        let mut date = from.with_timezone(&zone).date_naive();
        if date == self.now.date_naive() {
            date = date.checked_sub_days(Days::new(7))?;
        }
        Some(date.format("%Y-%m-%d").to_string())
    }

    /// The beginning of a span that words name: their number, the time.
    fn start_of_span(&self) -> Option<(usize, DateTime<Utc>)> {
        self.span_at(self.next)
    }

    /// The same from a given word on.
    fn span_at(&self, word: usize) -> Option<(usize, DateTime<Utc>)> {
        let rest = &self.words[word.min(self.words.len())..];
        (1..=3.min(rest.len())).rev().find_map(|n| {
            let texts = rest[..n].iter().map(|word| word.text.as_str());
            let text = texts.collect::<Vec<_>>().join(" ");
            let span = when::span(&text, self.now).or_else(|| when::month(&text, self.now));
            span.map(|(from, _)| (n, from))
        })
    }

    /// The longest run of words from here that is a time: their number, their text, the time.
    fn longest(&self) -> Option<(usize, String, DateTime<Utc>)> {
        self.time_at(self.next)
    }

    /// The same from a given word on.
    fn time_at(&self, word: usize) -> Option<(usize, String, DateTime<Utc>)> {
        let rest = &self.words[word.min(self.words.len())..];
        (1..=LONGEST.min(rest.len())).rev().find_map(|n| {
            let texts = rest[..n].iter().map(|word| word.text.as_str());
            let mut text = texts.collect::<Vec<_>>().join(" ");
            for article in ["an ", "a "] {
                if let Some(unit) = text.strip_prefix(article) {
                    text = format!("1 {unit}");
                }
            }
            // "what did curl do an hour ago": the article was skipped
            if text.split_once(' ').is_some_and(|(unit, ago)| {
                ago.eq_ignore_ascii_case("ago")
                    && when::parse(&format!("1 {unit}"), self.now).is_ok()
            }) {
                text = format!("1 {text}");
            }
            when::parse(&text, self.now)
                .ok()
                .map(|time| (n, text, time))
        })
    }

    /// The end of the day that follows: "from Saturday to Sunday" has all of Sunday, and so has
    /// "from 21 to 22 November".
    fn whole_day(&mut self) -> Option<DateTime<Utc>> {
        let (words, text, from) = self.longest()?;
        let weekday = words == 1 && self.next_is(DAYS);
        let whole = self.next_is(TODAY) || self.next_is(YESTERDAY);
        let is_date = |word: &Word, next: Option<&Word>| super::spoken::is_day(word, next);
        let date = is_date(&self.words[self.next], self.words.get(self.next + 1));
        let day = (weekday || whole && words == 1 || date) && !text.contains(':');
        self.loose |= day && !weekday;
        let zone = self.now.timezone();
        let next = from
            .with_timezone(&zone)
            .date_naive()
            .checked_add_days(Days::new(1))?;
        let next = when::parse(&next.format("%Y-%m-%d").to_string(), self.now).ok();
        next.filter(|_| day)
    }

    /// The time of day that follows, without a day.
    fn clock(&self) -> Option<String> {
        let (_, text, _) = self.longest()?;
        (!text.contains(' ') && when::around(&text, self.now).is_some()).then_some(text)
    }

    /// A time of day on the day that follows: "since 9:00 yesterday", "before 9am on Monday".
    fn day_of(&mut self, clock: &str) -> Option<DateTime<Utc>> {
        let next = self.next;
        self.take(ON);
        if let Some((words, day, _)) = self.longest()
            && let Ok(time) = when::parse(&format!("{day} {clock}"), self.now)
        {
            (0..words).for_each(|_| self.advance());
            return Some(time);
        }
        self.next = next;
        None
    }

    /// Applies "after 19:00" and "before 9:00" to the day that was named, or else to today; to
    /// yesterday, where what is after 19:00 is to come.
    fn apply_limits(&mut self) {
        let (after, before) = (self.clock_after.take(), self.clock_before.take());
        let on = |day: &str, clock: &Option<String>| {
            let clock = clock.as_ref()?;
            when::parse(&format!("{day} {clock}"), self.now).ok()
        };
        let mut day = self.named_day.clone().unwrap_or_else(|| "today".to_owned());
        let to_come = on(&day, &after).is_some_and(|after| after > self.now.to_utc());
        if to_come && self.named_day.is_none() {
            day = "yesterday".to_owned();
            self.loose = true;
        }
        let (after, before) = (on(&day, &after), on(&day, &before));
        if let Some(after) = after {
            self.begin(after);
        }
        if let Some(before) = before {
            self.end(before);
        }
    }

    /// Applies "between 18:00 and 20:30" to the day that was named, or else to today; to yesterday,
    /// where it is to come.
    pub(super) fn apply_clocks(&mut self) {
        self.apply_limits();
        let Some((first, last)) = self.clocks.take() else {
            return;
        };
        let named = self.named_day.take();
        let at = |day: &str, clock: &str| when::parse(&format!("{day} {clock}"), self.now).ok();
        let day = named.as_deref().unwrap_or("today");
        let (Some(mut from), Some(mut to)) = (at(day, &first), at(day, &last)) else {
            return;
        };
        let a_day = chrono::TimeDelta::days(1);
        // "between 22:00 and 2:00" is a night
        if to <= from && named.is_none() {
            from -= a_day;
        }
        // of a day of the week, each is the latest
        while to <= from {
            to += a_day;
        }
        while to > from + a_day {
            to -= a_day;
        }
        if named.is_some() {
            (self.since, self.until) = (None, None);
        } else if from > self.now.to_utc() {
            (from, to) = (from - a_day, to - a_day);
            self.loose = true;
        }
        // "yesterday evening between 9pm and 10pm": on the day that has these
        let mut earlier = 0;
        let outside = |from: DateTime<Utc>, to: DateTime<Utc>, parser: &Self| {
            parser.since.is_some_and(|since| when::to_ns(to) <= since)
                || parser.until.is_some_and(|until| when::to_ns(from) >= until)
        };
        while outside(from, to, self) && earlier < 7 {
            (from, to) = (
                from - chrono::TimeDelta::days(1),
                to - chrono::TimeDelta::days(1),
            );
            earlier += 1;
        }
        self.begin(from);
        self.end(to);
    }

    /// Sets the span to the whole day that starts at `text`.
    fn day(&mut self, text: &str) {
        self.named_day = Some(text.to_owned());
        let Ok(from) = when::parse(text, self.now) else {
            return;
        };
        self.begin(from);
        let zone = self.now.timezone();
        let next = from
            .with_timezone(&zone)
            .date_naive()
            .checked_add_days(Days::new(1))
            .map(|date| when::parse(&date.format("%Y-%m-%d").to_string(), self.now));
        if let Some(Ok(to)) = next
            && to <= self.now.to_utc()
        {
            self.end(to);
        }
    }

    pub(super) fn begin(&mut self, time: DateTime<Utc>) {
        self.since = self.since.max(Some(when::to_ns(time)));
    }

    fn end(&mut self, time: DateTime<Utc>) {
        let time = when::to_ns(time);
        self.until = Some(self.until.map_or(time, |until| until.min(time)));
    }
}
