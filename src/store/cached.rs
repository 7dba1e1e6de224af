//! The answers of a history that are still good, for a policy that begins: processes may have
//! them in their caches.

use std::net::IpAddr;
use std::path::Path;
use std::rc::Rc;

use anyhow::Result;
use rusqlite::{Connection as Db, Row, params};

use super::end::boot_id;
use super::file::open_reader;
use super::trust::check_files;
use crate::model::{CachedAddress, mapped};

/// Lookups that are looked at, the newest first.
const MAX_LOOKUPS: i64 = 50_000;

/// How long an answer is good at most, as resolvers cap it: RFC 8767, section 4.
const MAX_AGE_NS: i64 = 7 * 24 * 3600 * 1_000_000_000;

const DNS_PORT: u16 = 53;

/// Whose answers count.
pub struct Trusted<'a> {
    /// Addresses of name servers.
    pub resolvers: &'a [IpAddr],
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Of the processes that asked: no user could have had an answer forged.
    pub last_uid: u32,
}

/// What a history has of them, the newest first; empty if there is none. A file that no recorder
/// would use is an error: it may be anyone's.
pub fn cached_addresses(path: &Path, trusted: &Trusted, now: i64) -> Result<Vec<CachedAddress>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    check_files(path)?;
    read(&open_reader(path)?, trusted, now).map_err(|e| super::of_file(e.into(), path))
}

fn read(db: &Db, trusted: &Trusted, now: i64) -> rusqlite::Result<Vec<CachedAddress>> {
    // of a lookup that stands for several, the first: none is good for longer than that
    let mut answers = db.prepare(
        "SELECT host.name, answer.data, lookup.ts + answer.ttl * 1000000000, server.addr
         FROM (SELECT * FROM lookup WHERE ts BETWEEN ?1 AND ?2 ORDER BY ts DESC LIMIT ?3) AS lookup
         JOIN lookup_group AS g ON g.id = lookup.group_id
         JOIN process ON process.id = g.process_id
         JOIN recording ON recording.id = process.recording_id
         JOIN host ON host.id = g.qname_id
         JOIN address AS server ON server.id = g.server_id
         JOIN answer ON answer.lookup_id = lookup.id
         WHERE g.status = 'answered' AND g.rcode = 'NOERROR' AND g.server_port = ?4
           AND server.scope <> 'loopback' AND process.uid <= ?5 AND process.netns = ?6
           AND process.container_id IS NULL AND recording.boot_id = ?7
           AND answer.type IN ('A', 'AAAA')
           AND lookup.ts + answer.ttl * 1000000000 > ?2
         ORDER BY lookup.ts DESC, answer.n",
    )?;
    let resolvers: Vec<_> = trusted.resolvers.iter().map(|ip| mapped(*ip)).collect();
    let found = answers.query_map(
        params![
            now.saturating_sub(MAX_AGE_NS),
            now,
            MAX_LOOKUPS,
            DNS_PORT,
            trusted.last_uid,
            trusted.netns,
            boot_id()
        ],
        |row| Ok((row.get::<_, Vec<u8>>(3)?, address_of(row)?)),
    )?;
    let mut cached = Vec::new();
    for row in found {
        let (server, address) = row?;
        if resolvers.iter().any(|resolver| resolver[..] == server[..]) {
            cached.extend(address);
        }
    }
    Ok(cached)
}

fn address_of(row: &Row) -> rusqlite::Result<Option<CachedAddress>> {
    let name: Rc<str> = row.get(0)?;
    let ip: String = row.get(1)?;
    let expires_ts = row.get(2)?;
    Ok(ip.parse().ok().map(|ip| CachedAddress {
        name,
        ip,
        expires_ts,
    }))
}
