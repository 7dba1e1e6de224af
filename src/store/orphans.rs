//! Removes shared rows together with the last row that refers to them.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use rusqlite::{Connection as Db, OptionalExtension, Row};

use super::intern::Interner;
use super::usage;

/// Ids of rows that may have lost their last reference.
#[derive(Debug, Default)]
pub struct OrphanCandidates {
    pub processes: BTreeSet<i64>,
    pub hosts: BTreeSet<i64>,
    pub addresses: BTreeSet<i64>,
    pub wires: BTreeSet<i64>,
    pub lookup_groups: BTreeSet<i64>,
    containers: BTreeSet<i64>,
    ancestors: BTreeSet<i64>,
    executables: BTreeSet<i64>,
}

static LOOKUP_GROUP: LazyLock<String> = LazyLock::new(|| {
    let delete = "DELETE FROM lookup_group WHERE id = ?1
AND NOT EXISTS (SELECT 1 FROM lookup WHERE group_id = ?1)
AND NOT EXISTS (SELECT 1 FROM lookup_daily WHERE group_id = ?1)
RETURNING process_id, qname_id, server_id";
    format!("{delete}, {ACCOUNT_OF_PROCESS}, {}", usage::OF_LOOKUP_GROUP)
});

/// Over the columns of a group.
pub const ACCOUNT_OF_PROCESS: &str =
    "coalesce((SELECT account FROM process WHERE process.id = process_id), 0)";

static PROCESS: LazyLock<String> = LazyLock::new(|| {
    let delete = "DELETE FROM process WHERE id = ?1
AND NOT EXISTS (SELECT 1 FROM connection_group WHERE process_id = ?1)
AND NOT EXISTS (SELECT 1 FROM lookup_group WHERE process_id = ?1)
RETURNING container_id, parent_id, executable_id, account";
    format!("{delete}, {}", usage::OF_PROCESS)
});

const HOST: &str = "\
DELETE FROM host WHERE id = ?1
AND NOT EXISTS (SELECT 1 FROM connection_group WHERE host_id = ?1)
AND NOT EXISTS (SELECT 1 FROM lookup_group WHERE qname_id = ?1)
AND NOT EXISTS (SELECT 1 FROM rival WHERE host_id = ?1)
AND NOT EXISTS (SELECT 1 FROM answer WHERE name_id = ?1)
RETURNING id";

const ADDRESS: &str = "\
DELETE FROM address WHERE id = ?1
AND NOT EXISTS (SELECT 1 FROM connection_group WHERE dst_id = ?1)
AND NOT EXISTS (SELECT 1 FROM connection_group WHERE src_id = ?1)
AND NOT EXISTS (SELECT 1 FROM lookup_group WHERE server_id = ?1)
RETURNING id";

const WIRE: &str = "\
DELETE FROM wire WHERE id = ?1
AND NOT EXISTS (SELECT 1 FROM connection_group WHERE wire_id = ?1)
RETURNING id";

const EXECUTABLE: &str = "\
DELETE FROM executable WHERE id = ?1
AND NOT EXISTS (SELECT 1 FROM process WHERE executable_id = ?1)
RETURNING id";

const CONTAINER: &str = "\
DELETE FROM container WHERE id = ?1
AND NOT EXISTS (SELECT 1 FROM process WHERE container_id = ?1)
AND NOT EXISTS (SELECT 1 FROM container WHERE outer_id = ?1)
RETURNING outer_id";

const ANCESTOR_IS_CHILDLESS: &str = "\
SELECT NOT EXISTS (SELECT 1 FROM process WHERE parent_id = ?1)
AND NOT EXISTS (SELECT 1 FROM lineage WHERE above_id = ?1 AND ancestor_id <> ?1)";

impl OrphanCandidates {
    pub fn merge(&mut self, mut other: OrphanCandidates) {
        self.processes.append(&mut other.processes);
        self.hosts.append(&mut other.hosts);
        self.addresses.append(&mut other.addresses);
        self.wires.append(&mut other.wires);
    }

