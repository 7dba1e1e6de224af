//! Connections that are older than the policy: the kernel side decides when they begin, so it never
//! saw them. What becomes of them is decided here, by the reference evaluator and from what the
//! recorder knows: `established: alert` and `reset`.

use std::net::SocketAddr;
use std::rc::Rc;

use super::Scope;
use super::classes::Classes;
use crate::connection_reset::{ConnectionReset, Request};
use crate::model::{Action, Connection, ExeView, Process, Source, Verdict, VerdictRule};
use crate::policy::{
    Container, Decision, Destination, Established, Evidence, HostName, Policy, Reason, Subject,
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
    pub resets: Option<&'a mut ConnectionReset>,
}

impl Judge<'_> {
    /// The verdict on an open TCP connection; None if the policy allows it, or has decided on it
    /// before. What is to be reset is.
    pub fn verdict(&mut self, cookie: u64, c: &Connection) -> Option<Verdict> {
        let is_decided = c.verdict.as_ref().is_some_and(|v| v.policy == self.digest);
        if c.inbound || is_decided {
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

    /// False if its ends are not known.
    fn reset(&mut self, cookie: u64, c: &Connection) -> bool {
        let (Some(resets), Some(src), Some(netns)) = (&mut self.resets, c.src, c.process.netns)
        else {
            return false;
        };
        resets.request(Request {
            cookie,
            pid: c.process.pid,
            netns,
            src: SocketAddr::new(src.ip, src.port),
            dst: SocketAddr::new(c.dst.ip, c.dst.port),
        });
        true
    }

    fn label(&self, decision: &Decision) -> Rc<str> {
        let setting = match (decision.rule, decision.why) {
            (Some(index), _) => {
                let rule = self.policy.rules.get(index);
                return rule.map_or_else(|| "".into(), |rule| rule.label(index).into());
            }
            (None, Reason::UnknownContainer) => VerdictRule::UnknownContainer,
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
        let ancestors = std::iter::successors(process.parent.as_deref(), |of| of.parent.as_deref());
        Subject {
            exe: process.exe.clone(),
            exe_is_trusted: of_system && process.exe_file.root_only && !process.exe_file.deleted,
            uid: Some(process.uid),
            user: process.user.clone(),
            unit: process.unit.clone(),
            cgroup: process.cgroup.clone(),
            host: is_host,
            kernel: false,
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
    }
}
