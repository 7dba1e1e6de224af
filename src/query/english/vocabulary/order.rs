//! Superlatives, comparisons and the order of an answer.

use super::Words;

pub const TOP: Words = &["top"];
pub const MOST: Words = &["most"];
pub const LEAST: Words = &["least", "fewest"];
pub const BOTTOM: Words = &["bottom"];
pub const FIRST: Words = &["first", "earliest"];
pub const LAST: Words = &["last", "latest"];
pub const SLOWEST: Words = &["slowest", "laggiest"];
pub const LONGEST: Words = &["longest"];
pub const LARGEST: Words = &["largest", "biggest", "heaviest", "greatest", "hugest"];
pub const SMALLEST: Words = &["smallest"];
/// Comparisons that stand at the beginning of a question.
pub const COMPARED: Words = &["than", "longer", "larger", "bigger", "slower", "fastest"];
/// The same where a condition follows "and" or "but".
pub const COMPARING: Words = &[
    "longer",
    "shorter",
    "larger",
    "bigger",
    "smaller",
    "slower",
    "faster",
    "more",
    "less",
    "fewer",
    "at-most-long",
];
pub const THAN: Words = &["than"];
pub const ONLY: Words = &["only", "exactly", "just"];
/// "only", before whom or what nothing else may be.
pub const EXCLUSIVELY: Words = &["exclusively", "solely", "only", "purely"];
pub const ONCE: Words = &["once"];
pub const TWICE: Words = &["twice"];
pub const TIMES: Words = &["times"];
pub const TIMES_OR_TIME: Words = &["times", "time"];
pub const SEVERAL: Words = &["several", "multiple"];
pub const DURATION: Words = &["duration"];
pub const LATENCY: Words = &["latency"];
pub const SIZE: Words = &["size", "volume"];
/// Before what the answer is sorted by.
pub const SORTED: Words = &["sorted", "ordered", "ranked"];
/// What idioms make of "newest first".
pub const LATEST_FIRST: Words = &["latest-first"];
pub const TIME: Words = &["time"];
