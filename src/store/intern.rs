//! Interning: rows that many others refer to (processes, containers, hosts, addresses, and
//! the groups of connections and lookups) are written once, and their ids cached.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::hash::Hash;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::LazyLock;

use hashlink::LruCache;
use rusqlite::{Connection as Db, OptionalExtension, ToSql, params, params_from_iter};

use super::row;
use super::usage::{self, Usage};
use crate::columns::{RowContext, Value};
use crate::model::{
    Ancestor, Connection, Container, ContainerDetails, ContainerTable, ContainerUpdate, Endpoint,
    Executable, ExecutableTable, ExecutableUpdate, Geo, Lookup, Process, Run, WireNames, dst_scope,
    errno_name, mapped, nat64_ipv4,
};

/// Ids cached of each kind. What was evicted is looked up in the file, or written again.
const CACHED: usize = 16_384;

pub struct IdCache<K, V = i64>(LruCache<K, V>);

impl<K: Hash + Eq, V> Default for IdCache<K, V> {
    fn default() -> Self {
        IdCache(LruCache::new(CACHED))
    }
}

impl<K: Hash + Eq> IdCache<K> {
    /// Drops rows that were removed.
    pub fn forget(&mut self, ids: &BTreeSet<i64>) {
        if !ids.is_empty() {
            self.0.retain(|_, id| !ids.contains(id));
        }
    }
}

/// A connection group on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupDay {
    /// `connection_group.id`.
    pub group: i64,
    /// `connection_daily.id`.
    pub daily: i64,
    /// Its processes'.
    pub account: u32,
}

/// What the connections of a group have in common.
#[derive(PartialEq, Eq, Hash)]
struct ConnectionGroupKey {
    process: u64,
    protocol: &'static str,
    src: Option<IpAddr>,
    dst: Endpoint,
    host: Option<(Rc<str>, &'static str)>,
    outcome: &'static str,
    errno: Option<i32>,
    direction: &'static str,
    wire: Option<Rc<WireNames>>,
    /// A file that says something else makes its address' row be written.
    geo: Option<Rc<Geo>>,
}

/// What the lookups of a group have in common.
#[derive(PartialEq, Eq, Hash)]
pub struct LookupGroupKey {
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
    /// By [`Process::serial`]. An evicted one gets a second, equal row.
    pub processes: IdCache<u64>,
    /// By [`Ancestor::serial`], likewise.
    pub ancestors: IdCache<u64>,
    /// By [`Container::serial`], likewise.
    pub containers: IdCache<u64>,
    container_details: ContainerTable,
    /// By [`Executable::serial`], likewise.
    pub executables: IdCache<u64>,
    identities: ExecutableTable,
    pub hosts: IdCache<Rc<str>>,
    pub addresses: IdCache<IpAddr>,
    pub wires: IdCache<Rc<WireNames>>,
    /// With the day (`day.id`) of the group's latest connection.
    connection_groups: IdCache<ConnectionGroupKey, (GroupDay, i64)>,
    pub lookup_groups: IdCache<LookupGroupKey>,
    pub usage: Usage,
}

impl Interner {
    pub fn new(run: Run) -> Interner {
        Interner {
            run,
            processes: IdCache::default(),
            ancestors: IdCache::default(),
            containers: IdCache::default(),
            container_details: ContainerTable::default(),
            executables: IdCache::default(),
            identities: ExecutableTable::default(),
            hosts: IdCache::default(),
            addresses: IdCache::default(),
            wires: IdCache::default(),
            connection_groups: IdCache::default(),
            lookup_groups: IdCache::default(),
            usage: Usage::default(),
        }
    }

    /// Forgets all ids. The rows are found again, or written again.
    pub fn forget(&mut self) {
        *self = Interner {
            container_details: std::mem::take(&mut self.container_details),
            identities: std::mem::take(&mut self.identities),
            ..Interner::new(self.run)
        };
    }

