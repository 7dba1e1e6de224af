//! What egrets reports: the processes, containers, lookups and connections that `attribute`
//! makes of the kernel's events, and that the sinks store and print. It depends on no other
//! room.
//!
//! `ts` are nanoseconds since 1970 on the wall clock, `ns` nanoseconds since boot. Connections
//! and lookups are numbered from 1 within a run: see [`Run`].

mod address;
#[doc(hidden)]
pub mod builders;
mod cached;
mod connection;
mod container;
mod executable;
mod geo;
mod lookup;
mod loss;
mod name;
mod policy_change;
mod process;
mod protocol;
mod run;
mod verdict;
mod wire;

pub use address::{Endpoint, UNKNOWN, dst_scope, mapped, nat64_ipv4, plain_address, unmapped};
pub use cached::CachedAddress;
pub use connection::{Connection, Outcome, Progress, errno_name};
pub use container::{
    CgroupUpdate, Container, ContainerDetails, ContainerTable, ContainerUpdate, Details,
};
pub use executable::{
    Executable, ExecutableIdentity, ExecutableTable, ExecutableUpdate, HashStatus,
};
pub use geo::Geo;
pub use lookup::{Lookup, LookupStatus, ResourceRecord, Transport};
pub use loss::{Gap, GapKind, Loss};
pub use name::{MAX_RIVALS, Name, Rival, Source};
pub use policy_change::{
    PolicyChange, PolicyConfirmation, PolicyHits, PolicyReason, PolicyRefusal, RuleInForce,
};
pub use process::{Ancestor, ExeFile, ExeView, Process};
pub use protocol::Protocol;
pub use run::{Run, tick_ns};
pub use verdict::{Action, ActionOutcome, ProcessAction, Verdict, VerdictRule};
pub use wire::{WireName, WireNames};

/// What the sinks get, in the order in which it happened.
#[derive(Debug, Clone)]
pub enum Record {
    /// A query was sent; its [`Record::Lookup`] follows.
    Query(Lookup),
    /// A lookup is over, or a coalesced one has grown.
    Lookup(Lookup),
    /// An attempt or a flow began.
    Opened(Connection),
    /// An attempt's outcome is known.
    Outcome(Connection),
    /// The policy has decided on a connection or a flow that began before.
    Decided(Connection),
    /// And the process of one that it refused was killed or suspended, or spared.
    Acted(ProcessAction),
    /// The name of a connection has changed: it has said whom it wants, or a file with names was
    /// read late.
    Named(Connection),
    /// The same, where the connection has ended meanwhile.
    NamedAfterEnd(Connection),
    /// The counters of a connection or a flow have changed.
    Progress(Progress),
    /// A connection or a flow has ended.
    Closed(Connection),
    /// A container appeared, or its details have changed.
    Container(ContainerUpdate),
    /// An executable has been read.
    Executable(ExecutableUpdate),
    /// A cgroup exists; only reported where there is a policy.
    Cgroup(CgroupUpdate),
    /// A policy decides from here on.
    Policy(PolicyChange),
    /// A policy was read again and can't be used.
    PolicyRefused(PolicyRefusal),
    /// A policy that was on trial is kept.
    PolicyConfirmed(PolicyConfirmation),
    /// Rules of the policy have decided.
    PolicyHits(PolicyHits),
    /// The bytes of everything that is open were read at this time; what has changed came before
    /// as [`Record::Progress`].
    Counted(i64),
    /// Events were lost.
    Gap(Gap),
}
