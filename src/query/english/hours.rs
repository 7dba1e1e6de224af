//! Hours and what stands with them: "between 9 and 10 this morning", "since 9 last night",
//! "between 2 and 4pm". Dates that stand alone: "Nov 27 connections".

use chrono::Utc;

use super::vocabulary::DAYS;
use super::words::Word;
use crate::when;

/// Words before an hour.
const BEFORE: [&str; 12] = [
    "between", "from", "at", "around", "about", "circa", "near", "since", "after", "until", "till",
    "before",
];
const PARTS: [&str; 4] = ["morning", "afternoon", "evening", "night"];
const JOINS: [&str; 5] = ["and", "to", "until", "till", "-"];

/// Which half of a day an hour is in.
#[derive(Clone, Copy)]
enum Half {
    Morning,
    Afternoon,
    /// From six in the evening to six in the morning.
    Night,
    /// The hours run to 24.
    Whole,
}

/// What follows the hours: the half that it says, the day, and how many words it has.
struct Said {
    half: Half,
    day: Option<String>,
    words: usize,
}

impl Said {
    /// The day of the first of the hours: "1 last night" is today.
    fn day_of(&self, hour: &Word) -> Option<String> {
        let night = matches!(self.half, Half::Night) && self.day.as_deref() == Some("yesterday");
        match night && hour.text.ends_with("am") {
            true => Some("today".to_owned()),
            false => self.day.clone(),
        }
    }
}

/// Writes hours as times of day, with the day before them.
pub(super) fn normalize(words: &mut Vec<Word>) {
    let mut at = 0;
    while at < words.len() {
        clocks_at(words, at);
        at += 1;
    }
    at = 1;
    while at < words.len() {
        part_of_day(words, at);
        at += 1;
    }
    at = 1;
    while at < words.len() {
        if BEFORE.iter().any(|one| is(&words[at - 1], one)) {
            hours_at(words, at);
        }
        at += 1;
    }
    at = 0;
    while at < words.len() {
        at += day_at(words, at).max(1);
    }
}

/// Words before a day that say what it is to the question.
const BEFORE_DAY: [&str; 20] = [
    "on", "since", "until", "till", "from", "to", "before", "after", "between", "and", "or", "vs",
    "than", "of", "last", "this", "every", "per", "in", "through",
];

/// "Nov 27 connections" is "on Nov 27 connections". How many words the day has now.
fn day_at(words: &mut Vec<Word>, at: usize) -> usize {
    let number = |word: &Word| {
        let day = word.text.trim_end_matches(char::is_alphabetic);
        let ending = &word.text[day.len()..];
        let ordinal = ["st", "nd", "rd", "th"].contains(&ending);
        number(day).filter(|day| (1..=31).contains(day) && (ending.is_empty() || ordinal))
    };
    // who may, 5 times
    let is_month = |word: &Word| !is(word, "may") && word.text.parse::<chrono::Month>().is_ok();
    let is_day = |word: &Word| {
        let date = word.text.bytes().filter(u8::is_ascii_digit).count() >= 6;
        let date = date && when::parse(&word.text, &Utc::now()).is_ok();
        date && !word.text.contains(':') || DAYS.iter().any(|one| is(word, one))
    };
    let plain = |at: usize| words.get(at).filter(|word| !word.quoted);
    let length = match (plain(at), plain(at + 1)) {
        (Some(word), _) if is_day(word) => 1,
        (Some(one), Some(other)) if is_month(one) && number(other).is_some() => 2,
        (Some(one), Some(other)) if number(one).is_some() && is_month(other) => 2,
        _ => return 0,
    };
    let said = at > 0 && BEFORE_DAY.iter().any(|one| is(&words[at - 1], one));
    let goes_on = plain(at + length).is_some_and(|next| {
        let part = PARTS.iter().chain(&["at", "in", "to", "and", "or", "vs"]);
        clock_number(&next.text).is_some() || { part }.any(|one| is(next, one))
    });
    if !said && !goes_on {
        let on = Word {
            text: "on".to_owned(),
            ..words[at].clone()
        };
        words.insert(at, on);
        return length + 1;
    }
    length
}