    /// The group of a connection that began on this day.
    pub fn connection_group(
        &mut self,
        db: &Db,
        recording: i64,
        c: &Connection,
        day: i64,
        is_new: bool,
    ) -> rusqlite::Result<GroupDay> {
        let name = c.name.as_ref();
        let account = c.process.account;
        let key = ConnectionGroupKey {
            process: c.process.serial,
            protocol: c.protocol.as_str(),
            src: c.src.map(|src| src.ip),
            dst: c.dst,
            host: name.map(|n| (Rc::clone(&n.host), n.source.as_str())),
            outcome: c.outcome.as_str(),
            errno: c.errno,
            direction: c.direction(),
            wire: c.wire.clone(),
            geo: c.geo.clone(),
        };
        let cached = self.connection_groups.0.get(&key).copied();
        if let Some((group_day, cached_day)) = cached
            && cached_day == day
        {
            return Ok(group_day);
        }
        let group = match cached {
            Some((group_day, _)) => group_day.group,
            None => {
                let process = self.process(db, recording, &c.process)?;
                let src = key.src.map(|ip| self.address(db, ip)).transpose()?;
                let dst = self.address(db, c.dst.ip)?;
                // that of an older connection may be of an older file
                if let Some(geo) = c.geo().filter(|_| is_new) {
                    write_geo(db, dst, geo)?;
                }
                let host = name.map(|n| self.host(db, &n.host)).transpose()?;
                let wire = self.wire(db, c)?;
                let errno = c.errno.map(errno_name);
                let source = key.host.as_ref().map(|(_, source)| *source);
                let values: [&dyn ToSql; 12] = [
                    &process,
                    &key.protocol,
                    &src,
                    &dst,
                    &c.dst.port,
                    &host,
                    &source,
                    &key.outcome,
                    &errno,
                    &key.direction,
                    &wire,
                    &c.ts,
                ];
                find_or_insert_measured(
                    db,
                    (
                        "SELECT id FROM connection_group WHERE process_id = ?1 AND dst_id = ?4 AND dst_port = ?5
                         AND protocol = ?2 AND src_id IS ?3 AND host_id IS ?6
                         AND host_source IS ?7 AND outcome = ?8 AND errno IS ?9 AND direction = ?10
                         AND wire_id IS ?11",
                        &values[..11],
                    ),
                    (&INSERT_GROUP, &values),
                    (&mut self.usage, account),
                )?
            }
        };
        let daily = find_or_insert_measured(
            db,
            (
                "SELECT id FROM connection_daily WHERE group_id = ?1 AND day_id = ?2",
                &[&group, &day],
            ),
            (&INSERT_DAILY, &[&group, &day, &c.ts, &account]),
            (&mut self.usage, account),
        )?;
        let group_day = GroupDay {
            group,
            daily,
            account,
        };
        self.connection_groups.0.insert(key, (group_day, day));
        Ok(group_day)
    }

    /// Drops removed rows of `connection_daily` (sorted ids), whose groups may be removed too.
    pub fn forget_daily(&mut self, ids: &[i64]) {
        if !ids.is_empty() {
            self.connection_groups
                .0
                .retain(|_, (group_day, _)| ids.binary_search(&group_day.daily).is_err());
        }
    }

    /// The group of a lookup.
    pub fn lookup_group(&mut self, db: &Db, recording: i64, l: &Lookup) -> rusqlite::Result<i64> {
        let key = LookupGroupKey {
            process: l.process.serial,
            server: l.server,
            transport: l.transport.as_str(),
            qname: l.qname.clone(),
            qtype: l.qtype.clone(),
            rcode: l.rcode.clone(),
            status: l.status.as_str(),
        };
        if let Some(id) = self.lookup_groups.0.get(&key) {
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
        let id = find_or_insert_measured(
            db,
            (
                "SELECT id FROM lookup_group WHERE process_id = ?1 AND qname_id IS ?5 AND server_id = ?2
                 AND server_port = ?3 AND transport = ?4 AND qtype IS ?6 AND rcode IS ?7 AND status = ?8",
                &values,
            ),
            (&INSERT_LOOKUP_GROUP, &values),
            (&mut self.usage, l.process.account),
        )?;
        self.lookup_groups.0.insert(key, id);
        Ok(id)
    }

    pub fn row_context(&self) -> RowContext<'_> {
        RowContext {
            run: self.run,
            containers: &self.container_details,
            executables: &self.identities,
        }
    }

    pub fn host(&mut self, db: &Db, name: &Rc<str>) -> rusqlite::Result<i64> {
        cached(&mut self.hosts.0, name, || {
            find_or_insert(
                db,
                ("SELECT id FROM host WHERE name = ?1", &[&name]),
                ("INSERT INTO host (name) VALUES (?1)", &[&name]),
            )
        })
    }

