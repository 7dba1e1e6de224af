//! A question's meaning, independent of the words that it was asked in.

use std::ops::Range;

use super::host::Host;

/// Which rows are read, and what the answer shows of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub projection: Projection,
    pub relation: Relation,
    /// Rows have to meet all of these.
    pub predicates: Vec<Predicate>,
    /// Inclusive start of the span, nanoseconds since 1970.
    pub since: Option<i64>,
    /// Exclusive end of the span, nanoseconds since 1970.
    pub until: Option<i64>,
    pub ranking: Option<Ranking>,
    /// Only what the same question would not have found before `since`, which is set then.
    pub new: bool,
    /// One row for each of these spans.
    pub bucket: Option<Bucket>,
    /// Each group with the mean of this measure over its rows, greatest first.
    pub average: Option<Measure>,
    /// What share each row has, in per cent.
    pub share: Option<Share>,
    /// Only groups whose total compares in these ways.
    pub having: Vec<Comparison>,
    /// Only groups of which some row meets each of these.
    pub also: Vec<Predicate>,
    /// Only groups of which no row meets any of these.
    pub never: Vec<Predicate>,
    /// Only actors who did nothing of this, in the question's span, to the question's hosts.
    pub without: Option<Relation>,
    /// Only a name was typed: it can be of anything that the history knows.
    pub bare: bool,
    /// The answer says how the question was read.
    pub loose: bool,
    /// Answers to peers that sent first are asked for too: "all hosts".
    pub both_directions: bool,
    pub typed: Typed,
}

/// The names of a question as they were typed, to show what the history has never seen. They are
/// no part of its meaning, so questions with other ones can be equal.
#[derive(Debug, Clone, Default, Eq)]
pub struct Typed {
    pub text: String,
    /// Unquoted names without a dot, and where they stand.
    pub names: Vec<(String, Range<usize>)>,
    /// The names stand where another word could be an adjective or a typo.
    pub doubtful: bool,
    /// Names of who acted, before their verb.
    pub acting: Vec<String>,
    pub correction: Option<Box<Correction>>,
    /// Names are compared, so that what they turn out to be names of is listed: "root vs alice"
    /// are users.
    pub compared: bool,
}

/// Words that were read as known ones, if the history has no such names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    /// What was typed, and what it was read as.
    pub words: Vec<(String, &'static str)>,
    /// The question as it was typed, or the place and the hint of its refusal.
    pub otherwise: Result<Question, (Range<usize>, String)>,
}

impl PartialEq for Typed {
    fn eq(&self, _: &Typed) -> bool {
        true
    }
}

/// What an answer lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Projection {
    Actors(Actors),
    /// Hosts with their ports; for lookups, the names that were queried.
    Destinations,
    Addresses,
    Ports,
    /// What connections or lookups have in common.
    Properties(Property),
    /// Each connection or lookup.
    Each,
    Count(Counted),
    /// Bytes sent and received.
    Bytes,
    Sent,
    Received,
    /// The mean of a measure over connections or lookups.
    Average(Measure),
    /// Each actor with each of its hosts.
    Pairs(Actors),
    /// Each actor with the first of its hosts, by the ranking.
    FirstHosts(Actors),
    /// Each host with the first of its actors, by the ranking.
    FirstActors(Actors),
    /// What the answers for a name said.
    Answers,
    /// The names that an address was known by.
    NamesOfAddress,
    /// The servers that were queried.
    DnsServers,
    /// Connections of a process to a host that recur at regular intervals.
    Beacons,
    /// Hosts, and how much more or less they were contacted than in the span before `since`
    /// that starts at this time, nanoseconds since 1970.
    Changes(i64),
    /// The totals of everything.
    Summary,
    /// Names that resolved to an address and were not contacted afterwards.
    NeverContacted,
    /// Queries that were answered with an error, or not at all.
    FailedLookups,
    /// The rules of policies that decided on connections.
    Rules,
    /// Executables with their hashes and packages.
    Hashes,
    /// What policies decided: who, where to, the verdict and its rule.
    Verdicts,
}

/// Which rows a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    Connections,
    Lookups,
}

