//! Carries a policy out: compiles its rules to the tables of the kernel side, attaches the
//! programs that decide (bpf/policy.bpf.c), and classifies cgroups as they come. In go a
//! policy, the recorder's maps, and records of cgroups and containers; verdicts come out of the
//! recorder's ring buffer. A kernel that refuses the programs is an error.

mod actions;
mod bytes;
mod classes;
mod clock;
mod compile;
mod established;
mod hits;
pub mod host;
mod inherit;
mod object;
mod path_hash;
pub mod pin;
mod seed;
mod support;
mod trial;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use signal_hook::consts::SIGHUP;

use crate::capture::Capture;
use crate::connection_reset::{ConnectionReset, Failure, Request};
use crate::human;
use crate::model::{
    Action, Connection, PolicyChange, PolicyReason, PolicyRefusal, Record, RuleInForce, Verdict,
};
use crate::policy::requests::Inbox;
use crate::policy::{Established, LoadError, Mode, Notify, Owner, Policy, Sni};
use crate::process_control::ProcessControl;
use crate::when::now_ts;
use actions::Actions;
use classes::Classes;
use clock::boot_ns;
use compile::Tables;
use established::Judge;
use hits::HitCounters;
pub use object::Cached;
use object::{GENERATIONS, Generation, Keys, Object};
use pin::{Before, Pinned, PinnedRule};
pub use pin::{Pinning, Pins};

/// The C types of bpf/policy.h.
use object::types;
use trial::Trial;

/// How long existing containers have to be described before the policy decides without.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long actions have at the end.
const LAST_ACTIONS: Duration = Duration::from_secs(1);

/// How long after a policy came into force the connections that are older are looked at again.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// Programs that read a generation have long ended after this.
const GRACE: Duration = Duration::from_secs(1);

/// How far a policy goes in this run.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// It is enforced; otherwise observed.
    pub enforce: bool,
    /// It is about the command that is recorded, and no other process.
    pub only_tree: bool,
}

/// What of a policy this version can't enforce, each with its reason. [`PolicyFile::read`] refuses
/// such a policy.
pub fn unsupported(policy: &Policy) -> Vec<String> {
    match support::check(policy) {
        Ok(()) => Vec::new(),
        // the first line says what the others are
        Err(e) => e
            .to_string()
            .lines()
            .skip(1)
            .map(|line| line.trim().to_owned())
            .collect(),
    }
}

/// A policy that was read and can be enforced.
pub struct PolicyFile {
    path: PathBuf,
    policy: Policy,
}

impl PolicyFile {
    /// Reads a policy of root's.
    ///
    /// # Errors
    /// All that is wrong with the file, and rules that can't be enforced.
    pub fn read(path: &Path) -> Result<PolicyFile> {
        let policy = Policy::load(path, Owner::Root).map_err(|e| match e {
            LoadError::File(e) => e,
            LoadError::Policy(problems) => {
                let lines = problems.lines(&path.display().to_string());
                anyhow::anyhow!("{}", lines.join("\n"))
            }
        })?;
        support::check(&policy).with_context(|| path.display().to_string())?;
        Ok(PolicyFile {
            path: path.to_owned(),
            policy,
        })
    }

    /// Who is notified.
    pub fn notify(&self) -> &Notify {
        &self.policy.notify
    }

    /// Addresses of the name servers whose answers count, but for those on this host: any answer
    /// of theirs may have been a user's.
    pub fn resolvers(&self) -> Vec<IpAddr> {
        let all = self.policy.resolver_addresses();
        all.filter(|ip| !ip.to_canonical().is_loopback()).collect()
    }

    /// Whether enforcing it takes more than refusing connections.
    pub fn harms(&self) -> bool {
        self.actions().any(Action::harms)
    }

    pub fn dumps(&self) -> bool {
        self.actions().any(|action| action == Action::Dump)
    }

    /// Whether enforcing it resets connections: those that are older, or said a name.
    pub fn resets(&self) -> bool {
        self.policy.established == Established::Reset || self.policy.sni == Sni::Strict
    }

