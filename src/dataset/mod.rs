//! Histories of many machines as one dataset: a directory of Parquet files that other engines
//! read, partitioned as Hive does.
//!
//! ```text
//! table=egress/day=2026-11-23/machine=web-1/HISTORY.parquet
//! ```
//!
//! Rows come from [`crate::query::Export`], and go into a file per table, day and machine. A file
//! has its name once it is complete and on disk. The types follow from [`crate::columns`];
//! [`views`] gives an engine the views of a history over the files. Writing needs the feature
//! `parquet`.

#[cfg(feature = "parquet")]
mod encoder;
#[cfg(feature = "parquet")]
mod identity;
mod schema;
mod views;
#[cfg(feature = "parquet")]
mod writer;

#[cfg(feature = "parquet")]
pub use encoder::Encoder;
#[cfg(feature = "parquet")]
pub use identity::{Identity, Label};
pub use views::views;
#[cfg(feature = "parquet")]
pub use writer::{Split, Writer};

use crate::query::View;

/// The tables of a dataset.
pub const TABLES: [View; 3] = [View::Egress, View::Dns, View::Lookups];
