//! Processes: which program a process runs, who runs it, what started it. In come fork, exec
//! and exit events and the owners of sockets; out go identities. A process that no event
//! reported is looked up in /proc; what that does not show stays unknown.

mod identities;
mod identity;
mod image;
mod node;
mod proc_exe;
mod proc_reader;
mod shares;
mod table;

pub use identity::Surroundings;
pub use image::Image;
pub use node::Node;
pub use table::{ProcessOptions, Processes};
