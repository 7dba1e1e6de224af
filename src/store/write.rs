//! Writes a batch, in one transaction with the rollups of its rows.

use std::collections::BTreeSet;

use rusqlite::{
    Connection as Db, OptionalExtension, Statement, Transaction, TransactionBehavior, params,
    params_from_iter,
};

use super::batch::{Batch, Latest};
use super::connection_rollup::{ConnectionRollup, Contribution};
use super::days::DayTable;
use super::intern::{GroupDay, Interner};
use super::lookup_rollup::LookupRollup;
use super::policy;
use super::row::{self, capped};
use super::usage;
use crate::model::{Connection, Gap, Lookup, Run};

/// Cap on [`Writer::open`]: as many as the capture follows.
const MOST_OPEN: usize = 1 << 19;

/// Ids from here on are not egrets'. They must not use up the ids that are left.
const FOREIGN_ID: i64 = 1 << 62;

/// Rows of the table `gap` that are kept apart. A flood that comes and goes makes many.
const MAX_GAPS: i64 = 10_000;
/// How many of them, the oldest, are merged at once.
const MERGED_GAPS: i64 = 2_000;

/// The state that a recording keeps between batches.
pub struct Writer {
    pub recording: i64,
    pub intern: Interner,
    pub connection_rollup: ConnectionRollup,
    lookup_rollup: LookupRollup,
    pub days: DayTable,
    /// The highest ids that were used.
    pub last_connection: i64,
    pub last_lookup: i64,
    /// The connections of this recording that may still transfer data.
    pub open: BTreeSet<i64>,
    /// `last_connection` and `last_lookup` as they are in the file.
    committed: (i64, i64),
}

impl Writer {
    pub fn new(db: &Db, recording: i64) -> rusqlite::Result<Writer> {
        let (last_connection, last_lookup) = db.query_row(
            "SELECT max(coalesce((SELECT max(last_connection) FROM recording WHERE last_connection < ?1), 0),
                        coalesce((SELECT max(id) FROM connection WHERE id < ?1), 0)),
                    max(coalesce((SELECT max(last_lookup) FROM recording WHERE last_lookup < ?1), 0),
                        coalesce((SELECT max(id) FROM lookup WHERE id < ?1), 0))",
            [FOREIGN_ID],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        Ok(Writer {
            recording,
            intern: Interner::new(Run {
                first_connection: last_connection + 1,
                first_lookup: last_lookup + 1,
                boot_ts: 0,
            }),
            connection_rollup: ConnectionRollup::default(),
            lookup_rollup: LookupRollup::default(),
            days: DayTable::default(),
            last_connection,
            last_lookup,
            open: BTreeSet::new(),
            committed: (last_connection, last_lookup),
        })
    }

    pub fn write(&mut self, db: &mut Db, batch: &Batch, now: i64) -> rusqlite::Result<()> {
        // Immediate: a transaction that upgrades from reading to writing does not wait for the
        // lock, and fails at once if another process wrote in between.
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for update in &batch.containers {
            self.intern.container_update(&tx, update)?;
        }
        for update in &batch.executables {
            self.intern.executable_update(&tx, self.recording, update)?;
        }
        self.lookups(&tx, &batch.lookups)?;
        self.connections(&tx, batch)?;
        for (number, outcome) in &batch.actions {
            // unless retention has removed it
            tx.prepare_cached("UPDATE connection SET action_outcome = ?2 WHERE id = ?1")?
                .execute(params![
                    self.intern.run.connection_id(*number),
                    outcome.as_str()
                ])?;
        }
        for change in &batch.policies {
            policy::write(&tx, self.recording, change)?;
        }
        for refusal in &batch.refusals {
            policy::write_refusal(&tx, self.recording, refusal)?;
        }
        for confirmation in &batch.confirmations {
            policy::write_confirmation(&tx, self.recording, confirmation)?;
        }
        policy::write_hits(&tx, self.recording, &batch.hits)?;
        for gap in &batch.gaps {
            write_gap(&tx, self.recording, gap)?;
        }
        if !batch.gaps.is_empty() {
            merge_gaps(&tx)?;
        }
        tx.prepare_cached(
            "UPDATE recording SET seen_ts = ?1, last_connection = ?2, last_lookup = ?3,
                                  counted_ts = coalesce(?5, counted_ts)
             WHERE id = ?4",
        )?
        .execute(params![
            now,
            self.last_connection,
            self.last_lookup,
            self.recording,
            batch.counted_ts
        ])?;
        self.intern.usage.write(&tx)?;
        tx.commit()?;
        self.committed = (self.last_connection, self.last_lookup);
        Ok(())
    }

