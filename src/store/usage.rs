//! What the rows of each user take of the file. Retention by size removes first what is beyond a
//! user's share: who connects by the million uses up their own.
//!
//! An estimate, of which only the proportions matter: a row counts with what it adds to the indexes,
//! and with its text, which is what users choose. What rows refer to counts for each that does.

use std::collections::HashMap;

use rusqlite::{Connection as Db, params};

/// Of the whole. As of the kernel side's tables, bpf/share.h.
const USER_PART: i64 = 8;
const ROOT_PART: i64 = 2;

/// Bytes of a row.
pub const CONNECTION: i64 = 90;
pub const RIVAL: i64 = 30;
pub const CONNECTION_DAILY: i64 = 80;
pub const LOOKUP: i64 = 50;
pub const LOOKUP_DAILY: i64 = 80;
pub const ANSWER: i64 = 40;
/// And of the text that a name is, in the table and in its index.
pub const NAME: i64 = 2;

/// The same of rows with text, as expressions over their columns: the same when the row is written
/// and when it is removed. What started a process is not shared between users.
pub const OF_PROCESS: &str = "\
250 + coalesce(octet_length(exe), 0) + coalesce(octet_length(cmdline), 0) + coalesce(octet_length(cgroup), 0)
+ coalesce((SELECT sum(100 + coalesce(octet_length(a.exe), 0) + coalesce(octet_length(a.cmdline), 0))
            FROM lineage JOIN ancestor a ON a.id = above_id WHERE ancestor_id = parent_id), 0)";
pub const OF_CONNECTION_GROUP: &str = "\
120 + coalesce((SELECT 2 * octet_length(name) FROM host WHERE host.id = host_id), 0)
+ coalesce((SELECT 2 * (coalesce(octet_length(sni), 0) + coalesce(octet_length(alpn), 0)
                        + coalesce(octet_length(http_host), 0) + coalesce(octet_length(proxied_host), 0))
            FROM wire WHERE wire.id = wire_id), 0)";
pub const OF_LOOKUP_GROUP: &str =
    "120 + coalesce((SELECT 2 * octet_length(name) FROM host WHERE host.id = qname_id), 0)";
pub const OF_ANSWER: &str = "\
40 + octet_length(data) + coalesce((SELECT 2 * octet_length(name) FROM host WHERE host.id = name_id), 0)";

/// The changes since the last [`Usage::write`], in bytes by account. Those of a transaction that has
/// failed are dropped with the interned ids.
#[derive(Default)]
pub struct Usage(HashMap<u32, i64>);

impl Usage {
    pub fn add(&mut self, account: u32, bytes: i64) {
        *self.0.entry(account).or_default() += bytes;
    }

    pub fn write(&mut self, db: &Db) -> rusqlite::Result<()> {
        let mut add = db.prepare_cached(
            "INSERT INTO account (uid, bytes) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET bytes = bytes + ?2",
        )?;
        for (account, bytes) in self.0.drain().filter(|(_, bytes)| *bytes != 0) {
            add.execute(params![account, bytes])?;
        }
        Ok(())
    }
}

/// The accounts that have more than their share, who has most of it first.
pub fn beyond_their_share(db: &Db) -> rusqlite::Result<Vec<u32>> {
    db.prepare_cached(
        "SELECT uid FROM (SELECT uid, bytes * CASE uid WHEN 0 THEN ?1 ELSE ?2 END AS times FROM account)
         WHERE times > (SELECT total(bytes) FROM account) ORDER BY times DESC",
    )?
    .query_map([ROOT_PART, USER_PART], |row| row.get(0))?
    .collect()
}
