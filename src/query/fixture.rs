//! Questions to the histories of the store's tests.

use chrono::{DateTime, Utc};

use super::{OutputFormat, Question, Request, parse};
pub use crate::store::tests::history::{AnswerRow, By, CURL, History, NOW, SECOND};

impl History {
    /// Returns the output and the notes.
    pub fn ask(
        &self,
        question: &str,
        format: OutputFormat,
        since: Option<i64>,
    ) -> (String, String) {
        let request = request(question, format, since);
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        let found = request.run(&self.0, &mut out, &mut notes).unwrap();
        let [out, notes] = [out, notes].map(|text| String::from_utf8(text).unwrap());
        assert_eq!(
            found,
            !notes.starts_with("nothing")
                && out.lines().count() > usize::from(format == OutputFormat::Csv)
        );
        (out, notes)
    }
}

pub fn request(question: &str, format: OutputFormat, since: Option<i64>) -> Request<Utc> {
    Request {
        question: parsed(question),
        since,
        until: None,
        format,
        width: None,
        now: DateTime::from_timestamp_nanos(NOW),
        color: false,
        explain: false,
        limit: None,
        begun: None,
    }
}

/// Parses a question as of [`NOW`].
pub fn parsed(question: &str) -> Question {
    parse(question, &DateTime::<Utc>::from_timestamp_nanos(NOW)).unwrap()
}