    /// Call when a transaction has failed: what it wrote is not in the file.
    pub fn forget_unwritten(&mut self) {
        self.intern.forget();
        self.connection_rollup = ConnectionRollup::default();
        self.lookup_rollup = LookupRollup::default();
        self.days.forget();
        (self.last_connection, self.last_lookup) = self.committed;
    }

    fn connections(&mut self, tx: &Transaction, batch: &Batch) -> rusqlite::Result<()> {
        let mut insert = tx.prepare_cached(&row::INSERT_CONNECTION)?;
        for Latest {
            connection: c,
            open,
        } in &batch.connections
        {
            let id = self.intern.run.connection_id(c.number);
            let day = self.days.id(tx, c.ts)?;
            // Ids ascend, so this is the connection's first record.
            let is_new = id > self.last_connection;
            let recording = self.recording;
            let group_day = (self.intern).connection_group(tx, recording, c, day, is_new)?;
            let contribution = Contribution {
                ts: c.ts,
                tx: c.tx_bytes.map(capped),
                rx: c.rx_bytes.map(capped),
            };
            if is_new {
                self.insert(&mut insert, id, c, group_day)?;
                self.write_rivals(tx, id, c)?;
                self.connection_rollup.add(group_day, &contribution);
                self.last_connection = id;
            } else {
                let is_there = self.update(tx, id, c, group_day, &contribution)?;
                if is_there && batch.renamed.contains(&c.number) {
                    // what had named it may be a rival now, and the other way round
                    let removed = tx
                        .prepare_cached("DELETE FROM rival WHERE connection_id = ?1")?
                        .execute([id])?;
                    let account = c.process.account;
                    (self.intern.usage).add(account, -(removed as i64) * usage::RIVAL);
                    self.write_rivals(tx, id, c)?;
                }
            }
            match open {
                true => self.open.insert(id),
                false => self.open.remove(&id),
            };
        }
        // The capture may stop following a connection without reporting its end.
        while self.open.len() > MOST_OPEN {
            self.open.pop_first();
        }
        drop(insert);
        self.connection_rollup.write(tx, &mut self.intern.usage)
    }

    fn insert(
        &mut self,
        insert: &mut Statement<'_>,
        id: i64,
        c: &Connection,
        group_day: GroupDay,
    ) -> rusqlite::Result<()> {
        self.use_lookup(c);
        let context = self.intern.row_context();
        let columns = row::connection_columns().map(|column| column.of_connection(c, &context));
        insert.execute(params_from_iter(
            [id.into(), group_day.daily.into()]
                .into_iter()
                .chain(columns),
        ))?;
        Ok(())
    }

    /// The id of the lookup that names a connection is not to be used for another one.
    fn use_lookup(&mut self, c: &Connection) {
        let lookup = c.name.as_ref().and_then(|n| n.lookup);
        let lookup = lookup.map(|number| self.intern.run.lookup_id(number));
        self.last_lookup = self.last_lookup.max(lookup.unwrap_or_default());
    }

    /// Updates a connection, unless retention has removed it: whether it is there.
    fn update(
        &mut self,
        tx: &Transaction,
        id: i64,
        c: &Connection,
        group_day: GroupDay,
        contribution: &Contribution,
    ) -> rusqlite::Result<bool> {
        let Some((old_group_day, old)) = stored(tx, id)? else {
            return Ok(false);
        };
        self.use_lookup(c);
        let context = self.intern.row_context();
        let columns =
            row::updated_connection_columns().map(|column| column.of_connection(c, &context));
        tx.prepare_cached(&row::UPDATE_CONNECTION)?
            .execute(params_from_iter(
                [id.into(), group_day.daily.into()]
                    .into_iter()
                    .chain(columns),
            ))?;
        if old_group_day == group_day {
            self.connection_rollup
                .replace(group_day, &old, contribution);
        } else {
            self.connection_rollup.remove(old_group_day, &old);
            self.connection_rollup.add(group_day, contribution);
        }
        Ok(true)
    }

