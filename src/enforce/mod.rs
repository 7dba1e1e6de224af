//! Carries a policy out: compiles its rules to the tables of the kernel side, attaches the
//! programs that decide (bpf/policy.bpf.c), and classifies cgroups as they come. In go a
//! policy, the recorder's maps, and records of cgroups and containers; verdicts come out of the
//! recorder's ring buffer. A kernel that refuses the programs is an error.

mod actions;
mod classes;
mod compile;
mod hits;
mod object;
mod path_hash;
mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use signal_hook::consts::SIGHUP;

use crate::capture::Capture;
use crate::human;
use crate::model::{Action, PolicyChange, PolicyReason, PolicyRefusal, Record, RuleInForce};
use crate::policy::{LoadError, Mode, Notify, Owner, Policy};
use crate::process_control::ProcessControl;
use crate::when::now_ts;
use actions::Actions;
use classes::Classes;
use compile::Tables;
use hits::HitCounters;
use object::{Keys, Object};

/// The C types of bpf/policy.h.
use object::types;

/// How long existing containers have to be described before the policy decides without.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long actions have at the end.
const LAST_ACTIONS: Duration = Duration::from_secs(1);

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

    /// Whether enforcing it takes more than refusing connections.
    pub fn harms(&self) -> bool {
        self.actions().any(Action::harms)
    }

    pub fn dumps(&self) -> bool {
        self.actions().any(|action| action == Action::Dump)
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
    tables: Tables,
    /// When it was loaded, until it is active.
    loaded: Option<Instant>,
    /// The generation before, and when it was replaced.
    replaced: Option<(u32, Instant)>,
    /// When the next rule expires, ns since 1970.
    next_expiry: Option<i64>,
    reload: Arc<AtomicBool>,
    hits: HitCounters,
    actions: Actions,
}

