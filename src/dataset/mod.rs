//! Histories of many machines as one dataset: Parquet files in a directory or an object store that
//! other engines read, partitioned as Hive does.
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
#[cfg(feature = "parquet")]
mod part;
#[cfg(feature = "parquet")]
mod place;
mod schema;
#[cfg(feature = "parquet")]
mod shipper;
mod views;
#[cfg(feature = "parquet")]
mod writer;

#[cfg(feature = "parquet")]
pub use identity::{Label, Machine};
#[cfg(feature = "parquet")]
pub use part::{Known, Outcome, Part, Replace, Split, Tally};
#[cfg(feature = "parquet")]
pub use place::Place;
#[cfg(feature = "parquet")]
pub use shipper::{Options, Shipper};
pub use views::views;

use crate::query::View;

/// The tables of a dataset.
pub const TABLES: [View; 3] = [View::Egress, View::Dns, View::Lookups];
