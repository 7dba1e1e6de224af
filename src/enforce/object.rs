//! The BPF object of the policy: loading it with the recorder's maps, and its tables.

use std::collections::HashSet;
use std::io::Read;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};

use anyhow::{Context, Result, anyhow, bail};
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{Iter, Link, MapCore, MapFlags, MapMut, ProgramMut};
use rustix::time::{ClockId, clock_gettime};

use super::bytes::plain_bytes;
use super::classes::Classes;
use super::compile::{Lineage, Name, Tables, exe_kind};
use super::inherit::{self, Names};
use super::path_hash::hash_path;
use super::pin::{Before, Description, Pins, VARIABLES, Variables};
use super::seed::Seeds;
use crate::capture::preflight::Namespace;
use crate::capture::{Capture, INHERITED, entries, verifier_log};
use crate::model::{CachedAddress, VerdictRule, mapped};
use crate::policy::name_hash::NameHasher;
use crate::policy::{PathPattern, STUBS};
use crate::when::now_ts;

#[allow(clippy::all, clippy::unwrap_used, clippy::expect_used)]
mod skel {
    include!(concat!(env!("OUT_DIR"), "/policy.skel.rs"));
}

pub use skel::types;

/// That the kernel side has room for at once.
pub const GENERATIONS: u32 = types::policy_size::POLICY_GENERATIONS.0;
const SETS: u32 = types::policy_size::POLICY_SETS.0;
const PORT_BLOCK: usize = types::policy_size::POLICY_PORT_BLOCK.0 as usize;
/// Of a table of all ports.
const PORT_BLOCKS: u32 = 65_536 / PORT_BLOCK as u32;
const PORT_TABLES: u32 = types::policy_port_table::POLICY_PORT_TABLES.0;

/// Counters of a generation, see [`hit_order`].
const HITS: u32 = types::policy_size::POLICY_HITS.0;
const RULES: u32 = types::policy_size::POLICY_RULES.0;
const COMM_CHARS: u32 = types::policy_size::POLICY_COMM_CHARS.0;

/// Bits of a generation's number, in the keys of networks.
const GENERATION_BITS: u32 = 32;

pub struct Object {
    skel: skel::PolicySkel<'static>,
    links: Vec<(&'static str, Link)>,
    pub keys: Keys,
    /// Patterns of ancestors' paths, by the number of their bits, since the start: processes keep
    /// what they have been started by.
    patterns: Vec<PathPattern>,
    /// Running processes have not got the bits of all of them.
    patterns_are_new: bool,
    /// Of the iterator over what runs already.
    ancestors: Option<Link>,
}

/// A policy's tables in the kernel.
pub struct Generation {
    pub number: u32,
    pub tables: Tables,
    /// When the host was booted, ns since 1970, as its deadlines have it.
    boot_ts: i64,
    /// How many of its sets the kernel has.
    written_sets: usize,
}

/// Secrets of the hashes: no process can look for a path or a name with the hash of another.
#[derive(Debug, Clone, Copy)]
pub struct Keys {
    paths: u64,
    names: [u64; 2],
}

impl Keys {
    pub fn random() -> Keys {
        Keys {
            paths: random(),
            names: [random(), random()],
        }
    }

    /// Of what was pinned: hashes that are copied stay what they are.
    pub fn of(description: &Description) -> Keys {
        Keys {
            paths: description.path_key,
            names: description.name_keys,
        }
    }

