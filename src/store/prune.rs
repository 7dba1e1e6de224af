//! Rows that others share go with the last one that refers to them.

use std::collections::BTreeSet;

use rusqlite::{Connection as Db, OptionalExtension, Row};

use super::intern::Interner;

/// Ids of rows that nothing may refer to any more.
#[derive(Debug, Default)]
pub struct Suspects {
    pub processes: BTreeSet<i64>,
    pub hosts: BTreeSet<i64>,
    pub addresses: BTreeSet<i64>,
    pub inquiries: BTreeSet<i64>,
    containers: BTreeSet<i64>,
    ancestors: BTreeSet<i64>,
}

const INQUIRY: &str = "\
DELETE FROM inquiry WHERE id = ?1
AND NOT EXISTS (SELECT 1 FROM lookup WHERE inquiry_id = ?1)
AND NOT EXISTS (SELECT 1 FROM inquiry_day WHERE inquiry_id = ?1)
RETURNING process_id, qname_id, server_id";

const PROCESS: &str = "\
DELETE FROM process WHERE id = ?1
AND NOT EXISTS (SELECT 1 FROM edge WHERE process_id = ?1)
AND NOT EXISTS (SELECT 1 FROM inquiry WHERE process_id = ?1)
RETURNING container_id, parent_id";

const HOST: &str = "\
DELETE FROM host WHERE id = ?1
AND NOT EXISTS (SELECT 1 FROM edge WHERE host_id = ?1)
AND NOT EXISTS (SELECT 1 FROM inquiry WHERE qname_id = ?1)
AND NOT EXISTS (SELECT 1 FROM rival WHERE host_id = ?1)
AND NOT EXISTS (SELECT 1 FROM answer WHERE name_id = ?1)
RETURNING id";

const ADDRESS: &str = "\
DELETE FROM address WHERE id = ?1
AND NOT EXISTS (SELECT 1 FROM edge WHERE dst_id = ?1)
AND NOT EXISTS (SELECT 1 FROM edge WHERE src_id = ?1)
AND NOT EXISTS (SELECT 1 FROM inquiry WHERE server_id = ?1)
RETURNING id";

const CONTAINER: &str = "\
DELETE FROM container WHERE id = ?1
AND NOT EXISTS (SELECT 1 FROM process WHERE container_id = ?1)
AND NOT EXISTS (SELECT 1 FROM container WHERE outer_id = ?1)
RETURNING outer_id";

/// Whether nothing descends from a program any more.
const CHILDLESS: &str = "\
SELECT NOT EXISTS (SELECT 1 FROM process WHERE parent_id = ?1)
AND NOT EXISTS (SELECT 1 FROM lineage WHERE above_id = ?1 AND ancestor_id <> ?1)";

impl Suspects {
    pub fn join(&mut self, mut other: Suspects) {
        self.processes.append(&mut other.processes);
        self.hosts.append(&mut other.hosts);
        self.addresses.append(&mut other.addresses);
    }

    /// Removes those that nothing refers to, and what only they referred to.
    pub fn remove(mut self, db: &Db, intern: &mut Interner) -> rusqlite::Result<()> {
        let mut gone = Suspects::default();
        // What a removed row referred to is suspected next, so those come first.
        while let Some(id) = self.inquiries.pop_first() {
            let found = delete(db, INQUIRY, id, |row| {
                self.processes.extend(row.get::<_, Option<i64>>(0)?);
                self.hosts.extend(row.get::<_, Option<i64>>(1)?);
                self.addresses.extend(row.get::<_, Option<i64>>(2)?);
                Ok(())
            })?;
            gone.inquiries.extend(found.then_some(id));
        }
        while let Some(id) = self.processes.pop_first() {
            let found = delete(db, PROCESS, id, |row| {
                self.containers.extend(row.get::<_, Option<i64>>(0)?);
                self.ancestors.extend(row.get::<_, Option<i64>>(1)?);
                Ok(())
            })?;
            gone.processes.extend(found.then_some(id));
        }
        for (sql, suspected, gone) in [
            (HOST, &self.hosts, &mut gone.hosts),
            (ADDRESS, &self.addresses, &mut gone.addresses),
        ] {
            for &id in suspected {
                gone.extend(delete(db, sql, id, |_| Ok(()))?.then_some(id));
            }
        }
        while let Some(id) = self.containers.pop_first() {
            let found = delete(db, CONTAINER, id, |row| {
                self.containers.extend(row.get::<_, Option<i64>>(0)?);
                Ok(())
            })?;
            gone.containers.extend(found.then_some(id));
        }
        while let Some(id) = self.ancestors.pop_first() {
            let childless: bool = db
                .prepare_cached(CHILDLESS)?
                .query_row([id], |row| row.get(0))?;
            if !childless {
                continue;
            }
            let parent: Option<i64> = db
                .prepare_cached(
                    "SELECT above_id FROM lineage WHERE ancestor_id = ?1 AND depth = 1",
                )?
                .query_row([id], |row| row.get(0))
                .optional()?;
            for sql in [
                "DELETE FROM lineage WHERE ancestor_id = ?1",
                "DELETE FROM ancestor WHERE id = ?1",
            ] {
                db.prepare_cached(sql)?.execute([id])?;
            }
            gone.ancestors.insert(id);
            self.ancestors.extend(parent);
        }
        intern.inquiries.forget(&gone.inquiries);
        intern.processes.forget(&gone.processes);
        intern.hosts.forget(&gone.hosts);
        intern.addresses.forget(&gone.addresses);
        intern.containers.forget(&gone.containers);
        intern.ancestors.forget(&gone.ancestors);
        Ok(())
    }
}

/// Runs a DELETE that returns a row where it removed one.
fn delete(
    db: &Db,
    sql: &str,
    id: i64,
    found: impl FnOnce(&Row<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<bool> {
    let mut statement = db.prepare_cached(sql)?;
    let row = statement.query_row([id], found).optional()?;
    Ok(row.is_some())
}
