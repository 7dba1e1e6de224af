//! What became of each hook, and libbpf's log, which says why.

use std::sync::Mutex;

use libbpf_rs::PrintLevel;

use super::table::Hook;

/// Size and complexity of a program.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Bytes of BPF instructions as the kernel keeps them.
    pub bpf_bytes: u32,
    /// Bytes of machine code.
    pub jited_bytes: u32,
    /// Instructions that the verifier processed, of the million that it allows
    /// (BPF_COMPLEXITY_LIMIT_INSNS).
    pub verified: u32,
}

/// What became of a hook.
pub struct HookReport {
    pub hook: &'static Hook,
    /// Why it is missing.
    pub error: Option<String>,
    /// Of its program; None if that was not loaded, or not measured.
    pub size: Option<Size>,
}

/// libbpf's messages while it loads: which program the kernel refused and, if requested, the
/// verifier's statistics.
static LIBBPF_LOG: Mutex<String> = Mutex::new(String::new());

/// BPF_LOG_STATS, include/linux/bpf_verifier.h.
pub(super) const LOG_STATS: u32 = 4;

pub(super) fn keep_log(level: PrintLevel, text: String) {
    log::debug!("{}", text.trim_end());
    let wanted = matches!(level, PrintLevel::Warn) || text.contains("\nprocessed ");
    if wanted && let Ok(mut log) = LIBBPF_LOG.lock() {
        log.push_str(&text);
    }
}

pub fn take_log() -> String {
    LIBBPF_LOG
        .lock()
        .map(|mut log| std::mem::take(&mut *log))
        .unwrap_or_default()
}

/// How libbpf's messages on a program begin.
pub(super) fn mark(program: &str) -> String {
    format!("prog '{program}': ")
}

/// Why a program was refused: the verifier's last line if it ran, else libbpf's message.
pub(super) fn reason(log: &str, hook: &Hook) -> Option<String> {
    let program = hook
        .programs()
        .find(|program| log.contains(&mark(program)))?;
    let mark = mark(program);
    let libbpf = || {
        let lines = log
            .lines()
            .filter_map(|l| l.split_once(&mark).map(|(_, rest)| rest.trim()));
        lines
            .filter(|l| !l.contains("PROG LOAD LOG"))
            .map(str::to_string)
            .next()
    };
    let verdict = || {
        let (_, verifier) = log.split_once(&format!("{mark}-- BEGIN PROG LOAD LOG --"))?;
        let (output, _) = verifier.split_once("\nprocessed ")?;
        Some(output.trim_end().lines().last()?.trim().to_string())
    };
    verdict().or_else(libbpf)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::hooks::table::HOOKS;

    #[test]
    fn refusal_is_reported_with_the_verifiers_last_line() {
        let hook = HOOKS.iter().find(|hook| hook.has("egrets_exec")).unwrap();
        let log = "libbpf: prog 'egrets_exec': BPF program load failed: -EACCES\n\
                   libbpf: prog 'egrets_exec': -- BEGIN PROG LOAD LOG --\n0: (b7) r0 = 0\n\
                   R3 min value is outside of the allowed memory range\nprocessed 322 insns\n\
                   -- END PROG LOAD LOG --\n";
        let expected = "R3 min value is outside of the allowed memory range";
        assert_eq!(reason(log, hook).as_deref(), Some(expected));
        let log = "libbpf: prog 'egrets_exec': failed to find kernel BTF type ID of 'x': -3\n";
        let expected = "failed to find kernel BTF type ID of 'x': -3";
        assert_eq!(reason(log, hook).as_deref(), Some(expected));
        assert_eq!(reason("", hook), None);
    }
}