    pub fn names(&self) -> NameHasher {
        NameHasher::new(self.names)
    }
}

/// The programs of processes first, so that none is started unseen; verdicts last.
const TRACING: [&str; 5] = [
    "policy_forked",
    "policy_forked_2",
    "policy_execed",
    "policy_execed_2",
    "policy_exited",
];
/// Answers before queries: what is asked is learnt.
const CGROUP: [&str; 5] = [
    "policy_answered",
    "policy_asked",
    "policy_connect4",
    "policy_connect6",
    "policy_egress",
];
/// Behind policy_egress, for a policy that has `sni`.
const SAID: &str = "policy_said";
/// Programs of the recorder whose maps a verdict reads: who sent first, and who has a socket.
const RECORDERS: [&str; 9] = [
    "egrets_sock_release",
    "egrets_ingress",
    "egrets_egress",
    "egrets_sock_create",
    "egrets_sendmsg4",
    "egrets_sendmsg6",
    "egrets_sock_ops",
    "egrets_connect4",
    "egrets_connect6",
];
const PROCESSES: &str = "policy_processes";
const TASKS: &str = "policy_tasks";
const ANCESTORS: &str = "policy_ancestors";

/// Patterns that have bits.
const MAX_PATTERNS: usize = 64;

/// How often running processes are read: those in between may have come while others were read.
const ANCESTORS_PASSES: usize = 3;

impl Object {
    /// `cached` has the addresses that processes of a network namespace may have in their caches;
    /// it is asked if there is nothing to inherit.
    pub fn load(
        capture: &mut Capture,
        keys: Keys,
        tables: &Tables,
        cached: Cached,
        pins: &Pins,
    ) -> Result<Object> {
        // As the recorder's: it lives as long as the process does.
        let storage = Box::leak(Box::new(MaybeUninit::uninit()));
        let mut open = skel::PolicySkelBuilder::default()
            .open(storage)
            .context("the policy's BPF object can't be opened")?;
        let of_capture = capture.kernel_settings();
        let rodata = open.maps.rodata_data.as_deref_mut();
        let rodata = rodata.context("the policy's BPF object has no settings")?;
        rodata.policy_key = keys.paths;
        rodata.name_key = keys.names;
        rodata.host_netns = host_netns();
        rodata.host_mntns = of_capture.host_mntns;
        rodata.self_tgid = of_capture.self_tgid;
        rodata.ring_bytes = of_capture.ring_bytes;
        rodata.route_seed = of_capture.route_seed;
        rodata.task_is_typed = of_capture.task_is_typed;
        rodata.dns_ports = of_capture.dns_ports;
        let shared = capture.maps();
        for mut map in open.open_object_mut().maps_mut() {
            let found = shared.iter().find(|(name, _)| map.name() == name.as_str());
            if let Some((name, fd)) = found {
                map.reuse_fd(*fd)
                    .with_context(|| format!("can't share the map {name}"))?;
            }
        }
        drop(shared);
        let reads_names = tables.settings.flags & types::policy_flag::POLICY_SNI.0 != 0;
        open.progs.policy_said.set_autoload(reads_names);
        verifier_log();
        let skel = open.load().map_err(|e| {
            let log = verifier_log();
            let last = log.trim().lines().rev().take(6).collect::<Vec<_>>();
            let last: Vec<_> = last.into_iter().rev().collect();
            anyhow!(e).context(last.join("\n"))
        })?;
        let mut object = Object {
            skel,
            links: Vec::new(),
            keys,
            patterns: Vec::new(),
            patterns_are_new: false,
            ancestors: None,
        };
        let before = pins.heir_of();
        let patterns = before.map_or_else(Vec::new, |before| patterns_of(before, &tables.lineage));
        object.add_patterns(&patterns)?;
        for name in TRACING {
            let link = program(&mut object.skel, name)?.attach_trace();
            object.links.push((name, link.context(name)?));
        }
        if let Some(before) = before {
            object.inherit_processes(before, !patterns.is_empty())?;
        }
        read_processes(&mut object.skel)?;
        let ancestors = program(&mut object.skel, ANCESTORS)?;
        object.ancestors = Some(ancestors.attach().context(ANCESTORS)?);
        // no program writes these tables yet
        if before.is_none() {
            grant_cached(&object.skel, keys, cached)?;
        }
        for name in CGROUP.into_iter().chain(reads_names.then_some(SAID)) {
            let cgroup = capture.cgroup().as_raw_fd();
            let link = program(&mut object.skel, name)?.attach_cgroup(cgroup);
            object.links.push((name, link.context(name)?));
        }
        object.pin(capture, pins)?;
        Ok(object)
    }

    /// Whether what connections say is decided on: a setting of the first policy.
    pub fn reads_server_names(&self) -> bool {
        self.links.iter().any(|(name, _)| *name == SAID)
    }

