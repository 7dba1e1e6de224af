//! Notes to an answer, in lines that fit into a terminal.

use std::io::{self, Write};

use textwrap::{Options, WordSeparator, WordSplitter};

/// What lines after the first of a note begin with: its text stands below itself.
const INDENT: &str = "      ";

/// Breaks lines between words where they are wider than the terminal.
pub struct Notes<'a> {
    out: &'a mut dyn Write,
    columns: Option<usize>,
    /// A line that has not ended yet.
    line: Vec<u8>,
}

impl<'a> Notes<'a> {
    /// Without `columns`, lines stay as they are.
    pub fn new(out: &'a mut dyn Write, columns: Option<usize>) -> Self {
        let line = Vec::new();
        Notes { out, columns, line }
    }
}

impl Write for Notes<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(columns) = self.columns else {
            return self.out.write(bytes);
        };
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend(line);
            if !line.ends_with(b"\n") {
                continue;
            }
            let line = std::mem::take(&mut self.line);
            // names are not broken at their hyphens, and can be copied
            let options = Options::new(columns)
                .subsequent_indent(INDENT)
                .word_separator(WordSeparator::AsciiSpace)
                .word_splitter(WordSplitter::NoHyphenation)
                .break_words(false);
            let text = String::from_utf8_lossy(&line);
            let filled = textwrap::fill(&text, options);
            self.out.write_all(filled.as_bytes())?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, columns: Option<usize>) -> String {
        let mut out = Vec::new();
        let mut notes = Notes::new(&mut out, columns);
        // in pieces, as formatting writes them
        for piece in text.as_bytes().chunks(7) {
            notes.write_all(piece).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn notes_are_broken_between_words_and_names_stay_whole() {
        let text =
            "\n3 hosts\nnote: read as: hosts, by process curl, not to a-long-name.example.com\n";
        assert_eq!(written(text, None), text);
        assert_eq!(
            written(text, Some(36)),
            "
3 hosts
note: read as: hosts, by process
      curl, not to
      a-long-name.example.com
"
        );
        let narrow = written(text, Some(1));
        assert!(
            narrow.contains("\n      a-long-name.example.com\n"),
            "{narrow}"
        );
    }
}
