//! Forms of words that are the same everywhere in a question: "alice's connections", "three".

use super::units::bytes_in;
use super::vocabulary::*;
use super::words::Word;
use super::{hours, idioms};

/// Numbers in words, from two on: "one" is a pronoun as well.
const NUMBERS: Words = &[
    "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
];

/// Words that are the same as another one.
const SAME: [(&str, &str); 3] = [
    ("anybody", "anyone"),
    ("somebody", "someone"),
    ("everybody", "everyone"),
];

/// Words with "'s" that is "is" or "has".
const CONTRACTED: Words = &[
    "what",
    "who",
    "where",
    "that",
    "it",
    "there",
    "here",
    "how",
    "when",
    "which",
    "let",
    "anything",
    "something",
    "everything",
    "anyone",
    "someone",
    "everyone",
];

/// What an owner has.
const OWNED: [Words; 9] = [
    CONNECTIONS,
    TRAFFIC,
    LOOKUPS,
    NAMES,
    ADDRESSES,
    PORTS,
    ERRORS,
    HASHES,
    &[
        "uploads",
        "upload",
        "downloads",
        "download",
        "transfers",
        "transfer",
        "activity",
    ],
];

/// What a number behind it belongs to.
const COUNTED: [Words; 6] = [PORT, PID, TOP, BOTTOM, FIRST, LAST];

/// Most words of what is owned: "most contacted host".
const FARTHEST: usize = 4;

/// "curl to x.org refused only": what is refused, and not who did nothing else.
fn without_last_only(mut words: Vec<Word>) -> Vec<Word> {
    let outcomes = [FAILED, OUTCOMES, SUCCEEDED];
    let set_apart = match words.as_slice() {
        [.., before, what, only] => {
            let apart = !before.quoted && before.text.ends_with(',');
            // "which hosts failed only" is about all that went to them
            let listed = [WHICH, WHAT, WHO, NAMES, PROCESS, USER, CONTAINER];
            let of_name = !listed.iter().any(|known| words[0].is_one_of(known));
            let outcome = outcomes.iter().any(|known| what.is_one_of(known));
            only.is_one_of(&["only"]) && (apart || of_name && outcome)
        }
        _ => false,
    };
    if set_apart {
        words.pop();
    }
    words
}