impl Enforcer {
    /// Loads and attaches; the policy decides nothing before [`Enforcer::tick`] finds that the
    /// cgroups and containers that exist are known. `control` is wanted by a policy that
    /// [harms](PolicyFile::harms).
    ///
    /// # Errors
    /// The kernel refuses a program, or the policy does not fit.
    pub fn start(
        file: PolicyFile,
        scope: Scope,
        capture: &Capture,
        control: Option<ProcessControl>,
    ) -> Result<Enforcer> {
        let keys = Keys::random();
        let tables = Tables::compile(&file.policy, scope, &keys.names(), now_ts())?;
        let object = Object::load(capture, keys).context("this kernel can't carry out a policy")?;
        let reload = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGHUP, Arc::clone(&reload)).context("signal handlers")?;
        Ok(Enforcer {
            file,
            scope,
            object,
            classes: Classes::new(),
            cgroup_root: capture.cgroup_root(),
            tables,
            loaded: Some(Instant::now()),
            replaced: None,
            next_expiry: None,
            reload,
            hits: HitCounters::new(),
            actions: Actions::new(control),
        })
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
        self.loaded.is_none()
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
        let Some(generation) = self.object.generation() else {
            return Ok(());
        };
        self.object
            .write_classes(generation, &mut self.classes, &mut self.tables)?;
        for cgroup in self.classes.prune(&self.cgroup_root) {
            self.object.forget_cgroup(cgroup);
        }
        Ok(())
    }

    /// Suspends, kills and dumps processes as was decided. Adds what became of it, which may be
    /// later.
    pub fn act(&mut self, records: &[Record], out: &mut Vec<Record>) {
        self.actions.follow(records, out);
    }

    /// Waits a moment for what is being done.
    pub fn finish(&mut self, out: &mut Vec<Record>) {
        self.actions.finish(LAST_ACTIONS, out);
    }

    /// What is due: the policy becomes active, is read again after SIGHUP, or loses a rule that
    /// has expired; its hits are counted.
    ///
    /// # Errors
    /// The kernel's tables can't be written.
    pub fn tick(&mut self, out: &mut Vec<Record>) -> Result<()> {
        if let Some(since) = self.loaded {
            if self.classes.all_described() || since.elapsed() > PATIENCE {
                self.loaded = None;
                self.activate(PolicyReason::Started, out)?;
            }
            return Ok(());
        }
        if self.hits.are_due() {
            self.count_hits(out);
        }
        if let Some((generation, since)) = self.replaced {
            if since.elapsed() < GRACE {
                return Ok(());
            }
            self.count_hits(out);
            self.hits.forget(generation);
            self.object.forget(generation);
            self.replaced = None;
        }
        let now = now_ts();
        if self.next_expiry.is_some_and(|expires| expires <= now) {
            let names = self.object.keys.names();
            self.tables = Tables::compile(&self.file.policy, self.scope, &names, now)?;
            return self.activate(PolicyReason::Expired, out);
        }
        if self.reload.swap(false, Ordering::Relaxed) {
            self.read_again(out)?;
        }
        Ok(())
    }

    /// The most severe verdict that was reported so far, enforced or not.
    pub fn worst(&self) -> Action {
        self.hits.worst
    }

    /// Reports the hits since the last time, of the generation before, too.
    pub fn count_hits(&mut self, out: &mut Vec<Record>) {
        let before = self.replaced.map(|(generation, _)| generation);
        let unknown = self.classes.undescribed(&self.cgroup_root);
        for generation in before.into_iter().chain(self.object.generation()) {
            let counts = self.object.hits(generation);
            let new = self.hits.take(generation, counts, unknown, now_ts());
            out.extend(new.map(Record::PolicyHits));
        }
    }

    /// The recorded policy stays if the new one can't be used.
    fn read_again(&mut self, out: &mut Vec<Record>) -> Result<()> {
        let path = self.file.path.clone();
        let read = PolicyFile::read(&path).and_then(|file| {
            self.check_privileges(&file)?;
            let names = self.object.keys.names();
            let tables = Tables::compile(&file.policy, self.scope, &names, now_ts())?;
            Ok((file, tables))
        });
        match read {
            Ok((file, tables)) => {
                self.file = file;
                self.tables = tables;
                self.activate(PolicyReason::Reloaded, out)
            }
            Err(e) => {
                log::error!("the policy is unchanged: {e:#}");
                out.push(Record::PolicyRefused(PolicyRefusal {
                    ts: now_ts(),
                    file: path.display().to_string(),
                    error: format!("{e:#}"),
                }));
                Ok(())
            }
        }
    }

    /// What the recorder could do when it started is all that it can.
    fn check_privileges(&self, file: &PolicyFile) -> Result<()> {
        let lacks = |wanted: bool, has: bool| self.scope.enforce && wanted && !has;
        if lacks(file.harms(), self.actions.is_possible())
            || lacks(file.dumps(), self.actions.can_dump())
        {
            bail!(
                "it suspends, kills or dumps processes, and the one that the recorder was started with does not: restart the recorder"
            );
        }
        // its process runs nothing but what it was started with
        if file.notify() != self.file.notify() {
            bail!("notify has changed: restart the recorder");
        }
        Ok(())
    }

    /// Fills the next generation and lets it decide.
    fn activate(&mut self, reason: PolicyReason, out: &mut Vec<Record>) -> Result<()> {
        let before = self.object.generation();
        let generation = before.unwrap_or(0) + 1;
        self.object.fill(generation, &self.tables)?;
        self.classes.forget_written();
        self.object
            .write_classes(generation, &mut self.classes, &mut self.tables)?;
        self.object.activate(generation)?;
        self.replaced = before.map(|before| (before, Instant::now()));
        let policy = &self.file.policy;
        let actions = policy.rules.iter().map(|rule| rule.action).collect();
        self.hits.begin(generation, actions, policy.default);
        let expiries = policy.rules.iter().filter_map(|rule| rule.expires);
        self.next_expiry = expiries.filter(|expires| *expires > now_ts()).min();
        log::info!(
            "policy {}: {}, {}",
            self.file.path.display(),
            human::count(policy.rules.len() as i64, "rule", "rules"),
            match self.scope.enforce {
                true => "enforced",
                false => "observed: nothing is stopped",
            }
        );
        out.push(Record::Policy(PolicyChange {
            ts: now_ts(),
            reason,
            generation,
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
        }));
        Ok(())
    }
}
