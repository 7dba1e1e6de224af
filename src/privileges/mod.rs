//! What egrets may do once its hooks are attached: as little as it needs. In goes what is to be
//! kept; out comes a process that can't get more back. docs/security.md has the table. What takes
//! more is done by a [`helper`].

mod capabilities;
#[cfg(feature = "record")]
mod drop;
mod held;
#[cfg(feature = "record")]
pub mod helper;
mod landlock;
mod server;
mod syscalls;

#[cfg(feature = "record")]
pub use self::drop::drop_to;
#[cfg(feature = "record")]
pub use self::landlock::write_nothing;
pub use self::server::only_answer;
#[cfg(feature = "record")]
pub use self::syscalls::filter as filter_system_calls;
pub use capabilities::{as_the_caller, hold_only};
pub use held::Held;
pub use rustix::thread::CapabilitySet;

/// The hidden command of the process that reads files for the recorder.
pub const FILE_READER: &str = "file-reader";

/// That of the process that suspends, kills and dumps for a policy.
pub const PROCESS_CONTROL: &str = "process-control";

/// That of the process that resets older connections for a policy.
pub const CONNECTION_RESET: &str = "connection-reset";

/// That of the process that sends notifications for a policy.
pub const NOTIFIER: &str = "notifier";
