//! The names of /etc/hosts, as each process sees that file: a lookup in it sends
//! nothing that could be captured. In comes a process and an address; out goes the
//! name that the file of its mount namespace has for it, if any.
//!
//! The file is the process' own to choose: read on a thread of its own, with a time
//! limit, from within the process' root, its first part only. Who is gone has the
//! file that others of its user, or root, had in its mount namespace.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use hashlink::LruCache;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::time::{ClockId, clock_gettime};

use super::regular;
use crate::capture::event::{MountNamespace, Owner};
use crate::model::{MAX_RIVALS, Name, Rival, Source};

/// How long an answer is waited for, at most. Files on a dead network file system
/// cost names, and the events wait for them once.
const PATIENCE: Duration = Duration::from_millis(50);
/// Bytes of the file that are read.
const MAX_BYTES: u64 = 1 << 20;
/// Names of one file that are kept.
const MAX_NAMES: usize = 4096;
/// Files that are kept: those used last.
const MAX_FILES: usize = 256;

const ROOT: u32 = 0;

/// What a file says: the names of each address, in their order.
pub type Table = HashMap<IpAddr, Vec<String>>;

/// Tells a changed file from the one that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// Whose file it is. Any user may change the root of a process of theirs, in a user
/// namespace, and so show another file: it must not name other users' connections.
type Place = (MountNamespace, u32);

struct Question {
    pid: u32,
    place: Place,
    known: Option<Stamp>,
}

/// What is to be known of a namespace's file. None: the same as before.
type Reading = Option<(Stamp, Table)>;

struct Answer {
    place: Place,
    reading: Result<Reading>,
}

#[derive(Default)]
struct Known {
    stamp: Option<Stamp>,
    table: Table,
    /// When it was last looked at, nanoseconds since boot.
    checked_ns: u64,
}

pub struct Hosts {
    ask: SyncSender<Question>,
    answers: Receiver<Answer>,
    /// A question that took too long and is still to be answered.
    waiting: bool,
    known: LruCache<Place, Known>,
}

impl Hosts {
    pub fn start() -> Hosts {
        let (ask, questions) = sync_channel::<Question>(1);
        let (answer, answers) = sync_channel(1);
        thread::spawn(move || {
            for question in questions {
                let reading = read(&question);
                let place = question.place;
                if answer.send(Answer { place, reading }).is_err() {
                    return;
                }
            }
        });
        Hosts {
            ask,
            answers,
            waiting: false,
            known: LruCache::new(MAX_FILES),
        }
    }

    /// A program was started: where its mount namespace is a new one, its file is
    /// read while the process lives.
    pub fn started(&mut self, owner: &Owner) {
        let place = (owner.mntns, owner.uid);
        if owner.mntns.id != 0 && !self.known.contains_key(&place) {
            self.look(owner.pid, place);
        }
    }

    /// The name that the file of a process has for an address that it dialled at `ns`,
    /// nanoseconds since boot. Where it is gone and nobody of its user was seen there,
    /// root's file counts.
    pub fn name(&mut self, owner: &Owner, ip: IpAddr, ns: u64) -> Option<Name> {
        if owner.mntns.id == 0 || ip.is_unspecified() {
            return None;
        }
        let place = (owner.mntns, owner.uid);
        // Looked at after the connection began, it is as the process saw it.
        if self.known.get(&place).is_none_or(|k| k.checked_ns < ns) {
            self.look(owner.pid, place);
        }
        let place = match self.known.contains_key(&place) {
            true => place,
            false => (owner.mntns, ROOT),
        };
        let names = self.known.get(&place)?.table.get(&ip)?;
        let (first, others) = names.split_first()?;
        let rival = |host: &String| Rival {
            host: Rc::from(host.as_str()),
            lookup: None,
        };
        Some(Name {
            host: Rc::from(first.as_str()),
            source: Source::Hosts,
            age_ms: None,
            lookup: None,
            rivals: others.len(),
            rival_names: others.iter().take(MAX_RIVALS).map(rival).collect(),
        })
    }

    fn look(&mut self, pid: u32, place: Place) {
        if self.waiting {
            match self.answers.try_recv() {
                Ok(late) => self.take(late),
                Err(_) => return,
            }
        }
        let known = self.known.get(&place).and_then(|known| known.stamp);
        let question = Question { pid, place, known };
        if self.ask.try_send(question).is_err() {
            return;
        }
        self.waiting = true;
        if let Ok(answer) = self.answers.recv_timeout(PATIENCE) {
            self.take(answer);
        }
    }

    fn take(&mut self, answer: Answer) {
        self.waiting = false;
        let now = clock_gettime(ClockId::Boottime);
        let checked_ns = now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64;
        match answer.reading {
            Ok(Some((stamp, table))) => {
                let known = Known {
                    stamp: Some(stamp),
                    table,
                    checked_ns,
                };
                self.known.insert(answer.place, known);
            }
            Ok(None) => {
                if let Some(known) = self.known.get_mut(&answer.place) {
                    known.checked_ns = checked_ns;
                }
            }
            // Gone, or without such a file: what is known stays.
            Err(e) => log::debug!(
                "/etc/hosts of mount namespace {}: {e:#}",
                answer.place.0.inode
            ),
        }
    }
}

