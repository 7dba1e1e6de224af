//! Rounds: each writes what is new, and one that fails is tried again.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use chrono::Local;

use super::super::export::{interrupt_by_signal, labels, signals, written};
use super::state::ShipState;
use crate::cli::ShipArgs;
use crate::dataset::{Options, Place, Shipper, Tally};
use crate::human;
use crate::metrics::{ShippingMetrics, check_metrics_file, write_metrics_file};
use crate::store;
use crate::when;

/// A round takes at most this part of the time: 1/20.
const SHARE: u32 = 20;

/// How long a failed round waits for the next one: at first, and at most.
const RETRY: Duration = Duration::from_secs(10);
const LONGEST_RETRY: Duration = Duration::from_secs(600);

/// How often a signal is looked for.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

pub fn run(args: &ShipArgs) -> Result<ExitCode> {
    let to = args.to.as_deref().context(
        "where to? Give --to PLACE, a directory or a URL such as s3://bucket/egress, or 'to' in the \
         section [ship] of /etc/egrets/egrets.toml",
    )?;
    let since = args.since.as_deref().map(|text| {
        let since = when::parse_start(text, &Local::now()).map(when::to_ns);
        since.context("--since")
    });
    let options = Options {
        split: args.split.into(),
        merge: !args.keep_hours,
        since: since.transpose()?,
        every: match args.once {
            true => 0,
            false => i64::try_from(args.every.as_nanos()).unwrap_or(i64::MAX),
        },
        machine: args.machine.clone(),
        labels: labels(&args.label)?,
    };
    if let Some(file) = &args.metrics_file {
        check_metrics_file(file)?;
    }
    super::super::read_as_the_caller()?;
    let path = super::super::readers_db(&args.db);
    // What is wrong from the beginning ends it: later on, it may pass.
    store::open_reader(&path)?;
    let stop = signals()?;
    let place = Place::open(to, &stop)?;
    let mut service = Service {
        shipper: Shipper::new(place, options),
        history: path,
        metrics: ShippingMetrics::default(),
        metrics_file: args.metrics_file.clone(),
        state: ShipState {
            to: to.to_owned(),
            pid: std::process::id(),
            ..ShipState::default()
        },
        state_is_written: true,
        stop,
    };
    if args.once {
        let round = service.round()?;
        eprintln!("{}", written(&round));
        return Ok(match round.files {
            0 => ExitCode::from(1),
            _ => ExitCode::SUCCESS,
        });
    }
    service.serve(args.every)
}

struct Service {
    shipper: Shipper,
    history: PathBuf,
    metrics: ShippingMetrics,
    metrics_file: Option<PathBuf>,
    state: ShipState,
    /// Whether it could be, the last time.
    state_is_written: bool,
    /// The signal that came; 0: none.
    stop: Arc<AtomicUsize>,
}

impl Service {
    /// Rounds until a signal.
    fn serve(&mut self, every: Duration) -> Result<ExitCode> {
        let mut retry = RETRY;
        loop {
            let begun = Instant::now();
            let wait = match self.round() {
                Ok(round) => {
                    retry = RETRY;
                    if round.files > 0 {
                        log::info!("{}", written(&round));
                    }
                    every.max(begun.elapsed().saturating_mul(SHARE))
                }
                Err(_) if self.is_stopped() => return Ok(ExitCode::SUCCESS),
                Err(e) => {
                    let wait = retry.min(every.max(RETRY));
                    log::warn!(
                        "not shipped to {}, and tried again in {}: {e:#}",
                        self.state.to,
                        human::duration(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX))
                    );
                    retry = retry.saturating_mul(2).min(LONGEST_RETRY);
                    wait
                }
            };
            let next = begun + wait;
            while Instant::now() < next {
                if self.is_stopped() {
                    return Ok(ExitCode::SUCCESS);
                }
                thread::sleep(POLL_INTERVAL);
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed) != 0
    }

    /// Ships what is new, and says how far it came. The history is opened anew each time: another
    /// one may have its place.
    fn round(&mut self) -> Result<Tally> {
        let now = when::now_ts();
        let shipped = self.ship(now);
        match &shipped {
            Ok((round, until)) => {
                self.metrics.shipped(round.files, round.rows, round.bytes);
                self.state.files += round.files;
                self.state.rows += round.rows;
                self.state.bytes += round.bytes;
                self.state.until_ts = Some(*until);
                (self.state.error, self.state.failing_since_ts) = (None, None);
            }
            Err(_) if self.is_stopped() => {}
            Err(e) => {
                self.metrics.failed();
                self.state.error = Some(format!("{e:#}"));
                self.state.failing_since_ts.get_or_insert(now);
            }
        }
        self.tell();
        Ok(shipped?.0)
    }

    fn ship(&mut self, now: i64) -> Result<(Tally, i64)> {
        let path = &self.history;
        let mut db = store::open_reader(path)?;
        interrupt_by_signal(&mut db, &self.stop)?;
        let until = store::complete_until(&db, path, now)?;
        let round = self.shipper.round(&db, now, until);
        Ok((round.map_err(|e| store::of_file(e, path))?, until))
    }

    /// Writes the state and the metrics; what can't be written is said once.
    fn tell(&mut self) {
        let written = self.state.write(&self.history);
        if let (Err(e), true) = (&written, self.state_is_written) {
            log::warn!("'egrets status' won't show what was shipped: {e:#}");
        }
        self.state_is_written = written.is_ok();
        let Some(file) = &self.metrics_file else {
            return;
        };
        let text = self.metrics.text(self.state.until_ts, when::now_ts());
        if let Err(e) = text.and_then(|text| write_metrics_file(file, &text)) {
            log::warn!("the metrics can't be written to {}: {e:#}", file.display());
        }
    }
}