/// Who connected or looked up, and at what granularity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actors {
    /// Grouped by short name, executable, user and container.
    Processes,
    /// Each process by itself.
    Pids,
    Containers,
    Images,
    Users,
    Units,
    Pods,
    /// Kubernetes namespaces, of pods.
    Namespaces,
    /// Paths of executables.
    Executables,
    CommandLines,
    /// What started the processes.
    Parents,
    /// The machines of a dataset.
    Machines,
}

/// What connections or lookups are grouped by that is neither an end nor a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Property {
    /// With its error; of a lookup, its result.
    Outcome,
    Protocol,
    QueryType,
    /// Of the destination.
    Country,
    /// Its autonomous system.
    Network,
}

/// What "how many" counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    Actors(Actors),
    Hosts,
    Addresses,
    Ports,
    Rows,
}

/// Spans of local time that an answer is split into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    Minute,
    /// So many minutes, which divide an hour.
    Minutes(u8),
    Hour,
    /// So many hours, which divide a day.
    Hours(u8),
    Day,
    /// Starts on Monday.
    Week,
    Month,
}

/// A number of a row, or of a group of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Connections or lookups.
    Rows,
    Bytes,
    Sent,
    Received,
    /// Of a connection, in microseconds.
    Duration,
    /// Until a connection was established or a lookup answered, in microseconds.
    Latency,
    Hosts,
    Addresses,
    Ports,
    Processes,
}

/// How a number compares with a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    More,
    AtLeast,
    Less,
    AtMost,
    Exactly,
}

/// What a measure is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Number(i64),
    /// Another measure of the same: "sent more than they received".
    Of(Measure),
}

/// A measure and its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    pub measure: Measure,
    pub operator: Operator,
    pub limit: Limit,
}

/// How much of a measure is of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Of rows or of bytes.
    pub of: Measure,
    /// What counts: of each group, the rows that meet all of these. Without any, all rows of a
    /// group do, and its share is that of all groups.
    pub part: Vec<Predicate>,
}

/// A particular actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// By its short name, its executable's file name, or its executable's path.
    Process(String),
    Pid(u32),
    /// All descendants of processes with this name, at any depth, without these themselves.
    BelowProcess(String),
    BelowPid(u32),
    /// A process, by name or pid, together with its descendants.
    Tree(Box<Subject>),
    /// By its name, its id, or a prefix of its id.
    Container(String),
    /// With or without its tag.
    Image(String),
    /// By name or uid.
    User(String),
    /// The same of whose rights the process had.
    EffectiveUser(String),
    /// A systemd unit, with or without `.service`.
    Unit(String),
    /// By its name, `namespace/name`, or a prefix of its name and a `*`.
    Pod(String),
    /// A Kubernetes namespace.
    Namespace(String),
    /// A machine of a dataset, by its name.
    Machine(String),
    /// Machines of a dataset that have this label: a key and its value.
    Labelled(String, String),
    /// Any of the usual shells.
    Shells,
    /// Any container.
    AnyContainer,
    /// Any systemd unit that is a service.
    AnyService,
    /// Any systemd unit.
    AnyUnit,
    /// Executables in this directory or below.
    ExecutableIn(String),
    /// Processes whose command line contains this.
    CommandLine(String),
    /// Processes whose executable is of this kind.
    Executables(ExecutableKind),
    /// Processes, users or containers of which some row meets this: "the processes that hit
    /// x.org".
    Those {
        of: Actors,
        relation: Relation,
        did: Box<Predicate>,
    },
}

/// What a name without a noun may be that of.
pub const NAMED: [fn(String) -> Subject; 7] = [
    Subject::Process,
    Subject::User,
    Subject::Container,
    Subject::Unit,
    Subject::Pod,
    Subject::Image,
    Subject::Namespace,
];

/// What an executable may be, whatever its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutableKind {
    /// Deleted or replaced.
    Deleted,
    /// No package owns it.
    Unpackaged,
    /// It differs from what its package installed.
    Modified,
    SetUserId,
    /// Any user can write to a directory on its path.
    InWorldWritable,
    /// It was run with the rights of another user than the one who ran it.
    OtherRights,
}

