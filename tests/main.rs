//! The tests of the whole program, a module a topic, in one binary: linking thirty took a third of
//! a build. scripts/test.sh runs each topic in a process of its own: its tests share a recorder.

mod reader;
mod rooms;
mod top;
#[path = "support/written.rs"]
mod written;

// What records, or looks into what does. The others need a history only, or the sources.
#[cfg(feature = "record")]
mod alert;
#[cfg(feature = "record")]
mod attacks;
#[cfg(feature = "record")]
mod ci;
#[cfg(feature = "record")]
mod cli;
#[cfg(feature = "record")]
mod clients;
#[cfg(feature = "record")]
mod clock;
#[cfg(feature = "record")]
mod completion;
#[cfg(feature = "record")]
mod config;
#[cfg(feature = "record")]
mod containers;
#[cfg(feature = "record")]
mod corpus;
#[cfg(feature = "record")]
mod coverage;
#[cfg(feature = "record")]
mod crash;
#[cfg(feature = "record")]
mod dns;
#[cfg(feature = "record")]
mod docker;
#[cfg(feature = "record")]
mod engines;
#[cfg(feature = "record")]
mod export;
#[cfg(all(feature = "parquet", feature = "record"))]
mod fleet;
#[cfg(feature = "record")]
mod forged;
#[cfg(feature = "record")]
mod history;
#[cfg(feature = "record")]
mod hooks;
#[cfg(feature = "record")]
mod hostile;
#[cfg(feature = "record")]
mod loss;
#[cfg(feature = "record")]
mod naming;
#[cfg(feature = "record")]
mod policy;
#[cfg(feature = "record")]
mod policy_names;
#[cfg(feature = "record")]
mod policy_pin;
#[cfg(feature = "record")]
mod processes;
#[cfg(feature = "record")]
mod protocols;
#[cfg(feature = "record")]
mod record;
#[cfg(feature = "record")]
mod report;
#[cfg(feature = "record")]
mod resolvers;
#[cfg(feature = "record")]
mod runtimes;
#[cfg(feature = "record")]
mod sent_names;
#[cfg(feature = "record")]
mod serve;
#[cfg(feature = "record")]
mod shapes;
#[cfg(all(feature = "parquet", feature = "record"))]
mod ship;
#[cfg(feature = "record")]
mod sources;
#[cfg(feature = "record")]
mod stale_entries;

#[cfg(feature = "record")]
mod support;
