//! Docker: its Engine API, its events, and the file that it keeps of each container.

mod api;
mod events;
mod inspect;

pub use api::{Daemon, Unreachable};
pub use events::follow as follow_events;
pub use inspect::file_in;