    /// Pins all that a verdict takes, and what the next recorder copies.
    fn pin(&mut self, capture: &mut Capture, pins: &Pins) -> Result<()> {
        let Some(own) = &pins.own else {
            return Ok(());
        };
        for (name, link) in &mut self.links {
            own.link(name, link)?;
        }
        for (name, link) in capture.links().filter(|(name, _)| RECORDERS.contains(name)) {
            own.link(name, link)?;
        }
        for (name, map) in capture.maps() {
            if INHERITED.contains(&name.as_str()) {
                own.map(&name, map)?;
            }
        }
        for name in inherit::TABLES.into_iter().chain([PROCESSES]) {
            let map = self.map(name).with_context(|| format!("no map {name}"))?;
            own.map(name, map.as_fd())?;
        }
        own.map(VARIABLES, self.skel.maps.bss.as_fd())?;
        own.finish()
    }

    fn map(&self, name: &str) -> Option<&MapMut<'static>> {
        let maps = &self.skel.maps;
        Some(match name {
            "policy_queries" => &maps.policy_queries,
            "policy_grants" => &maps.policy_grants,
            "policy_seen_names" => &maps.policy_seen_names,
            "policy_aliases" => &maps.policy_aliases,
            "policy_streams" => &maps.policy_streams,
            "policy_order" => &maps.policy_order,
            "policy_buckets" => &maps.policy_buckets,
            PROCESSES => &maps.policy_processes,
            _ => return None,
        })
    }

    /// What was learnt before, which is to be copied.
    pub fn inherit<T>(&self, before: &Before, run: impl FnOnce(Names) -> T) -> T {
        run(Names {
            before,
            table: &|name| self.map(name),
        })
    }

    /// Programs that run as a recorder before has seen them start: more than can be read of
    /// processes that run. Those that are gone meanwhile take room until their pid is used again.
    fn inherit_processes(&self, before: &Before, with_patterns: bool) -> Result<()> {
        let Some(known) = before.map(PROCESSES) else {
            return Ok(());
        };
        for (pid, value) in entries(known)? {
            let mut process = types::policy_process::default();
            if plain::copy_from_bytes(&mut process, &value).is_err() {
                continue;
            }
            process.tree = 0;
            if !with_patterns {
                process.patterns = Default::default();
                process.via = Default::default();
            }
            let processes = &self.skel.maps.policy_processes;
            let _ = processes.update(&pid, plain_bytes(&process), MapFlags::NO_EXIST);
        }
        Ok(())
    }

    /// The part of what is pinned that does not depend on the rules.
    pub fn describe(&self) -> Description {
        Description {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            path_key: self.keys.paths,
            name_keys: self.keys.names,
            patterns: self.patterns.iter().map(pattern_text).collect(),
            variables: Variables {
                active_generation: std::mem::offset_of!(types::bss, active_generation),
                fallback_generation: std::mem::offset_of!(types::bss, fallback_generation),
                fallback_after_ns: std::mem::offset_of!(types::bss, fallback_after_ns),
                hits: std::mem::offset_of!(types::bss, policy_hits),
                counters: HITS as usize,
                generations: GENERATIONS,
                settings_at: RULES as usize,
            },
            generations: Vec::new(),
        }
    }

    /// Lets a generation that was filled decide. What returns after a trial stays as it is.
    pub fn activate(&mut self, generation: u32) -> Result<()> {
        store(&mut self.globals()?.active_generation, generation);
        Ok(())
    }

    /// From this time on, ns since boot, this generation decides again.
    pub fn fall_back_after(&mut self, time_ns: u64, generation: u32) -> Result<()> {
        let globals = self.globals()?;
        store(&mut globals.fallback_generation, generation);
        store(&mut globals.fallback_after_ns, time_ns);
        Ok(())
    }

    /// The generation that decides is none on trial any more.
    pub fn end_trial(&mut self) -> Result<()> {
        store(&mut self.globals()?.fallback_after_ns, 0);
        Ok(())
    }

    fn globals(&mut self) -> Result<&mut types::bss> {
        let bss = self.skel.maps.bss_data.as_deref_mut();
        bss.context("the policy's BPF object has no data")
    }

    /// How often each rule of a generation has decided.
    pub fn hits(&self, generation: u32) -> Vec<(VerdictRule, u64)> {
        let Some(bss) = self.skel.maps.bss_data.as_deref() else {
            return Vec::new();
        };
        let first = generation % GENERATIONS * HITS;
        let read = |(at, rule): (u32, VerdictRule)| {
            let counter = bss.policy_hits.get((first + at) as usize)?;
            // SAFETY: a valid, aligned pointer into memory that the BPF programs write to.
            Some((rule, unsafe { std::ptr::read_volatile(counter) }))
        };
        (0..).zip(hit_order()).filter_map(read).collect()
    }

