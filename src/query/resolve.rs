//! Names in a question against the names in the history: what a bare name is the name of, and
//! what the history never saw.

use anyhow::Result;
use rusqlite::Connection;

use super::ast::{Actors, Predicate, Projection, Question, Relation, Subject};
use super::host::Host;
use super::reading;
use super::sql;
use crate::text::printable;

/// Most names that are looked at for the nearest.
const MOST_NAMES: i64 = 20_000;

/// A question whose names are those of the history.
#[derive(Debug)]
pub struct Resolved {
    pub question: Question,
    /// How names were read, where that is not what they say.
    pub readings: Vec<String>,
    /// Names that the history has never seen.
    pub unknown: Vec<String>,
}

/// Looks up the names of a question. Reads only rollups and ancestors.
///
/// # Errors
///
/// SQLite's; and two subjects that can't both be meant.
pub fn resolve(db: &Connection, question: &Question) -> Result<Resolved> {
    let mut resolved = Resolver {
        db,
        relation: question.relation,
        has_host: question.predicates.iter().any(is_host),
        readings: Vec::new(),
        unknown: Vec::new(),
    };
    let mut question = question.clone();
    for predicates in [
        &mut question.predicates,
        &mut question.also,
        &mut question.never,
    ] {
        for predicate in predicates {
            resolved.predicate(predicate)?;
        }
    }
    // "bad.example" alone: who hit it, and not what it talked to.
    if question.bare {
        let host = question.predicates.iter().any(is_host);
        question.projection = match host {
            true => Projection::Actors(Actors::Processes),
            false => Projection::Destinations,
        };
    }
    refuse_two_subjects(&question)?;
    Ok(Resolved {
        question,
        readings: resolved.readings,
        unknown: resolved.unknown,
    })
}

fn is_host(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::To(_) => true,
        Predicate::Any(all) => all.iter().any(is_host),
        _ => false,
    }
}

/// A connection has one process: two that must both hold find nothing.
fn refuse_two_subjects(question: &Question) -> Result<()> {
    let processes = question.predicates.iter().filter_map(|p| match p {
        Predicate::By(Subject::Process(name)) => Some(name),
        _ => None,
    });
    let mut names = Vec::from_iter(processes);
    names.dedup();
    if let [first, second, ..] = names[..] {
        let (first, second) = (printable(first), printable(second));
        anyhow::bail!(
            "this question names two processes, {first} and {second}, and a connection has one: \
             ask \"{first} or {second}\" for either"
        );
    }
    Ok(())
}

struct Resolver<'a> {
    db: &'a Connection,
    relation: Relation,
    has_host: bool,
    readings: Vec<String>,
    unknown: Vec<String>,
}

