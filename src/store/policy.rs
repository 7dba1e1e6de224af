//! Policies and the hits of their rules: writing them, and what the newest recording has.

use std::collections::BTreeMap;

use rusqlite::{Connection as Db, OptionalExtension, Row, Transaction, params};

use crate::model::{
    Action, PolicyChange, PolicyConfirmation, PolicyHits, PolicyRefusal, VerdictRule,
};

/// The newest hits of rules, by generation and number.
#[derive(Default)]
pub struct Hits(BTreeMap<u32, Generation>);

#[derive(Default)]
struct Generation {
    rules: BTreeMap<u16, (u64, i64)>,
    unknown_containers: u32,
}

impl Hits {
    pub fn add(&mut self, hits: &PolicyHits) {
        let of = self.0.entry(hits.generation).or_default();
        of.unknown_containers = hits.unknown_containers;
        for (rule, count) in &hits.hits {
            of.rules.insert(number(*rule), (*count, hits.ts));
        }
    }
}

/// A rule's number in the table.
fn number(rule: VerdictRule) -> u16 {
    match rule {
        VerdictRule::Index(index) => index,
        VerdictRule::Default => u16::MAX,
        VerdictRule::Essential => u16::MAX - 1,
        VerdictRule::SourceRouting => u16::MAX - 2,
        VerdictRule::UnknownContainer => u16::MAX - 3,
        VerdictRule::Sni => u16::MAX - 4,
    }
}

pub fn write(tx: &Transaction, recording: i64, policy: &PolicyChange) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT INTO policy
             (recording_id, ts, generation, reason, digest, file, rules, enforced, revert_ts)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            recording,
            policy.ts,
            policy.generation,
            policy.reason.as_str(),
            &*policy.digest,
            policy.file,
            policy.rules.len() as i64,
            policy.enforced,
            policy.revert_ts,
        ],
    )?;
    let id = tx.last_insert_rowid();
    let mut insert = tx.prepare(
        "INSERT INTO policy_rule (policy_id, n, name, action, observed) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for (index, rule) in (0_u16..).zip(&policy.rules) {
        let action = rule.action.as_str();
        insert.execute(params![id, index, &*rule.label, action, rule.observed])?;
    }
    for setting in VerdictRule::SETTINGS {
        let action = match setting {
            VerdictRule::Default => policy.default,
            VerdictRule::Essential => Action::Allow,
            _ => Action::Block,
        };
        let (n, name) = (number(setting), setting.setting());
        insert.execute(params![id, n, name, action.as_str(), false])?;
    }
    Ok(())
}

pub fn write_refusal(
    tx: &Transaction,
    recording: i64,
    refusal: &PolicyRefusal,
) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT INTO policy (recording_id, ts, reason, file, error) VALUES (?1, ?2, 'refused', ?3, ?4)",
        params![recording, refusal.ts, refusal.file, refusal.error],
    )?;
    Ok(())
}

pub fn write_confirmation(
    tx: &Transaction,
    recording: i64,
    confirmed: &PolicyConfirmation,
) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT INTO policy (recording_id, ts, reason, digest, file)
         VALUES (?1, ?2, 'confirmed', ?3, ?4)",
        params![recording, confirmed.ts, &*confirmed.digest, confirmed.file],
    )?;
    Ok(())
}

pub fn write_hits(tx: &Transaction, recording: i64, hits: &Hits) -> rusqlite::Result<()> {
    for (generation, of) in &hits.0 {
        let mut update = tx.prepare_cached(
            "UPDATE policy_rule SET hits = ?3, last_ts = ?4
             WHERE n = ?5 AND policy_id =
                   (SELECT id FROM policy WHERE recording_id = ?1 AND generation = ?2)",
        )?;
        for (n, (count, ts)) in &of.rules {
            update.execute(params![recording, generation, *count as i64, ts, n])?;
        }
        tx.prepare_cached(
            "UPDATE policy SET unknown_containers = ?3 WHERE recording_id = ?1 AND generation = ?2",
        )?
        .execute(params![recording, generation, of.unknown_containers])?;
    }
    Ok(())
}

/// The policy of the newest recording.
pub struct PolicyStatus {
    pub id: i64,
    /// Since when it decides.
    pub ts: i64,
    pub generation: i64,
    pub digest: String,
    pub file: String,
    pub enforced: bool,
    /// Containers that no runtime has described.
    pub unknown_containers: i64,
    pub rules: Vec<RuleHits>,
    /// Of one that is on trial: when the one before it returns.
    pub revert_ts: Option<i64>,
    /// The file of the one before it.
    pub before: Option<String>,
    /// Id of the last change, or refusal.
    pub last_change: i64,
    /// When its file was read again last, and why it was refused, if it was.
    pub refusal: Option<(i64, String)>,
}