    /// Before a generation that no program decides by.
    fn reset_hits(&mut self, generation: u32) {
        let first = (generation % GENERATIONS * HITS) as usize;
        let bss = self.skel.maps.bss_data.as_deref_mut();
        let hits = bss.and_then(|bss| bss.policy_hits.get_mut(first..first + HITS as usize));
        hits.into_iter().for_each(|hits| hits.fill(0));
    }

    pub fn can_write(&self) -> bool {
        // an entry that no generation has
        let key = plain_bytes(&types::policy_user_key::default()).to_vec();
        let users = &self.skel.maps.policy_users;
        let written = users.update(&key, &0_u32.to_ne_bytes(), MapFlags::ANY);
        written.is_ok() && users.delete(&key).is_ok()
    }

    /// Marks a process, which has not started its program yet, as the one whose tree is recorded.
    pub fn track(&self, pid: u32) -> Result<()> {
        let processes = &self.skel.maps.policy_processes;
        let entry = processes.lookup(&pid.to_ne_bytes(), MapFlags::ANY)?;
        let entry = entry.context("the command's process is not known to the policy")?;
        let mut process = types::policy_process::default();
        plain::copy_from_bytes(&mut process, &entry)
            .map_err(|_| anyhow!("the command's process can't be read"))?;
        process.tree = 1;
        processes.update(&pid.to_ne_bytes(), plain_bytes(&process), MapFlags::ANY)?;
        Ok(())
    }

    /// Writes everything of a generation but the classes of cgroups.
    pub fn fill(&mut self, generation: u32, tables: Tables) -> Result<Generation> {
        self.reset_hits(generation);
        let maps = &self.skel.maps;
        let boot_ts = boot_ts();
        self.put_settings(generation, &tables, boot_ts)?;
        for (uid, set) in &tables.users {
            let key = types::policy_user_key {
                generation,
                uid: *uid,
            };
            put(&maps.policy_users, plain_bytes(&key), &set.to_ne_bytes())?;
        }
        for program in &tables.programs {
            let key = types::policy_exe_key {
                generation,
                kind: program.kind,
                hash: hash_path(self.keys.paths, &program.path),
            };
            let set = program.set.to_ne_bytes();
            put(&maps.policy_exes, plain_bytes(&key), &set)?;
        }
        for table in &tables.ports {
            let first = (generation % GENERATIONS * PORT_TABLES + table.table) * PORT_BLOCKS;
            for (block, sets) in table.sets.chunks(PORT_BLOCK).enumerate() {
                let mut ports = types::policy_ports::default();
                for (to, from) in ports.sets.iter_mut().zip(sets) {
                    *to = *from;
                }
                let index = first + block as u32;
                put(
                    &maps.policy_ports,
                    &index.to_ne_bytes(),
                    plain_bytes(&ports),
                )?;
            }
        }
        for network in &tables.networks {
            let key = network_key(generation, network.addr, network.len.into());
            let set = network.set.to_ne_bytes();
            put(&maps.policy_cidrs, plain_bytes(&key), &set)?;
        }
        for ip in &tables.resolvers {
            let addr = mapped(crate::policy::plain_address(*ip));
            let key = network_key(generation, addr, 128);
            put(
                &maps.policy_resolvers,
                plain_bytes(&key),
                &1_u32.to_ne_bytes(),
            )?;
        }
        for suffix in &tables.search_suffixes {
            let key = name_key(generation, self.keys.names().hash(suffix));
            put(&maps.policy_search, plain_bytes(&key), &[1])?;
        }
        self.fill_lineage(generation, &tables.lineage)?;
        let maps = &self.skel.maps;
        for path in STUBS {
            let hash = hash_path(self.keys.paths, path).to_ne_bytes();
            put(&maps.policy_stubs, &hash, &[1])?;
        }
        for names in tables.names.chunks(NAMES_AT_ONCE) {
            put_names(&maps.policy_names, generation, names)?;
        }
        let mut filled = Generation {
            number: generation,
            tables,
            boot_ts,
            written_sets: 0,
        };
        self.write_sets(&mut filled)?;
        Ok(filled)
    }

