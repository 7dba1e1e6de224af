//! Hooks: which there are, what each is for, and which of them this kernel supports. Nothing
//! is inferred from a version number: a hook is supported if it loads and attaches.

mod load;
mod report;
mod table;

use std::fmt;

pub use load::{load, run};
pub use report::{HookReport, Size, take_log as verifier_log};
pub use table::Hook;

/// How the errno of an attempt that fails at once is traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookSet {
    /// Kernel probes on the TCP connect itself, whichever call began it.
    Kprobe,
    /// The tracepoints of connect(2): kernels without kprobes.
    Tracepoint,
}

impl HookSet {
    pub fn as_str(self) -> &'static str {
        match self {
            HookSet::Kprobe => "kprobe",
            HookSet::Tracepoint => "tracepoint",
        }
    }
}

impl fmt::Display for HookSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