/// "13:50-14:00" and "9am to 11am" are "between 13:50 and 14:00".
fn clocks_at(words: &mut Vec<Word>, at: usize) {
    let is_clock = |text: &str| {
        let written = text.contains(':') || half_of(text).is_some();
        written && clock_number(text).is_some_and(|hour| hour <= 24)
    };
    let new = |text: &str, from: &Word| Word {
        text: text.to_owned(),
        ..from.clone()
    };
    let limited = at > 0 && BEFORE.iter().any(|one| is(&words[at - 1], one));
    let stands_with = |one: &str| at > 0 && is(&words[at - 1], one);
    let word = &words[at];
    let parts = word.text.split_once(['-', '\u{2013}']);
    if let Some((first, last)) = parts.filter(|_| !word.quoted)
        && is_clock(last)
        && (is_clock(first) || half_of(last).is_some() && clock_number(first).is_some())
    {
        let between = [
            new("between", word),
            new(first, word),
            new("and", word),
            new(last, word),
        ];
        let before = usize::from(stands_with("between") || stands_with("from"));
        words.splice(at - before..=at, between);
        return;
    }
    let joined = words
        .get(at + 1)
        .is_some_and(|word| JOINS[1..].iter().any(|one| is(word, one)));
    let ends = words
        .get(at + 2)
        .is_some_and(|word| !word.quoted && is_clock(&word.text));
    if !limited && joined && ends && !word.quoted && is_clock(&word.text) {
        words[at + 1].text = "and".to_owned();
        words.insert(at, new("between", &words[at]));
    }
}

/// "Monday in the evening" is "Monday evening".
fn part_of_day(words: &mut Vec<Word>, at: usize) {
    let the = words.get(at + 1).is_some_and(|word| is(word, "the"));
    let part = words.get(at + 1 + usize::from(the));
    let part = part.is_some_and(|word| PARTS.iter().any(|one| is(word, one)));
    let before = &words[at - 1];
    let lower = before.text.to_lowercase();
    let day = ["today", "yesterday"].contains(&lower.as_str())
        || DAYS.contains(&lower.as_str())
        || lower.parse::<chrono::Month>().is_ok()
        || at > 1 && words[at - 2].text.parse::<chrono::Month>().is_ok();
    if (is(&words[at], "in") || is(&words[at], "during")) && part && day && !before.quoted {
        words.drain(at..=at + usize::from(the));
        if lower == "today" {
            words[at - 1].text = "this".to_owned();
        }
    }
}

/// Writes out the one or two hours at `at`.
fn hours_at(words: &mut Vec<Word>, at: usize) {
    if !is_hour(&words[at]) {
        return;
    }
    let joined = words
        .get(at + 1)
        .is_some_and(|word| JOINS.iter().any(|one| is(word, one)));
    let second = (joined && words.get(at + 2).is_some_and(is_hour)).then_some(at + 2);
    let ends = second.unwrap_or(at) + 1;
    let before = at - 1;
    // "this morning before 7" has a beginning too
    let limits = ["since", "after", "until", "till", "before"];
    let limit = limits.iter().any(|one| is(&words[before], one));
    let behind = said(&words[ends..]).is_some();
    if let Some(said) = said_before(words, before).filter(|_| !limit && !behind) {
        // "last night between 2 and 4": as if it stood behind
        let length = said.len();
        words.drain(before - length..before);
        words.splice(ends - length..ends - length, said);
        return hours_at(words, at - length);
    }
    let said = said(&words[ends..]);
    let until = is(&words[at - 1], "between") || is(&words[at - 1], "from");
    if until != second.is_some() && (until || said.is_none()) {
        return;
    }
    // "between 2 and 4pm", "between 14 and 16"
    let half = match (&said, second) {
        (Some(said), _) => said.half,
        (None, Some(second)) => match half_of(&words[second].text) {
            Some(half) => half,
            None if is_whole(words, at, second) => Half::Whole,
            None => return,
        },
        (None, None) => return,
    };
    if let Some(second) = second {
        let (first, last) = (number(&words[at].text), clock_number(&words[second].text));
        let first_half = match (half, first, last) {
            // "between 11 and 1pm"
            (Half::Afternoon, Some(first), Some(last)) if first % 12 > last % 12 => Half::Morning,
            _ => half,
        };
        words[second].text = written(&words[second].text, half);
        words[at].text = written(&words[at].text, first_half);
        // "between 2 and 4 this morning" is before the morning begins
        if let Some(said) = said {
            let day = said.day_of(&words[at]);
            let on = day.as_ref().filter(|day| DAYS.contains(&day.as_str()));
            let new = |text: &str| Word {
                text: text.to_owned(),
                ..words[second].clone()
            };
            let said_again = [on.map(|_| new("on")), day.as_deref().map(new)];
            words.splice(ends..ends + said.words, said_again.into_iter().flatten());
        }
        return;
    }
    words[at].text = written(&words[at].text, half);
    let Some(said) = said else {
        return;
    };
    // "since 9 this morning" has no end at noon
    let day = said.day_of(&words[at]);
    let time = words[at].clone();
    words.drain(ends..ends + said.words);
    if let Some(day) = day {
        let day = Word { text: day, ..time };
        let around = ["at", "around", "about", "circa", "near"]
            .iter()
            .any(|one| is(&words[at - 1], one));
        words.insert(if around { at + 1 } else { at }, day);
    }
}

