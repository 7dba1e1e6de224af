//! Rows that many others share: processes, containers, hosts, addresses, and what
//! connections and lookups have in common. Each is written once and known by its id
//! from then on.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::hash::Hash;
use std::net::IpAddr;
use std::rc::Rc;

use hashlink::LruCache;
use rusqlite::{Connection as Db, OptionalExtension, ToSql, params};

use crate::model::{
    Ancestor, Connection, Container, ContainerDetails, ContainerTable, ContainerUpdate, Endpoint,
    Lookup, Process, Run, dst_scope, errno_name, mapped,
};

/// Ids remembered of each kind. What is forgotten is looked up in the file.
const REMEMBERED: usize = 16_384;

/// Ids by what they stand for.
pub struct Known<K, V = i64>(LruCache<K, V>);

impl<K: Hash + Eq, V> Default for Known<K, V> {
    fn default() -> Self {
        Known(LruCache::new(REMEMBERED))
    }
}

impl<K: Hash + Eq> Known<K> {
    /// These rows are no more.
    pub fn forget(&mut self, ids: &BTreeSet<i64>) {
        if !ids.is_empty() {
            self.0.retain(|_, id| !ids.contains(id));
        }
    }
}

/// An edge, and the same on a day: ids of `edge` and `edge_day`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    pub id: i64,
    pub on_day: i64,
}

/// All that connections of an edge have in common.
#[derive(PartialEq, Eq, Hash)]
struct EdgeKey {
    process: u64,
    protocol: &'static str,
    src: Option<IpAddr>,
    dst: Endpoint,
    host: Option<(Rc<str>, &'static str)>,
    outcome: &'static str,
    errno: Option<i32>,
}

/// All that lookups of an inquiry have in common.
#[derive(PartialEq, Eq, Hash)]
pub struct InquiryKey {
    process: u64,
    server: Endpoint,
    transport: &'static str,
    qname: Option<Rc<str>>,
    qtype: Option<String>,
    rcode: Option<String>,
    status: &'static str,
}

pub struct Interner {
    pub run: Run,
    /// By [`Process::serial`]; one forgotten gets a second row, which says the
    /// same.
    pub processes: Known<u64>,
    /// By [`Ancestor::serial`], like those.
    pub ancestors: Known<u64>,
    /// By [`Container::serial`], like those.
    pub containers: Known<u64>,
    container_details: ContainerTable,
    pub hosts: Known<Rc<str>>,
    pub addresses: Known<IpAddr>,
    /// With the day that the edge was last seen on.
    edges: Known<EdgeKey, (Edge, i64)>,
    pub inquiries: Known<InquiryKey>,
}

impl Interner {
    pub fn new(run: Run) -> Interner {
        Interner {
            run,
            processes: Known::default(),
            ancestors: Known::default(),
            containers: Known::default(),
            container_details: ContainerTable::default(),
            hosts: Known::default(),
            addresses: Known::default(),
            edges: Known::default(),
            inquiries: Known::default(),
        }
    }

