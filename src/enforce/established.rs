//! Connections that are older than the policy: the kernel side decides when they begin, so it never
//! saw them. What becomes of them is decided here, by the reference evaluator and from what the
//! recorder knows: `established: alert` and `reset`.

use std::rc::Rc;

use super::Scope;
use super::classes::Classes;
use crate::connection_reset::{ConnectionReset, Request};
use crate::model::{Action, Connection, ExeView, Process, Source, Verdict, VerdictRule};
use crate::policy::{
    Container, Decision, Destination, Established, Evidence, HostName, Policy, Reason, Said,
    Subject,
};
use crate::when::now_ts;

/// What a policy says about connections that are older than it.
pub struct Judge<'a> {
    pub policy: &'a Policy,
    pub scope: Scope,
    pub classes: &'a Classes,
    /// Inode number of the host's network namespace; 0 if it is not known.
    pub host_netns: u32,
    pub digest: Rc<str>,
    /// Since when it decides: the kernel side has decided on what is newer.
    pub since_ts: i64,
    pub resets: Option<&'a mut ConnectionReset>,
}

impl Judge<'_> {
    /// The verdict on an open TCP connection; None if the policy allows it, or has decided on it
    /// before. What is to be reset is.
    pub fn verdict(&mut self, cookie: u64, c: &Connection) -> Option<Verdict> {
        let is_decided = c.verdict.as_ref().is_some_and(|v| v.policy == self.digest);
        if c.inbound || is_decided || c.ts > self.since_ts {
            return None;
        }
        let destination = destination(c);
        let subject = self.subject(&c.process);
        let decision = self.policy.decide(&subject, &destination, now_ts());
        if decision.action == Action::Allow {
            return None;
        }
        let resets = self.policy.established == Established::Reset && decision.stops();
        let enforced = resets && self.scope.enforce && self.reset(cookie, c);
        Some(Verdict {
            // its process has done nothing under this policy
            action: match enforced {
                true => Action::Block,
                false => decision.action,
            },
            enforced,
            rule: self.label(&decision),
            policy: Rc::clone(&self.digest),
            action_outcome: None,
        })
    }

    /// False if its ends are not known, or too many wait already.
    fn reset(&mut self, cookie: u64, c: &Connection) -> bool {
        let (Some(resets), Some(request)) = (&mut self.resets, Request::of(cookie, c, false))
        else {
            return false;
        };
        resets.request(request)
    }

    fn label(&self, decision: &Decision) -> Rc<str> {
        let setting = match (decision.rule, decision.why) {
            (Some(index), _) => {
                let rule = self.policy.rules.get(index);
                return rule.map_or_else(|| "".into(), |rule| rule.label(index).into());
            }
            (None, Reason::UnknownContainer) => VerdictRule::UnknownContainer,
            (None, Reason::Sni) => VerdictRule::Sni,
            (None, _) => VerdictRule::Default,
        };
        setting.setting().unwrap_or_default().into()
    }

    fn subject(&self, process: &Process) -> Subject {
        let view = process.exe_file.view;
        let of_system = matches!(view, Some(ExeView::Host | ExeView::Namespace));
        let container = match &process.container {
            None => Container::None,
            Some(container) => self.classes.described(&container.key()),
        };
        let is_host = container == Container::None
            && of_system
            && process.netns.is_none_or(|netns| netns == self.host_netns);
        // in a container, the paths that its rules mean are its own
        let in_container = container != Container::None;
        let ancestors = std::iter::successors(process.parent.as_deref(), |of| of.parent.as_deref())
            .filter(|of| in_container || of.exe_is_trusted);
        let exe = process.exe.as_deref();
        Subject {
            exe: process.exe.clone(),
            exe_is_trusted: process.exe_file.is_trusted(),
            uid: Some(process.uid),
            user: process.user.clone(),
            unit: process.unit.clone(),
            cgroup: process.cgroup.clone(),
            host: is_host,
            kernel: Subject::is_kernels(exe, Some(process.uid), Some(&process.comm)),
            tree: false,
            ancestors: ancestors.filter_map(|of| of.exe.clone()).collect(),
            comm: Some(process.comm.clone()),
            container,
        }
    }
}

fn destination(c: &Connection) -> Destination {
    let names = c.name.iter().filter(|name| name.source != Source::Sni);
    let names = names.flat_map(|name| {
        let evidence = match name.source {
            Source::Process => Evidence::Own,
            Source::Ancestor | Source::Container => Evidence::Related,
            Source::Netns | Source::Host | Source::Hosts | Source::Sni => Evidence::Shared,
        };
        let rivals = name.rival_names.iter().map(|rival| &rival.host);
        std::iter::once(&name.host)
            .chain(rivals)
            .map(move |host| HostName {
                name: host.to_string(),
                evidence,
            })
    });
    Destination {
        ip: c.dst_ip(),
        port: c.dst_port(),
        protocol: c.protocol,
        names: names.collect(),
        // what it said, it said before this policy
        said: Said::NotYet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Ancestor, builders};

    fn is_stopped(change: impl FnOnce(&mut Process)) -> bool {
        let text = "version: 1\ndefault: block\nestablished: alert\nrules:\n  \
                    - { who: { via: /usr/sbin/sshd }, action: allow }\n";
        let mut process = builders::process("x");
        change(&mut process);
        let connection = Connection {
            process: Rc::new(process),
            ..builders::connection("x")
        };
        let mut judge = Judge {
            policy: &Policy::parse(text).unwrap(),
            scope: Scope {
                enforce: true,
                only_tree: false,
            },
            classes: &Classes::new(),
            host_netns: 0,
            digest: "".into(),
            since_ts: connection.ts,
            resets: None,
        };
        judge.verdict(7, &connection).is_some()
    }

    #[test]
    fn the_kernels_threads_go_on_and_only_trusted_ancestors_count() {
        let kernels = |comm: &str, uid| {
            is_stopped(|process| {
                process.exe = None;
                process.comm = comm.into();
                process.uid = uid;
            })
        };
        assert!(!kernels("kworker/u8:1", 0));
        assert!(kernels("kworker/u8:1", 1000) && kernels("nfs", 0));
        let started = |exe_is_trusted| {
            is_stopped(|process| {
                process.parent = Some(Rc::new(Ancestor {
                    serial: 2,
                    pid: 1,
                    start_ns: 0,
                    comm: "sshd".into(),
                    exe: Some("/usr/sbin/sshd".into()),
                    exe_is_trusted,
                    cmdline: None,
                    parent: None,
                }));
            })
        };
        assert!(!started(true) && started(false));
    }
}
