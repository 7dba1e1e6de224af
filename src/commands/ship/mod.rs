//! `egrets ship`: keeps a dataset up to date with the history, as a service beside the recorder.

#[cfg(feature = "parquet")]
mod run;
mod state;

#[cfg(feature = "parquet")]
pub use run::run;
pub use state::{ShipState, states};

/// Refuses to ship in a build that can't.
///
/// # Errors
///
/// Always.
#[cfg(not(feature = "parquet"))]
pub fn run(_: &crate::cli::ShipArgs) -> anyhow::Result<std::process::ExitCode> {
    Err(super::export::without_parquet())
}
