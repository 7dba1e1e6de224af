//! DNS lookups.

use std::borrow::Cow;
use std::rc::Rc;

use super::{Endpoint, Process};

/// How a DNS message was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    Udp,
    Tcp,
}

impl Transport {
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LookupStatus {
    Answered,
    Unanswered,
    /// Netfilter refused the query.
    Unsent,
    /// An answer that matches no query of its socket.
    Unsolicited,
    Malformed,
}

impl LookupStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            LookupStatus::Answered => "answered",
            LookupStatus::Unanswered => "unanswered",
            LookupStatus::Unsent => "unsent",
            LookupStatus::Unsolicited => "unsolicited",
            LookupStatus::Malformed => "malformed",
        }
    }
}

/// One resource record of an answer, in presentation form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceRecord {
    pub name: Rc<str>,
    pub rtype: Cow<'static, str>,
    pub data: String,
    /// Seconds.
    pub ttl: u32,
}

/// A query and its outcome.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// From 1, within the run; see [`Run::lookup_id`](super::Run::lookup_id).
    pub number: u64,
    pub ts: i64,
    pub process: Rc<Process>,
    pub server: Endpoint,
    pub transport: Transport,
    /// None where the message does not parse.
    pub qname: Option<Rc<str>>,
    pub qtype: Option<String>,
    pub rcode: Option<String>,
    pub latency_us: Option<i64>,
    pub status: LookupStatus,
    pub answers: Vec<ResourceRecord>,
    /// Messages that this lookup counts: more than one where repeats were coalesced.
    pub times: u64,
}
