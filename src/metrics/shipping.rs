//! Counters of what is shipped into a dataset.

use std::sync::atomic::AtomicU64;

use anyhow::Result;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::{PREFIX, plain};

pub struct ShippingMetrics {
    registry: Registry,
    files: Counter,
    rows: Counter,
    bytes: Counter,
    failures: Counter,
    lag: Gauge<f64, AtomicU64>,
}

impl Default for ShippingMetrics {
    fn default() -> ShippingMetrics {
        let mut registry = Registry::with_prefix(PREFIX);
        let [files, rows, bytes, failures] = std::array::from_fn(|_| Counter::<u64>::default());
        for (name, help, counter) in [
            ("shipped_files", "Files written into the dataset", &files),
            (
                "shipped_rows",
                "Rows of these files; a file that is written again counts again",
                &rows,
            ),
            (
                "ship_failures",
                "Rounds that failed, and were tried again",
                &failures,
            ),
        ] {
            registry.register(name, help, Counter::clone(counter));
        }
        registry.register_with_unit(
            "shipped",
            "Size of the files written into the dataset",
            Unit::Bytes,
            bytes.clone(),
        );
        let lag = Gauge::default();
        registry.register_with_unit(
            "ship_lag",
            "Age of the newest moment up to which the dataset has everything",
            Unit::Seconds,
            Gauge::clone(&lag),
        );
        ShippingMetrics {
            registry,
            files,
            rows,
            bytes,
            failures,
            lag,
        }
    }
}

impl ShippingMetrics {
    pub fn shipped(&self, files: u64, rows: u64, bytes: u64) {
        self.files.inc_by(files);
        self.rows.inc_by(rows);
        self.bytes.inc_by(bytes);
    }

    pub fn failed(&self) {
        self.failures.inc();
    }

    /// Everything, as it is now; the dataset has all until `until_ts` (both nanoseconds since
    /// 1970), if anything.
    ///
    /// # Errors
    ///
    /// None that can happen.
    pub fn text(&self, until_ts: Option<i64>, now: i64) -> Result<String> {
        let lag = until_ts.map(|until| now.saturating_sub(until).max(0));
        self.lag.set(lag.map_or(f64::NAN, |lag| lag as f64 / 1e9));
        plain(&self.registry)
    }
}
