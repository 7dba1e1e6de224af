//! Names in a question against the names in the history: what a bare name is the name of, and
//! what the history never saw.

use anyhow::Result;
use rusqlite::Connection;

use super::ast::{
    Actors, Counted, ExecutableKind, Limit, Measure, NAMED, Predicate, Projection, Property,
    Question, Ranking, Relation, Subject, Typed,
};
use super::country;
use super::english::{
    NotUnderstood, is_activity, is_grammar, is_verb, service_named, services_called,
};
use super::host::Host;
use super::reading;
use super::sql;
use crate::text::printable;

/// Most names that are looked at for the nearest.
const MOST_NAMES: i64 = 20_000;

/// Verbs whose object can be a program as well as a host: "who used wget".
const USING: &[&str] = &["use", "used", "uses", "using"];

/// Most versions of a program that a name without one stands for.
const MOST_VERSIONS: usize = 16;

/// The short names of all processes.
const COMMS: &str = "SELECT DISTINCT comm FROM egress_total WHERE comm IS NOT NULL \
                     UNION SELECT comm FROM lookups_total WHERE comm IS NOT NULL LIMIT ?1";

/// A question whose names are those of the history.
#[derive(Debug)]
pub struct Resolved {
    pub question: Question,
    /// How names were read, where that is not what they say.
    pub readings: Vec<String>,
    /// Names that the history has never seen.
    pub unknown: Vec<String>,
    /// The question about the answers to peers that sent first, if they are left out.
    pub left_out: Option<Question>,
}

/// Looks up the names of a question. Reads only rollups and ancestors.
///
/// # Errors
///
/// SQLite's; and two subjects that can't both be meant.
pub fn resolve(db: &Connection, question: &Question) -> Result<Resolved> {
    let typed_so = question;
    let (mut question, corrections) = settle(Some(db), question)?;
    if question.span(None, None) != typed_so.span(None, None) {
        return Err(unsettled(typed_so));
    }
    let typed = question.typed.clone();
    let mut resolved = Resolver::new(db, &question, &typed);
    resolved.readings = corrections;
    let names = question.predicates.iter().map(is_denied_name);
    let names = Vec::from_iter(names);
    let part = question.share.as_mut().map(|share| &mut share.part);
    let said = [&mut question.predicates, &mut question.also].into_iter();
    for predicate in said.chain(part).flatten() {
        resolved.predicate(predicate)?;
    }
    if typed.compared {
        list_compared(&mut question);
    }
    deny_groups(&mut question, &names);
    resolved.denied = true;
    for predicate in &mut question.never {
        resolved.predicate(predicate)?;
    }
    // "bad.example" alone: who hit it, and not what it talked to.
    if question.bare {
        let host = question.predicates.iter().any(is_host);
        question.projection = match host {
            true => Projection::Actors(Actors::Processes),
            false => Projection::Destinations,
        };
    }
    if resolved.reversed {
        reverse(&mut question);
    }
    // "how many bytes from x.org"
    if resolved.received && question.projection == Projection::Bytes {
        question.projection = Projection::Received;
    }
    refuse_two_subjects(&question)?;
    resolved.places(&question)?;
    resolved.services(&question)?;
    let left_out = resolved.leave_out_answers(&mut question)?;
    // "only" looks at a name twice
    for said in [&mut resolved.readings, &mut resolved.unknown] {
        let mut seen = std::collections::HashSet::new();
        said.retain(|one| seen.insert(one.clone()));
    }
    Ok(Resolved {
        question,
        left_out,
        readings: resolved.readings,
        unknown: resolved.unknown,
    })
}