    fn write_rivals(&mut self, tx: &Transaction, id: i64, c: &Connection) -> rusqlite::Result<()> {
        for rival in c.name.iter().flat_map(|n| &n.rival_names) {
            let host = self.intern.host(tx, &rival.host)?;
            let lookup = rival.lookup.map(|number| self.intern.run.lookup_id(number));
            self.last_lookup = self.last_lookup.max(lookup.unwrap_or_default());
            let added = tx
                .prepare_cached(
                    "INSERT OR IGNORE INTO rival (connection_id, host_id, lookup_id) VALUES (?1, ?2, ?3)",
                )?
                .execute(params![id, host, lookup])?;
            (self.intern.usage).add(c.process.account, added as i64 * usage::RIVAL);
        }
        Ok(())
    }

    fn lookups(&mut self, tx: &Transaction, batch: &[Lookup]) -> rusqlite::Result<()> {
        for lookup in batch {
            let id = self.intern.run.lookup_id(lookup.number);
            // Another similar message: the row keeps the records of the first one.
            if lookup.times > 1 {
                let updated = tx
                    .prepare_cached("UPDATE lookup SET times = ?1 WHERE id = ?2")?
                    .execute(params![lookup.times as i64, id])?;
                if updated > 0 {
                    continue;
                }
            }
            let group = self.intern.lookup_group(tx, self.recording, lookup)?;
            let day = self.days.id(tx, lookup.ts)?;
            let account = lookup.process.account;
            self.lookup_rollup.add((day, group), account, lookup.ts);
            self.last_lookup = self.last_lookup.max(id);
            tx.prepare_cached(
                "INSERT INTO lookup (id, ts, group_id, latency_us, times) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                id,
                lookup.ts,
                group,
                lookup.latency_us,
                lookup.times as i64,
            ])?;
            for (n, answer) in (1_i64..).zip(&lookup.answers) {
                let mut bytes = usage::ANSWER + answer.data.len() as i64;
                let other_name = match lookup.qname.as_deref() == Some(&*answer.name) {
                    true => None,
                    false => {
                        bytes += usage::NAME * answer.name.len() as i64;
                        Some(self.intern.host(tx, &answer.name)?)
                    }
                };
                self.intern.usage.add(account, bytes);
                tx.prepare_cached(
                    "INSERT INTO answer (lookup_id, n, name_id, type, data, ttl)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![
                    id,
                    n,
                    other_name,
                    answer.rtype,
                    answer.data,
                    answer.ttl
                ])?;
            }
        }
        self.lookup_rollup.write(tx, &mut self.intern.usage)
    }
}

/// The group of a stored connection, and what it contributes to it.
pub fn stored(db: &Db, id: i64) -> rusqlite::Result<Option<(GroupDay, Contribution)>> {
    db.prepare_cached(
        "SELECT d.group_id, d.id, d.account, c.ts, c.tx_bytes, c.rx_bytes
         FROM connection c JOIN connection_daily d ON d.id = c.daily_id WHERE c.id = ?1",
    )?
    .query_row([id], |row| {
        let group_day = GroupDay {
            group: row.get(0)?,
            daily: row.get(1)?,
            account: row.get(2)?,
        };
        let contribution = Contribution {
            ts: row.get(3)?,
            tx: row.get(4)?,
            rx: row.get(5)?,
        };
        Ok((group_day, contribution))
    })
    .optional()
}

