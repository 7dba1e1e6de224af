//! Names of destinations. In come accepted answers, and connections as they begin; out goes the
//! name with its evidence, if there is one.

mod hosts;
mod names;
mod requester;
mod residents;
mod resolvers;
mod sni;

#[cfg(test)]
pub use hosts::tests::owner as owner_in_a_namespace;
pub use hosts::{HostsAnswer, HostsFiles};
pub use names::NameTable;
pub use requester::{AcceptedAnswer, ProcessKey, Requester};
pub use resolvers::Resolvers;
pub use sni::with_sni;
