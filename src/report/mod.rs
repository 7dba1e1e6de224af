//! A history in one page: what a span held, in figures and in tables that are bounded.
//!
//! [`Report::read`] (`read.rs`) fills the model (`model.rs`) from the views by a few statements,
//! through what `query` gives for a question. [`markdown`] and [`page`] show a model, and JSON is
//! the model itself; none of them knows where it came from. It fails when SQLite does.

mod hosts;
mod markdown;
mod model;
mod page;
mod read;
mod rows;
mod show;
#[cfg(test)]
mod tests;
mod timeline;

pub use markdown::markdown;
pub use model::Report;
pub use page::{LivePage, live, page, update};
pub use read::Wanted;
pub use rows::Baseline;