/// Writes a gap; ongoing loss extends the row that it began with.
fn write_gap(db: &Db, recording: i64, gap: &Gap) -> rusqlite::Result<()> {
    let extended = db
        .prepare_cached(
            "UPDATE gap SET from_ts = min(from_ts, ?2), to_ts = max(to_ts, ?3), lost = lost + ?5
             WHERE id = (SELECT max(id) FROM gap WHERE recording_id = ?1 AND kind = ?4 AND why = ?6)
               AND to_ts >= ?2",
        )?
        .execute(params![
            recording,
            gap.from_ts,
            gap.to_ts,
            gap.kind.as_str(),
            gap.lost as i64,
            gap.why
        ])?;
    if extended > 0 {
        return Ok(());
    }
    db.prepare_cached(
        "INSERT INTO gap (recording_id, from_ts, to_ts, kind, lost, why)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        recording,
        gap.from_ts,
        gap.to_ts,
        gap.kind.as_str(),
        gap.lost as i64,
        gap.why
    ])?;
    Ok(())
}

/// Merges the oldest gaps when there are too many: one remains per recording, kind and reason.
fn merge_gaps(db: &Db) -> rusqlite::Result<()> {
    let gaps: i64 = db
        .prepare_cached("SELECT count(*) FROM gap")?
        .query_row([], |row| row.get(0))?;
    if gaps <= MAX_GAPS {
        return Ok(());
    }
    db.execute(
        "UPDATE gap SET from_ts = m.from_ts, to_ts = m.to_ts, lost = m.lost
         FROM (SELECT min(id) AS id, min(from_ts) AS from_ts, max(to_ts) AS to_ts,
                      CAST(total(lost) AS INTEGER) AS lost
               FROM (SELECT * FROM gap ORDER BY id LIMIT ?1)
               GROUP BY recording_id, kind, why) m
         WHERE gap.id = m.id",
        [MERGED_GAPS],
    )?;
    db.execute(
        "DELETE FROM gap
         WHERE id IN (SELECT id FROM gap ORDER BY id LIMIT ?1)
           AND id NOT IN (SELECT min(id) FROM (SELECT * FROM gap ORDER BY id LIMIT ?1)
                          GROUP BY recording_id, kind, why)",
        [MERGED_GAPS],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::support;
    use super::MAX_GAPS;
    use crate::model::GapKind;
    use std::rc::Rc;

    use crate::model::builders::connection;
    use crate::model::{
        Executable, ExecutableIdentity, ExecutableUpdate, Gap, Geo, HashStatus, Name, Record,
        Rival, Source, WireName, WireNames,
    };

    #[test]
    fn gaps_that_come_and_go_are_bounded_and_add_up() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = support::open(&dir.path().join("e.db"), 1);
        let all = MAX_GAPS + 500;
        for n in 0..all {
            store.add(&Record::Gap(Gap {
                from_ts: 10 * n,
                to_ts: 10 * n + 1,
                kind: GapKind::Dns,
                lost: 1,
                why: "full",
            }));
            if n % 500 == 499 {
                store.commit(10 * n).unwrap();
            }
        }
        let number = |sql: &str| support::number(&store.db, sql);
        assert!(number("SELECT count(*) FROM gap") <= MAX_GAPS);
        assert_eq!(number("SELECT sum(lost) FROM gap"), all);
        assert_eq!(number("SELECT max(to_ts) FROM gap"), 10 * (all - 1) + 1);
    }

    /// What retention has removed gets no rivals, which would refer to nothing.
    #[test]
    fn late_name_of_a_removed_connection_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = support::open(&dir.path().join("e.db"), 1);
        let mut c = connection("curl");
        store.add(&Record::Opened(c.clone()));
        store.commit(1).unwrap();
        store.db.execute("DELETE FROM connection", []).unwrap();
        c.name = Some(Name {
            host: "sni.test".into(),
            source: Source::Sni,
            age_ms: None,
            lookup: None,
            rivals: 1,
            rival_names: vec![Rival {
                host: "wide.test".into(),
                lookup: None,
            }],
        });
        store.add(&Record::Named(c));
        store.commit(2).unwrap();
        assert_eq!(support::number(&store.db, "SELECT count(*) FROM rival"), 0);
    }

    #[test]
    fn name_that_a_connection_sends_later_replaces_the_one_of_its_row() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.db");
        let mut store = support::open(&path, 1);
        let rival = |host: &str| Rival {
            host: host.into(),
            lookup: Some(7),
        };
        let mut c = connection("curl");
        c.name = Some(Name {
            host: "wide.test".into(),
            source: Source::Netns,
            age_ms: Some(5),
            lookup: Some(7),
            rivals: 1,
            rival_names: vec![rival("sni.test")],
        });
        store.add(&Record::Opened(c.clone()));
        store.commit(1).unwrap();
        c.name = Some(Name {
            host: "sni.test".into(),
            source: Source::Sni,
            age_ms: None,
            lookup: Some(7),
            rivals: 1,
            rival_names: vec![rival("wide.test")],
        });
        c.wire = Some(Rc::new(WireNames {
            sni: Some(WireName::new(b"SNI.test")),
            alpn: Some("h2".into()),
            ..WireNames::default()
        }));
        store.add(&Record::Named(c.clone()));
        store.commit(2).unwrap();
        // and a second one in one batch
        c.number = 2;
        store.add(&Record::Opened(c.clone()));
        store.finish(3).unwrap();
        let rows = support::texts(
            &store.db,
            "SELECT host || ' ' || host_source || ' ' || (host_age_ms IS NULL) || ' ' || sni || ' '
                 || sni_ech || ' ' || alpn || ' ' || (SELECT group_concat(host) FROM rivals WHERE connection_id = id)
             FROM egress",
        );
        assert_eq!(rows, ["sni.test sni 1 sni.test 0 h2 wide.test"; 2]);
        let number = |sql: &str| support::number(&store.db, sql);
        assert_eq!(number("SELECT count(*) FROM wire"), 1);
        assert_eq!(number("SELECT sum(connections) FROM egress_total"), 2);
        assert_eq!(
            number("SELECT connections FROM egress_total WHERE host = 'sni.test'"),
            2
        );
    }

    #[test]
    fn identity_of_an_executable_is_one_row_whether_it_comes_before_its_process_or_after() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = support::open(&dir.path().join("e.db"), 1);
        let executable = |serial| Rc::new(Executable { serial });
        let run = |number, executable: &Rc<Executable>| {
            let mut c = connection("curl");
            let process = Rc::get_mut(&mut c.process).unwrap();
            process.serial = number;
            process.executable = Some(Rc::clone(executable));
            c.number = number;
            Record::Opened(c)
        };
        let known = |executable: &Rc<Executable>, sha256: &str| {
            Record::Executable(ExecutableUpdate {
                executable: Rc::clone(executable),
                identity: Rc::new(ExecutableIdentity {
                    sha256: Some(sha256.into()),
                    modified: Some(true),
                    ..ExecutableIdentity::unknown(HashStatus::Hashed)
                }),
            })
        };
        let (late, early) = (executable(1), executable(2));
        store.add(&run(1, &late));
        store.commit(1).unwrap();
        store.add(&run(2, &late));
        store.add(&known(&early, "e"));
        store.commit(2).unwrap();
        store.add(&known(&late, "l"));
        store.add(&run(3, &early));
        store.finish(3).unwrap();
        let rows = support::texts(
            &store.db,
            "SELECT exe_hash_status || ' ' || exe_sha256 || ' ' || exe_modified FROM egress ORDER BY id",
        );
        assert_eq!(rows, ["hashed l 1", "hashed l 1", "hashed e 1"]);
        let number = |sql: &str| support::number(&store.db, sql);
        assert_eq!(number("SELECT count(*) FROM executable"), 2);
    }

    #[test]
    fn hash_is_written_when_its_rows_id_has_been_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = support::open(&dir.path().join("e.db"), 1);
        let executables = [1, 2].map(|serial| Rc::new(Executable { serial }));
        for (executable, number) in executables.iter().zip(1..) {
            let mut c = connection("curl");
            let process = Rc::get_mut(&mut c.process).unwrap();
            process.serial = number;
            process.executable = Some(Rc::clone(executable));
            c.number = number;
            store.add(&Record::Opened(c));
        }
        store.commit(1).unwrap();
        let hash = |executable: &Rc<Executable>| {
            Record::Executable(ExecutableUpdate {
                executable: Rc::clone(executable),
                identity: Rc::new(ExecutableIdentity {
                    sha256: Some(format!("hash {}", executable.serial)),
                    ..ExecutableIdentity::unknown(HashStatus::Hashed)
                }),
            })
        };
        // As others take its place; and after a commit that failed.
        store.writer.intern.executables = Default::default();
        store.add(&hash(&executables[0]));
        store.commit(2).unwrap();
        store.writer.forget_unwritten();
        store.add(&hash(&executables[1]));
        store.finish(3).unwrap();
        let hashes = support::texts(&store.db, "SELECT exe_sha256 FROM egress ORDER BY id");
        assert_eq!(hashes, ["hash 1", "hash 2"]);
    }

    #[test]
    fn address_has_the_country_and_network_of_the_newest_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = support::open(&dir.path().join("e.db"), 1);
        let mut go = |number, ip: &str, geo: Option<Geo>| {
            let mut c = connection("curl");
            c.number = number;
            c.dst.ip = ip.parse().unwrap();
            c.geo = geo.map(Rc::new);
            store.add(&Record::Opened(c));
            store.commit(number as i64).unwrap();
        };
        let geo = |country: &str, asn| Geo {
            country: Some(country.into()),
            asn,
            as_org: None,
        };
        go(1, "192.0.2.1", None);
        go(2, "192.0.2.1", Some(geo("DE", Some(64500))));
        go(3, "64:ff9b::a00:1", Some(geo("SE", None)));
        go(4, "192.0.2.1", Some(geo("FR", None)));
        // A recording without files changes nothing.
        go(5, "192.0.2.1", None);
        let shown = "coalesce(dst_ipv4, '-') || ' ' || dst_scope || ' ' || dst_country || ' ' || coalesce(dst_asn, '-')";
        let rows = |view| {
            support::texts(
                &store.db,
                &format!("SELECT DISTINCT {shown} FROM {view} ORDER BY 1"),
            )
        };
        for view in ["egress", "egress_total", "egress_daily"] {
            assert_eq!(
                rows(view),
                ["- public FR -", "10.0.0.1 private SE -"],
                "{view}"
            );
        }
    }

    #[test]
    fn ids_at_the_end_of_their_range_leave_room_for_new_rows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.db");
        let mut store = support::open(&path, 1);
        store.add(&Record::Opened(connection("curl")));
        store.finish(2).unwrap();
        store
            .db
            .execute_batch(
                "UPDATE recording SET last_connection = 9223372036854775807,
                                      last_lookup = 9223372036854775807;
                 UPDATE connection SET id = 9223372036854775807",
            )
            .unwrap();
        drop(store);
        let mut store = support::open(&path, 3);
        store.retention.bytes = Some(1 << 30);
        store.add(&Record::Opened(connection("curl")));
        store.commit(4).unwrap();
        let rows = support::number(&store.db, "SELECT count(*) FROM egress");
        assert_eq!(rows, 2);
    }

    #[test]
    fn ongoing_loss_is_one_row() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = support::open(&dir.path().join("e.db"), 1);
        let mut lose = |from_ts, to_ts, kind, lost, why| {
            store.add(&Record::Gap(Gap {
                from_ts,
                to_ts,
                kind,
                lost,
                why,
            }));
            store.commit(to_ts).unwrap();
        };
        for (from, to, kind, lost) in [
            (10, 20, GapKind::Dns, 1),
            (10, 20, GapKind::Exec, 2),
            (20, 30, GapKind::Dns, 4),
            (31, 40, GapKind::Dns, 8),
            (40, 50, GapKind::Dns, 16),
        ] {
            lose(from, to, kind, lost, "full");
        }
        lose(50, 60, GapKind::Dns, 32, "slow");
        let rows = support::texts(
            &store.db,
            "SELECT concat_ws(' ', from_ts, to_ts, kind, lost, why) FROM gap ORDER BY id",
        );
        assert_eq!(
            rows,
            [
                "10 30 dns 5 full",
                "10 20 exec 2 full",
                "31 50 dns 24 full",
                "50 60 dns 32 slow"
            ]
        );
    }
}