    /// `boot_ts` is when the host was booted, ns since 1970: the kernel side has no other clock.
    fn put_settings(&self, generation: u32, tables: &Tables, boot_ts: i64) -> Result<()> {
        let mut settings = tables.settings;
        settings.generation = generation;
        settings.deadlines_ns.fill(u64::MAX); // POLICY_NEVER
        for (to, ts) in settings.deadlines_ns.iter_mut().zip(&tables.deadlines) {
            *to = ts.saturating_sub(boot_ts).max(0) as u64;
        }
        put(
            &self.skel.maps.policy_settings,
            &(generation % GENERATIONS).to_ne_bytes(),
            plain_bytes(&settings),
        )
    }

    /// After the host's clock was set, rules of a generation expire at other times since boot.
    pub fn follow_clock(&self, of: &mut Generation) -> Result<()> {
        let boot_ts = boot_ts();
        if of.tables.deadlines.is_empty() || boot_ts.abs_diff(of.boot_ts) < CLOCK_WAS_SET_NS {
            return Ok(());
        }
        of.boot_ts = boot_ts;
        self.put_settings(of.number, &of.tables, boot_ts)
    }

    /// # Errors
    /// There have been too many patterns since the start.
    pub fn check_patterns(&self, lineage: &Lineage) -> Result<()> {
        let new = lineage
            .patterns
            .iter()
            .filter(|p| !self.patterns.contains(p));
        if self.patterns.len() + new.count() > MAX_PATTERNS {
            bail!(
                "via: there have been more than {MAX_PATTERNS} different paths since the recorder started: restart it"
            );
        }
        Ok(())
    }

    fn fill_lineage(&mut self, generation: u32, lineage: &Lineage) -> Result<()> {
        self.match_patterns(lineage)?;
        let maps = &self.skel.maps;
        let slot = generation % GENERATIONS;
        let entry = lineage.entry(|pattern| {
            let bit = self.patterns.iter().position(|known| known == pattern);
            bit.map_or(0, |bit| 1 << bit)
        });
        put(
            &maps.policy_lineages,
            &slot.to_ne_bytes(),
            plain_bytes(&entry),
        )?;
        for (character, states) in (0_u32..).zip(lineage.characters()) {
            let key = slot * COMM_CHARS + character;
            let value = types::policy_comm { states: *states };
            put(&maps.policy_comms, &key.to_ne_bytes(), plain_bytes(&value))?;
        }
        Ok(())
    }

    /// Gives new patterns their bits, and running processes those that they and their ancestors
    /// match.
    fn match_patterns(&mut self, lineage: &Lineage) -> Result<()> {
        self.check_patterns(lineage)?;
        let is_new = |pattern: &&PathPattern| !self.patterns.contains(pattern);
        let new: Vec<PathPattern> = lineage.patterns.iter().filter(is_new).cloned().collect();
        // until the processes have been read: that may fail
        self.patterns_are_new |= !new.is_empty();
        if !self.patterns_are_new {
            return Ok(());
        }
        self.add_patterns(&new)?;
        let ancestors = self.ancestors.as_ref().context(ANCESTORS)?;
        for _ in 0..ANCESTORS_PASSES {
            let mut processes = Iter::new(ancestors).context(ANCESTORS)?;
            processes.read_to_end(&mut Vec::new()).context(ANCESTORS)?;
        }
        self.patterns_are_new = false;
        Ok(())
    }

    /// Gives patterns their bits.
    fn add_patterns(&mut self, new: &[PathPattern]) -> Result<()> {
        for pattern in new {
            let (kind, path) = exe_kind(pattern);
            let key = types::policy_pattern_key {
                hash: hash_path(self.keys.paths, path),
                kind: kind.0.into(),
            };
            let bit = 1_u64 << self.patterns.len();
            let patterns = &self.skel.maps.policy_patterns;
            put(patterns, plain_bytes(&key), &bit.to_ne_bytes())?;
            self.patterns.push(pattern.clone());
        }
        let count = self.patterns.len() as u32;
        store(&mut self.globals()?.pattern_count, count);
        Ok(())
    }

