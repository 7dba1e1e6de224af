//! A history as a policy sees it: processes and destinations, and how many connections they had.
//! Only the public views are read (docs/schema.md).

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use anyhow::Result;
use hashlink::LruCache;
use rusqlite::{Connection, Row, Statement};

use crate::model::Protocol;

use super::facts::{Container, Destination, Details, Evidence, HostName, Said, Subject};

/// Processes whose facts are kept.
const MAX_SUBJECTS: usize = 10_000;

/// What all parts select, in this order.
const COLUMNS: &str = "process_id, protocol, dst_ip, dst_port, host, host_source, \
    pid, comm, exe, uid, user, unit, container_id, container_name, container_image, pod, \
    pod_namespace, cgroup, netns, exe_view, exe_deleted";

/// The server that a connection asked for, none of a proxy, and whether it sent anything.
const SAID: &str = "CASE WHEN proxied_host IS NULL THEN coalesce(sni, http_host) END, \
    coalesce(tx_bytes, 0) > 0";

/// The index of the first column after those.
const NEXT: usize = 21;

/// Connections from the same process to the same destination.
#[derive(Debug)]
pub struct Traffic {
    pub process: Rc<Process>,
    pub to: Destination,
    /// Negative takes back what was counted before: where the totals did not say enough, single
    /// connections are counted anew.
    pub connections: i64,
    /// Of one of them, ns since 1970.
    pub ts: i64,
}

/// A process between two changes of its identity.
#[derive(Debug)]
pub struct Process {
    pub id: i64,
    pub pid: i64,
    pub subject: Subject,
}

/// What is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading {
    /// Inclusive start and exclusive end, ns since 1970.
    pub since: Option<i64>,
    pub until: Option<i64>,
    /// The executables of what started each process.
    pub ancestors: bool,
    /// All names that an address had, not only the one that the history gives it.
    pub rivals: bool,
    /// What the connections said themselves, which takes each of them, and not totals.
    pub said: bool,
}

/// Hands over the connections of a history: the recorder's totals where they say all that
/// matters, else single connections. Flows that began from outside are left out.
///
/// # Errors
///
/// SQLite's, and those of `each`.
pub fn read(
    db: &Connection,
    reading: Reading,
    each: &mut dyn FnMut(&Traffic) -> Result<()>,
) -> Result<()> {
    // one snapshot, so that totals and rows are of the same connections
    let db = db.unchecked_transaction()?;
    let mut reader = Reader::new(&db, reading)?;
    for part in parts(&db, reading)? {
        reader.part(&part, each)?;
    }
    reader.corrections(each)
}

/// A single connection, with all names that its address had.
///
/// # Errors
///
/// SQLite's.
pub fn read_one(db: &Connection, id: i64) -> Result<Option<Traffic>> {
    let reading = Reading {
        ancestors: true,
        rivals: true,
        said: true,
        ..Reading::default()
    };
    let mut reader = Reader::new(db, reading)?;
    let sql = format!("SELECT {COLUMNS}, 1, ts, {SAID} FROM egress WHERE id = ?1");
    let mut statement = db.prepare(&sql)?;
    let mut rows = statement.query([id])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let mut traffic = reader.traffic(row)?;
    reader.add_rivals(id, &mut traffic.to)?;
    Ok(Some(traffic))
}

/// Queries of a process for a name.
#[derive(Debug)]
pub struct Queries {
    pub process: Rc<Process>,
    pub server: IpAddr,
    pub name: String,
    pub lookups: i64,
}

