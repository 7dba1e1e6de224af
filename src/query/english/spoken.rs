//! Forms of words that are the same everywhere in a question: "alice's connections", "three".

use super::idioms;
use super::vocabulary::*;
use super::words::Word;

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
const OWNED: [Words; 8] = [
    CONNECTIONS,
    TRAFFIC,
    LOOKUPS,
    NAMES,
    ADDRESSES,
    PORTS,
    ERRORS,
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

/// Most words of what is owned: "most contacted host".
const FARTHEST: usize = 4;

/// Replaces possessives and numbers in words.
pub(super) fn normalize(words: Vec<Word>) -> Vec<Word> {
    let (mut all, mut times) = (Vec::new(), Vec::new());
    let mut words = std::collections::VecDeque::from(words);
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
        if let Some((_, same)) = SAME
            .iter()
            .find(|(one, _)| word.text.eq_ignore_ascii_case(one))
        {
            word.text = (*same).to_owned();
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
        // "today's connections"
        if is(&owner, TODAY) || is(&owner, YESTERDAY) {
            times.push(owner);
            continue;
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
            all.extend(words.drain(..=noun));
            all.extend([new(to), owner]);
        } else {
            all.extend([owner, new("is")]);
        }
    }
    all.extend(times);
    all
}

/// The "alice" of "alice's", the "processes" of "processes'".
fn owner(text: &str) -> Option<&str> {
    let owner = text
        .strip_suffix("'s")
        .or_else(|| text.strip_suffix('\''))?;
    let contracted = CONTRACTED.iter().any(|one| owner.eq_ignore_ascii_case(one));
    (!owner.is_empty() && !contracted && !owner.contains('\'')).then_some(owner)
}
