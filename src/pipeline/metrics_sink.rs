//! Counters of the recording, written to a file for node_exporter's textfile collector.

use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::clock;
use super::sink::{Sink, SinkState};
use crate::metrics::{RecordingMetrics, write_metrics_file};
use crate::model::Record;

/// How often the file is written.
const INTERVAL: Duration = Duration::from_secs(10);

pub struct MetricsSink {
    metrics: RecordingMetrics,
    /// To the thread that writes: a disk that hangs must not hang the recording.
    texts: SyncSender<String>,
    writer: JoinHandle<()>,
    written: Option<Instant>,
}

impl MetricsSink {
    /// # Errors
    ///
    /// The kernel refuses a thread.
    pub fn new(path: PathBuf, start_ts: i64) -> Result<MetricsSink> {
        let (texts, to_write) = sync_channel::<String>(1);
        let writer = thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || {
                let mut failed = false;
                for text in to_write {
                    let written = write_metrics_file(&path, &text);
                    if let (Err(e), false) = (&written, failed) {
                        log::warn!("the metrics can't be written to {}: {e:#}", path.display());
                    }
                    failed = written.is_err();
                }
            })?;
        Ok(MetricsSink {
            metrics: RecordingMetrics::new(start_ts),
            texts,
            writer,
            written: None,
        })
    }
}

impl Sink for MetricsSink {
    fn add(&mut self, record: &Record) {
        self.metrics.add(record);
    }

    fn flush(&mut self, processed_ts: i64) -> Result<SinkState> {
        if self.written.is_none_or(|at| at.elapsed() >= INTERVAL) {
            self.written = Some(Instant::now());
            let text = self.metrics.text(processed_ts, clock::now_ts())?;
            // One that still waits is as good.
            let _ = self.texts.try_send(text);
        }
        Ok(SinkState::Open)
    }

    fn is_output(&self) -> bool {
        false
    }

    fn finish(self: Box<Self>, processed_ts: i64) -> Result<()> {
        let text = self.metrics.text(processed_ts, processed_ts)?;
        // A disk that hangs does not delay the end.
        let MetricsSink { texts, writer, .. } = *self;
        let end = Instant::now() + Duration::from_secs(1);
        let mut left = Some(text);
        while let Some(text) = left.take() {
            match texts.try_send(text) {
                Err(std::sync::mpsc::TrySendError::Full(text)) if Instant::now() < end => {
                    thread::sleep(Duration::from_millis(10));
                    left = Some(text);
                }
                _ => {}
            }
        }
        drop(texts);
        while !writer.is_finished() && Instant::now() < end {
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}