    /// Removes the candidates without references, and then what only those referred to.
    pub fn remove(mut self, db: &Db, intern: &mut Interner) -> rusqlite::Result<()> {
        let mut removed = OrphanCandidates::default();
        // Each removal makes candidates of later kinds, hence this order.
        while let Some(id) = self.lookup_groups.pop_first() {
            let found = delete(db, &LOOKUP_GROUP, id, |row| {
                intern.usage.add(row.get(3)?, -row.get::<_, i64>(4)?);
                self.processes.extend(row.get::<_, Option<i64>>(0)?);
                self.hosts.extend(row.get::<_, Option<i64>>(1)?);
                self.addresses.extend(row.get::<_, Option<i64>>(2)?);
                Ok(())
            })?;
            removed.lookup_groups.extend(found.then_some(id));
        }
        while let Some(id) = self.processes.pop_first() {
            let found = delete(db, &PROCESS, id, |row| {
                intern.usage.add(row.get(3)?, -row.get::<_, i64>(4)?);
                self.containers.extend(row.get::<_, Option<i64>>(0)?);
                self.ancestors.extend(row.get::<_, Option<i64>>(1)?);
                self.executables.extend(row.get::<_, Option<i64>>(2)?);
                Ok(())
            })?;
            removed.processes.extend(found.then_some(id));
        }
        for (sql, candidates, removed) in [
            (HOST, &self.hosts, &mut removed.hosts),
            (ADDRESS, &self.addresses, &mut removed.addresses),
            (WIRE, &self.wires, &mut removed.wires),
            (EXECUTABLE, &self.executables, &mut removed.executables),
        ] {
            for &id in candidates {
                removed.extend(delete(db, sql, id, |_| Ok(()))?.then_some(id));
            }
        }
        while let Some(id) = self.containers.pop_first() {
            let found = delete(db, CONTAINER, id, |row| {
                self.containers.extend(row.get::<_, Option<i64>>(0)?);
                Ok(())
            })?;
            removed.containers.extend(found.then_some(id));
        }
        while let Some(id) = self.ancestors.pop_first() {
            if let Some(parent) = remove_ancestor(db, id)? {
                removed.ancestors.insert(id);
                self.ancestors.extend(parent);
            }
        }
        intern.lookup_groups.forget(&removed.lookup_groups);
        intern.processes.forget(&removed.processes);
        intern.hosts.forget(&removed.hosts);
        intern.addresses.forget(&removed.addresses);
        intern.wires.forget(&removed.wires);
        intern.executables.forget(&removed.executables);
        intern.containers.forget(&removed.containers);
        intern.ancestors.forget(&removed.ancestors);
        Ok(())
    }
}

/// Removes an ancestor without descendants, and returns its parent; None if it has some.
fn remove_ancestor(db: &Db, id: i64) -> rusqlite::Result<Option<Option<i64>>> {
    let childless: bool = db
        .prepare_cached(ANCESTOR_IS_CHILDLESS)?
        .query_row([id], |row| row.get(0))?;
    if !childless {
        return Ok(None);
    }
    let parent = db
        .prepare_cached("SELECT above_id FROM lineage WHERE ancestor_id = ?1 AND depth = 1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    for sql in [
        "DELETE FROM lineage WHERE ancestor_id = ?1",
        "DELETE FROM ancestor WHERE id = ?1",
    ] {
        db.prepare_cached(sql)?.execute([id])?;
    }
    Ok(Some(parent))
}

/// Runs a DELETE with RETURNING for one row; whether it removed that row.
fn delete(
    db: &Db,
    sql: &str,
    id: i64,
    on_removed: impl FnOnce(&Row<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<bool> {
    let mut statement = db.prepare_cached(sql)?;
    let row = statement.query_row([id], on_removed).optional()?;
    Ok(row.is_some())
}