/// Decides whether typos are read as known words: not where a history has such a name. Returns
/// the question, and what was read as what.
///
/// # Errors
///
/// SQLite's; and a word that is not understood.
pub fn settle(db: Option<&Connection>, question: &Question) -> Result<(Question, Vec<String>)> {
    let Some(correction) = &question.typed.correction else {
        return Ok((question.clone(), Vec::new()));
    };
    let resolver = db.map(|db| Resolver::new(db, question, &question.typed));
    for (typed, _) in &correction.words {
        if let Some(resolver) = &resolver
            && resolver.has_name_like(typed)?
        {
            return match &correction.otherwise {
                Ok(otherwise) => Ok((otherwise.clone(), Vec::new())),
                Err((at, hint)) => {
                    let text = &question.typed.text;
                    Err(NotUnderstood::word(text, at.clone(), hint.clone()).into())
                }
            };
        }
    }
    let said = correction.words.iter().map(|(typed, known)| {
        let typed = printable(typed);
        format!("read \"{typed}\" as \"{known}\"")
    });
    let mut settled = question.clone();
    settled.typed.correction = None;
    Ok((settled, said.collect()))
}

/// The refusal of a question whose typos mean different times: who asks has settled on one.
fn unsettled(question: &Question) -> anyhow::Error {
    let at = 0..question.typed.text.len();
    let hint = "write it without typos".to_owned();
    NotUnderstood::word(&question.typed.text, at, hint).into()
}

/// Lists what compared names turned out to be names of, if that is one kind.
fn list_compared(question: &mut Question) {
    let compared = question.predicates.iter().filter_map(|p| match p {
        Predicate::Any(all) => Some(all),
        _ => None,
    });
    let kinds = compared.flatten().map(|of| match of {
        Predicate::By(Subject::User(_)) => Some(Projection::Actors(Actors::Users)),
        Predicate::By(Subject::Container(_)) => Some(Projection::Actors(Actors::Containers)),
        Predicate::By(Subject::Unit(_)) => Some(Projection::Actors(Actors::Units)),
        Predicate::By(Subject::Pod(_)) => Some(Projection::Actors(Actors::Pods)),
        Predicate::By(Subject::Image(_)) => Some(Projection::Actors(Actors::Images)),
        Predicate::By(Subject::Namespace(_)) => Some(Projection::Actors(Actors::Namespaces)),
        Predicate::To(_) => Some(Projection::Destinations),
        _ => None,
    });
    let kinds = Vec::from_iter(kinds);
    if let Some(Some(kind)) = kinds.first()
        && kinds.iter().all(|of| *of == Some(*kind))
    {
        question.projection = *kind;
    }
}

/// "How much did x.org receive": what a host receives is sent by this one.
fn reverse(question: &mut Question) {
    let other = |measure: &mut Measure| {
        *measure = match *measure {
            Measure::Sent => Measure::Received,
            Measure::Received => Measure::Sent,
            same => same,
        };
    };
    match &mut question.projection {
        Projection::Sent => question.projection = Projection::Received,
        Projection::Received => question.projection = Projection::Sent,
        Projection::Average(measure) => other(measure),
        _ => {}
    }
    if let Some(Ranking::By { measure, .. }) = &mut question.ranking {
        other(measure);
    }
    question.average.iter_mut().for_each(other);
    let compared = question.predicates.iter_mut().filter_map(|p| match p {
        Predicate::Compared(comparison) => Some(comparison),
        _ => None,
    });
    for comparison in question.having.iter_mut().chain(compared) {
        other(&mut comparison.measure);
        if let Limit::Of(measure) = &mut comparison.limit {
            other(measure);
        }
    }
}

/// "who hit github but not pypi": a name that is left out, and may be a host's.
fn is_denied_name(predicate: &Predicate) -> bool {
    let Predicate::Not(of) = predicate else {
        return false;
    };
    match &**of {
        Predicate::Any(all) => all.iter().all(is_named_process),
        of => is_named_process(of),
    }
}

fn is_named_process(predicate: &Predicate) -> bool {
    matches!(predicate, Predicate::By(Subject::Process(_)))
}