/// A condition on the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Predicate {
    By(Subject),
    To(Host),
    Port(u16),
    /// From the first to the last port, inclusive.
    Ports(u16, u16),
    SourcePort(u16),
    /// Local address.
    SourceAddress(Host),
    /// Sent to this DNS server.
    Server(Host),
    /// One `rcode` of the view.
    Rcode(&'static str),
    /// Lookups without an answer.
    Unanswered,
    /// Since the host's last start that the history knows of.
    SinceBoot,
    Compared(Comparison),
    Not(Box<Predicate>),
    /// Not this, and no traffic with a DNS server either: what "only" rules out.
    Elsewhere(Box<Predicate>),
    /// At least one of these.
    Any(Vec<Predicate>),
    /// All of these.
    All(Vec<Predicate>),
    /// A `protocol` of the view, such as `tcp`.
    Protocol(&'static str),
    /// IP version, 4 or 6.
    Family(u8),
    /// One `outcome` of the view.
    Outcome(&'static str),
    /// Any outcome that is a failure.
    Failed,
    /// Any final outcome that is not a failure.
    Succeeded,
    /// Not closed yet.
    Open,
    /// A `dst_scope` of the view.
    Scope(&'static str),
    /// A `host_source` of the view.
    Source(&'static str),
    /// A `direction` of the view.
    Direction(&'static str),
    /// Refused by a policy, or with the outcome `denied`.
    Blocked,
    /// A policy that was only observed, or a rule of it, would have refused it.
    WouldBlock,
    /// A `verdict` of the view.
    Verdict(&'static str),
    /// Decided by the rule of this name.
    Rule(String),
    /// It sent another name than the one that was looked up.
    OtherName,
    /// In this country, two capital letters.
    Country(String),
    /// To a resolver that is known to speak DNS over HTTPS.
    DnsOverHttps,
    /// It sent this name: to a server by TLS or HTTP, or to a proxy.
    Sent(Host),
}

impl Predicate {
    /// Whether this and the other exclude each other, so that one row can't decide about both.
    pub fn is_of_one_kind_with(&self, other: &Predicate) -> bool {
        self.is_of_port() && other.is_of_port()
            || matches!(
                (self, other),
                (Predicate::Protocol(_), Predicate::Protocol(_))
                    | (Predicate::Family(_), Predicate::Family(_))
                    | (Predicate::Scope(_), Predicate::Scope(_))
                    | (Predicate::Country(_), Predicate::Country(_))
            )
    }

    /// Whether it is on the destination's port.
    pub fn is_of_port(&self) -> bool {
        match self {
            Predicate::Port(_) | Predicate::Ports(..) => true,
            Predicate::Any(all) => all.iter().all(Predicate::is_of_port),
            _ => false,
        }
    }

    /// Whether it names the rows by a host, an address, a port, a pid or their direction.
    fn names_a_flow(&self) -> bool {
        match self {
            Predicate::To(Host::Addresses { first, last }) => first == last,
            Predicate::To(host) => matches!(host, Host::Domain(_) | Host::Exact(_)),
            Predicate::By(Subject::Pid(_) | Subject::BelowPid(_))
            | Predicate::Port(_)
            | Predicate::Ports(..)
            | Predicate::SourcePort(_)
            | Predicate::SourceAddress(_)
            | Predicate::Direction(_) => true,
            Predicate::Any(all) | Predicate::All(all) => all.iter().any(Predicate::names_a_flow),
            _ => false,
        }
    }
}

impl Projection {
    /// Whether each row stands for several connections, so that an order by amount is meant.
    pub fn is_grouped(self) -> bool {
        matches!(
            self,
            Projection::Actors(_)
                | Projection::Destinations
                | Projection::Addresses
                | Projection::Ports
                | Projection::Properties(_)
        )
    }

    /// What "how many" of these counts.
    pub fn counted(self) -> Counted {
        match self {
            Projection::Actors(actors) => Counted::Actors(actors),
            Projection::Destinations => Counted::Hosts,
            Projection::Addresses => Counted::Addresses,
            Projection::Ports => Counted::Ports,
            _ => Counted::Rows,
        }
    }
}

/// Which rows are shown, and in what order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ranking {
    /// Most connections or lookups first.
    Most(u32),
    MostBytes(u32),
    First(u32),
    Last(u32),
    /// Longest time to connect or to be answered first.
    Slowest(u32),
    /// Longest duration first.
    Longest(u32),
    /// The greatest, or least, of a measure first.
    By {
        measure: Measure,
        least: bool,
        rows: u32,
    },
}

impl Ranking {
    /// No limit: only the order matters.
    pub const ALL: u32 = u32::MAX;
}

impl Subject {
    /// The process of a name. A number is a pid, unless it was quoted: no program is called so.
    pub fn named(name: String, quoted: bool) -> Subject {
        match name.parse() {
            Ok(pid) if !quoted => Subject::Pid(pid),
            _ => Subject::Process(name),
        }
    }

    /// Whether it selects processes by their ancestors.
    pub fn needs_ancestors(&self) -> bool {
        matches!(
            self,
            Subject::BelowProcess(_) | Subject::BelowPid(_) | Subject::Tree(_)
        )
    }
}

impl Question {
    /// Whether it is about what this host's processes began: then answers to peers that sent
    /// first are left out. Totals of bytes and what is named by its address, port or pid keep
    /// them.
    pub fn leaves_out_answers(&self) -> bool {
        let of_bytes = |measure: Measure| {
            matches!(measure, Measure::Bytes | Measure::Sent | Measure::Received)
        };
        let by_bytes = match self.ranking {
            Some(Ranking::MostBytes(_)) => true,
            Some(Ranking::By { measure, .. }) => of_bytes(measure),
            _ => false,
        };
        let listed = match self.projection {
            Projection::Destinations
            | Projection::Addresses
            | Projection::Ports
            | Projection::Properties(_)
            | Projection::Pairs(_)
            | Projection::FirstHosts(_)
            | Projection::FirstActors(_)
            | Projection::Beacons
            | Projection::Changes(_)
            | Projection::Hashes
            | Projection::Rules
            | Projection::Verdicts
            | Projection::Count(_) => true,
            Projection::Actors(_) | Projection::Each => {
                !by_bytes && !self.average.is_some_and(of_bytes)
            }
            Projection::Average(measure) => !of_bytes(measure),
            _ => false,
        };
        let named = self.predicates.iter().chain(&self.also);
        self.relation == Relation::Connections
            && listed
            && !self.both_directions
            && !named.into_iter().any(Predicate::names_a_flow)
    }

    /// Whether it lists connections for how long they last, or that are open.
    pub fn is_about_durations(&self) -> bool {
        let of_durations = |predicate: &Predicate| match predicate {
            Predicate::Open => true,
            Predicate::Compared(of) => of.measure == Measure::Duration,
            _ => false,
        };
        matches!(self.ranking, Some(Ranking::Longest(_)))
            || self.predicates.iter().any(of_durations)
    }

    /// Whether it is about names that connections sent.
    pub fn is_about_sent_names(&self) -> bool {
        let sent = |predicate: &Predicate| matches!(predicate, Predicate::Sent(_));
        self.predicates.iter().any(|predicate| match predicate {
            Predicate::OtherName => true,
            Predicate::Any(all) => all.iter().any(sent),
            predicate => sent(predicate),
        })
    }

    pub fn is_about_connections(&self) -> bool {
        self.relation == Relation::Connections
    }

    /// Whether it does no more than select rows.
    pub fn only_selects(&self) -> bool {
        self.ranking.is_none()
            && self.average.is_none()
            && self.share.is_none()
            && self.bucket.is_none()
            && !self.new
            && self.having.is_empty()
            && self.also.is_empty()
            && self.never.is_empty()
            && self.without.is_none()
            && !matches!(
                self.projection,
                Projection::NeverContacted
                    | Projection::Answers
                    | Projection::NamesOfAddress
                    | Projection::Beacons
                    | Projection::Changes(_)
                    | Projection::Summary
                    | Projection::Hashes
                    | Projection::Rules
                    | Projection::Verdicts
            )
    }

    /// The span of the question, narrowed by that of the command line.
    pub fn span(&self, since: Option<i64>, until: Option<i64>) -> (Option<i64>, Option<i64>) {
        let until = match (self.until, until) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        (self.since.max(since), until)
    }
}