    /// The edge of a connection on a day.
    pub fn edge(
        &mut self,
        db: &Db,
        recording: i64,
        c: &Connection,
        day: i64,
    ) -> rusqlite::Result<Edge> {
        let name = c.name.as_ref();
        let key = EdgeKey {
            process: c.process.serial,
            protocol: c.protocol.as_str(),
            src: c.src.map(|src| src.ip),
            dst: c.dst,
            host: name.map(|n| (Rc::clone(&n.host), n.source.as_str())),
            outcome: c.outcome.as_str(),
            errno: c.errno,
        };
        let known = self.edges.0.get(&key).copied();
        if let Some((edge, on)) = known
            && on == day
        {
            return Ok(edge);
        }
        let id = match known {
            Some((edge, _)) => edge.id,
            None => {
                let process = self.process(db, recording, &c.process)?;
                let src = key.src.map(|ip| self.address(db, ip)).transpose()?;
                let dst = self.address(db, c.dst.ip)?;
                let host = name.map(|n| self.host(db, &n.host)).transpose()?;
                let errno = c.errno.map(errno_name);
                let source = key.host.as_ref().map(|(_, source)| *source);
                let values: [&dyn ToSql; 10] = [
                    &process,
                    &key.protocol,
                    &src,
                    &dst,
                    &c.dst.port,
                    &host,
                    &source,
                    &key.outcome,
                    &errno,
                    &c.ts,
                ];
                find_or_insert(
                    db,
                    (
                        "SELECT id FROM edge WHERE process_id = ?1 AND dst_id = ?4 AND dst_port = ?5
                         AND protocol = ?2 AND src_id IS ?3 AND host_id IS ?6
                         AND host_source IS ?7 AND outcome = ?8 AND errno IS ?9",
                        &values[..9],
                    ),
                    (
                        "INSERT INTO edge (process_id, protocol, src_id, dst_id, dst_port, host_id,
                                           host_source, outcome, errno, first_ts, last_ts)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10)",
                        &values,
                    ),
                )?
            }
        };
        let on_day = find_or_insert(
            db,
            (
                "SELECT id FROM edge_day WHERE edge_id = ?1 AND day_id = ?2",
                &[&id, &day],
            ),
            (
                "INSERT INTO edge_day (edge_id, day_id, first_ts, last_ts) VALUES (?1, ?2, ?3, ?3)",
                &[&id, &day, &c.ts],
            ),
        )?;
        let edge = Edge { id, on_day };
        self.edges.0.insert(key, (edge, day));
        Ok(edge)
    }

    /// These rows of `edge_day` are no more, nor may their edges be.
    pub fn forget_days(&mut self, ids: &[i64]) {
        if !ids.is_empty() {
            self.edges
                .0
                .retain(|_, (edge, _)| ids.binary_search(&edge.on_day).is_err());
        }
    }

    /// What a lookup has in common with others.
    pub fn inquiry(&mut self, db: &Db, recording: i64, l: &Lookup) -> rusqlite::Result<i64> {
        let key = InquiryKey {
            process: l.process.serial,
            server: l.server,
            transport: l.transport.as_str(),
            qname: l.qname.clone(),
            qtype: l.qtype.clone(),
            rcode: l.rcode.clone(),
            status: l.status.as_str(),
        };
        if let Some(id) = self.inquiries.0.get(&key) {
            return Ok(*id);
        }
        let process = self.process(db, recording, &l.process)?;
        let server = self.address(db, l.server.ip)?;
        let qname = key
            .qname
            .as_ref()
            .map(|name| self.host(db, name))
            .transpose()?;
        let values: [&dyn ToSql; 8] = [
            &process,
            &server,
            &l.server.port,
            &key.transport,
            &qname,
            &key.qtype,
            &key.rcode,
            &key.status,
        ];
        let id = find_or_insert(
            db,
            (
                "SELECT id FROM inquiry WHERE process_id = ?1 AND qname_id IS ?5 AND server_id = ?2
                 AND server_port = ?3 AND transport = ?4 AND qtype IS ?6 AND rcode IS ?7 AND status = ?8",
                &values,
            ),
            (
                "INSERT INTO inquiry (process_id, server_id, server_port, transport, qname_id,
                                      qtype, rcode, status)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                &values,
            ),
        )?;
        self.inquiries.0.insert(key, id);
        Ok(id)
    }

    pub fn host(&mut self, db: &Db, name: &Rc<str>) -> rusqlite::Result<i64> {
        once(&mut self.hosts.0, name, || {
            find_or_insert(
                db,
                ("SELECT id FROM host WHERE name = ?1", &[&name]),
                ("INSERT INTO host (name) VALUES (?1)", &[&name]),
            )
        })
    }

    pub fn address(&mut self, db: &Db, ip: IpAddr) -> rusqlite::Result<i64> {
        let addr = mapped(ip);
        once(&mut self.addresses.0, &ip, || {
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
        if let Some(id) = self.containers.0.get(&container.serial) {
            return Ok(*id);
        }
        let outer = match &container.outer {
            Some(outer) => Some(self.container(db, outer)?),
            None => None,
        };
        db.prepare_cached("INSERT INTO container (container_id, outer_id) VALUES (?1, ?2)")?
            .execute(params![container.id, outer])?;
        let id = db.last_insert_rowid();
        self.containers.0.insert(container.serial, id);
        self.write_container_details(db, container)?;
        Ok(id)
    }

    /// Keeps a container's new details, and writes them into its row if it has one.
    pub fn container_update(&mut self, db: &Db, update: &ContainerUpdate) -> rusqlite::Result<()> {
        self.container_details.update(update);
        self.write_container_details(db, &update.container)
    }

    fn write_container_details(&mut self, db: &Db, container: &Container) -> rusqlite::Result<()> {
        let Some(id) = self.containers.0.get(&container.serial) else {
            return Ok(());
        };
        let none = ContainerDetails::default();
        let details = self.container_details.details(container).unwrap_or(&none);
        db.prepare_cached(
            "UPDATE container SET runtime = ?2, name = ?3, image = ?4, hostname = ?5, ip = ?6,
                                  pod = ?7, pod_namespace = ?8
             WHERE id = ?1",
        )?
        .execute(params![
            id,
            self.container_details.runtime(container),
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
        if let Some(id) = self.processes.0.get(&p.serial) {
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
            self.run.start_ts(p.start_ns),
            p.login_uid,
            p.login_user,
            parent,
            p.session
        ])?;
        let id = db.last_insert_rowid();
        self.processes.0.insert(p.serial, id);
        Ok(id)
    }

    /// The row of a program that started others, and its lineage.
    fn ancestor(&mut self, db: &Db, recording: i64, of: &Ancestor) -> rusqlite::Result<i64> {
        let mut missing = Vec::new();
        let mut above = None;
        let mut at = Some(of);
        while let Some(ancestor) = at {
            if let Some(id) = self.ancestors.0.get(&ancestor.serial) {
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
                recording,
                a.pid,
                self.run.start_ts(a.start_ns),
                a.comm,
                a.exe,
                a.cmdline
            ])?;
            let id = db.last_insert_rowid();
            db.prepare_cached(
                "INSERT INTO lineage (ancestor_id, depth, above_id)
                 SELECT ?1, 0, ?1 UNION ALL
                 SELECT ?1, depth + 1, above_id FROM lineage WHERE ancestor_id = ?2",
            )?
            .execute(params![id, above])?;
            self.ancestors.0.insert(a.serial, id);
            above = Some(id);
        }
        // There is at least `of` itself, found or made.
        above.ok_or(rusqlite::Error::QueryReturnedNoRows)
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
