//! DNS: messages to text, streams to messages, answers to the queries that they match. In come
//! captured bytes; out go queries and answers. Pure.

mod addresses;
#[cfg(test)]
mod fixture;
mod lookups;
mod message;
mod record_data;
mod repeats;
mod stored;
mod stream;
mod text;

pub use addresses::{addresses, host_of};
pub use lookups::{PendingQueries, PendingQuery};
pub use message::{DnsQuestion, Malformed, Message, ParsedRecord, parse};
pub use record_data::RecordTarget;
pub use repeats::{MAX_UNSOLICITED_RECORDS, RepeatCoalescer};
pub use stored::StoredLookups;
pub use stream::Streams;
