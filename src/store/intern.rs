//! Rows that many others share: processes, containers, hosts, addresses. Each is
//! written once and known by its id from then on.

use std::borrow::Borrow;
use std::hash::Hash;
use std::net::IpAddr;

use hashlink::LruCache;
use rusqlite::{Connection as Db, OptionalExtension, ToSql, params};

use crate::record::{Ancestor, Container, Process, dst_scope, mapped};

/// Ids remembered of each kind. What is forgotten is looked up in the file.
const REMEMBERED: usize = 16_384;

pub struct Interner {
    /// By [`Process::serial`]; one forgotten gets a second row, which says the
    /// same.
    processes: LruCache<u64, i64>,
    /// By [`Ancestor::serial`], like those.
    ancestors: LruCache<u64, i64>,
    /// By [`Container::serial`], like those.
    containers: LruCache<u64, i64>,
    hosts: LruCache<String, i64>,
    addresses: LruCache<IpAddr, i64>,
}

impl Default for Interner {
    fn default() -> Self {
        Interner {
            processes: LruCache::new(REMEMBERED),
            ancestors: LruCache::new(REMEMBERED),
            containers: LruCache::new(REMEMBERED),
            hosts: LruCache::new(REMEMBERED),
            addresses: LruCache::new(REMEMBERED),
        }
    }
}

impl Interner {
    pub fn host(&mut self, db: &Db, name: &str) -> rusqlite::Result<i64> {
        once(&mut self.hosts, name, || {
            find_or_insert(
                db,
                ("SELECT id FROM host WHERE name = ?1", &[&name]),
                ("INSERT INTO host (name) VALUES (?1)", &[&name]),
            )
        })
    }

    pub fn address(&mut self, db: &Db, ip: IpAddr) -> rusqlite::Result<i64> {
        let addr = mapped(ip);
        once(&mut self.addresses, &ip, || {
            find_or_insert(
                db,
                (
                    "SELECT id FROM address WHERE addr = ?1",
                    &[&addr.as_slice()],
                ),
                (
                    "INSERT INTO address (addr, ip, scope) VALUES (?1, ?2, ?3)",
                    &[&addr.as_slice(), &ip.to_string(), &dst_scope(ip)],
                ),
            )
        })
    }

    /// The container's row.
    fn container(&mut self, db: &Db, container: &Container) -> rusqlite::Result<i64> {
        if let Some(id) = self.containers.get(&container.serial) {
            return Ok(*id);
        }
        let outer = match &container.outer {
            Some(outer) => Some(self.container(db, outer)?),
            None => None,
        };
        db.prepare_cached("INSERT INTO container (container_id, outer_id) VALUES (?1, ?2)")?
            .execute(params![container.id, outer])?;
        let id = db.last_insert_rowid();
        self.containers.insert(container.serial, id);
        self.container_details(db, container)?;
        Ok(id)
    }

    /// The details that are known by now, into the container's row if it has one.
    pub fn container_details(&mut self, db: &Db, container: &Container) -> rusqlite::Result<()> {
        let Some(id) = self.containers.get(&container.serial) else {
            return Ok(());
        };
        let details = container.details().unwrap_or_default();
        db.prepare_cached(
            "UPDATE container SET runtime = ?2, name = ?3, image = ?4, hostname = ?5, ip = ?6,
                                  pod = ?7, pod_namespace = ?8
             WHERE id = ?1",
        )?
        .execute(params![
            id,
            container.runtime(),
            details.name,
            details.image,
            details.hostname,
            details.ip,
            details.pod,
            details.pod_namespace,
        ])?;
        Ok(())
    }

    pub fn process(&mut self, db: &Db, recording: i64, p: &Process) -> rusqlite::Result<i64> {
        if let Some(id) = self.processes.get(&p.serial) {
            return Ok(*id);
        }
        let container = match &p.container {
            Some(container) => Some(self.container(db, container)?),
            None => None,
        };
        let parent = match &p.parent {
            Some(parent) => Some(self.ancestor(db, recording, parent)?),
            None => None,
        };
        db.prepare_cached(
            "INSERT INTO process (recording_id, pid, start_ns, ppid, parent_comm, comm, exe, cmdline,
                                  uid, user, cgroup, unit, container_id, netns, start_ts,
                                  login_uid, login_user, parent_id, session)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
        )?
        .execute(params![
            recording,
            p.pid,
            p.start_ns as i64,
            p.ppid,
            p.parent_comm,
            p.comm,
            p.exe,
            p.cmdline,
            p.uid,
            p.user,
            p.cgroup,
            p.unit,
            container,
            p.netns,
            p.start_ts,
            p.login_uid,
            p.login_user,
            parent,
            p.session
        ])?;
        let id = db.last_insert_rowid();
        self.processes.insert(p.serial, id);
        Ok(id)
    }

    /// The row of a program that started others, and its lineage.
    fn ancestor(&mut self, db: &Db, recording: i64, of: &Ancestor) -> rusqlite::Result<i64> {
        let mut missing = Vec::new();
        let mut above = None;
        let mut at = Some(of);
        while let Some(ancestor) = at {
            if let Some(id) = self.ancestors.get(&ancestor.serial) {
                above = Some(*id);
                break;
            }
            missing.push(ancestor);
            at = ancestor.parent.as_deref();
        }
        for a in missing.into_iter().rev() {
            db.prepare_cached(
                "INSERT INTO ancestor (recording_id, pid, start_ts, comm, exe, cmdline)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                recording, a.pid, a.start_ts, a.comm, a.exe, a.cmdline
            ])?;
            let id = db.last_insert_rowid();
            db.prepare_cached(
                "INSERT INTO lineage (ancestor_id, depth, above_id)
                 SELECT ?1, 0, ?1 UNION ALL
                 SELECT ?1, depth + 1, above_id FROM lineage WHERE ancestor_id = ?2",
            )?
            .execute(params![id, above])?;
            self.ancestors.insert(a.serial, id);
            above = Some(id);
        }
        // There is at least `of` itself, found or made.
        above.ok_or(rusqlite::Error::QueryReturnedNoRows)
    }
}

impl Interner {
    /// These rows are no more: what comes of their processes gets new ones.
    pub fn forget_processes(&mut self, ids: &[i64]) {
        if !ids.is_empty() {
            self.processes
                .retain(|_, id| ids.binary_search(id).is_err());
        }
    }
}

/// The remembered id of a key, or what `make` gives.
fn once<K, Q>(
    known: &mut LruCache<K, i64>,
    key: &Q,
    make: impl FnOnce() -> rusqlite::Result<i64>,
) -> rusqlite::Result<i64>
where
    K: Hash + Eq + Borrow<Q>,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    if let Some(id) = known.get(key) {
        return Ok(*id);
    }
    let id = make()?;
    known.insert(key.to_owned(), id);
    Ok(id)
}

type Statement<'a> = (&'a str, &'a [&'a dyn ToSql]);

fn find_or_insert(db: &Db, find: Statement<'_>, insert: Statement<'_>) -> rusqlite::Result<i64> {
    let found = db
        .prepare_cached(find.0)?
        .query_row(find.1, |row| row.get(0))
        .optional()?;
    if let Some(id) = found {
        return Ok(id);
    }
    db.prepare_cached(insert.0)?.execute(insert.1)?;
    Ok(db.last_insert_rowid())
}
