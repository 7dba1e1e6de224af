//! The table of hooks.

use super::HookSet;

#[derive(Clone, Copy)]
pub(super) enum Attach {
    /// To the root of the cgroup2 hierarchy.
    Cgroup,
    /// To a tracepoint through BTF.
    Trace,
    /// The same, as long as TCP connections are open that are older than egrets.
    WhileOlder,
    /// To a tracepoint of a system call.
    Syscall(&'static str),
    /// To a kernel function's return.
    Return(&'static str),
    /// To a kernel function, under the first of these names that exists.
    Entry(&'static [&'static str]),
    /// To nothing: it runs when it is read, once for each file of each process.
    Files,
    /// To nothing: egrets runs it.
    OnDemand,
}

pub struct Hook {
    pub(super) program: &'static str,
    /// Programs that do the same, in case the kernel skips the first one.
    copies: &'static [&'static str],
    /// Unique: as in the BPF object, or what runs it.
    pub name: &'static str,
    /// What is recorded through it.
    pub purpose: &'static str,
    /// Whether its set, or the recording as a whole, fails without it.
    pub required: bool,
    /// None: in both sets.
    pub(super) set: Option<HookSet>,
    /// Useful without the others of its set.
    pub(super) independent: bool,
    pub(super) attach: Attach,
}

impl Hook {
    const fn new(
        program: &'static str,
        name: &'static str,
        attach: Attach,
        purpose: &'static str,
    ) -> Hook {
        let set = match attach {
            Attach::Cgroup
            | Attach::Trace
            | Attach::WhileOlder
            | Attach::Files
            | Attach::OnDemand => None,
            Attach::Syscall(_) => Some(HookSet::Tracepoint),
            Attach::Return(_) | Attach::Entry(_) => Some(HookSet::Kprobe),
        };
        Hook {
            program,
            copies: &[],
            name,
            purpose,
            required: true,
            set,
            independent: false,
            attach,
        }
    }

    /// In this set, and useful without the others of it.
    const fn independent(mut self, set: HookSet) -> Hook {
        self.set = Some(set);
        self.independent = true;
        self.optional()
    }

    const fn copied(mut self, copies: &'static [&'static str]) -> Hook {
        self.copies = copies;
        self
    }

    const fn optional(mut self) -> Hook {
        self.required = false;
        self
    }

    pub(super) fn programs(&self) -> impl Iterator<Item = &'static str> {
        [self.program]
            .into_iter()
            .chain(self.copies.iter().copied())
    }

    pub(super) fn has(&self, name: impl PartialEq<&'static str>) -> bool {
        self.programs().any(|program| name == program)
    }

    pub(super) fn is_in(&self, set: HookSet) -> bool {
        self.set.is_none_or(|its| its == set)
    }
}