/// Hands over the queries of a history to servers at port 53, from the totals of whole days and
/// from single lookups.
///
/// # Errors
///
/// SQLite's.
pub fn read_queries(
    db: &Connection,
    reading: Reading,
    each: &mut dyn FnMut(&Queries),
) -> Result<()> {
    let mut reader = Reader::new(db, reading)?;
    // A query is a flow, too, so totals of connections have its process.
    let sql = format!("SELECT {COLUMNS} FROM egress_total WHERE process_id = ?1 LIMIT 1");
    let mut process = db.prepare(&sql)?;
    for part in parts(db, reading)? {
        let (from, count) = match part.from {
            "egress_total" => ("lookups_total", "lookups"),
            "egress_daily" => ("lookups_daily", "lookups"),
            _ => ("lookups", "1"),
        };
        let sql = format!(
            "SELECT process_id, server_ip, qname, {count} FROM {from}
             WHERE server_port = 53 AND qname IS NOT NULL AND process_id IS NOT NULL
               AND status IN ('answered', 'unanswered', 'unsent') AND {}",
            part.condition
        );
        let mut statement = db.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let server = row.get_ref(1)?.as_str_or_null()?;
            let Some(server) = server.and_then(|ip| ip.parse().ok()) else {
                continue;
            };
            let mut found = process.query([row.get::<_, i64>(0)?])?;
            let Some(of) = found.next()? else {
                continue;
            };
            each(&Queries {
                process: reader.process(of)?,
                server,
                name: row.get(2)?,
                lookups: row.get(3)?,
            });
        }
    }
    Ok(())
}

/// Hands over single connections whose name came from another process' lookup and had outlived
/// its answer: more milliseconds old than the answer's records were to live.
///
/// # Errors
///
/// SQLite's.
pub fn read_expired(
    db: &Connection,
    reading: Reading,
    each: &mut dyn FnMut(&Traffic),
) -> Result<()> {
    let mut reader = Reader::new(db, reading)?;
    let span = rows_within(reading, None, None);
    // the records of answers that retention has removed are unknown: their names count as expired
    let sql = format!(
        "SELECT {COLUMNS}, 1, ts, NULL, 0 FROM egress
         WHERE likelihood(host_age_ms > 0, 0.00001) AND host_source <> 'process'
           AND direction <> 'in' AND {span}
           AND host_age_ms > 1000 * coalesce((SELECT min(ttl) FROM dns WHERE dns.id = lookup_id), 0)"
    );
    let mut statement = db.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        each(&reader.traffic(row)?);
    }
    Ok(())
}

/// A view with its count and time, and which of its rows.
struct Part {
    from: &'static str,
    totals: &'static str,
    condition: String,
}

const ROWS: (&str, &str) = ("egress", "1, ts");
const TOTALS: &str = "connections, last_ts";

/// The days within the span.
fn whole_days(reading: Reading) -> String {
    let from = reading.since.map(|since| format!("day_ts >= {since}"));
    let to = reading.until.map(|until| format!("day_end_ts <= {until}"));
    all_of(from.into_iter().chain(to))
}

/// The rows within the span, and from `since` until `until`.
fn rows_within(reading: Reading, since: Option<i64>, until: Option<i64>) -> String {
    let from = reading.since.max(since);
    let to = match (reading.until, until) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    let from = from.map(|from| rare(&format!("ts >= {from}"), 0.001));
    let to = to.map(|to| rare(&format!("ts < {to}"), 0.001));
    all_of(from.into_iter().chain(to))
}

/// Has SQLite start from what meets a condition, instead of from the processes.
fn rare(condition: &str, likelihood: f64) -> String {
    format!("likelihood({condition}, {likelihood})")
}

fn all_of(conditions: impl Iterator<Item = String>) -> String {
    let conditions: Vec<String> = conditions.collect();
    match conditions.is_empty() {
        true => "1".to_owned(),
        false => conditions.join(" AND "),
    }
}