    /// The names that a connection sent itself, if any.
    fn wire(&mut self, db: &Db, c: &Connection) -> rusqlite::Result<Option<i64>> {
        let Some(wire) = &c.wire else { return Ok(None) };
        let proxied = c.proxied();
        let values: [&dyn ToSql; 6] = [
            &c.sni(),
            &c.sni_ech(),
            &c.alpn(),
            &c.http_host(),
            &proxied.map(|(host, _)| &*host.text),
            &proxied.map(|(_, port)| port),
        ];
        let id = cached(&mut self.wires.0, wire, || {
            find_or_insert(
                db,
                (
                    "SELECT id FROM wire WHERE sni IS ?1 AND sni_ech IS ?2 AND alpn IS ?3
                     AND http_host IS ?4 AND proxied_host IS ?5 AND proxied_port IS ?6",
                    &values,
                ),
                (
                    "INSERT INTO wire (sni, sni_ech, alpn, http_host, proxied_host, proxied_port)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    &values,
                ),
            )
        })?;
        Ok(Some(id))
    }

    pub fn address(&mut self, db: &Db, ip: IpAddr) -> rusqlite::Result<i64> {
        let addr = mapped(ip);
        let ipv4 = nat64_ipv4(ip).map(|ip| ip.to_string());
        cached(&mut self.addresses.0, &ip, || {
            find_or_insert(
                db,
                (
                    "SELECT id FROM address WHERE addr = ?1",
                    &[&addr.as_slice()],
                ),
                (
                    "INSERT INTO address (addr, ip, scope, ipv4) VALUES (?1, ?2, ?3, ?4)",
                    &[&addr.as_slice(), &ip.to_string(), &dst_scope(ip), &ipv4],
                ),
            )
        })
    }

    fn container(&mut self, db: &Db, container: &Container) -> rusqlite::Result<i64> {
        if let Some(id) = self.containers.0.get(&container.serial) {
            return Ok(*id);
        }
        let outer = match &container.outer {
            Some(outer) => Some(self.container(db, outer)?),
            None => None,
        };
        db.prepare_cached(
            "INSERT INTO container (container_id, uid, outer_id) VALUES (?1, ?2, ?3)",
        )?
        .execute(params![container.id, container.uid, outer])?;
        let id = db.last_insert_rowid();
        self.containers.0.insert(container.serial, id);
        self.write_container_details(db, container)?;
        Ok(id)
    }

    /// Keeps the new details of a container, and writes them into its row if it has one.
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

    fn executable(
        &mut self,
        db: &Db,
        recording: i64,
        executable: &Executable,
    ) -> rusqlite::Result<i64> {
        if let Some(id) = self.executables.0.get(&executable.serial) {
            return Ok(*id);
        }
        db.prepare_cached("INSERT INTO executable (recording_id, serial) VALUES (?1, ?2)")?
            .execute(params![recording, executable.serial as i64])?;
        let id = db.last_insert_rowid();
        self.executables.0.insert(executable.serial, id);
        self.write_identity(db, recording, executable)?;
        Ok(id)
    }

    /// Keeps what was found out about an executable, and writes it into its rows if it has any.
    pub fn executable_update(
        &mut self,
        db: &Db,
        recording: i64,
        update: &ExecutableUpdate,
    ) -> rusqlite::Result<()> {
        self.identities.update(update);
        self.write_identity(db, recording, &update.executable)
    }