    /// Writes the classes that the generations do not have, then the cgroups that are new or have
    /// changed.
    pub fn write_classes<'a>(
        &self,
        generations: impl Iterator<Item = &'a mut Generation>,
        classes: &mut Classes,
    ) -> Result<()> {
        let unwritten = classes.take_unwritten();
        // without room a cgroup stays unknown, which must not end the recording
        let mut lost = None;
        for of in generations {
            let sets: Vec<(u32, u32)> = unwritten
                .iter()
                .map(|(class, subject)| (*class, of.tables.class_set(subject)))
                .collect();
            self.write_sets(of)?;
            for (class, set) in sets {
                let key = types::policy_class_key {
                    generation: of.number,
                    class,
                };
                let classes = &self.skel.maps.policy_classes;
                lost = put(classes, plain_bytes(&key), &set.to_ne_bytes())
                    .err()
                    .or(lost);
            }
        }
        for (id, entry) in classes.take_changed() {
            let cgroups = &self.skel.maps.policy_cgroups;
            lost = put(cgroups, &id.to_ne_bytes(), plain_bytes(&entry))
                .err()
                .or(lost);
        }
        if let Some(e) = lost {
            log::warn!("some cgroups are unknown to the policy: {e:#}");
        }
        Ok(())
    }

    pub fn forget_cgroup(&self, id: u64) {
        let _ = self.skel.maps.policy_cgroups.delete(&id.to_ne_bytes());
    }

    fn write_sets(&self, of: &mut Generation) -> Result<()> {
        let masks = of.tables.masks();
        if masks.len() > SETS as usize {
            bail!("the policy has too many different combinations of rules");
        }
        for (set, mask) in masks.iter().enumerate().skip(of.written_sets) {
            let index = of.number % GENERATIONS * SETS + set as u32;
            let mask = types::policy_mask { bits: *mask };
            let sets = &self.skel.maps.policy_sets;
            put(sets, &index.to_ne_bytes(), plain_bytes(&mask))?;
        }
        of.written_sets = masks.len();
        Ok(())
    }

    /// Deletes the entries of a generation that decides nothing any more. What is left after an
    /// error takes room only.
    pub fn forget(&self, generation: u32) {
        let maps = &self.skel.maps;
        // the generation's place in the keys
        for (map, at) in [
            (&maps.policy_users, 0),
            (&maps.policy_exes, 0),
            (&maps.policy_classes, 0),
            (&maps.policy_names, 0),
            (&maps.policy_search, 0),
            (&maps.policy_cidrs, 4),
            (&maps.policy_resolvers, 4),
        ] {
            let its = |key: &Vec<u8>| key.get(at..at + 4) == Some(&generation.to_ne_bytes()[..]);
            let keys: HashSet<Vec<u8>> = map.keys().filter(its).collect();
            for key in keys {
                let _ = map.delete(&key);
            }
        }
    }
}

/// What each counter of a generation counts: count_hit in bpf/policy_verdict.h.
fn hit_order() -> impl Iterator<Item = VerdictRule> {
    let rules = (0..RULES as u16).map(VerdictRule::Index);
    rules.chain(VerdictRule::SETTINGS)
}

/// Where BPF programs read.
fn store<T>(to: &mut T, value: T) {
    // SAFETY: a valid, aligned reference into memory that is shared with the BPF programs.
    unsafe { std::ptr::write_volatile(to, value) }
}

fn put(map: &MapMut<'_>, key: &[u8], value: &[u8]) -> Result<()> {
    map.update(key, value, MapFlags::ANY)
        .with_context(|| format!("the policy's table {} is full", map.name().display()))
}

/// Rules expire as exactly as this.
const CLOCK_WAS_SET_NS: u64 = 100_000_000;

/// Names that are written by one system call.
const NAMES_AT_ONCE: usize = 4096;

fn put_names(map: &MapMut<'_>, generation: u32, names: &[Name]) -> Result<()> {
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    for name in names {
        keys.extend_from_slice(plain_bytes(&name_key(generation, name.hash)));
        values.extend_from_slice(plain_bytes(&types::policy_name {
            below: name.below,
            exact: name.exact,
        }));
    }
    map.update_batch(
        &keys,
        &values,
        names.len() as u32,
        MapFlags::ANY,
        MapFlags::ANY,
    )
    .context("the policy has more names than the kernel side has room for")
}

