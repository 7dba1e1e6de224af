//! What is known of a line that was chosen.

use std::collections::BTreeSet;

use anyhow::Result;
use chrono::Local;
use rusqlite::{Connection as Db, OptionalExtension, params};

use super::lines::Key;
use super::traffic::{ProgramEntry, Traffic};
use crate::query::Explanation;
use crate::text::{clip, printable};
use crate::{human, when};

/// Ancestors that are shown.
const MOST_ANCESTORS: usize = 12;
/// Columns of a value that are shown: a command line may be long.
const VALUE: usize = 300;

/// What the history knows of this beside its connections.
///
/// # Errors
///
/// SQLite's.
pub fn facts(db: &Db, traffic: &Traffic, key: &Key) -> Result<Vec<String>> {
    match key {
        Key::Connection(id) => connection(db, *id),
        Key::Program(id) => match traffic.programs.get(id) {
            Some(entry) => {
                let flows = traffic.flows.values().filter(|flow| flow.program == *id);
                let pids = flows.flat_map(|flow| flow.pids.iter().copied()).collect();
                program(db, entry, &pids)
            }
            None => Ok(Vec::new()),
        },
        Key::Host(host) => peer(db, host),
        Key::Container(Some(id)) => {
            let of_it = |entry: &&ProgramEntry| {
                let container = entry.program.container.as_ref();
                container.is_some_and(|c| c.id == *id)
            };
            match traffic.programs.values().find(of_it) {
                Some(entry) => container(db, id, entry.example),
                None => Ok(Vec::new()),
            }
        }
        Key::Container(None) => Ok(vec!["processes outside of containers".to_owned()]),
        Key::Resolvers => Ok(vec![
            "connections to the ports of DNS servers: 53, 853, 5353, 5355".to_owned(),
        ]),
    }
}

fn line(name: &str, value: &str) -> String {
    format!("{name:12} {}", clip(&printable(value), VALUE))
}

fn connection(db: &Db, id: i64) -> Result<Vec<String>> {
    let Some(explanation) = Explanation::read(db, id)? else {
        return Ok(vec![format!("connection {id} is no longer in the history")]);
    };
    let mut out = Vec::new();
    explanation.text(&Local::now(), &mut out)?;
    Ok(String::from_utf8_lossy(&out)
        .lines()
        .map(str::to_owned)
        .collect())
}

fn program(db: &Db, entry: &ProgramEntry, pids: &BTreeSet<u32>) -> Result<Vec<String>> {
    let sql = "SELECT process_id, cmdline, unit, cgroup, start_ts, container_name, container_image
               FROM egress WHERE id = ?1";
    let of = |column: usize| move |row: &rusqlite::Row<'_>| row.get::<_, Option<String>>(column);
    let found = db
        .prepare_cached(sql)?
        .query_row([entry.example], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                [
                    of(1)(row)?,
                    of(2)(row)?,
                    of(3)(row)?,
                    of(5)(row)?,
                    of(6)(row)?,
                ],
                row.get::<_, i64>(4)?,
            ))
        })
        .optional()?;
    let program = &entry.program;
    let mut facts = vec![line(
        "program",
        program.exe.as_deref().unwrap_or(&program.comm),
    )];
    facts.push(line("user", &program.user));
    let pids = pids.iter().map(u32::to_string).collect::<Vec<_>>();
    facts.push(line("pids", &pids.join(" ")));
    let Some((process_id, [cmdline, unit, cgroup, container, image], start_ts)) = found else {
        return Ok(facts);
    };
    for (name, value) in [
        ("arguments", cmdline),
        ("unit", unit),
        ("cgroup", cgroup),
        ("container", container),
        ("image", image),
    ] {
        facts.extend(value.map(|value| line(name, &value)));
    }
    facts.push(line("started", &ago(start_ts)));
    let sql = "SELECT pid, comm, exe, cmdline FROM ancestors WHERE process_id = ?1 ORDER BY depth";
    let mut statement = db.prepare_cached(sql)?;
    let ancestors = statement.query_map([process_id], |row| {
        let said = row.get::<_, Option<String>>(3)?.or(row.get(2)?);
        let (pid, comm): (u32, String) = (row.get(0)?, row.get(1)?);
        Ok(format!("{pid} {}", said.unwrap_or(comm)))
    })?;
    let mut name = "started by";
    for ancestor in ancestors.take(MOST_ANCESTORS) {
        facts.push(line(name, &ancestor?));
        name = "";
    }
    Ok(facts)
}

/// A name, or the address of what has none.
fn peer(db: &Db, host: &str) -> Result<Vec<String>> {
    let address = host.parse().ok().map(crate::model::mapped);
    let condition = match address {
        Some(_) => "dst_addr = ?1 AND host IS NULL",
        None => "host = ?1",
    };
    let sql = format!(
        "SELECT count(DISTINCT process_id), sum(connections), min(first_ts), group_concat(DISTINCT host_source)
         FROM egress_total WHERE {condition}"
    );
    let read = |row: &rusqlite::Row<'_>| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, Option<i64>>(1)?,
            row.get::<_, Option<i64>>(2)?,
            row.get::<_, Option<String>>(3)?,
        ))
    };
    let mut statement = db.prepare_cached(&sql)?;
    let (processes, connections, first, sources) = match address {
        Some(address) => statement.query_row(params![address], read)?,
        None => statement.query_row(params![host], read)?,
    };
    let mut facts = vec![line(
        if address.is_some() { "address" } else { "host" },
        host,
    )];
    if let (Some(connections), Some(first)) = (connections, first) {
        let connections = human::count(connections, "connection", "connections");
        let processes = human::count(processes, "process", "processes");
        facts.push(line(
            "in all",
            &format!("{connections} of {processes} in this history"),
        ));
        facts.push(line("first seen", &ago(first)));
    }
    match sources {
        Some(sources) => facts.push(line("name from", &sources.replace(',', ", "))),
        None if address.is_some() => facts.push(line("name", "none was looked up")),
        None => {}
    }
    Ok(facts)
}

/// A container, of which this connection is.
fn container(db: &Db, id: &str, example: i64) -> Result<Vec<String>> {
    let sql = "SELECT container_name, container_image, container_runtime, container_hostname, container_ip,
                      pod_namespace || '/' || pod
               FROM egress WHERE id = ?1";
    let mut facts = vec![line("id", id)];
    let found = db.prepare_cached(sql)?.query_row([example], |row| {
        let mut facts = Vec::new();
        for (n, name) in ["name", "image", "runtime", "hostname", "address", "pod"]
            .iter()
            .enumerate()
        {
            let value = row.get::<_, Option<String>>(n)?;
            facts.extend(value.map(|value| line(name, &value)));
        }
        Ok(facts)
    });
    facts.extend(found.optional()?.unwrap_or_default());
    Ok(facts)
}

/// A time of the history, and how long ago that is.
fn ago(ts: i64) -> String {
    use chrono::TimeZone;
    let time = Local.timestamp_nanos(ts).format("%Y-%m-%d %H:%M:%S");
    let age = when::now_ts().saturating_sub(ts).max(0) / 1000;
    format!("{time}, {} ago", human::duration(age))
}
