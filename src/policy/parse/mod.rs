//! A policy's text to a policy. Every error is reported, each at its position.

mod fields;
mod import;
mod notify;
mod policy;
mod rule;
mod targets;
mod who;
mod yaml;

use sha2::{Digest, Sha256};

use super::file::hexadecimal;
use super::problem::Problems;
use super::{Policy, list::List};
use fields::Reader;
pub use import::{Imported, import};

/// What has been read so far.
#[derive(Default)]
struct Context {
    lists: Vec<List>,
}

impl Policy {
    /// Reads a policy's text; its lists stay empty, and `system` unresolved.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Policy, Problems> {
        let root = yaml::parse(text).map_err(|problem| {
            let mut problems = Problems::default();
            problems.add(problem.at, problem.text);
            problems
        })?;
        let mut reader = Reader::default();
        let policy = policy::read(&mut reader, &root);
        match reader.problems.is_empty() {
            true => Ok(Policy {
                digest: hexadecimal(&Sha256::digest(text)),
                ..policy
            }),
            false => Err(reader.problems),
        }
    }
}
