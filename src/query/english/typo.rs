//! Typos: a word that is not known, one edit away from a single word that is.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::idioms;
use super::words::Word;

/// Shortest known word that another one is read as, in letters: shorter ones have too many
/// neighbours.
const SHORTEST: usize = 5;

/// Every word that questions are made of.
static KNOWN: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let plain = |word: &&str| word.bytes().all(|b| b.is_ascii_alphabetic());
    let words = idioms::known().filter(plain);
    words.map(str::to_lowercase).collect()
});

/// The known words that a word is one edit away from, shortest first; none if it is known itself,
/// or is no plain word. An insertion, deletion, substitution or swap of neighbours is an edit.
fn neighbours(word: &Word) -> Vec<&'static str> {
    let text = word.text.to_lowercase();
    let plain = text.len() + 1 >= SHORTEST && text.bytes().all(|b| b.is_ascii_alphabetic());
    if word.quoted || !plain || KNOWN.contains(&text) {
        return Vec::new();
    }
    let near = KNOWN
        .iter()
        .filter(|known| known.len().abs_diff(text.len()) <= 1)
        .filter(|known| strsim::osa_distance(&text, known) == 1)
        .filter(|known| !is_another(&text, known));
    let mut near = Vec::from_iter(near.map(String::as_str));
    near.sort_unstable_by_key(|known| (known.len(), *known));
    near
}

/// Whether another letter at an end is rather that of another word: "systemd" is not "systems".
pub(super) fn is_another(text: &str, known: &str) -> bool {
    let (typed, known) = (text.as_bytes(), known.as_bytes());
    let differ = |at: usize| typed[at] != known[at];
    let last = typed.len().saturating_sub(1);
    let substituted =
        typed.len() == known.len() && (0..=last).filter(|&at| differ(at)).count() == 1;
    substituted && (differ(0) || differ(last))
}

/// The word that this one is read as, if it is the only one, and shorter words that it could be as
/// well.
pub(super) fn meant(word: &Word) -> Option<(&'static str, Vec<&'static str>)> {
    let mut near = neighbours(word);
    let long = near.iter().position(|known| known.len() >= SHORTEST)?;
    let mut only = near.split_off(long);
    // "proceses": the plural, and not the singular as well
    let all = only.clone();
    only.retain(|one| {
        !all.iter()
            .any(|other| other != one && other.starts_with(one))
    });
    match only[..] {
        [only] => Some((only, near)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<&'static str> {
        let word = Word {
            text: text.to_owned(),
            quoted: false,
            at: 0..text.len(),
        };
        meant(&word).map(|(known, _)| known)
    }

    #[test]
    fn word_with_one_edit_is_read_as_the_only_long_word_that_it_can_be() {
        for (typed, known) in [
            ("proceses", "processes"),
            ("conections", "connections"),
            ("wihch", "which"),
            ("Contcated", "contacted"),
        ] {
            assert_eq!(read(typed), Some(known), "{typed}");
        }
        // known, two edits, a short word, no plain word, another word
        for typed in [
            "hosts",
            "cnoectons",
            "tlak",
            "host1",
            "x.org",
            "systemd",
            "bource",
        ] {
            assert_eq!(read(typed), None, "{typed}");
        }
    }
}
