//! A pager for answers that are longer than the terminal.

use std::io::{self, IsTerminal, Write};
use std::process::{Command, Stdio};

/// Lines that the prompt and the notes take.
const RESERVED: usize = 2;

/// The terminal's height; none if the output is not a terminal, or no pager is wanted.
pub fn height() -> Option<usize> {
    let out = io::stdout();
    if !out.is_terminal() || !io::stdin().is_terminal() || pager().is_empty() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&out).ok()?;
    (size.ws_row > 0).then_some(usize::from(size.ws_row))
}

/// The pager's command line: `PAGER`, by default less. Empty or `cat`: none.
fn pager() -> Vec<String> {
    // Under sudo, the caller's choice of program must not run as root.
    let trusted = !rustix::process::geteuid().is_root() || std::env::var_os("SUDO_UID").is_none();
    let set = std::env::var("PAGER").ok().filter(|_| trusted);
    let set = set.as_deref().unwrap_or("less");
    let words = Vec::from_iter(set.split_whitespace().map(str::to_owned));
    match words.first().map(String::as_str) {
        Some("cat") | None => Vec::new(),
        _ => words,
    }
}

/// Writes an answer and its notes: through a pager if it has more lines than the terminal.
///
/// # Errors
///
/// Those of the standard output.
pub fn show(table: &[u8], notes: &[u8], height: usize) -> io::Result<()> {
    let lines = table.iter().filter(|&&byte| byte == b'\n').count();
    if lines + RESERVED > height && paged(table).is_some() {
        return io::stderr().write_all(notes);
    }
    let mut out = io::stdout();
    out.write_all(table)?;
    out.flush()?;
    io::stderr().write_all(notes)
}

/// Shows it in the pager; none if there is no such program.
fn paged(table: &[u8]) -> Option<()> {
    let pager = pager();
    let (program, arguments) = pager.split_first()?;
    let mut child = Command::new(program)
        .args(arguments)
        // Short options of less: quit if it fits, keep colours, cut long lines, keep the screen.
        .env("LESS", "FRSX")
        // The caller may be root through sudo: no shells and no files from inside less.
        .env("LESSSECURE", "1")
        .stdin(Stdio::piped())
        .spawn()
        .ok()?;
    if let Some(mut input) = child.stdin.take() {
        // A pager that is left early closes its input.
        let _ = input.write_all(table);
    }
    let _ = child.wait();
    Some(())
}
