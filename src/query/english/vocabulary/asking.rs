//! Words that a question begins with, and the auxiliaries in it.

use super::Words;

pub const WHICH: Words = &["which", "list", "show"];
pub const WHAT: Words = &["what"];
pub const WHATS: Words = &["what's", "whats"];
pub const WHO: Words = &["who"];
pub const WHEN: Words = &["when"];
pub const HOW: Words = &["how"];
pub const MANY: Words = &["many"];
pub const MUCH: Words = &["much"];
pub const OFTEN: Words = &["often"];
pub const WHY: Words = &["why"];
pub const COUNT: Words = &["count"];
pub const NUMBER: Words = &["number"];
pub const DO: Words = &["do", "doing", "done"];
/// Auxiliaries that a subject follows.
pub const ACTIVE: Words = &["did", "does", "do", "has", "have", "had"];
/// Auxiliaries that an object follows.
pub const PASSIVE: Words = &["was", "were", "is", "are"];
pub const BEEN: Words = &["been"];
pub const THERE: Words = &["there"];
pub const EVER: Words = &["ever"];