/// The words of a part of a day that end before a word.
fn said_before(words: &[Word], end: usize) -> Option<Vec<Word>> {
    (1..=3.min(end)).rev().find_map(|length| {
        let said_there = said(&words[end - length..end])?;
        (said_there.words == length).then(|| words[end - length..end].to_vec())
    })
}

/// The part of a day that follows hours: "this morning", "last night", "in the evening",
/// "yesterday afternoon".
fn said(rest: &[Word]) -> Option<Said> {
    let text = |at: usize| {
        let word = rest.get(at).filter(|word| !word.quoted);
        word.map(|word| word.text.to_lowercase())
    };
    let first = text(0)?;
    let part = |at: usize| match text(at)?.as_str() {
        "morning" => Some(Half::Morning),
        "afternoon" | "evening" => Some(Half::Afternoon),
        "night" => Some(Half::Night),
        _ => None,
    };
    let of = |half, day: &str, words| {
        Some(Said {
            half,
            day: Some(day.to_owned()),
            words,
        })
    };
    match first.as_str() {
        "tonight" => of(Half::Afternoon, "today", 1),
        "overnight" => of(Half::Night, "yesterday", 1),
        "this" => of(part(1)?, "today", 2),
        "last" if part(1).is_some() => of(part(1)?, "yesterday", 2),
        "in" if text(1)? == "the" => Some(Said {
            half: part(2)?,
            day: None,
            words: 3,
        }),
        "at" if text(1)? == "night" => Some(Said {
            half: Half::Night,
            day: None,
            words: 2,
        }),
        "in" => Some(Said {
            half: part(1)?,
            day: None,
            words: 2,
        }),
        "yesterday" => of(part(1)?, "yesterday", 2),
        day if DAYS.contains(&day) => of(part(1)?, day, 2),
        _ => None,
    }
}

/// "9", "9am", "9:30": an hour or a time of day.
fn is_hour(word: &Word) -> bool {
    !word.quoted && clock_number(&word.text).is_some_and(|hour| hour <= 24)
}

/// Whether hours are of a day of 24: "between 14 and 16", "between 9 and 17 on Monday".
fn is_whole(words: &[Word], first: usize, second: usize) -> bool {
    let afternoon = number(&words[second].text).is_some_and(|hour| (13..=24).contains(&hour));
    let of_ports = first > 1
        && ["port", "ports"]
            .iter()
            .any(|one| is(&words[first - 2], one));
    let ends = words.get(second + 1).is_none_or(|next| {
        let mut days = DAYS.iter().chain(&["today", "yesterday", "on"]);
        days.any(|one| is(next, one))
    });
    afternoon && ends && !of_ports
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| text.len() <= 2)
}