/// The totals of whole days, and the rows of those that the span cuts.
fn parts(db: &Connection, reading: Reading) -> Result<Vec<Part>> {
    if reading.said {
        let (from, totals) = ROWS;
        return Ok(vec![Part {
            from,
            totals,
            condition: rows_within(reading, None, None),
        }]);
    }
    if reading.since.is_none() && reading.until.is_none() {
        return Ok(vec![Part {
            from: "egress_total",
            totals: TOTALS,
            condition: "1".to_owned(),
        }]);
    }
    let mut parts = vec![Part {
        from: "egress_daily",
        totals: TOTALS,
        condition: whole_days(reading),
    }];
    let mut cut = Vec::new();
    for time in [reading.since, reading.until].into_iter().flatten() {
        let sql = "SELECT start_ts, end_ts FROM days WHERE start_ts < ?1 AND end_ts > ?1";
        let mut statement = db.prepare(sql)?;
        let days = statement.query_map([time], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for day in days {
            let day: (i64, i64) = day?;
            if !cut.contains(&day) {
                cut.push(day);
            }
        }
    }
    let (from, totals) = ROWS;
    parts.extend(cut.into_iter().map(|(start, end)| Part {
        from,
        totals,
        condition: rows_within(reading, Some(start), Some(end)),
    }));
    Ok(parts)
}

struct Reader<'a> {
    db: &'a Connection,
    reading: Reading,
    protocols: HashMap<&'static str, Protocol>,
    processes: LruCache<i64, Rc<Process>>,
    ancestors: Statement<'a>,
    rivals: Statement<'a>,
    host_netns: Option<i64>,
}

impl<'a> Reader<'a> {
    fn new(db: &'a Connection, reading: Reading) -> Result<Reader<'a>> {
        let numbers = (0..=255).map(Protocol::of).chain([Protocol::Packet]);
        Ok(Reader {
            db,
            reading,
            protocols: numbers
                .map(|protocol| (protocol.as_str(), protocol))
                .collect(),
            processes: LruCache::new(MAX_SUBJECTS),
            ancestors: db.prepare(
                "SELECT DISTINCT exe FROM ancestors WHERE process_id = ?1 AND exe IS NOT NULL",
            )?,
            // the kernel side knows the server name of a connection only if it was looked up, too
            rivals: db.prepare(
                "SELECT host FROM rivals WHERE connection_id = ?1
                 UNION SELECT host FROM egress
                 WHERE id = ?1 AND host_source = 'sni' AND lookup_id IS NOT NULL",
            )?,
            host_netns: host_netns(db)?,
        })
    }

    fn part(&mut self, part: &Part, each: &mut dyn FnMut(&Traffic) -> Result<()>) -> Result<()> {
        let Part {
            from,
            totals,
            condition,
        } = part;
        let said = if self.reading.said { SAID } else { "NULL, 0" };
        let sql = format!(
            "SELECT {COLUMNS}, {totals}, {said} FROM {from}
             WHERE {condition} AND direction <> 'in'"
        );
        let db = self.db;
        let mut statement = db.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            each(&self.traffic(row)?)?;
        }
        Ok(())
    }

    fn traffic(&mut self, row: &Row) -> Result<Traffic> {
        Ok(Traffic {
            process: self.process(row)?,
            to: self.destination(row)?,
            connections: row.get(NEXT)?,
            ts: row.get(NEXT + 1)?,
        })
    }

