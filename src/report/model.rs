//! What a report says: plain figures and rows. docs/report.md describes its JSON.

use serde::{Serialize, Serializer};

use crate::when;

/// The meaning of the keys; it grows when one changes.
pub const FORMAT: u32 = 1;

/// Nanoseconds since 1970; in JSON an ISO 8601 time of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub i64);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&when::iso(self.0))
    }
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub format: u32,
    /// The version of egrets that wrote it.
    pub egrets: &'static str,
    pub created: Time,
    /// Host names of the recordings in the span.
    pub machines: Vec<String>,
    /// As it was asked.
    pub question: Option<String>,
    /// What is selected, in words; none if everything is.
    pub selected: Option<String>,
    pub from: Time,
    pub to: Time,
    pub coverage: Watched,
    /// How the question was read, and what is left out.
    pub notes: Vec<String>,
    pub totals: Totals,
    pub timeline: Timeline,
    pub programs: Section<ProgramRow>,
    pub flows: Section<FlowRow>,
    pub hosts: Section<HostRow>,
    /// None if there is nothing to compare with.
    pub new_hosts: Option<NewHosts>,
    pub raw_addresses: Section<RawRow>,
    pub uncertain_names: Section<RivalRow>,
    pub failed_connections: Section<FailedRow>,
    pub failed_lookups: Section<FailedLookupRow>,
    pub verdicts: Verdicts,
}

/// How much of the span was seen.
#[derive(Debug, Serialize)]
pub struct Watched {
    pub state: State,
    /// What was not seen, one sentence each.
    pub notes: Vec<String>,
    /// When the last recording ended, if the span goes on after it.
    pub ended: Option<Time>,
    pub gaps: Section<GapRow>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// All the time, without a loss.
    Complete,
    /// With gaps or losses.
    Partial,
    /// No moment of it.
    None,
    /// The recorder has not processed anything of it yet.
    Pending,
    /// The history has no recordings.
    Empty,
}

/// Some of the rows, and how many there are.
#[derive(Debug, Serialize)]
pub struct Section<T> {
    pub total: i64,
    pub rows: Vec<T>,
    /// The statement that found them; none if they did not come from one.
    pub sql: Option<String>,
}

impl<T> Section<T> {
    pub fn empty() -> Section<T> {
        Section {
            total: 0,
            rows: Vec::new(),
            sql: None,
        }
    }
}

#[derive(Debug, Serialize)]
pub struct GapRow {
    pub from: Time,
    pub to: Time,
    /// As in the view `gaps`.
    pub kind: String,
    pub lost: Option<i64>,
    pub why: Option<String>,
}

#[derive(Debug, Default, Serialize)]
pub struct Totals {
    pub connections: i64,
    pub failed: i64,
    pub tx_bytes: i64,
    pub rx_bytes: i64,
    pub hosts: i64,
    pub programs: i64,
    pub containers: i64,
    /// None if the question leaves lookups out.
    pub lookups: Option<i64>,
    pub failed_lookups: Option<i64>,
}

/// Figures per step, from the single rows: totals of removed connections have no time.
#[derive(Debug, Serialize)]
pub struct Timeline {
    pub start: Time,
    pub step_ms: i64,
    pub connections: Vec<i64>,
    pub failed: Vec<i64>,
    pub tx_bytes: Vec<i64>,
    pub rx_bytes: Vec<i64>,
    pub sql: Option<String>,
}

/// A program of a container or of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Program {
    pub comm: String,
    pub exe: Option<String>,
    pub container_id: Option<String>,
    pub container_name: Option<String>,
}

/// A host by its name, or an address that had none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Destination {
    pub host: Option<String>,
    pub address: Option<String>,
    /// None if the rows have several ports, or the protocol has none.
    pub port: Option<i64>,
    /// None if the rows have several.
    pub protocol: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Amount {
    pub connections: i64,
    pub failed: i64,
    /// None: not known for any.
    pub tx_bytes: Option<i64>,
    pub rx_bytes: Option<i64>,
}