/// The hour of a time of day.
fn clock_number(text: &str) -> Option<u32> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches("am").trim_end_matches("pm");
    match digits.split_once(':') {
        Some((hour, minute)) => number(minute).and(number(hour)),
        None => number(digits),
    }
}

fn half_of(text: &str) -> Option<Half> {
    let lower = text.to_ascii_lowercase();
    let morning = lower.ends_with("am").then_some(Half::Morning);
    morning.or_else(|| lower.ends_with("pm").then_some(Half::Afternoon))
}

/// The time of day with its half, unless it has one.
fn written(text: &str, half: Half) -> String {
    let hour = clock_number(text).unwrap_or_default();
    if half_of(text).is_some() {
        return text.to_owned();
    }
    let suffix = match half {
        _ if !(1..=12).contains(&hour) => "",
        Half::Morning => "am",
        Half::Afternoon => "pm",
        Half::Night if (6..12).contains(&hour) => "pm",
        Half::Night => "am",
        Half::Whole => "",
    };
    match suffix {
        "" if !text.contains(':') => format!("{hour}:00"),
        suffix => format!("{text}{suffix}"),
    }
}

fn is(word: &Word, one: &str) -> bool {
    word.is_one_of(&[one])
}

#[cfg(test)]
mod tests {
    use super::super::words::split;
    use super::*;

    #[test]
    fn hours_get_their_half_and_their_day() {
        for (typed, read) in [
            (
                "between 9 and 10 this morning",
                "between 9am and 10am today",
            ),
            ("between 2 and 4pm", "between 2pm and 4pm"),
            ("between 11 and 1pm", "between 11am and 1pm"),
            ("between 14 and 16", "between 14:00 and 16:00"),
            ("from 7 to 9 yesterday evening", "from 7pm to 9pm yesterday"),
            (
                "between 11 and 2 last night",
                "between 11pm and 2am yesterday",
            ),
            ("since 9 this morning", "since today 9am"),
            ("since 9:30 this morning", "since today 9:30am"),
            ("since 22:30 last night", "since yesterday 22:30"),
            ("before 1 last night", "before today 1am"),
            ("at 3 in the afternoon", "at 3pm"),
            ("around 7 yesterday evening", "around 7pm yesterday"),
            ("between 9 and 10", "between 9 and 10"),
            (
                "between 5 and 10 minutes ago",
                "between 5 and 10 minutes ago",
            ),
            ("from 10 hosts", "from 10 hosts"),
            ("last night between 2 and 4", "between 2am and 4am today"),
            ("yesterday evening around 7", "around 7pm yesterday"),
            ("on 22 November in the evening", "on 22 November evening"),
            ("today in the morning", "this morning"),
            ("13:50-14:00", "between 13:50 and 14:00"),
            ("between 9-11am", "between 9am and 11am"),
            ("curl 9am to 11am", "curl between 9am and 11am"),
            ("from 9:00 to 11:00", "from 9:00 to 11:00"),
            ("10-12", "10-12"),
            ("2026-11-24", "on 2026-11-24"),
            ("Nov 27 connections", "on Nov 27 connections"),
            (
                "connections 27th November by curl",
                "connections on 27th November by curl",
            ),
            ("curl 28/11/2026", "curl on 28/11/2026"),
            ("since Nov 27", "since Nov 27"),
            ("Monday connections", "on Monday connections"),
            ("curl Monday morning", "curl Monday morning"),
            ("compare Nov 26 and Nov 27", "compare Nov 26 and Nov 27"),
            ("what may 5 processes do", "what may 5 processes do"),
            ("to 10.1.2.3", "to 10.1.2.3"),
            ("203.0.113.0/24 curl", "203.0.113.0/24 curl"),
        ] {
            let mut words = split(typed).unwrap();
            normalize(&mut words);
            let texts = words.into_iter().map(|word| word.text);
            assert_eq!(texts.collect::<Vec<_>>().join(" "), read, "{typed}");
        }
    }
}