fn read(question: &Question) -> Result<Reading> {
    let root = root_of(question)?;
    // A link in the file's path leads where it leads the process, not egrets.
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let found = File::from(openat2(&root, "etc/hosts", flags, Mode::empty(), inside)?);
    // Root in a container can make a device, and only its own processes are kept from
    // opening it.
    let (file, meta) = regular::open(&found)?;
    let stamp = Stamp {
        device: meta.dev(),
        inode: meta.ino(),
        size: meta.size(),
        changed: (meta.ctime(), meta.ctime_nsec()),
    };
    if question.known == Some(stamp) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(Some((stamp, parse(&String::from_utf8_lossy(&bytes)))))
}

/// The root directory of a process of the mount namespace.
fn root_of(question: &Question) -> Result<rustix::fd::OwnedFd> {
    let is_there = |pid: &str| {
        let path = format!("/proc/{pid}/ns/mnt");
        std::fs::metadata(path).is_ok_and(|m| m.ino() == u64::from(question.place.0.inode))
    };
    let pid = question.pid.to_string();
    // egrets itself outlives who was asked for.
    let pid = ["self", &pid].into_iter().find(|pid| is_there(pid));
    let path = format!("/proc/{}/root", pid.context("the process is gone")?);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(CWD, path, flags, Mode::empty())?)
}

/// hosts(5): an address, its name, its aliases. Names as they are stored: lower case,
/// no dot at the end.
pub fn parse(text: &str) -> Table {
    let mut table = Table::new();
    let mut kept = 0;
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let ip = words
            .next()
            .and_then(|ip| ip.split('%').next()?.parse().ok());
        let Some(ip) = ip.map(|ip: IpAddr| ip.to_canonical()) else {
            continue;
        };
        let names = words.map(|name| name.trim_end_matches('.'));
        for name in names.filter(|name| is_name(name)) {
            let name = name.to_ascii_lowercase();
            let names = table.entry(ip).or_default();
            if kept < MAX_NAMES && !names.contains(&name) {
                names.push(name);
                kept += 1;
            }
        }
    }
    table
}

/// What can be a name: printable, and no longer than a DNS name in text.
fn is_name(name: &str) -> bool {
    (1..=255).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_their_names_in_order_and_comments_are_none() {
        let table = parse(
            "# 192.0.2.9 no.example\n192.0.2.1\tDB.Example. db  # here\n\n192.0.2.1 other\nbad x\n\
             ::ffff:192.0.2.2 six\nfe80::1%eth0 link\n192.0.2.3 e\u{1b}vil . ..\n",
        );
        let names = |ip: &str| table.get(&ip.parse::<IpAddr>().unwrap()).cloned();
        let expected = ["db.example", "db", "other"].map(String::from).to_vec();
        assert_eq!(names("192.0.2.1"), Some(expected));
        assert_eq!(names("192.0.2.2"), Some(vec!["six".to_string()]));
        assert_eq!(names("fe80::1"), Some(vec!["link".to_string()]));
        assert_eq!((names("192.0.2.3"), names("192.0.2.9")), (None, None));
    }

    #[test]
    fn a_huge_file_keeps_a_bounded_number_of_names() {
        let line = |i: u32| format!("10.{}.{}.1 h{i}.example\n", i / 256 % 256, i % 256);
        let text: String = (0..20_000).map(line).collect();
        let kept: usize = parse(&text).values().map(Vec::len).sum();
        assert_eq!(kept, MAX_NAMES);
    }

    #[test]
    fn a_users_file_names_nothing_for_others_in_the_same_namespace() {
        let ip = IpAddr::from([192, 0, 2, 1]);
        let mut hosts = Hosts::start();
        let owner = |uid| Owner {
            pid: u32::MAX, // gone
            tid: 1,
            uid,
            login_uid: None,
            start_ns: 1,
            exec_id: 1,
            cgroup_id: 1,
            netns: 1,
            netns_cookie: 1,
            mntns: MountNamespace { id: 9, inode: 1 },
            comm: "x".into(),
        };
        let seen = |hosts: &mut Hosts, uid, line: &str| {
            let known = Known {
                table: parse(line),
                ..Known::default()
            };
            hosts.known.insert((owner(uid).mntns, uid), known);
        };
        let host = |hosts: &mut Hosts, uid| Some(hosts.name(&owner(uid), ip, 1)?.host);
        seen(&mut hosts, 1000, "192.0.2.1 lie");
        assert_eq!(host(&mut hosts, 1001), None);
        assert_eq!(host(&mut hosts, ROOT), None);
        seen(&mut hosts, ROOT, "192.0.2.1 true");
        assert_eq!(host(&mut hosts, 1001).as_deref(), Some("true"));
        assert_eq!(host(&mut hosts, 1000).as_deref(), Some("lie"));
    }

    #[test]
    fn a_process_that_is_gone_or_of_another_namespace_has_no_file() {
        let own = std::fs::metadata("/proc/self/ns/mnt").unwrap().ino() as u32;
        let ask = |pid, inode| {
            read(&Question {
                pid,
                place: (MountNamespace { id: 9, inode }, ROOT),
                known: None,
            })
        };
        assert!(ask(u32::MAX, own).is_ok(), "egrets' own namespace");
        assert!(ask(1, 1).is_err());
        assert!(ask(u32::MAX, 1).is_err());
    }
}