/// Where such names are hosts, those who ever contacted them are left out, and not only the
/// connections to them: none that is to another host is.
fn deny_groups(question: &mut Question, names: &[bool]) {
    let actors = matches!(question.projection, Projection::Actors(_));
    if !actors || question.new || !question.predicates.iter().any(is_host) {
        return;
    }
    let all = std::mem::take(&mut question.predicates);
    for (predicate, name) in all.into_iter().zip(names) {
        match predicate {
            Predicate::Not(of) if *name && is_host(&of) => {
                question.never.push(*of);
                question.loose = true;
            }
            kept => question.predicates.push(kept),
        }
    }
    // rows of both decide
    if !question.never.is_empty() {
        let hosts = question.predicates.extract_if(.., |p| is_host(p));
        question.also.extend(hosts);
    }
}

fn is_host(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::To(_) => true,
        Predicate::Any(all) => all.iter().any(is_host),
        _ => false,
    }
}

/// Whether it is about addresses, and not about a name.
fn is_address(predicate: &Predicate) -> bool {
    matches!(
        predicate,
        Predicate::To(Host::Addresses { .. } | Host::Raw | Host::Network(_))
    )
}

/// Whether a predicate is about countries or networks, also by a part of it.
fn is_place(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::Country(_) | Predicate::To(Host::Network(_)) => true,
        Predicate::Not(of) | Predicate::Elsewhere(of) => is_place(of),
        Predicate::Any(all) | Predicate::All(all) => all.iter().any(is_place),
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
    /// Several destinations must hold at once.
    has_several_hosts: bool,
    /// Who acted is what is asked for, so that a name is not that of who acted.
    lists_actors: bool,
    readings: Vec<String>,
    unknown: Vec<String>,
    typed: &'a Typed,
    /// What is left out is looked at.
    denied: bool,
    /// The name before the verb was that of a host.
    reversed: bool,
    /// The name behind "from" was that of a host.
    received: bool,
}

impl<'a> Resolver<'a> {
    fn new(db: &'a Connection, question: &Question, typed: &'a Typed) -> Self {
        Resolver {
            db,
            relation: question.relation,
            has_host: question.predicates.iter().any(is_host),
            has_several_hosts: question.predicates.iter().filter(|p| is_host(p)).count() > 1,
            lists_actors: matches!(question.projection, Projection::Actors(_)),
            readings: Vec::new(),
            unknown: Vec::new(),
            typed,
            denied: false,
            reversed: false,
            received: false,
        }
    }

    /// Whether anything in the history is called so, or a process nearly so.
    fn has_name_like(&self, name: &str) -> Result<bool> {
        for subject in NAMED
            .into_iter()
            .chain([Subject::BelowProcess as fn(_) -> _])
        {
            let by = Predicate::By(subject(name.to_owned()));
            if self.exists(&by)? || self.exists_in_other(&by)? {
                return Ok(true);
            }
        }
        let label = Predicate::To(Host::Label(name.to_lowercase()));
        Ok(self.exists(&label)?
            || self.exists_in_other(&label)?
            || !nearest(name, &self.names(COMMS)?).is_empty())
    }

    /// Restricts a question to what this host's processes began, if it is about that and
    /// there is anything else.
    fn leave_out_answers(&self, question: &mut Question) -> Result<Option<Question>> {
        if !question.leaves_out_answers() {
            return Ok(None);
        }
        let mut predicates = question.predicates.clone();
        predicates.push(Predicate::Direction("in"));
        let answers = Question {
            predicates,
            projection: Projection::Count(Counted::Rows),
            ranking: None,
            new: false,
            bucket: None,
            average: None,
            share: None,
            having: Vec::new(),
            also: Vec::new(),
            never: Vec::new(),
            without: None,
            ..question.clone()
        };
        let any = "SELECT 1 FROM egress_total WHERE direction = 'in' LIMIT 1";
        if !self.db.prepare(any)?.exists([])? {
            return Ok(None);
        }
        question.predicates.push(Predicate::Direction("out"));
        Ok(Some(answers))
    }