/// Replaces possessives, numbers in words, and ports that stand with their host.
pub(super) fn normalize(words: Vec<Word>) -> Vec<Word> {
    let (mut all, mut times) = (Vec::new(), Vec::new());
    let small = |word: &Word| word.text.contains(|c: char| c.is_lowercase());
    let in_capitals = !words.iter().any(small);
    let words = without_last_only(words).into_iter().map(without_comma);
    let words = words.flat_map(with_port);
    let mut words = words.collect::<std::collections::VecDeque<_>>();
    while let Some(mut word) = words.pop_front() {
        if word.quoted {
            all.push(word);
            continue;
        }
        let is = |word: &Word, known: Words| {
            !word.quoted && known.iter().any(|one| word.text.eq_ignore_ascii_case(one))
        };
        if word.text.contains('\u{2019}') {
            word.text = word.text.replace('\u{2019}', "'");
        }
        if let Some(number) = NUMBERS
            .iter()
            .position(|one| word.text.eq_ignore_ascii_case(one))
        {
            word.text = (number + 2).to_string();
        }
        // "3 am"
        let half = words.front().filter(|next| is(next, &["am", "pm"]));
        if let Some(half) = half
            && word.text.starts_with(|c: char| c.is_ascii_digit())
            && word.text.bytes().all(|b| b.is_ascii_digit() || b == b':')
        {
            word.text += &half.text;
            word.at.end = half.at.end;
            words.pop_front();
        }
        // "10 MB", but not the "bytes" of "port 443 bytes"
        let counts = all
            .last()
            .is_none_or(|last| !COUNTED.iter().any(|known| is(last, known)));
        let unit = words.front().filter(|next| {
            counts && !next.quoted && next.text.len() > 1 && bytes_in(&next.text).is_some()
        });
        if let Some(unit) = unit
            && is_number(&word.text)
        {
            word.text += &unit.text;
            word.at.end = unit.at.end;
            words.pop_front();
        }
        if let Some((_, same)) = SAME
            .iter()
            .find(|(one, _)| word.text.eq_ignore_ascii_case(one))
        {
            word.text = (*same).to_owned();
        }
        // "to the US", and not to us
        let after_article = all.last().is_some_and(|last| is(last, ARTICLES));
        if is(&word, &["us"]) && (after_article || !in_capitals && word.text == "US") {
            word.text = "unitedstates".to_owned();
        }
        // "non-443 traffic"
        let without = word
            .text
            .strip_prefix("non-")
            .filter(|rest| rest.parse::<u16>().is_ok());
        if let Some(port) = without {
            let new = |text: &str| Word {
                text: text.to_owned(),
                ..word.clone()
            };
            let not = [new("not"), new("on"), new("port"), new(port)];
            all.extend(words.pop_front());
            all.extend(not);
            continue;
        }
        let Some(owner) = owner(&word.text) else {
            all.push(word);
            continue;
        };
        let new = |text: &str| Word {
            text: text.to_owned(),
            ..word.clone()
        };
        let owner = new(owner);
        // "today's connections", "last week's", "Monday's"
        if is(&owner, TODAY) || is(&owner, YESTERDAY) {
            times.push(owner);
            continue;
        }
        if is(&owner, DAYS) {
            let on = all.pop_if(|word| is(word, PAST));
            times.extend([on.unwrap_or_else(|| new("on")), owner]);
            continue;
        }
        let span = [
            MINUTE,
            HOUR,
            DAY,
            WEEK,
            MONTH,
            &["night", "morning", "weekend"],
        ];
        let before = |word: &mut Word| is(word, PAST) || is(word, THIS);
        if span.iter().any(|words| is(&owner, words))
            && let Some(last) = all.pop_if(before)
        {
            times.extend([last, owner]);
            continue;
        }
        // "alice's the processes"
        let is_owned = |word: &Word| is(word, PROCESS) || is(word, DESCENDANTS);
        if words.front().is_some_and(|word| is(word, ARTICLES))
            && words.get(1).is_some_and(is_owned)
        {
            words.pop_front();
        }
        // "alice's most contacted host"
        let ahead = words.iter().take(FARTHEST);
        let noun = ahead
            .clone()
            .position(|word| OWNED.iter().any(|known| is(word, known)));
        let verb = ahead
            .clone()
            .position(|word| word.text.to_lowercase().ends_with(DOING));
        let Some(owned) = words.front() else {
            all.push(owner);
            continue;
        };
        if is(owned, DESCENDANTS) {
            all.extend(words.pop_front());
            all.extend([new("of"), owner]);
        } else if is(owned, PROCESS) {
            words.pop_front();
            all.push(owner);
        } else if let Some(noun) =
            noun.filter(|&noun| noun == 0 || verb.is_none_or(|verb| noun < verb))
        {
            let to = if idioms::is_host(&owner) { "to" } else { "by" };
            // "the web container's failures"
            let of_noun = is(&owner, SINGULAR) && !is(&owner, PID);
            let name = all.pop_if(|last| of_noun && idioms::is_name(last));
            all.extend(words.drain(..=noun));
            all.extend([new(to), owner]);
            all.extend(name);
        } else {
            all.extend([owner, new("is")]);
        }
    }
    all.extend(times);
    on_days(&mut all);
    past_spans(&mut all);
    hours::normalize(&mut all);
    all
}

/// "since 9 this morning, what did curl do": no list of names goes on behind a time.
fn without_comma(mut word: Word) -> Word {
    let bare = word.text.trim_end_matches(',').len();
    let time = Word {
        text: word.text[..bare].to_owned(),
        ..word.clone()
    };
    let times = [TODAY, YESTERDAY, DAYS, PARTS_OF_DAYS];
    if bare < word.text.len() && times.iter().any(|known| time.is_one_of(known)) {
        word.at.end -= word.text.len() - bare;
        word.text.truncate(bare);
    }
    word
}