/// In the order in which they are attached, those of a set before the others: a call's
/// return before its entry, so that no entry waits for a return that is not traced;
/// processes before sockets, so that no socket is seen without its process' exec.
#[rustfmt::skip]
pub(super) static HOOKS: [Hook; 28] = {
    use Attach::{Cgroup, Entry, Files, OnDemand, Return, Syscall, Trace, WhileOlder};
    const ERRNO: &str = "errno of failed attempts";
    const POLICY: &str = "errno of a cgroup's refusal";
    [
        Hook::new("egrets_fork", "tp_btf/sched_process_fork", Trace, "parents of processes").copied(&["egrets_fork_2", "egrets_fork_3"]).optional(),
        Hook::new("egrets_exec", "tp_btf/sched_process_exec", Trace, "executables and arguments").copied(&["egrets_exec_2", "egrets_exec_3"]).optional(),
        Hook::new("egrets_exit", "tp_btf/sched_process_exit", Trace, "ends of processes").copied(&["egrets_exit_2", "egrets_exit_3"]).optional(),
        Hook::new("egrets_cgroup_mkdir", "tp_btf/cgroup_mkdir", Trace, "containers as they come").optional(),
        Hook::new("egrets_cgroup_attach", "tp_btf/cgroup_attach_task", Trace, "containers on cgroup v1").optional(),
        Hook::new("egrets_set_state", "tp_btf/inet_sock_set_state", WhileOlder, "TCP ends of connections that are open already").optional(),
        Hook::new("egrets_tcp_v4_connect_ret", "kretprobe/tcp_v4_connect", Return("tcp_v4_connect"), ERRNO),
        Hook::new("egrets_tcp_v6_connect_ret", "kretprobe/tcp_v6_connect", Return("tcp_v6_connect"), ERRNO),
        Hook::new("egrets_tcp_v4_pre_connect_ret", "kretprobe/tcp_v4_pre_connect", Return("tcp_v4_pre_connect"), POLICY),
        Hook::new("egrets_tcp_v6_pre_connect_ret", "kretprobe/tcp_v6_pre_connect", Return("tcp_v6_pre_connect"), POLICY),
        Hook::new("egrets_connect_exit", "syscalls/sys_exit_connect", Syscall("sys_exit_connect"), ERRNO).optional(),
        Hook::new("egrets_connect_enter", "syscalls/sys_enter_connect", Syscall("sys_enter_connect"), ERRNO).optional(),
        Hook::new("egrets_sock_release", "cgroup/sock_release", Cgroup, "ends of sockets"),
        Hook::new("egrets_ingress", "cgroup_skb/ingress", Cgroup, "DNS answers, bytes of flows"),
        Hook::new("egrets_egress", "cgroup_skb/egress", Cgroup, "DNS queries, flows"),
        Hook::new("egrets_payload", "cgroup_skb/payload", Cgroup, "names that TLS and HTTP send").optional(),
        Hook::new("egrets_sock_create", "cgroup/sock_create", Cgroup, "ICMP, raw IP, SCTP and the like").optional(),
        Hook::new("egrets_sendmsg4", "cgroup/sendmsg4", Cgroup, "UDP destinations, IPv4"),
        Hook::new("egrets_sendmsg6", "cgroup/sendmsg6", Cgroup, "UDP destinations, IPv6"),
        Hook::new("egrets_sock_ops", "cgroup/sock_ops", Cgroup, "TCP outcomes and bytes"),
        Hook::new("egrets_connect4", "cgroup/connect4", Cgroup, "TCP attempts, IPv4"),
        Hook::new("egrets_connect6", "cgroup/connect6", Cgroup, "TCP attempts, IPv6"),
        Hook::new("egrets_free_skb", "tp_btf/kfree_skb", Trace, "flows that the own firewall refuses").optional(),
        Hook::new("egrets_dev_queue", "tp_btf/net_dev_queue", Trace, "packet sockets").optional(),
        Hook::new("egrets_direct_xmit", "kprobe/__dev_direct_xmit", Entry(&["__dev_direct_xmit", "dev_direct_xmit"]), "packet sockets that bypass queues").independent(HookSet::Kprobe),
        Hook::new("egrets_send_length", "tp_btf/sock_send_length", Trace, "packet sockets that bypass queues").independent(HookSet::Tracepoint),
        Hook::new("egrets_open_sockets", "iter/task_file", Files, "sockets that are open already").optional(),
        Hook::new("egrets_scan_socks", "test_run/scan_socks", OnDemand, "TCP bytes while connections are open, stale sockets").optional(),
    ]
};

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::mem::MaybeUninit;

    use libbpf_rs::skel::{OpenSkel, SkelBuilder};

    use super::*;
    use crate::capture::skel::EgretsSkelBuilder;

    #[test]
    fn every_program_of_the_object_has_exactly_one_hook() {
        let mut storage = MaybeUninit::uninit();
        let mut open = EgretsSkelBuilder::default().open(&mut storage).unwrap();
        let object: Vec<String> = open
            .open_object_mut()
            .progs_mut()
            .map(|program| program.name().to_str().unwrap().to_owned())
            .collect();
        for program in &object {
            let hooks = HOOKS.iter().filter(|hook| hook.has(program.as_str()));
            assert_eq!(hooks.count(), 1, "{program}");
        }
        let programs: Vec<_> = HOOKS.iter().flat_map(Hook::programs).collect();
        assert_eq!(programs.len(), object.len());
    }

    #[test]
    fn every_hook_has_its_own_name() {
        let names: HashSet<_> = HOOKS.iter().map(|hook| hook.name).collect();
        assert_eq!(names.len(), HOOKS.len());
    }
}
