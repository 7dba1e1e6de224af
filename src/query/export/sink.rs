//! Where exported rows go.

use std::io::Write;

use anyhow::Result;

/// A destination for rows, which arrive in order of time.
pub trait RowSink: Send {
    /// The writer for the rows of `day` (of UTC, since 1970-01-01), and whether nothing has
    /// been written to it yet. Days never go back.
    ///
    /// # Errors
    ///
    /// An error for the user.
    fn at(&mut self, day: i64) -> Result<(&mut dyn Write, bool)>;

    /// Whether a header is to be written even if there are no rows.
    fn wants_header(&self) -> bool;
}