    /// The rows say themselves whose they are: it may come when their ids have been forgotten.
    fn write_identity(
        &self,
        db: &Db,
        recording: i64,
        executable: &Executable,
    ) -> rusqlite::Result<()> {
        let Some(identity) = self.identities.identity(executable) else {
            return Ok(());
        };
        db.prepare_cached(
            "UPDATE executable SET hash_status = ?2, sha256 = ?3, setuid = ?4, world_writable_dir = ?5,
                                   packaged = ?6, package = ?7, package_version = ?8, modified = ?9
             WHERE recording_id = ?10 AND serial = ?1 AND hash_status IS NULL",
        )?
        .execute(params![
            executable.serial as i64,
            identity.status.as_str(),
            identity.sha256,
            identity.setuid,
            identity.world_writable_dir,
            identity.packaged,
            identity.package,
            identity.package_version,
            identity.modified,
            recording,
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
        let executable = match &p.executable {
            Some(executable) => Some(self.executable(db, recording, executable)?),
            None => None,
        };
        let context = self.row_context();
        let keys: [Value; 7] = [
            recording.into(),
            (p.start_ns as i64).into(),
            container.into(),
            parent.into(),
            p.session.into(),
            executable.into(),
            p.account.into(),
        ];
        let columns = row::process_columns().map(|column| column.of_process(p, &context));
        let parameters = params_from_iter(keys.into_iter().chain(columns));
        let (id, bytes) = db
            .prepare_cached(&row::INSERT_PROCESS)?
            .query_row(parameters, |row| Ok((row.get(0)?, row.get(1)?)))?;
        self.usage.add(p.account, bytes);
        self.processes.0.insert(p.serial, id);
        Ok(id)
    }

    /// Writes an ancestor, its missing ancestors and its lineage.
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
        // Never None: it is `of` at least.
        above.ok_or(rusqlite::Error::QueryReturnedNoRows)
    }
}

/// What is known of an address now.
fn write_geo(db: &Db, address: i64, geo: &Geo) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE address SET country = ?2, asn = ?3, as_org = ?4
         WHERE id = ?1 AND (country IS NOT ?2 OR asn IS NOT ?3 OR as_org IS NOT ?4)",
    )?
    .execute(params![address, geo.country, geo.asn, geo.as_org])?;
    Ok(())
}

/// The cached id of a key, or else that which `find` returns.
fn cached<K, Q>(
    cache: &mut LruCache<K, i64>,
    key: &Q,
    find: impl FnOnce() -> rusqlite::Result<i64>,
) -> rusqlite::Result<i64>
where
    K: Hash + Eq + Borrow<Q>,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    if let Some(id) = cache.get(key) {
        return Ok(*id);
    }
    let id = find()?;
    cache.insert(key.to_owned(), id);
    Ok(id)
}

type Statement<'a> = (&'a str, &'a [&'a dyn ToSql]);

static INSERT_GROUP: LazyLock<String> = LazyLock::new(|| {
    let insert =
        "INSERT INTO connection_group (process_id, protocol, src_id, dst_id, dst_port, host_id,
             host_source, outcome, errno, direction, wire_id, first_ts, last_ts)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12)";
    format!("{insert} RETURNING id, {}", usage::OF_CONNECTION_GROUP)
});

static INSERT_LOOKUP_GROUP: LazyLock<String> = LazyLock::new(|| {
    let insert =
        "INSERT INTO lookup_group (process_id, server_id, server_port, transport, qname_id,
             qtype, rcode, status)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    format!("{insert} RETURNING id, {}", usage::OF_LOOKUP_GROUP)
});

static INSERT_DAILY: LazyLock<String> = LazyLock::new(|| {
    let insert = "INSERT INTO connection_daily (group_id, day_id, first_ts, last_ts, account)
         VALUES (?1, ?2, ?3, ?3, ?4)";
    format!("{insert} RETURNING id, {}", usage::CONNECTION_DAILY)
});

fn find(db: &Db, (sql, values): Statement<'_>) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached(sql)?
        .query_row(values, |row| row.get(0))
        .optional()
}

/// With an insertion that returns the id of the row and what it takes, which counts for the account.
fn find_or_insert_measured(
    db: &Db,
    by: Statement<'_>,
    (sql, values): Statement<'_>,
    (usage, account): (&mut Usage, u32),
) -> rusqlite::Result<i64> {
    if let Some(id) = find(db, by)? {
        return Ok(id);
    }
    let (id, bytes) = db
        .prepare_cached(sql)?
        .query_row(values, |row| Ok((row.get(0)?, row.get(1)?)))?;
    usage.add(account, bytes);
    Ok(id)
}

fn find_or_insert(db: &Db, by: Statement<'_>, insert: Statement<'_>) -> rusqlite::Result<i64> {
    if let Some(id) = find(db, by)? {
        return Ok(id);
    }
    db.prepare_cached(insert.0)?.execute(insert.1)?;
    Ok(db.last_insert_rowid())
}
