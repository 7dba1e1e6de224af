//! The signals that ask egrets to stop: SIGINT (Ctrl-C) and SIGTERM (`systemctl stop`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM};

/// Clones share what was not taken yet.
#[derive(Clone)]
pub struct StopSignals(Arc<AtomicUsize>);

impl StopSignals {
    /// Installs the handlers. That of SIGCHLD only interrupts a sleep.
    pub fn install() -> Result<StopSignals> {
        let last = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register_usize(signal, Arc::clone(&last), signal as usize)
                .context("signal handlers")?;
        }
        signal_hook::flag::register(SIGCHLD, Arc::new(AtomicBool::new(false)))
            .context("signal handlers")?;
        Ok(StopSignals(last))
    }

    /// The last signal since the previous call.
    pub fn take(&self) -> Option<i32> {
        match self.0.swap(0, Ordering::Relaxed) {
            0 => None,
            signal => Some(signal as i32),
        }
    }
}
