//! `egrets serve`: the page of a report in a browser, live.
//!
//! A tab has a document without data ([`crate::report::live`]), whose script asks for a view of the
//! history again and again. One thread answers requests (`http.rs`, and `check.rs` says which
//! ones), another reads the history (`reader.rs`), and only while a tab asks: views are shared
//! by tabs, and read anew as seldom as keeps the processor's time small.

mod check;
mod http;
mod listen;
mod pages;
mod reader;
mod token;

use anyhow::Result;

pub use listen::Listener;
pub use pages::Page;
pub use reader::History;
pub use token::Token;

/// Answers requests until SIGINT or SIGTERM.
///
/// # Errors
///
/// The kernel refuses a thread, or what waits for connections.
pub fn run(listener: Listener, token: Token, history: History) -> Result<()> {
    let reader = reader::start(history)?;
    http::serve(listener, token, reader)
}