impl Amount {
    /// Sent and received.
    pub fn bytes(&self) -> i64 {
        let [tx, rx] = [self.tx_bytes, self.rx_bytes].map(Option::unwrap_or_default);
        tx.saturating_add(rx)
    }
}

#[derive(Debug, Serialize)]
pub struct ProgramRow {
    #[serde(flatten)]
    pub program: Program,
    pub hosts: i64,
    #[serde(flatten)]
    pub amount: Amount,
}

#[derive(Debug, Serialize)]
pub struct FlowRow {
    #[serde(flatten)]
    pub program: Program,
    #[serde(flatten)]
    pub to: Destination,
    #[serde(flatten)]
    pub amount: Amount,
}

/// Some program of several.
#[derive(Debug, Serialize)]
pub struct Programs {
    /// The first by name.
    pub comm: String,
    pub programs: i64,
}

#[derive(Debug, Serialize)]
pub struct HostRow {
    #[serde(flatten)]
    pub to: Destination,
    #[serde(flatten)]
    pub by: Programs,
    #[serde(flatten)]
    pub amount: Amount,
    pub first_seen: Time,
    pub last_seen: Time,
}

/// Hosts that were not contacted before.
#[derive(Debug, Serialize)]
pub struct NewHosts {
    /// The history that they are compared with; none: this one, before the span.
    pub baseline: Option<String>,
    /// What was recorded there, in words.
    pub compared: String,
    /// Only the hosts with the most traffic were compared, so many.
    pub compared_hosts: Option<i64>,
    #[serde(flatten)]
    pub hosts: Section<HostRow>,
}

#[derive(Debug, Serialize)]
pub struct RawRow {
    #[serde(flatten)]
    pub to: Destination,
    pub scope: Option<String>,
    #[serde(flatten)]
    pub by: Programs,
    #[serde(flatten)]
    pub amount: Amount,
}

/// A name that connections got, where the address had others too.
#[derive(Debug, Serialize)]
pub struct RivalRow {
    pub host: String,
    /// As in the view `egress`.
    pub host_source: Option<String>,
    pub connections: i64,
    /// The most that a connection had.
    pub rivals: i64,
    /// Those of one of the connections, 16 at most.
    pub rival_hosts: Vec<String>,
    /// The id of that connection, for `egrets explain`.
    pub example: i64,
}

#[derive(Debug, Serialize)]
pub struct FailedRow {
    #[serde(flatten)]
    pub to: Destination,
    #[serde(flatten)]
    pub by: Programs,
    pub outcome: String,
    pub errno: Option<String>,
    pub connections: i64,
    pub last_seen: Time,
}

#[derive(Debug, Serialize)]
pub struct FailedLookupRow {
    pub qname: Option<String>,
    pub qtype: Option<String>,
    pub rcode: Option<String>,
    /// As in the view `lookups`.
    pub status: String,
    #[serde(flatten)]
    pub by: LookupPrograms,
    pub lookups: i64,
    pub last_seen: Time,
}

/// The same of lookups, whose program may not be known.
#[derive(Debug, Serialize)]
pub struct LookupPrograms {
    pub comm: Option<String>,
    pub programs: i64,
}

/// What a policy decided.
#[derive(Debug, Serialize)]
pub struct Verdicts {
    /// How many connections of the single rows it decided on.
    pub decided: i64,
    /// Those that it did not just allow.
    #[serde(flatten)]
    pub rows: Section<VerdictRow>,
}

#[derive(Debug, Serialize)]
pub struct VerdictRow {
    pub verdict: String,
    /// Whether it was enforced, or only observed.
    pub enforced: bool,
    pub rule: Option<String>,
    #[serde(flatten)]
    pub program: Program,
    #[serde(flatten)]
    pub to: Destination,
    pub connections: i64,
    pub last_seen: Time,
}