    fn predicate(&mut self, predicate: &mut Predicate) -> Result<()> {
        match predicate {
            Predicate::Not(of) | Predicate::Elsewhere(of) => {
                let outer = std::mem::replace(&mut self.denied, true);
                self.predicate(of)?;
                self.denied = outer;
                Ok(())
            }
            Predicate::Any(all) | Predicate::All(all) => {
                all.iter_mut().try_for_each(|one| self.predicate(one))
            }
            Predicate::By(Subject::Process(name)) => {
                let name = name.clone();
                self.process(&name, predicate)
            }
            Predicate::By(Subject::BelowProcess(name)) => {
                let name = name.clone();
                self.started_by(&name, predicate)
            }
            Predicate::By(Subject::Those { did, .. }) => self.predicate(did),
            Predicate::By(Subject::Executables(kind)) => self.executables(*kind),
            Predicate::By(subject) => {
                let subject = subject.clone();
                self.subject(&subject)
            }
            Predicate::To(host) => {
                let host = host.clone();
                match self.is_sent(&host)? {
                    true => self.or_sent(&host, predicate),
                    false => self.host(&host, predicate)?,
                }
                Ok(())
            }
            Predicate::SourceAddress(host) => {
                let host = host.clone();
                self.source(&host, predicate)
            }
            Predicate::Rule(name) => {
                let name = name.clone();
                self.rule(&name)
            }
            Predicate::DnsOverHttps => {
                self.readings.push(
                    "DNS over HTTPS is known by the names of well-known resolvers: others look like any HTTPS"
                        .to_owned(),
                );
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What is found out about executables as they start: of some, or of all, it is not known.
    fn executables(&mut self, kind: ExecutableKind) -> Result<()> {
        let (column, what) = match kind {
            ExecutableKind::Unpackaged => ("packaged", "whether a package owns it"),
            ExecutableKind::Modified => ("packaged", "whether it differs from its package"),
            ExecutableKind::SetUserId => ("setuid", "whether it is set-user-ID"),
            ExecutableKind::InWorldWritable => {
                ("world_writable_dir", "who can write to its directory")
            }
            ExecutableKind::Deleted | ExecutableKind::OtherRights => return Ok(()),
        };
        let has = |known: &str| {
            let sql = format!("SELECT 1 FROM executable WHERE {column} {known} LIMIT 1");
            self.db.prepare(&sql)?.exists([])
        };
        if !has("IS NOT NULL")? {
            self.unknown
                .push(format!("this history knows of no executable {what}"));
        } else if has("IS NULL")? {
            self.readings.push(format!(
                "of some executables it is not known {what}: they count as if not"
            ));
        }
        Ok(())
    }

    /// A question about countries or networks, of a history without any.
    fn places(&mut self, question: &Question) -> Result<()> {
        let groups = question.also.iter().chain(&question.never);
        let mut asked = question.predicates.iter().chain(groups);
        let grouped = matches!(
            question.projection,
            Projection::Properties(Property::Country | Property::Network)
        );
        if !grouped && !asked.any(is_place) {
            return Ok(());
        }
        // one of each, as each has an index of its own
        let any = "SELECT EXISTS (SELECT 1 FROM address WHERE country IS NOT NULL)
            OR EXISTS (SELECT 1 FROM address WHERE asn IS NOT NULL)";
        if !self.db.query_row(any, [], |row| row.get(0))? {
            self.unknown.push(
                "this history has no countries or networks of addresses: record with --geo FILE"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// A rule that no policy of this history has, and that decided on nothing.
    fn rule(&mut self, name: &str) -> Result<()> {
        for view in ["policy_rules", "egress"] {
            let sql = format!("SELECT 1 FROM {view} WHERE rule = ?1 LIMIT 1");
            if self.db.prepare(&sql)?.exists([name])? {
                return Ok(());
            }
        }
        let known = self.names(
            "SELECT rule FROM policy_rules UNION SELECT rule FROM egress WHERE rule IS NOT NULL LIMIT ?1",
        )?;
        self.never_seen("rule", name, &known)
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
            of(Subject::ExecutableIn),
        ];
        for other in others {
            if self.exists(&other)? {
                self.read(name, predicate, other);
                return Ok(());
            }
        }
        if self.versions(name, predicate)? {
            return Ok(());
        }
        // "curl -O https://x.org": what was run, and not who
        let line = of(Subject::CommandLine);
        if name.contains(char::is_whitespace)
            && self.relation == Relation::Connections
            && self.exists(&line)?
        {
            self.read(name, predicate, line);
            return Ok(());
        }
        // What is left out can be a host beside another one.
        if !self.has_host || self.denied {
            for host in self.hosts_called(name) {
                let to = Predicate::To(host);
                let names = self.hosts_of(&to)?;
                if !names.is_empty() {
                    self.has_host |= !self.denied;
                    self.readings.push(format!(
                        "no process {} made a connection: read as host {}",
                        printable(name),
                        names.join(", ")
                    ));
                    *predicate = to;
                    self.reversed |= self.typed.acting.iter().any(|acting| acting == name);
                    let text = self.typed.text.to_ascii_lowercase();
                    // traffic has no direction
                    let both = ["traffic", " and from ", " or from "];
                    let both = both.iter().any(|of| text.contains(of));
                    self.received |= !both && self.is_behind(name, &["from"]);
                    return Ok(());
                }
            }
        }
        // "received from the database"
        if !self.has_host
            && self.relation == Relation::Connections
            && self.is_behind(name, &["from"])
            && let Some((ports, service)) = services_called(name)
        {
            self.readings.push(format!(
                "no process or host is called {}: read as the usual ports of such a service, {ports}",
                printable(name)
            ));
            *predicate = service;
            return Ok(());
        }
        let known = self.names(COMMS)?;
        self.never_seen("process", name, &known)
    }

    /// Processes with this name and a version: "python" is python3.11.
    fn versions(&mut self, name: &str, predicate: &mut Predicate) -> Result<bool> {
        let known = self.names(COMMS)?;
        let is_version = |comm: &&String| {
            let version = comm
                .strip_prefix(name)
                .map(|rest| rest.trim_start_matches('-'));
            version.is_some_and(|version| {
                version.starts_with(|c: char| c.is_ascii_digit())
                    && version.chars().all(|c| c.is_ascii_digit() || c == '.')
            })
        };
        let versions = Vec::from_iter(known.iter().filter(is_version).take(MOST_VERSIONS));
        // "service3" is not service30
        let numbered = name.ends_with(|c: char| c.is_ascii_digit());
        if name.len() < 2 || numbered || versions.is_empty() {
            return Ok(false);
        }
        let shown = versions.iter().map(|comm| printable(comm));
        let shown = shown.collect::<Vec<_>>().join(", ");
        self.readings.push(format!(
            "no process {} made a connection: read as process {shown}",
            printable(name)
        ));
        let by = |comm: &&String| Predicate::By(Subject::Process((*comm).clone()));
        let mut all = Vec::from_iter(versions.iter().map(by));
        *predicate = match all.len() {
            1 => all.remove(0),
            _ => Predicate::Any(all),
        };
        Ok(true)
    }

    /// What a bare name means as a host: the host itself, one that begins with it, one that has
    /// it as a label.
    fn hosts_called(&self, name: &str) -> Vec<Host> {
        let Ok(host) = Host::parse(name, false) else {
            return Vec::new();
        };
        match host {
            // "slow connections" is not about slow.example
            Host::Domain(name) if !name.contains('.') && (self.denied || !self.typed.doubtful) => {
                vec![Host::Domain(name.clone()), Host::Label(name)]
            }
            host => vec![host],
        }
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
            Subject::EffectiveUser(name) => (
                "user",
                name,
                "SELECT DISTINCT euser FROM egress_total WHERE euser IS NOT NULL LIMIT ?1",
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
                    let mut typed = self.typed.names.iter();
                    let typed = typed.find(|(name, _)| *name == pid.to_string());
                    if let Some((_, at)) = typed.filter(|_| self.denied) {
                        let hint = format!(
                            "this history has no traffic of pid {pid}; a port is \"port {pid}\""
                        );
                        return Err(NotUnderstood::word(&self.typed.text, at.clone(), hint).into());
                    }
                    self.unknown
                        .push(format!("this history has no traffic of pid {pid}"));
                }
                return Ok(());
            }
            Subject::ExecutableIn(path) => return self.known(subject, "executable in", path),
            Subject::CommandLine(part) => return self.known(subject, "command line with", part),
            Subject::Tree(of) => match &**of {
                Subject::Process(name) => return self.ancestor(subject, name),
                _ => return Ok(()),
            },
            _ => return Ok(()),
        };
        if !self.exists(&Predicate::By(subject.clone()))? {
            let known = self.names(sql)?;
            self.never_seen(kind, name, &known)?;
        }
        if let Subject::Container(name) = subject {
            self.several_containers(name)?;
        }
        Ok(())
    }

    /// The beginning of the ids of several containers.
    fn several_containers(&mut self, name: &str) -> Result<()> {
        let is = sql::condition(
            Relation::Connections,
            &Predicate::By(Subject::Container(name.to_owned())),
        );
        let sql = format!(
            "SELECT count(DISTINCT container_id) FROM {}
             WHERE {is} AND container_name IS NOT ?1 AND container_id <> ?1",
            sql::total(self.relation)
        );
        let several: i64 = self.db.query_row(&sql, [name], |row| row.get(0))?;
        if several > 1 {
            self.readings.push(format!(
                "{several} containers have ids that begin with {}: all of them are meant",
                printable(name)
            ));
        }
        Ok(())
    }

    /// Says of a subject that is no name whether the history has it.
    fn known(&mut self, subject: &Subject, what: &str, text: &str) -> Result<()> {
        if !self.exists(&Predicate::By(subject.clone()))? {
            let text = printable(text);
            self.unknown
                .push(format!("this history has no {what} {text}"));
        }
        Ok(())
    }

    /// "programs started by alice": by a process, or else by the user of that name.
    fn started_by(&mut self, name: &str, predicate: &mut Predicate) -> Result<()> {
        let below = Subject::BelowProcess(name.to_owned());
        let user = Predicate::By(Subject::User(name.to_owned()));
        if !self.exists(predicate)? && self.exists(&user)? {
            self.readings.push(format!(
                "no process {0} started another one: read as user {0}",
                printable(name)
            ));
            *predicate = user;
            return Ok(());
        }
        self.ancestor(&below, name)
    }

    /// Descendants of a process that has none, or never was.
    fn ancestor(&mut self, subject: &Subject, name: &str) -> Result<()> {
        if !self.exists(&Predicate::By(subject.clone()))? {
            let known =
                self.names("SELECT DISTINCT comm FROM ancestors WHERE comm IS NOT NULL LIMIT ?1")?;
            self.never_seen("traffic below process", name, &known)?;
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
        if self.exists(predicate)? {
            return Ok(());
        }
        if self.exists_in_other(predicate)? {
            return self.only_looked_up(name, predicate);
        }
        let shown = printable(name).into_owned();
        let longer = Predicate::To(Host::Begins(format!("{name}.")));
        let label = Predicate::To(Host::Label(name.clone()));
        let candidates = match name.contains('.') {
            true => vec![longer],
            // "github" is api.github.com, too
            false => vec![label],
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
        // "uploads for alice", "connections of backup.sh"; but not what goes to alice
        let acted = !self.lists_actors || self.is_behind(name, USING);
        if acted && !self.is_destination(name) {
            let subjects: [fn(String) -> Subject; 4] = [
                Subject::Process,
                Subject::User,
                Subject::Container,
                Subject::Unit,
            ];
            for subject in subjects {
                let by = Predicate::By(subject(name.clone()));
                if self.exists(&by)? {
                    let read = reading::predicate(&by);
                    self.readings
                        .push(format!("no host is called {shown}: read as {read}"));
                    *predicate = by;
                    return Ok(());
                }
            }
        }
        if self.relation == Relation::Connections
            && let Some(code) = country::of_name(name)
        {
            self.readings.push(format!(
                "no host is called {shown}: read as the country {code}"
            ));
            *predicate = Predicate::Country(code);
            return Ok(());
        }
        if self.relation == Relation::Connections
            && let Some((ports, service)) = services_called(name)
        {
            self.readings.push(format!(
                "no host is called {shown}: read as the usual ports of such a service, {ports}"
            ));
            *predicate = service;
            return Ok(());
        }
        let known = self.names("SELECT DISTINCT host FROM egress_total WHERE host IS NOT NULL UNION SELECT qname FROM lookups_total WHERE qname IS NOT NULL LIMIT ?1")?;
        self.never_seen("host", name, &known)
    }

    /// Whether a name stands behind "to".
    fn is_destination(&self, name: &str) -> bool {
        self.is_behind(name, &["to", "into", "toward", "towards", "onto"])
    }

    /// Whether a name stands behind one of these words, apart from articles.
    fn is_behind(&self, name: &str, known: &[&str]) -> bool {
        let mut names = self.typed.names.iter();
        let typed = names.find(|(typed, _)| typed.eq_ignore_ascii_case(name));
        // a name with a dot can only be one, and its place is not kept
        let text = &self.typed.text;
        let first = || text.to_ascii_lowercase().find(&name.to_ascii_lowercase());
        let at = typed.map(|(_, at)| at.start).or_else(first);
        let before = at.and_then(|at| text.get(..at));
        let mut words = before.unwrap_or_default().split_whitespace().rev();
        let is =
            |word: &str, known: &[&str]| known.iter().any(|one| word.eq_ignore_ascii_case(one));
        let before = words.find(|word| !is(word, &["the", "a", "an", "my", "our"]));
        before.is_some_and(|word| is(word, known))
    }

    /// Services with the name of a program that has connections over others, too.
    fn services(&mut self, question: &Question) -> Result<()> {
        if question.relation == Relation::Lookups {
            return Ok(());
        }
        let typed = self.typed;
        for word in typed.text.split(|c: char| !c.is_ascii_alphanumeric()) {
            let name = word.to_lowercase();
            let Some(service) = service_named(&name) else {
                continue;
            };
            let by = Predicate::By(Subject::Process(name.clone()));
            let otherwise = Predicate::All(vec![by, Predicate::Not(Box::new(service.clone()))]);
            if question.predicates.contains(&service) && self.exists(&otherwise)? {
                self.readings.push(format!(
                    "read {name} as the service; there is a program {name}, too: \"by process {name}\" asks what it did"
                ));
            }
        }
        Ok(())
    }

    /// Says of a name that no connection has, but lookups, what became of these.
    fn only_looked_up(&mut self, name: &str, predicate: &Predicate) -> Result<()> {
        if self.relation == Relation::Lookups || self.denied {
            return Ok(());
        }
        let sql = sql::condition(Relation::Lookups, predicate);
        let results = self.names(&format!(
            "SELECT coalesce(iif(rcode = 'NOERROR', 'answered', rcode), status) FROM lookups_total
             WHERE {sql} GROUP BY 1 ORDER BY sum(lookups) DESC LIMIT ?1"
        ))?;
        let name = printable(name);
        self.readings.push(format!(
            "no connection was to {name}; it was looked up ({}): ask \"who resolved {name}\"",
            results.join(", ")
        ));
        Ok(())
    }

    /// Whether connections with another name, or none, sent this one themselves.
    fn is_sent(&self, host: &Host) -> Result<bool> {
        if self.relation == Relation::Lookups
            || matches!(host, Host::Addresses { .. } | Host::Raw | Host::Network(_))
        {
            return Ok(false);
        }
        let named = Predicate::Not(Box::new(Predicate::To(host.clone())));
        let otherwise = sql::condition(self.relation, &named);
        for sent in sql::sent(host) {
            let any = format!("SELECT 1 FROM egress_total WHERE ({sent}) AND {otherwise} LIMIT 1");
            if self.db.prepare(&any)?.exists([])? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What goes through a proxy, or was dialled by its address, counts by the name that it sent.
    fn or_sent(&mut self, host: &Host, predicate: &mut Predicate) {
        self.readings.push(format!(
            "connections that asked for {} by TLS or HTTP, or asked a proxy for it, count too",
            reading::host(host)
        ));
        *predicate = Predicate::Any(vec![
            Predicate::To(host.clone()),
            Predicate::Sent(host.clone()),
        ]);
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

    /// Says that the history lacks a name; or refuses it, where another word than a name may
    /// have been meant.
    fn never_seen(&mut self, kind: &str, name: &str, known: &[String]) -> Result<()> {
        let near = nearest(name, known);
        let shown = printable(name);
        if let Some((_, at)) = self.typed.names.iter().find(|(typed, _)| typed == name)
            && near.is_empty()
            && is_activity(name)
        {
            let hint = format!(
                "\"{shown}\" is no program here: ask about the one that ran, as in \"what did make and its \
                 children talk to\""
            );
            return Err(NotUnderstood::word(&self.typed.text, at.clone(), hint).into());
        }
        let mut names = self.typed.names.iter();
        // "to the old host x.org": what it is, and no second host
        let describes = kind == "host" && self.has_several_hosts && !name.contains('.');
        if let Some((_, at)) = names.find(|(typed, _)| typed.eq_ignore_ascii_case(name))
            && (is_grammar(name)
                || is_verb(name)
                || describes
                || near.is_empty()
                    && (self.typed.doubtful || self.denied || !self.unknown.is_empty()))
        {
            let label = Predicate::To(Host::Label(name.to_lowercase()));
            let hosts = match kind {
                "process" if name.len() > 2 => self.hosts_of(&label)?,
                _ => Vec::new(),
            };
            let hint = match hosts.iter().min_by_key(|host| host.len()) {
                Some(host) => format!(
                    "this history has no {kind} {shown}; write {host} if that host is meant"
                ),
                None => format!(
                    "this history has no {kind} {shown}; write '{shown}' in quotes if it is a name"
                ),
            };
            return Err(NotUnderstood::word(&self.typed.text, at.clone(), hint).into());
        }
        let containing = match kind {
            "process" | "host" if name.len() > 2 && near.is_empty() => {
                self.hosts_of(&Predicate::To(Host::Contains(name.to_lowercase())))?
            }
            _ => Vec::new(),
        };
        self.unknown.push(match near.is_empty() {
            true if !containing.is_empty() => format!(
                "this history has no {kind} {shown}; hosts that contain it: {}",
                containing.join(", ")
            ),
            true => format!("this history has no {kind} {shown}"),
            false => format!(
                "this history has no {kind} {shown}; it has {}",
                near.join(", ")
            ),
        });
        Ok(())
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
        if !image && is_address(predicate) {
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
            // a lookup is of a name
            Relation::Lookups if is_address(predicate) => return Ok(Vec::new()),
            Relation::Lookups => ("lookups_total", "qname"),
        };
        let sql = sql::condition(self.relation, predicate);
        let sql = format!(
            "SELECT DISTINCT {column} FROM {view} WHERE {column} IS NOT NULL AND ({sql}) ORDER BY 1 LIMIT 5"
        );
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
    let near = near
        .into_iter()
        .take_while(|&(distance, _)| Some(distance) == best);
    let mut near = Vec::from_iter(near.map(|(_, name)| name));
    if near.is_empty() {
        near.extend(known.iter().filter(|one| is_related(&name, one)));
    }
    near.truncate(3);
    let shown = near.into_iter().map(|name| printable(name).into_owned());
    shown.collect()
}

/// Fewest letters that two names of one thing have in common at their start.
const RELATED: usize = 4;

/// Whether two names begin alike for most of the first: "chrome" and "chromium".
fn is_related(name: &str, known: &str) -> bool {
    let pairs = name.chars().zip(known.chars());
    let same = pairs.take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
    let letters = name.chars().count();
    same >= RELATED && 4 * same >= 3 * letters && !name.contains('.')
}
