//! The error for a question that was not understood.

use std::fmt;
use std::ops::Range;

use crate::text::{printable, width};

/// Why a question was refused. Displays as several lines: the word that was not understood,
/// where it stands, and what would have been understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotUnderstood {
    /// The first line.
    pub(super) problem: String,
    /// The question, and the byte range that is at fault.
    pub(super) place: Option<(String, Range<usize>)>,
    /// A suggestion, on its own line.
    pub(super) hint: Option<String>,
}

/// What would have been understood.
pub const FORMS: &str = "\
Questions that are understood:
  which processes|containers|pods|images|users|units hit HOST
  what did PROCESS|pid N|container NAME|pod NAME|image NAME|user NAME|unit NAME talk to
  what did children of PROCESS|pid N talk to (all below it, at any depth)
  when did PROCESS hit HOST; which connections failed; which IPs, which ports
  which processes resolved NAME; what did PROCESS resolve; which lookups failed
  which names were resolved but never contacted; which hosts are new since Monday
  how many connections did PROCESS make; how much did PROCESS send to HOST; top 10 hosts
  connections per hour today; top 3 hosts per day
with, anywhere: on port 443, over udp, refused, timed out, named by SOURCE, today,
in the last 2 hours, since yesterday, between 9:00 and 10:30, per day.
HOST is a name (including its subdomains), *.name (subdomains only), an address, a network
like 10.0.0.0/8, or \"raw IPs\" (addresses without a name).
Quote a name that contains spaces or is also a word of the question.
  e.g. egrets query \"which processes hit example.com since 9:00\"";

impl fmt::Display for NotUnderstood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", printable(&self.problem))?;
        if let Some((question, at)) = &self.place {
            let column = width(&printable(&question[..at.start]));
            let length = width(&printable(&question[at.clone()])).max(1);
            writeln!(f, "  {}", printable(question))?;
            writeln!(f, "  {:column$}{}", "", "^".repeat(length))?;
        }
        if let Some(hint) = &self.hint {
            writeln!(f, "{}", printable(hint))?;
        }
        f.write_str(FORMS)
    }
}

impl std::error::Error for NotUnderstood {}

#[cfg(test)]
mod tests {
    #[test]
    fn the_word_at_fault_is_shown_where_it_stands() {
        assert_eq!(
            super::super::parse(
                " which processes frobnicated example.com",
                &chrono::Utc::now()
            )
            .unwrap_err()
            .to_string(),
            "\
\"frobnicated\" is not understood in this question:
  which processes frobnicated example.com
                  ^^^^^^^^^^^
Questions that are understood:
  which processes|containers|pods|images|users|units hit HOST
  what did PROCESS|pid N|container NAME|pod NAME|image NAME|user NAME|unit NAME talk to
  what did children of PROCESS|pid N talk to (all below it, at any depth)
  when did PROCESS hit HOST; which connections failed; which IPs, which ports
  which processes resolved NAME; what did PROCESS resolve; which lookups failed
  which names were resolved but never contacted; which hosts are new since Monday
  how many connections did PROCESS make; how much did PROCESS send to HOST; top 10 hosts
  connections per hour today; top 3 hosts per day
with, anywhere: on port 443, over udp, refused, timed out, named by SOURCE, today,
in the last 2 hours, since yesterday, between 9:00 and 10:30, per day.
HOST is a name (including its subdomains), *.name (subdomains only), an address, a network
like 10.0.0.0/8, or \"raw IPs\" (addresses without a name).
Quote a name that contains spaces or is also a word of the question.
  e.g. egrets query \"which processes hit example.com since 9:00\""
        );
    }
}