    /// Counts anew the connections about which totals do not say enough.
    fn corrections(&mut self, each: &mut dyn FnMut(&Traffic) -> Result<()>) -> Result<()> {
        if !self.reading.rivals {
            return Ok(());
        }
        let span = rows_within(self.reading, None, None);
        let few = rare("host_rivals > 0", 0.00001);
        let sql = format!(
            "SELECT {COLUMNS}, id, ts, {SAID} FROM egress WHERE {few} AND direction <> 'in' AND {span}"
        );
        let db = self.db;
        let mut statement = db.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let mut traffic = Traffic {
                connections: -1,
                ..self.traffic(row)?
            };
            each(&traffic)?;
            self.add_rivals(row.get(NEXT)?, &mut traffic.to)?;
            traffic.connections = 1;
            each(&traffic)?;
        }
        Ok(())
    }

    fn add_rivals(&mut self, connection: i64, to: &mut Destination) -> Result<()> {
        let evidence = to
            .names
            .first()
            .map_or(Evidence::Shared, |name| name.evidence);
        let mut rows = self.rivals.query([connection])?;
        while let Some(row) = rows.next()? {
            let name = row.get(0)?;
            to.names.push(HostName { name, evidence });
        }
        Ok(())
    }

    fn destination(&self, row: &Row) -> Result<Destination> {
        let protocol = row.get_ref(1)?.as_str()?;
        let protocol = self.protocols.get(protocol).copied();
        let ip = row.get_ref(2)?.as_str_or_null()?;
        let name = row.get_ref(4)?.as_str_or_null()?;
        let source = row.get_ref(5)?.as_str_or_null()?;
        Ok(Destination {
            ip: ip.and_then(|ip| ip.parse::<IpAddr>().ok()),
            port: row.get(3)?,
            protocol: protocol.unwrap_or(Protocol::Ip(u8::MAX)),
            names: name
                .filter(|_| source != Some("sni"))
                .map(|name| HostName {
                    name: name.to_owned(),
                    evidence: evidence(source),
                })
                .into_iter()
                .collect(),
            said: self.said(row)?,
        })
    }

    fn said(&self, row: &Row) -> Result<Said> {
        Ok(
            match (row.get_ref(NEXT + 2)?.as_str_or_null()?, self.reading.said) {
                (_, false) => Said::NotYet,
                (Some(name), _) => Said::Name(name.to_owned()),
                (None, _) if row.get(NEXT + 3)? => Said::Nothing,
                (None, _) => Said::NotYet,
            },
        )
    }

    fn process(&mut self, row: &Row) -> Result<Rc<Process>> {
        let id: i64 = row.get(0)?;
        if let Some(process) = self.processes.get(&id) {
            return Ok(process.clone());
        }
        let mut subject = subject(row, self.host_netns)?;
        if self.reading.ancestors {
            let exes = self.ancestors.query_map([id], |row| row.get(0))?;
            subject.ancestors = exes.collect::<Result<_, _>>()?;
        }
        let process = Rc::new(Process {
            id,
            pid: row.get(6)?,
            subject,
        });
        self.processes.insert(id, process.clone());
        Ok(process)
    }
}

/// The network namespace in which the programs of the host's own mount namespace connect: the
/// history does not say which one is the host's.
fn host_netns(db: &Connection) -> Result<Option<i64>> {
    let sql = "SELECT netns FROM egress_total
               WHERE exe_view = 'host' AND container_id IS NULL AND netns IS NOT NULL
               GROUP BY netns ORDER BY sum(connections) DESC LIMIT 1";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([])?;
    Ok(match rows.next()? {
        Some(row) => Some(row.get(0)?),
        None => None,
    })
}

fn evidence(source: Option<&str>) -> Evidence {
    match source {
        Some("process") => Evidence::Own,
        Some("ancestor" | "container") => Evidence::Related,
        _ => Evidence::Shared,
    }
}

fn subject(row: &Row, host_netns: Option<i64>) -> Result<Subject> {
    let container: Option<String> = row.get(12)?;
    let details = Details {
        name: row.get(13)?,
        id: container.clone(),
        image: row.get(14)?,
        pod: row.get(15)?,
        namespace: row.get(16)?,
    };
    let is_described = details.name.is_some() || details.image.is_some() || details.pod.is_some();
    let netns: Option<i64> = row.get(18)?;
    let view: Option<String> = row.get(19)?;
    let deleted: Option<bool> = row.get(20)?;
    let of_system = matches!(view.as_deref(), Some("host" | "namespace"));
    let exe: Option<String> = row.get(8)?;
    let comm: Option<String> = row.get(7)?;
    let uid: Option<u32> = row.get(9)?;
    Ok(Subject {
        exe_is_trusted: of_system && deleted != Some(true),
        host: container.is_none()
            && of_system
            && (host_netns.is_none() || netns.is_none() || netns == host_netns),
        kernel: Subject::is_kernels(exe.as_deref(), uid, comm.as_deref()),
        container: match container {
            None => Container::None,
            Some(_) if is_described => Container::Known(details),
            Some(_) => Container::Unknown,
        },
        exe,
        comm,
        uid,
        user: row.get(10)?,
        unit: row.get(11)?,
        cgroup: row.get(17)?,
        tree: false,
        ancestors: Vec::new(),
    })
}