    /// Of the rules that are enforced.
    fn actions(&self) -> impl Iterator<Item = Action> {
        let rules = self.policy.rules.iter();
        let enforced = rules.filter(|rule| rule.mode == Mode::Enforce);
        enforced
            .map(|rule| rule.action)
            .chain([self.policy.default])
    }
}

/// A policy that decides.
pub struct Enforcer {
    file: PolicyFile,
    scope: Scope,
    object: Object,
    classes: Classes,
    /// Directory of the topmost visible cgroup.
    cgroup_root: PathBuf,
    /// The policy's tables and since when the programs are loaded, until it is active.
    pending: Option<(Tables, Instant)>,
    /// The rules that decide, once it is.
    generation: Option<Generation>,
    /// The number of the last generation.
    last: u32,
    /// What returns, while the policy is on trial.
    trial: Option<Trial>,
    /// Generations that decide no more, and since when.
    replaced: Option<(Vec<u32>, Instant)>,
    reload: Arc<AtomicBool>,
    inbox: Option<Inbox>,
    hits: HitCounters,
    actions: Actions,
    /// Until the connections that are older than the rules of now have been looked at.
    older: Option<Older>,
    /// What resets them, for a policy that does.
    resets: Option<ConnectionReset>,
    /// Cookies of older ones that it could not reset.
    not_reset: Vec<u64>,
    pins: Pins,
    /// What is pinned of the generations that may decide.
    pinned: Vec<Pinned>,
}

/// Connections that are older than the rules that decide.
struct Older {
    /// When these came into force, ns since 1970.
    since_ts: i64,
    since: Instant,
    /// Those that were known then have been looked at.
    looked: bool,
}

/// What carries out that takes privileges of its own.
#[derive(Default)]
pub struct Helpers {
    /// Wanted by an enforced policy that [harms](PolicyFile::harms).
    pub control: Option<ProcessControl>,
    /// Wanted by one that [resets](PolicyFile::resets).
    pub resets: Option<ConnectionReset>,
}

