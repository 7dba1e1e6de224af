//! Addresses that processes may have in their caches.

use std::net::IpAddr;
use std::rc::Rc;

/// What an answer gave for a name, as long as it is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedAddress {
    /// Lower case, without a trailing dot.
    pub name: Rc<str>,
    pub ip: IpAddr,
    /// ns since 1970.
    pub expires_ts: i64,
}
