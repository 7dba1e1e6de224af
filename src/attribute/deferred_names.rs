//! Connections whose process' /etc/hosts was not read when they began. It may have the name that the
//! process used, and then what other processes looked up is wrong. In come such connections, and
//! their ends; out go those to which the file gives a name once it has been read.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::naming::{HostsAnswer, HostsFiles};
use super::shares::Shares;
use crate::capture::event::{FlowKey, MountNamespace, Owner};
use crate::model::{Connection, Name};

/// Connections that wait. Beyond that, the oldest of the user with the most of them keeps its name.
const MAX_WAITING: usize = 4096;
/// How long one waits: longer than a reader may take.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// How often the files are looked for.
const INTERVAL: Duration = Duration::from_millis(20);

/// What the name of a connection depends on.
pub struct Deferral {
    pub owner: Owner,
    pub account: u32,
}

struct Waiting {
    deferral: Deferral,
    key: FlowKey,
    /// When it began, nanoseconds since boot.
    ns: u64,
    since: Instant,
    /// As it was when it ended.
    ended: Option<Connection>,
}

/// A connection that the file of its process names.
pub struct Settled {
    pub number: u64,
    pub key: FlowKey,
    pub name: Name,
    pub ended: Option<Connection>,
}

pub struct DeferredNames {
    /// By the connections' numbers.
    waiting: Shares<u64, Waiting>,
    polled: Instant,
}

impl DeferredNames {
    pub fn new() -> DeferredNames {
        DeferredNames {
            waiting: Shares::new(MAX_WAITING),
            polled: Instant::now(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.len() == 0
    }

    pub fn add(&mut self, number: u64, key: FlowKey, ns: u64, deferral: Deferral) {
        let account = deferral.account;
        let waiting = Waiting {
            deferral,
            key,
            ns,
            since: Instant::now(),
            ended: None,
        };
        self.waiting.insert(account, number, waiting);
    }

    /// A connection has ended, and may wait.
    pub fn ended(&mut self, connection: &Connection) {
        if self.is_empty() {
            return;
        }
        if let Some(waiting) = self.waiting.get_mut(&connection.number) {
            waiting.ended = Some(connection.clone());
        }
    }

    /// Those that their file has named since, in the order in which they began.
    pub fn settled(&mut self, hosts: &mut HostsFiles) -> Vec<Settled> {
        if self.is_empty() || self.polled.elapsed() < INTERVAL {
            return Vec::new();
        }
        self.polled = Instant::now();
        let mut numbers: Vec<u64> = self.waiting.keys().copied().collect();
        numbers.sort_unstable();
        let mut pending: HashSet<(MountNamespace, u32)> = HashSet::new();
        let mut settled = Vec::new();
        for number in numbers {
            let Some(waiting) = self.waiting.get_mut(&number) else {
                continue;
            };
            let (owner, ns) = (&waiting.deferral.owner, waiting.ns);
            let file = (owner.mntns, owner.uid);
            let answer = match pending.contains(&file) {
                true => HostsAnswer::Pending,
                false => {
                    let account = waiting.deferral.account;
                    hosts.poll_name(owner, account, waiting.key.dst.ip, ns)
                }
            };
            if answer == HostsAnswer::Pending {
                pending.insert(file);
                if waiting.since.elapsed() < MAX_WAIT {
                    continue;
                }
            }
            if let Some(waiting) = self.waiting.remove(&number)
                && let HostsAnswer::Known(Some(name)) = answer
            {
                settled.push(Settled {
                    number,
                    key: waiting.key,
                    name,
                    ended: waiting.ended,
                });
            }
        }
        settled
    }
}