impl Enforcer {
    /// Loads and attaches; the policy decides nothing before [`Enforcer::tick`] finds that the
    /// cgroups and containers that exist are known. `cached` has what processes may have looked up before.
    ///
    /// # Errors
    /// The kernel refuses a program, or the policy does not fit.
    pub fn start(
        file: PolicyFile,
        scope: Scope,
        capture: &mut Capture,
        helpers: Helpers,
        cached: Cached,
        pins: Pins,
    ) -> Result<Enforcer> {
        let before = pins.heir_of();
        if let Some(before) = before
            && let Err(e) = capture.inherit(|name| before.map(name))
        {
            log::warn!("answers to peers that sent before may be taken for new flows: {e:#}");
        }
        let description = before.and_then(Before::description);
        let keys = description.map_or_else(Keys::random, Keys::of);
        let tables = Tables::compile(&file.policy, scope, &keys.names(), now_ts())?;
        let object = Object::load(capture, keys, &tables, cached, &pins)
            .context("this kernel can't carry out a policy")?;
        let reload = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGHUP, Arc::clone(&reload)).context("signal handlers")?;
        Ok(Enforcer {
            file,
            scope,
            object,
            classes: Classes::new(),
            cgroup_root: capture.cgroup_root(),
            pending: Some((tables, Instant::now())),
            generation: None,
            last: 0,
            trial: None,
            replaced: None,
            reload,
            inbox: None,
            hits: HitCounters::new(),
            actions: Actions::new(helpers.control),
            older: None,
            resets: helpers.resets,
            not_reset: Vec::new(),
            pins,
            pinned: Vec::new(),
        })
    }

    /// Takes requests for other policies at a socket.
    pub fn take_requests(&mut self, socket: &Path) {
        match Inbox::bind(socket) {
            Ok(inbox) => self.inbox = Some(inbox),
            Err(e) => log::warn!("'egrets policy apply' has no effect: {e:#}"),
        }
    }

    /// This process and its descendants are the tree that rules and [`Scope`] mean.
    pub fn track(&self, pid: u32) -> Result<()> {
        self.object.track(pid)
    }

    /// Whether the tables can be written with the privileges of now.
    pub fn can_write(&self) -> bool {
        self.object.can_write()
    }

    pub fn is_active(&self) -> bool {
        self.generation.is_some()
    }

    /// Classifies the cgroups and containers that the records are about.
    ///
    /// # Errors
    /// The kernel's tables can't be written.
    pub fn follow(&mut self, records: &[Record]) -> Result<()> {
        for record in records {
            match record {
                Record::Cgroup(cgroup) => self.classes.add(cgroup),
                Record::Container(update) => self.classes.describe(update),
                _ => {}
            }
        }
        if !self.is_active() {
            return Ok(());
        }
        self.write_classes()?;
        for cgroup in self.classes.prune(&self.cgroup_root) {
            self.object.forget_cgroup(cgroup);
        }
        Ok(())
    }

    /// To the rules that decide, and to those that may return.
    fn write_classes(&mut self) -> Result<()> {
        let before = self.trial.as_mut().map(|trial| &mut trial.generation);
        let generations = self.generation.iter_mut().chain(before);
        self.object.write_classes(generations, &mut self.classes)
    }

    /// Has a new policy decide on the connections that are older than it: `open` hands over each
    /// TCP connection that is open, with its cookie. `is_up_to_date`: the recorder has read all
    /// events; those of connections just before may come later than the policy.
    pub fn judge_open(
        &mut self,
        is_up_to_date: bool,
        open: impl FnOnce(&mut dyn FnMut(u64, &Connection) -> Option<Verdict>),
    ) {
        let Some(older) = &mut self.older else {
            return;
        };
        let is_last = is_up_to_date && older.since.elapsed() >= LAST_LOOK;
        if std::mem::replace(&mut older.looked, true) && !is_last {
            return;
        }
        let since_ts = older.since_ts;
        if is_last {
            self.older = None;
        }
        let mut judge = Judge {
            policy: &self.file.policy,
            scope: self.scope,
            classes: &self.classes,
            host_netns: object::host_netns(),
            digest: self.file.policy.digest.as_str().into(),
            since_ts,
            resets: self.resets.as_mut(),
        };
        open(&mut |cookie, connection| judge.verdict(cookie, connection));
        self.poll_resets();
    }

    /// Cookies of connections that go on, though they were to be reset, since the last time.
    pub fn take_not_reset(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.not_reset)
    }

    /// Ends a connection that the kernel side has silenced, so that its process does not wait.
    pub fn reset_silenced(&mut self, cookie: u64, connection: &Connection) {
        let request = Request::of(cookie, connection, true);
        if let (Some(resets), Some(request)) = (&mut self.resets, request) {
            // without room its process waits until it gives up
            let _ = resets.request(request);
        }
    }

    fn poll_resets(&mut self) {
        let Some(resets) = &mut self.resets else {
            return;
        };
        match resets.poll() {
            Ok(failures) => {
                for Failure { request, why } in failures {
                    let Request {
                        cookie, pid, dst, ..
                    } = request;
                    if request.silenced {
                        log::warn!(
                            "sni: the connection of process {pid} to {dst} is refused, and can't be reset: {why}"
                        );
                        continue;
                    }
                    self.not_reset.push(cookie);
                    log::warn!(
                        "established: the connection of process {pid} to {dst} goes on: {why}"
                    );
                }
            }
            Err(e) => {
                log::error!("connections are reset no more: {e:#}");
                self.resets = None;
            }
        }
    }

    /// Suspends, kills and dumps processes as was decided. Adds what became of it, which may be
    /// later.
    pub fn act(&mut self, records: &[Record], out: &mut Vec<Record>) {
        self.actions.follow(records, out);
    }

    /// Waits a moment for what is being done.
    pub fn finish(&mut self, out: &mut Vec<Record>) {
        if self.pins.own.is_some() && self.is_active() {
            log::info!(
                "the policy is pinned and stays in force: 'egrets policy unpin' ends it, the next start with --enforce takes over"
            );
        }
        self.actions.finish(LAST_ACTIONS, out);
    }

    /// What is due: the policy becomes active, is read again after SIGHUP, replaced on request, or
    /// loses a rule that has expired; its hits are counted.
    ///
    /// # Errors
    /// The kernel's tables can't be written.
    pub fn tick(&mut self, out: &mut Vec<Record>) -> Result<()> {
        self.poll_resets();
        if let Some((_, since)) = &self.pending {
            let ready = self.classes.all_described() || since.elapsed() > PATIENCE;
            if let Some((tables, _)) = self.pending.take_if(|_| ready) {
                self.take_over(tables, out)?;
            }
            return Ok(());
        }
        if self.hits.are_due() {
            self.count_hits(out);
        }
        if self
            .replaced
            .as_ref()
            .is_some_and(|(_, since)| since.elapsed() < GRACE)
        {
            return Ok(());
        }
        if self.replaced.is_some() {
            self.count_hits(out);
        }
        for generation in self.replaced.take().into_iter().flat_map(|(all, _)| all) {
            self.hits.forget(generation);
            self.object.forget(generation);
        }
        if self.trial.as_ref().is_some_and(Trial::is_over) {
            return self.revert("it was not confirmed in time", out);
        }
        let before = self.trial.as_mut().map(|trial| &mut trial.generation);
        for generation in self.generation.iter_mut().chain(before) {
            self.object.follow_clock(generation)?;
        }
        // the kernel side leaves out a rule that has expired by itself; this is for the history
        let deadlines = self.generation.as_ref().map(|of| &of.tables.deadlines);
        let expiry = deadlines.and_then(|deadlines| deadlines.first());
        if expiry.is_some_and(|expires| *expires <= now_ts()) {
            let tables = self.compile(&self.file, self.scope)?;
            return self.activate(tables, PolicyReason::Expired, out);
        }
        if self.reload.swap(false, Ordering::Relaxed) {
            return self.read_again(out);
        }
        match self.inbox.as_ref().and_then(Inbox::take) {
            Some(request) => self.answer(request, out),
            None => Ok(()),
        }
    }

    /// The first rules come into force, and those that a recorder before has left end. Until then
    /// both decide: a connection that is refused by either is refused.
    fn take_over(&mut self, tables: Tables, out: &mut Vec<Record>) -> Result<()> {
        let learning = self.learn_beside(&tables)?;
        self.activate(tables, PolicyReason::Started, out)?;
        if let Some(generation) = learning {
            std::thread::sleep(inherit::GRACE);
            self.object.forget(generation);
        }
        let before = std::mem::take(&mut self.pins.before);
        for pinned in before.iter().filter_map(Before::in_force) {
            log::info!(
                "takes over from the pinned policy {} (digest {})",
                pinned.policy.file,
                pinned.policy.digest.get(..12).unwrap_or_default()
            );
        }
        if !before.is_empty() {
            pin::remove(before);
        }
        Ok(())
    }

    /// Has the programs learn names beside those of a recorder before, before they decide, and
    /// copies what these know. The number of the generation that does so.
    fn learn_beside(&mut self, tables: &Tables) -> Result<Option<u32>> {
        let Some(before) = self.pins.heir_of() else {
            if self
                .pins
                .before
                .iter()
                .any(|before| before.in_force().is_some())
            {
                log::warn!(
                    "the pinned policy is another version's: names that were looked up before are known from the history alone"
                );
            }
            return Ok(None);
        };
        let (object, number) = (&mut self.object, self.last + 1);
        object.fill(number, tables.learning())?;
        self.last = number;
        let began_ns = boot_ns();
        if let Err(e) = object.inherit(before, |names| names.copy()) {
            log::warn!("some names that were looked up before are unknown: {e:#}");
        }
        object.activate(number)?;
        self.pins.copied_ns = began_ns;
        Ok(Some(number))
    }

    /// What is missing still of what a recorder before has learnt. Nothing is from here on, as both
    /// learn.
    fn learn_rest(&self) {
        let Some(before) = self.pins.heir_of() else {
            return;
        };
        let since_ns = self.pins.copied_ns;
        match self
            .object
            .inherit(before, |names| names.complete(since_ns))
        {
            Ok(true) => {}
            Ok(false) => log::warn!("some names that were looked up just now may be unknown"),
            Err(e) => log::warn!("some names that were looked up before are unknown: {e:#}"),
        }
    }

    /// Says in the kernel what is pinned, before it decides.
    fn describe(&mut self, policy: &PolicyChange) -> Result<()> {
        let used = self.used_numbers();
        let Some(own) = &mut self.pins.own else {
            return Ok(());
        };
        let rule =
            |rule: &RuleInForce| PinnedRule::new(&rule.label, rule.action.as_str(), !rule.observed);
        self.pinned
            .retain(|pinned| used.contains(&pinned.generation));
        self.pinned.push(Pinned {
            generation: policy.generation,
            file: policy.file.clone(),
            digest: policy.digest.to_string(),
            since_ts: policy.ts,
            enforced: policy.enforced,
            default: policy.default.as_str().into(),
            rules: policy.rules.iter().map(rule).collect(),
        });
        let mut description = self.object.describe();
        description.generations = self.pinned.clone();
        own.describe(&description).context("what is pinned")?;
        own.keep();
        Ok(())
    }

    fn compile(&self, file: &PolicyFile, scope: Scope) -> Result<Tables> {
        let names = self.object.keys.names();
        Tables::compile(&file.policy, scope, &names, now_ts())
    }

    /// The most severe verdict that was reported so far, enforced or not.
    pub fn worst(&self) -> Action {
        self.hits.worst
    }

    /// Reports the hits since the last time, of all generations that may have decided.
    pub fn count_hits(&mut self, out: &mut Vec<Record>) {
        let unknown = self.classes.undescribed(&self.cgroup_root);
        for generation in self.used_numbers() {
            let counts = self.object.hits(generation);
            let new = self.hits.take(generation, counts, unknown, now_ts());
            out.extend(new.map(Record::PolicyHits));
        }
    }

    /// Generations that have entries in the kernel's tables.
    fn used_numbers(&self) -> Vec<u32> {
        let replaced = self.replaced.iter().flat_map(|(all, _)| all).copied();
        let before = self.trial.iter().map(|trial| trial.generation.number);
        let decides = self.generation.iter().map(|of| of.number);
        replaced.chain(before).chain(decides).collect()
    }

    /// The recorded policy stays if the new one can't be used.
    fn read_again(&mut self, out: &mut Vec<Record>) -> Result<()> {
        let path = self.file.path.clone();
        if self.trial.is_some() {
            self.refuse(&path, &trial::unconfirmed(), out);
            return Ok(());
        }
        match self.read(&path, self.scope) {
            Ok((file, tables)) => {
                self.file = file;
                self.activate(tables, PolicyReason::Reloaded, out)
            }
            Err(e) => {
                self.refuse(&path, &e, out);
                Ok(())
            }
        }
    }

    /// Reads a policy that the recorder can carry out.
    fn read(&self, path: &Path, scope: Scope) -> Result<(PolicyFile, Tables)> {
        let file = PolicyFile::read(path)?;
        self.check_privileges(&file, scope)?;
        let tables = self.compile(&file, scope)?;
        self.object.check_patterns(&tables.lineage)?;
        Ok((file, tables))
    }

    fn refuse(&self, file: &Path, why: &anyhow::Error, out: &mut Vec<Record>) {
        log::error!("the policy is unchanged: {why:#}");
        out.push(Record::PolicyRefused(PolicyRefusal {
            ts: now_ts(),
            file: file.display().to_string(),
            error: format!("{why:#}"),
        }));
    }

    /// What the recorder could do when it started is all that it can.
    fn check_privileges(&self, file: &PolicyFile, scope: Scope) -> Result<()> {
        let lacks = |wanted: bool, has: bool| scope.enforce && wanted && !has;
        if lacks(file.resets(), self.resets.is_some()) {
            bail!(
                "it resets connections, and the one that the recorder was started with does not: restart the recorder"
            );
        }
        if lacks(file.harms(), self.actions.is_possible())
            || lacks(file.dumps(), self.actions.can_dump())
        {
            bail!(
                "it suspends, kills or dumps processes, and the one that the recorder was started with does not: restart the recorder"
            );
        }
        if file.policy.sni != Sni::Off && !self.object.reads_server_names() {
            bail!(
                "it has 'sni', and the one that the recorder was started with has not: restart the recorder"
            );
        }
        // its process runs nothing but what it was started with
        if file.notify() != self.file.notify() {
            bail!("notify has changed: restart the recorder");
        }
        Ok(())
    }

    /// Fills the next generation and lets it decide.
    fn activate(
        &mut self,
        tables: Tables,
        reason: PolicyReason,
        out: &mut Vec<Record>,
    ) -> Result<()> {
        let before = self.fill(tables)?;
        if let Some(before) = before {
            self.retire(before.number);
        }
        let fallback = self.trial.as_ref().map(|trial| trial.generation.number);
        self.decide(reason, fallback, out)
    }

    /// Fills the next generation. Returns the one before, which decides still.
    fn fill(&mut self, tables: Tables) -> Result<Option<Generation>> {
        let used: Vec<u32> = self
            .used_numbers()
            .iter()
            .map(|n| n % GENERATIONS)
            .collect();
        let mut numbers = self.last + 1..=self.last + GENERATIONS;
        let number = numbers.find(|number| !used.contains(&(number % GENERATIONS)));
        let number = number.context("the kernel side has no room for another policy")?;
        let filled = self.object.fill(number, tables)?;
        self.last = number;
        Ok(self.generation.replace(filled))
    }

    fn retire(&mut self, generation: u32) {
        let (all, since) = self.replaced.get_or_insert((Vec::new(), Instant::now()));
        all.push(generation);
        *since = Instant::now();
    }

    /// Lets the generation that was filled decide. `fallback` may do so, too.
    fn decide(
        &mut self,
        reason: PolicyReason,
        fallback: Option<u32>,
        out: &mut Vec<Record>,
    ) -> Result<()> {
        self.classes.forget_written();
        self.write_classes()?;
        let generation = self.last;
        let policy = &self.file.policy;
        self.hits.begin(generation, policy);
        let mut change = self.change(reason, fallback);
        self.describe(&change)?;
        self.learn_rest();
        self.object.activate(generation)?;
        change.ts = now_ts();
        let policy = &self.file.policy;
        let judges_older = policy.established != Established::Keep && !self.scope.only_tree;
        self.older = judges_older.then(|| Older {
            since_ts: now_ts(),
            since: Instant::now(),
            looked: false,
        });
        log::info!(
            "policy {}: {}, {}",
            self.file.path.display(),
            human::count(policy.rules.len() as i64, "rule", "rules"),
            match (self.scope.enforce, &self.trial) {
                (true, Some(_)) => "enforced until the time of its confirmation is over",
                (true, None) => "enforced",
                (false, _) => "observed: nothing is stopped",
            }
        );
        out.push(Record::Policy(change));
        Ok(())
    }

    /// The rules that were filled last, as of now.
    fn change(&self, reason: PolicyReason, fallback: Option<u32>) -> PolicyChange {
        let policy = &self.file.policy;
        PolicyChange {
            ts: now_ts(),
            reason,
            generation: self.last,
            file: self.file.path.display().to_string(),
            digest: policy.digest.as_str().into(),
            rules: policy
                .rules
                .iter()
                .enumerate()
                .map(|(index, rule)| RuleInForce {
                    label: rule.label(index).into(),
                    action: rule.action,
                    observed: rule.mode == Mode::Observe,
                })
                .collect(),
            default: policy.default,
            enforced: self.scope.enforce,
            revert_ts: self.trial.as_ref().map(|trial| trial.revert_ts),
            fallback,
        }
    }
}
