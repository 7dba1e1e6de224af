//! Options from files and the environment, below the command line: the options of a command are
//! the keys of its section. They become words of the command line, in front of those that were
//! typed, so that each value is read by the parser that reads it there.

mod error;
mod example;
mod file;
mod options;
mod resolve;
mod show;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

pub use error::ConfigErrors;
pub use example::example;
pub use file::{Files, files};
pub use options::sections;
pub use resolve::{Resolved, Values, check, resolve};
pub use show::show;

/// The file that holds unless `--config` names another one.
pub const FILE: &str = "/etc/egrets/egrets.toml";

/// What `--config` has to be for no file at all.
pub const NO_FILE: &str = "none";

/// The option that names the file. What has it is a section of the file.
const CONFIG: &str = "config";

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    File {
        path: PathBuf,
        line: usize,
    },
    /// The name of a variable.
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Environment(name) => name.fmt(f),
        }
    }
}

/// The value of an option, with as many words as it was given times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    pub words: Vec<String>,
    pub origin: Origin,
}

/// Values by section and option.
pub type Settings = BTreeMap<(String, String), Value>;

#[cfg(test)]
mod tests;
