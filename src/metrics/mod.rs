//! Figures for Prometheus: counters of a recording as it runs, and what a history holds.
//!
//! Labels have few values, all of them egrets' own: nothing that traffic chooses becomes one.

mod file;
mod history;
mod recording;
#[cfg(feature = "parquet")]
mod shipping;

use anyhow::{Context, Result};
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;

pub use file::{check_metrics_file, write_metrics_file};
pub use history::of_history;
pub use recording::RecordingMetrics;
#[cfg(feature = "parquet")]
pub use shipping::ShippingMetrics;

/// What all names of metrics begin with.
const PREFIX: &str = "egrets";

/// The text that node_exporter's textfile collector reads.
fn plain(registry: &Registry) -> Result<String> {
    let mut out = String::new();
    prometheus_text::encode(&mut out, registry).context("metrics")?;
    Ok(out)
}

/// The text that Prometheus asks for.
fn open_metrics(registry: &Registry) -> Result<String> {
    let mut out = String::new();
    text::encode(&mut out, registry).context("metrics")?;
    Ok(out)
}

/// A protocol as a label.
fn protocol(name: &str) -> &'static str {
    match name {
        "tcp" => "tcp",
        "udp" => "udp",
        _ => "other",
    }
}
