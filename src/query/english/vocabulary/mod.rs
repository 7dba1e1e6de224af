//! The words of the grammar, by what they say. The first of each row is the one that completion
//! offers before anything is typed.

mod actors;
mod asking;
mod facets;
mod listed;
mod order;
mod outcomes;
mod places;
mod small;
mod times;
mod verbs;

pub use actors::*;
pub use asking::*;
pub use facets::*;
pub use listed::*;
pub use order::*;
pub use outcomes::*;
pub use places::*;
pub use small::*;
pub use times::*;
pub use verbs::*;

pub type Words = &'static [&'static str];