fn name_key(generation: u32, hash: u64) -> types::policy_name_key {
    types::policy_name_key {
        generation,
        pad: 0,
        hash,
    }
}

fn network_key(generation: u32, addr: [u8; 16], len: u32) -> types::policy_cidr_key {
    types::policy_cidr_key {
        prefix_len: GENERATION_BITS + len,
        generation,
        addr,
    }
}

fn program<'a>(skel: &'a mut skel::PolicySkel<'static>, name: &str) -> Result<ProgramMut<'a>> {
    skel.object_mut()
        .progs_mut()
        .find(|p| p.name() == name)
        .with_context(|| format!("the policy's BPF object has no program {name}"))
}

/// Patterns whose bits processes have from before; none if there would be no room for those of the
/// new rules.
fn patterns_of(before: &Before, lineage: &Lineage) -> Vec<PathPattern> {
    let texts = before.description().map(|of| of.patterns.as_slice());
    let known: Result<Vec<PathPattern>, _> = texts
        .unwrap_or_default()
        .iter()
        .map(|text| PathPattern::parse(text))
        .collect();
    let known = known.unwrap_or_default();
    let new = lineage.patterns.iter().filter(|new| !known.contains(new));
    match known.len() + new.count() > MAX_PATTERNS {
        true => Vec::new(),
        false => known,
    }
}

/// As rules have it.
fn pattern_text(pattern: &PathPattern) -> String {
    match pattern {
        PathPattern::Exact(path) => path.clone(),
        PathPattern::In(path) => format!("{path}/*"),
        PathPattern::Below(path) => format!("{path}/**"),
    }
}

/// Notes the programs of the processes that run already.
fn read_processes(skel: &mut skel::PolicySkel<'static>) -> Result<()> {
    let link = program(skel, TASKS)?.attach().context(TASKS)?;
    let mut processes = Iter::new(&link).context(TASKS)?;
    processes.read_to_end(&mut Vec::new()).context(TASKS)?;
    Ok(())
}

/// What processes of a network namespace, by its inode number, may have in their caches.
pub type Cached<'a> = &'a dyn Fn(u32) -> Vec<CachedAddress>;

/// Grants addresses to names in the host's network namespace, for all of its processes.
fn grant_cached(skel: &skel::PolicySkel<'static>, keys: Keys, cached: Cached) -> Result<()> {
    let bss = skel.maps.bss_data.as_deref();
    let (netns, netns_cookie) =
        bss.map_or((0, 0), |bss| (bss.initial_netns, bss.initial_netns_cookie));
    if netns_cookie == 0 {
        return Ok(());
    }
    let seeds = Seeds::new(&cached(netns), &keys.names(), boot_ts());
    for (name, seen) in &seeds.names {
        let names = &skel.maps.policy_seen_names;
        put(names, &name.to_ne_bytes(), plain_bytes(seen))?;
    }
    for (addr, grant) in &seeds.grants {
        let key = types::policy_grant_key {
            netns_cookie,
            cgroup_id: 0,
            addr: *addr,
        };
        put(
            &skel.maps.policy_grants,
            plain_bytes(&key),
            plain_bytes(grant),
        )?;
    }
    log::debug!(
        "{} addresses from before the policy have names",
        seeds.grants.len()
    );
    Ok(())
}

/// When the host was booted, ns since 1970.
fn boot_ts() -> i64 {
    let now = clock_gettime(ClockId::Boottime);
    now_ts() - (now.tv_sec * 1_000_000_000 + now.tv_nsec)
}

/// A number that no process can foresee: the hasher's keys are random.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0_u8)
}

/// Inode number of the host's network namespace; 0 where /proc does not show it. Without all of the
/// first process' capabilities egrets may not look; kernel threads are in the same one.
pub fn host_netns() -> u32 {
    let inode = |pid: u32| rustix::fs::stat(format!("/proc/{pid}/ns/net")).ok();
    let of_kernel = || Namespace::Pid.is_initial().then(|| inode(KTHREADD))?;
    let namespace = inode(1).or_else(of_kernel);
    namespace.map_or(0, |namespace| namespace.st_ino as u32)
}

/// The kernel thread that starts the others: kernel/kthread.c.
const KTHREADD: u32 = 2;
