//! egrets: which process, in which container, talked to which hostname, when, how much.
//! docs/architecture.md follows an event through these modules.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

#[cfg(feature = "record")]
pub mod alert;
#[cfg(feature = "record")]
pub mod attribute;
#[cfg(feature = "record")]
pub mod capture;
pub mod cli;
pub mod columns;
pub mod commands;
pub mod complete;
pub mod config;
#[cfg(feature = "record")]
pub mod enforce;
#[cfg(feature = "record")]
pub mod file_reader;
pub mod human;
pub mod metrics;
pub mod model;
#[cfg(feature = "record")]
pub mod notify;
#[cfg(feature = "record")]
pub mod pipeline;
pub mod policy;
pub mod print;
pub mod privileges;
#[cfg(feature = "record")]
pub mod process_control;
pub mod query;
pub mod report;
pub mod serve;
pub mod store;
pub mod text;
pub mod top;
pub mod when;
