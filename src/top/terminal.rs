//! The terminal, which is as it was again at the end, after a signal and after a panic.

use std::io::{self, Stdout, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// How long the end may take after a signal.
const PATIENCE: Duration = Duration::from_secs(1);

pub struct Terminal {
    pub screen: ratatui::Terminal<CrosstermBackend<Stdout>>,
    stopped: Arc<AtomicBool>,
}

impl Terminal {
    /// # Errors
    ///
    /// Those of the terminal.
    pub fn enter() -> Result<Terminal> {
        let stopped = Arc::new(AtomicBool::new(false));
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).context("signal handlers")?;
        let flag = Arc::clone(&stopped);
        std::thread::spawn(move || {
            if signals.forever().next().is_some() {
                flag.store(true, Ordering::Relaxed);
                // crossterm reads a terminal that is gone without an end.
                std::thread::sleep(PATIENCE);
                restore();
                std::process::exit(0);
            }
        });
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            before(panic);
        }));
        take_over()?;
        let screen = ratatui::Terminal::new(CrosstermBackend::new(io::stdout()));
        Ok(Terminal {
            screen: screen.inspect_err(|_| restore()).context("the terminal")?,
            stopped,
        })
    }

    /// Whether a signal has come that ends the program.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Waits for a key until `timeout`.
    ///
    /// # Errors
    ///
    /// The terminal is gone, or fails.
    pub fn wait(&self, timeout: Duration) -> Result<bool> {
        let stdin = io::stdin();
        let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
        let timeout = Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e).context("the terminal"),
        }
        let [fd] = &fds;
        let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        ensure!(!fd.revents().intersects(gone), "the terminal is gone");
        // What was read before may hold more than one key.
        Ok(event::poll(Duration::ZERO)?)
    }

    /// Stops the program until the shell continues it.
    ///
    /// # Errors
    ///
    /// Those of the terminal.
    pub fn suspend(&mut self) -> Result<()> {
        restore();
        kill_process(getpid(), Signal::TSTP).context("stopping")?;
        take_over()?;
        Ok(self.screen.clear()?)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

fn take_over() -> Result<()> {
    enable_raw_mode()
        .and_then(|()| execute!(io::stdout(), EnterAlternateScreen))
        .inspect_err(|_| restore())
        .context("the terminal can't show a full screen")
}

/// As far as it is possible: the terminal may be gone.
fn restore() {
    let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
    let _ = io::stdout().flush();
}