/// A rule, or what decides in place of one, with its hits.
pub struct RuleHits {
    /// In the file, from 1.
    pub number: Option<i64>,
    pub name: String,
    pub action: String,
    /// It is enforced.
    pub enforced: bool,
    pub hits: i64,
    pub last_ts: Option<i64>,
}

impl PolicyStatus {
    /// None if the newest recording has no policy.
    pub fn read(db: &Db) -> rusqlite::Result<Option<PolicyStatus>> {
        let newest = "recording_id = (SELECT max(id) FROM recording)";
        let sql = format!(
            "SELECT id, ts, generation, digest, file, enforced, unknown_containers,
                    CASE WHEN NOT EXISTS (SELECT 1 FROM policy AS later WHERE later.id > p.id
                             AND later.recording_id = p.recording_id
                             AND later.reason = 'confirmed')
                         THEN revert_ts END,
                    (SELECT before.file FROM policy AS before WHERE before.id < p.id
                         AND before.recording_id = p.recording_id AND before.revert_ts IS NULL
                         AND before.generation IS NOT NULL ORDER BY before.id DESC LIMIT 1)
             FROM policy AS p WHERE {newest} AND generation IS NOT NULL
             ORDER BY id DESC LIMIT 1"
        );
        let found = db.query_row(&sql, [], policy_of).optional()?;
        let Some(mut policy) = found else {
            return Ok(None);
        };
        let mut rules = db.prepare(
            "SELECT CASE WHEN n < 65531 THEN n + 1 END, name, action,
                    ?2 AND NOT observed, hits, last_ts
             FROM policy_rule WHERE policy_id = ?1 ORDER BY n",
        )?;
        let rules = rules.query_map(params![policy.id, policy.enforced], rule_of)?;
        policy.rules = rules.collect::<rusqlite::Result<_>>()?;
        // the default first, as it follows the rules
        policy.rules.sort_by_key(|rule| match rule.number {
            Some(number) => (0, number),
            None => (1, i64::from(rule.name != "default")),
        });
        let sql = format!(
            "SELECT ts, error FROM policy WHERE {newest} AND id > ?1 AND error IS NOT NULL
             ORDER BY id DESC LIMIT 1"
        );
        let refusal = db.query_row(&sql, [policy.id], |row| Ok((row.get(0)?, row.get(1)?)));
        policy.refusal = refusal.optional()?;
        let sql = format!("SELECT max(id) FROM policy WHERE {newest}");
        policy.last_change = db.query_row(&sql, [], |row| row.get(0))?;
        Ok(Some(policy))
    }
}

fn policy_of(row: &Row) -> rusqlite::Result<PolicyStatus> {
    Ok(PolicyStatus {
        id: row.get(0)?,
        ts: row.get(1)?,
        generation: row.get(2)?,
        digest: row.get(3)?,
        file: row.get(4)?,
        enforced: row.get(5)?,
        unknown_containers: row.get(6)?,
        rules: Vec::new(),
        revert_ts: row.get(7)?,
        before: row.get(8)?,
        last_change: 0,
        refusal: None,
    })
}

fn rule_of(row: &Row) -> rusqlite::Result<RuleHits> {
    Ok(RuleHits {
        number: row.get(0)?,
        name: row.get(1)?,
        action: row.get(2)?,
        enforced: row.get(3)?,
        hits: row.get(4)?,
        last_ts: row.get(5)?,
    })
}

/// A policy that came into force, was refused or confirmed.
pub struct PolicyOutcome {
    pub id: i64,
    pub reason: String,
    pub file: String,
    pub rules: i64,
    pub enforced: bool,
    /// Of one that is on trial: when the one before it returns.
    pub revert_ts: Option<i64>,
    /// Why it was refused.
    pub error: Option<String>,
}

impl PolicyOutcome {
    /// The first one after another of this recording.
    pub fn after(db: &Db, id: i64) -> rusqlite::Result<Option<PolicyOutcome>> {
        let sql = "SELECT id, reason, file, coalesce(rules, 0), coalesce(enforced, 0), error,
                          revert_ts
                   FROM policy WHERE id > ?1
                     AND recording_id = (SELECT recording_id FROM policy WHERE id = ?1)
                   ORDER BY id LIMIT 1";
        let outcome = db.query_row(sql, [id], |row| {
            Ok(PolicyOutcome {
                id: row.get(0)?,
                reason: row.get(1)?,
                file: row.get(2)?,
                rules: row.get(3)?,
                enforced: row.get(4)?,
                error: row.get(5)?,
                revert_ts: row.get(6)?,
            })
        });
        outcome.optional()
    }
}