impl Resolver<'_> {
    fn predicate(&mut self, predicate: &mut Predicate) -> Result<()> {
        match predicate {
            Predicate::Not(of) => self.predicate(of),
            Predicate::Any(all) | Predicate::All(all) => {
                all.iter_mut().try_for_each(|one| self.predicate(one))
            }
            Predicate::By(Subject::Process(name)) => {
                let name = name.clone();
                self.process(&name, predicate)
            }
            Predicate::By(subject) => {
                let subject = subject.clone();
                self.subject(&subject)
            }
            Predicate::To(host) => {
                let host = host.clone();
                self.host(&host, predicate)
            }
            Predicate::SourceAddress(host) => {
                let host = host.clone();
                self.source(&host, predicate)
            }
            _ => Ok(()),
        }
    }

    /// A name without a noun: a process, or else whatever has that name.
    fn process(&mut self, name: &str, predicate: &mut Predicate) -> Result<()> {
        if self.exists(predicate)? || self.exists_in_other(predicate)? {
            return Ok(());
        }
        let of = |kind: fn(String) -> Subject| Predicate::By(kind(name.to_owned()));
        let others = [
            of(Subject::User),
            of(Subject::Container),
            of(Subject::Unit),
            of(Subject::Pod),
            of(Subject::Image),
            of(Subject::Namespace),
            of(Subject::BelowProcess),
        ];
        for other in others {
            if self.exists(&other)? {
                self.read(name, predicate, other);
                return Ok(());
            }
        }
        if !self.has_host
            && let Ok(host) = Host::parse(name, false)
        {
            let to = Predicate::To(host);
            if self.exists(&to)? {
                self.has_host = true;
                self.read(name, predicate, to);
                return Ok(());
            }
        }
        let known = self.names("SELECT DISTINCT comm FROM egress_total WHERE comm IS NOT NULL UNION SELECT comm FROM lookups_total WHERE comm IS NOT NULL LIMIT ?1")?;
        self.never_seen("process", name, &known);
        Ok(())
    }

    fn read(&mut self, name: &str, predicate: &mut Predicate, other: Predicate) {
        let what = match &other {
            Predicate::By(subject) => reading::subject(subject),
            other => reading::predicate(other),
        };
        self.readings.push(format!(
            "no process {} made a connection: read as {what}",
            printable(name)
        ));
        *predicate = other;
    }

    fn subject(&mut self, subject: &Subject) -> Result<()> {
        let (kind, name, sql) = match subject {
            Subject::User(name) => (
                "user",
                name,
                "SELECT DISTINCT user FROM egress_total WHERE user IS NOT NULL LIMIT ?1",
            ),
            Subject::Container(name) => (
                "container",
                name,
                "SELECT DISTINCT container_name FROM egress_total WHERE container_name IS NOT NULL LIMIT ?1",
            ),
            Subject::Unit(name) => (
                "unit",
                name,
                "SELECT DISTINCT unit FROM egress_total WHERE unit IS NOT NULL LIMIT ?1",
            ),
            Subject::Image(name) => (
                "image",
                name,
                "SELECT DISTINCT container_image FROM egress_total WHERE container_image IS NOT NULL LIMIT ?1",
            ),
            Subject::Pod(name) => (
                "pod",
                name,
                "SELECT DISTINCT pod FROM egress_total WHERE pod IS NOT NULL LIMIT ?1",
            ),
            Subject::Namespace(name) => (
                "namespace",
                name,
                "SELECT DISTINCT pod_namespace FROM egress_total WHERE pod_namespace IS NOT NULL LIMIT ?1",
            ),
            Subject::Pid(pid) => {
                if !self.exists(&Predicate::By(subject.clone()))? {
                    self.unknown
                        .push(format!("this history has no traffic of pid {pid}"));
                }
                return Ok(());
            }
            Subject::BelowProcess(name) => return self.ancestor(subject, name),
            Subject::Tree(of) => match &**of {
                Subject::Process(name) => return self.ancestor(subject, name),
                _ => return Ok(()),
            },
            _ => return Ok(()),
        };
        if !self.exists(&Predicate::By(subject.clone()))? {
            let known = self.names(sql)?;
            self.never_seen(kind, name, &known);
        }
        Ok(())
    }

    /// Descendants of a process that has none, or never was.
    fn ancestor(&mut self, subject: &Subject, name: &str) -> Result<()> {
        if !self.exists(&Predicate::By(subject.clone()))? {
            let known =
                self.names("SELECT DISTINCT comm FROM ancestors WHERE comm IS NOT NULL LIMIT ?1")?;
            self.never_seen("traffic below process", name, &known);
        }
        Ok(())
    }

    /// A name that no connection and no lookup has: as the first labels of a longer one, as a
    /// label, or unknown.
    fn host(&mut self, host: &Host, predicate: &mut Predicate) -> Result<()> {
        if let Host::Begins(part)
        | Host::Ends(part)
        | Host::Contains(part)
        | Host::Subdomains(part) = host
        {
            if !self.exists(predicate)? && !self.exists_in_other(predicate)? {
                let shown = printable(part);
                self.unknown
                    .push(format!("this history has no host with {shown} there"));
            }
            return Ok(());
        }
        let (Host::Domain(name) | Host::Exact(name)) = host else {
            return Ok(());
        };
        if self.exists(predicate)? || self.exists_in_other(predicate)? {
            return Ok(());
        }
        let shown = printable(name).into_owned();
        let longer = Predicate::To(Host::Begins(format!("{name}.")));
        let label = Predicate::To(Host::Label(name.clone()));
        let candidates = match name.contains('.') {
            true => vec![longer],
            false => vec![longer, label],
        };
        if matches!(host, Host::Domain(_)) {
            for other in candidates {
                let names = self.hosts_of(&other)?;
                if !names.is_empty() {
                    let names = names.join(", ");
                    self.readings
                        .push(format!("no host is called {shown}: read as {names}"));
                    *predicate = other;
                    return Ok(());
                }
            }
        }
        let known = self.names("SELECT DISTINCT host FROM egress_total WHERE host IS NOT NULL UNION SELECT qname FROM lookups_total WHERE qname IS NOT NULL LIMIT ?1")?;
        self.never_seen("host", name, &known);
        Ok(())
    }

    /// An address after "from" that no connection came from, but some went to.
    fn source(&mut self, host: &Host, predicate: &mut Predicate) -> Result<()> {
        let sql = sql::condition(Relation::Connections, predicate);
        let any = format!("SELECT 1 FROM egress WHERE {sql} LIMIT 1");
        let to = Predicate::To(host.clone());
        if !self.db.prepare(&any)?.exists([])? && self.exists(&to)? {
            let shown = reading::host(host);
            self.readings.push(format!(
                "no connection came from {shown}: read as traffic with {shown}"
            ));
            *predicate = to;
        }
        Ok(())
    }

    fn never_seen(&mut self, kind: &str, name: &str, known: &[String]) {
        let near = nearest(name, known);
        let shown = printable(name);
        self.unknown.push(match near.is_empty() {
            true => format!("this history has no {kind} {shown}"),
            false => format!(
                "this history has no {kind} {shown}; it has {}",
                near.join(", ")
            ),
        });
    }

    /// Whether anything meets a predicate, at any time.
    fn exists(&self, predicate: &Predicate) -> Result<bool> {
        self.exists_among(predicate, self.relation)
    }

    fn exists_in_other(&self, predicate: &Predicate) -> Result<bool> {
        self.exists_among(
            predicate,
            match self.relation {
                Relation::Connections => Relation::Lookups,
                Relation::Lookups => Relation::Connections,
            },
        )
    }

    fn exists_among(&self, predicate: &Predicate, relation: Relation) -> Result<bool> {
        let (view, image) = match relation {
            Relation::Connections => ("egress_total", true),
            Relation::Lookups => ("lookups_total", false),
        };
        let address = matches!(predicate, Predicate::To(Host::Addresses { .. } | Host::Raw));
        if !image && address {
            return Ok(false);
        }
        let sql = sql::condition(relation, predicate);
        let any = format!("SELECT 1 FROM {view} WHERE {sql} LIMIT 1");
        Ok(self.db.prepare(&any)?.exists([])?)
    }

    /// Some of the hosts that meet a predicate.
    fn hosts_of(&self, predicate: &Predicate) -> Result<Vec<String>> {
        let (view, column) = match self.relation {
            Relation::Connections => ("egress_total", "host"),
            Relation::Lookups => ("lookups_total", "qname"),
        };
        let sql = sql::condition(self.relation, predicate);
        let sql = format!("SELECT DISTINCT {column} FROM {view} WHERE {sql} ORDER BY 1 LIMIT 5");
        let mut statement = self.db.prepare(&sql)?;
        let names = statement.query_map([], |row| row.get::<_, String>(0))?;
        let names = names.collect::<Result<Vec<_>, _>>()?;
        Ok(names
            .iter()
            .map(|name| printable(name).into_owned())
            .collect())
    }

    fn names(&self, sql: &str) -> Result<Vec<String>> {
        let mut statement = self.db.prepare(sql)?;
        let names = statement.query_map([MOST_NAMES], |row| row.get::<_, String>(0))?;
        Ok(names.collect::<Result<Vec<_>, _>>()?)
    }
}

/// The known names that `name` is most likely a typo of, three at most, as they are shown.
fn nearest(name: &str, known: &[String]) -> Vec<String> {
    let typos = (name.chars().count() / 3).clamp(1, 3);
    let name = name.to_lowercase();
    let mut near = Vec::new();
    for one in known {
        // A long name is no typo of a short one, and comparing would be slow.
        if one.len().abs_diff(name.len()) <= typos * 4 {
            let distance = strsim::osa_distance(&name, &one.to_lowercase());
            if (1..=typos).contains(&distance) {
                near.push((distance, one));
            }
        }
    }
    near.sort_unstable();
    let best = near.first().map(|&(distance, _)| distance);
    near.into_iter()
        .take_while(|&(distance, _)| Some(distance) == best)
        .take(3)
        .map(|(_, name)| printable(name).into_owned())
        .collect()
}