/// "connections of Monday", "summary for 2026-11-15": those on that day.
fn on_days(words: &mut Vec<Word>) {
    let of = |word: &Word| word.is_one_of(OF) || word.is_one_of(FOR);
    let whole = |word: &Word| word.is_one_of(TODAY) || word.is_one_of(YESTERDAY);
    let mut at = 0;
    while at + 1 < words.len() {
        let day = &words[at + 1];
        match of(&words[at]) && !day.quoted {
            true if whole(day) => _ = words.remove(at),
            true if is_day(day, words.get(at + 2)) => words[at].text = "on".to_owned(),
            _ => {}
        }
        at += 1;
    }
}

/// "In the last week" is the past 7 days, "from last week" is Monday to Monday. Without their
/// article, "in" and its like still say the former.
fn past_spans(words: &mut [Word]) {
    const WITHIN: Words = &["in", "within", "over"];
    const BESIDE: Words = &[
        "vs", "vs.", "versus", "against", "than", "with", "to", "and",
    ];
    for at in 1..words.len().saturating_sub(1) {
        let span = &words[at + 1];
        let whole = span.is_one_of(&["week", "month", "year"]);
        let article = words[at - 1].is_one_of(ARTICLES);
        // "this week vs the last week"
        let compared = article && at > 1 && words[at - 2].is_one_of(BESIDE);
        let within = article || words[at - 1].is_one_of(WITHIN);
        if words[at].is_one_of(&["last"]) && whole && within && !compared {
            words[at].text = "past".to_owned();
        }
    }
}

/// Whether a day begins here: a weekday, a date, or a number and a month.
pub(super) fn is_day(word: &Word, next: Option<&Word>) -> bool {
    let month = |word: &Word| word.text.parse::<chrono::Month>().is_ok();
    let of_month = |word: &Word| {
        let digits = word
            .text
            .trim_end_matches(|c: char| c.is_ascii_alphabetic());
        digits.parse().is_ok_and(|day: u8| (1..=31).contains(&day))
    };
    let date = word.text.parse::<chrono::NaiveDate>().is_ok();
    let two =
        next.is_some_and(|next| month(word) && of_month(next) || of_month(word) && month(next));
    word.is_one_of(DAYS) || date || two
}

/// "10.0.0.1:443", "[2001:db8::1]:443", "x.org:443", ":443" and "udp/53" with the port apart.
fn with_port(word: Word) -> Vec<Word> {
    let transport = word.text.split_once('/').filter(|_| !word.quoted);
    let transport = transport.and_then(|(one, other)| {
        let is = |text: &str| ["tcp", "udp"].contains(&text.to_lowercase().as_str());
        let number = |text: &str| text.parse::<u16>().is_ok();
        match (is(one) && number(other), number(one) && is(other)) {
            (true, _) => Some((one, other)),
            (_, true) => Some((other, one)),
            _ => None,
        }
    });
    if let Some((protocol, port)) = transport {
        let new = |text: &str| Word {
            text: text.to_owned(),
            ..word.clone()
        };
        return vec![new(protocol), new("port"), new(port)];
    }
    let parts = word.text.rsplit_once(':').filter(|_| !word.quoted);
    let Some((host, port)) = parts else {
        return vec![word];
    };
    let is_port = !port.is_empty() && port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
    let is_host = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            host.is_empty()
                || host.eq_ignore_ascii_case("localhost")
                || host.contains('.') && !host.contains(['/', ':'])
        }
    };
    if !is_port || !is_host {
        return vec![word];
    }
    let new = |text: &str| Word {
        text: text.to_owned(),
        ..word.clone()
    };
    let host = host.trim_matches(['[', ']']);
    let host = (!host.is_empty()).then(|| new(host));
    host.into_iter().chain([new("port"), new(port)]).collect()
}

fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || b == b'.' || b == b',')
}

/// The "alice" of "alice's", the "processes" of "processes'".
fn owner(text: &str) -> Option<&str> {
    let owner = text
        .strip_suffix("'s")
        .or_else(|| text.strip_suffix('\''))?;
    let contracted = CONTRACTED.iter().any(|one| owner.eq_ignore_ascii_case(one));
    (!owner.is_empty() && !contracted && !owner.contains('\'')).then_some(owner)
}
