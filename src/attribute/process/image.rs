//! The program that a process runs.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use crate::model::{ExeFile, Executable};

/// What an exec changes, and a fork passes on.
#[derive(Debug, Default)]
pub struct Image {
    pub comm: String,
    pub exe: Option<String>,
    pub exe_file: ExeFile,
    pub cmdline: Option<String>,
    /// The process' [`Owner::exec_id`](crate::capture::event::Owner::exec_id) since the exec;
    /// None where the rest is from /proc.
    pub exec_id: Option<u64>,
    /// When it began to run, nanoseconds since boot; None where that was not seen.
    pub exec_ns: Option<u64>,
    pub executable: OnceCell<Option<Rc<Executable>>>,
    /// Its executable has been asked for.
    pub requested: Cell<bool>,
}

/// A command line as it is kept: with `no_args`, the program alone; `cut` marks it as
/// truncated.
pub fn command_line(argv: &[String], cut: bool, no_args: bool) -> Option<String> {
    if no_args {
        return argv.first().filter(|program| !program.is_empty()).cloned();
    }
    let mut cmdline = argv.join(" ");
    if cut {
        cmdline.push('…');
    }
    (!cmdline.is_empty()).then_some(cmdline)
}
