use super::*;
use crate::attribute::process::node::MAX_DEPTH;
use crate::attribute::process::shares::MAX_ENDED_SYSTEM;

fn owner(pid: u32, start_ns: u64, comm: &str) -> Owner {
    Owner {
        pid,
        tid: pid,
        uid: 0,
        euid: 0,
        login_uid: None,
        start_ns,
        exec_id: 7,
        cgroup_id: 1,
        netns: 2,
        netns_cookie: 3,
        mntns: Default::default(),
        foreign: false,
        comm: comm.into(),
    }
}

fn exec(pid: u32, start_ns: u64, argv: &[&str]) -> Exec {
    Exec {
        owner: owner(pid, start_ns, argv[0]),
        ppid: 1,
        parent_start_ns: 0,
        session: 10,
        exe: Some(format!("/bin/{}", argv[0])),
        exe_file: Default::default(),
        argv: argv.iter().map(|a| a.to_string()).collect(),
        argv_cut: 0,
    }
}

fn nowhere() -> Surroundings {
    Surroundings::default()
}

const S: u64 = 1_000_000_000;

#[test]
fn child_without_exec_runs_its_parents_program() {
    let mut table = Processes::new(ProcessOptions::default());
    table.fork(0, (10, S), 1, 0);
    table.exec(exec(10, S, &["bash", "-c", "x"]), 1);
    table.fork(0, (11, 2 * S), 10, S);
    let who = owner(11, 2 * S, "bash");
    let node = table.node(&who);
    let process = table.identify(&node, &who, nowhere());
    assert_eq!(process.exe.as_deref(), Some("/bin/bash"));
    assert_eq!(process.cmdline.as_deref(), Some("bash -c x"));
    assert_eq!(
        (process.ppid, process.parent_comm.as_deref()),
        (Some(10), Some("bash"))
    );
    assert_eq!(node.ancestors(), [(10, S)]);
}

#[test]
fn process_created_by_a_sibling_inherits_its_program_and_cgroup() {
    let mut table = Processes::new(ProcessOptions::default());
    table.fork(0, (10, S), 1, 0);
    table.exec(exec(10, S, &["runc", "create"]), 1);
    table.fork(0, (11, 2 * S), 10, S);
    table.exec(exec(11, 2 * S, &["runc", "init"]), 1);
    let path = format!("/docker/{}", "a1".repeat(32));
    assert!(table.moved(11, 2 * S, Some(&path)));
    // CLONE_PARENT: 11 creates it, and 10 is its parent
    assert!(table.fork(0, (12, 3 * S), 10, S));
    table.inherit_from_creator((12, 3 * S), (11, 2 * S), 10);
    let node = table.node(&owner(12, 3 * S, "runc"));
    assert_eq!(node.ancestors(), [(10, S)]);
    assert_eq!(table.v1_path(&node).as_deref(), Some(path.as_str()));
    assert_eq!(node.image().cmdline.as_deref(), Some("runc init"));
}

#[test]
fn identity_lasts_until_a_part_of_it_changes() {
    let mut table = Processes::new(ProcessOptions::default());
    table.fork(0, (10, S), 1, 0);
    let bash = owner(10, S, "bash");
    let node = table.node(&bash);
    let first = table.identify(&node, &bash, nowhere());
    assert_eq!(table.identify(&node, &bash, nowhere()).serial, first.serial);
    let user = Owner {
        uid: 1000,
        ..bash.clone()
    };
    let second = table.identify(&node, &user, nowhere());
    assert_ne!(second.serial, first.serial);
    table.exec(exec(10, S, &["bash"]), 1);
    let third = table.identify(&node, &user, nowhere());
    assert_ne!(third.serial, second.serial);
}

#[test]
fn exec_between_two_connections_leaves_nothing_of_the_earlier_program() {
    let mut table = Processes::new(ProcessOptions::default());
    let who = owner(10, S, "bash");
    table.fork(0, (10, S), 1, 0);
    table.exec(exec(10, S, &["bash", "one"]), 1);
    let node = table.node(&who);
    table.identify(&node, &who, nowhere());
    table.exec(exec(10, S, &["env", "bash", "two"]), 1);
    table.exec(exec(10, S, &["bash", "two"]), 1);
    let process = table.identify(&node, &who, nowhere());
    assert_eq!(process.cmdline.as_deref(), Some("bash two"));
}

#[test]
fn lost_exec_does_not_leave_the_earlier_program() {
    let mut table = Processes::new(ProcessOptions::default());
    table.fork(0, (10, S), 1, 0);
    table.exec(exec(10, S, &["bash", "script"]), 1);
    let curl = Owner {
        exec_id: 8,
        ..owner(10, S, "curl")
    };
    let node = table.node(&curl);
    let process = table.identify(&node, &curl, nowhere());
    assert_eq!(process.comm, "curl");
    assert_eq!((&process.exe, &process.cmdline), (&None, &None));
}

#[test]
fn reused_pid_is_another_process() {
    let mut table = Processes::new(ProcessOptions::default());
    table.fork(0, (10, S), 1, 0);
    table.exec(exec(10, S, &["curl"]), 1);
    let again = owner(10, 9 * S, "wget");
    let node = table.node(&again);
    let process = table.identify(&node, &again, nowhere());
    assert_eq!(
        (process.comm.as_str(), process.exe.as_deref()),
        ("wget", None)
    );
    table.exit(10, S); // of the first one, late
    assert!(table.find(10, 9 * S).is_some());
}

#[test]
fn descendants_of_a_tracked_process_are_tracked() {
    let mut table = Processes::new(ProcessOptions::default());
    table.track(10);
    table.fork(0, (10, S), 1, 0);
    table.fork(0, (11, 2 * S), 10, S);
    table.exit(10, S);
    assert!(table.any_tracked());
    table.fork(0, (12, 3 * S), 11, 2 * S);
    assert!(table.node(&owner(12, 3 * S, "x")).tracked.get());
    table.exit(11, 2 * S);
    table.exit(12, 3 * S);
    assert!(!table.any_tracked());
}

#[test]
fn ended_process_is_still_known_and_its_pid_reusable() {
    let mut table = Processes::new(ProcessOptions::default());
    table.track(10);
    table.fork(0, (10, S), 1, 0);
    table.exec(exec(10, S, &["curl", "x"]), 1);
    table.exit(10, S + 1); // the fork's time is rounded, as those in /proc are
    table.fork(0, (10, 5 * S), 1, 0);
    let late = owner(10, S + 1, "curl");
    let node = table.node(&late);
    assert!(node.tracked.get());
    let process = table.identify(&node, &late, nowhere());
    assert_eq!(process.cmdline.as_deref(), Some("curl x"));
    assert!(!table.any_tracked());
    // an unknown one does not replace the one that runs
    table.node(&owner(10, 3 * S, "x"));
    assert!(table.running(10, 5 * S).is_some());
    for pid in 0..2 * MAX_ENDED_SYSTEM as u32 {
        table.fork(0, (pid, 9 * S), 1, 0);
        table.exit(pid, 9 * S);
    }
    assert_eq!(table.ended.system_len(), MAX_ENDED_SYSTEM);
}

#[test]
fn ancestors_are_as_they_were_at_the_fork() {
    let mut table = Processes::new(ProcessOptions::default());
    table.fork(0, (10, S), 1, 0);
    table.exec(exec(10, S, &["bash", "build.sh"]), 1);
    table.fork(0, (11, 2 * S), 10, S);
    table.exec(exec(11, 2 * S, &["make"]), 1);
    table.fork(0, (12, 3 * S), 11, 2 * S);
    table.fork(0, (13, 3 * S), 11, 2 * S);
    table.exec(exec(11, 2 * S, &["true"]), 1);
    table.exit(11, 2 * S);
    let mut chain = |pid| {
        let who = owner(pid, 3 * S, "curl");
        let node = table.node(&who);
        let mut at = table.identify(&node, &who, nowhere()).parent.clone();
        let mut chain = Vec::new();
        while let Some(ancestor) = at {
            chain.push((ancestor.pid, ancestor.comm.clone(), ancestor.serial));
            at = ancestor.parent.clone();
        }
        chain
    };
    let first = chain(12);
    let comms: Vec<_> = first
        .iter()
        .map(|(pid, comm, _)| (*pid, comm.as_str()))
        .collect();
    assert_eq!(comms, [(11, "make"), (10, "bash")]);
    assert_eq!(chain(13), first);
}

#[test]
fn no_args_keeps_only_the_program() {
    let mut table = Processes::new(ProcessOptions {
        no_args: true,
        ..ProcessOptions::default()
    });
    table.exec(exec(10, S, &["curl", "-u", "me:secret"]), 1);
    let who = owner(10, S, "curl");
    let node = table.node(&who);
    let process = table.identify(&node, &who, nowhere());
    assert_eq!(process.cmdline.as_deref(), Some("curl"));
}

#[test]
fn chain_of_forks_and_exits_stays_bounded() {
    let mut table = Processes::new(ProcessOptions::default());
    table.fork(0, (1, S), 0, 0);
    for i in 1..2000u32 {
        table.fork(0, (i + 1, u64::from(i + 1) * S), i, u64::from(i) * S);
        table.exit(i, u64::from(i) * S);
    }
    let last = table.node(&owner(2000, 2000 * S, "x"));
    assert!(
        last.ancestors().len() <= MAX_DEPTH + 1,
        "{}",
        last.ancestors().len()
    );
}

#[test]
fn running_process_is_found_in_proc() {
    let mut table = Processes::new(ProcessOptions {
        procfs: true,
        ..ProcessOptions::default()
    });
    table.seed();
    let pid = std::process::id();
    let node = table.running.get(pid).cloned().unwrap();
    let me = owner(pid, node.key.1, "egrets");
    let process = table.identify(&node, &me, nowhere());
    let exe = std::env::current_exe().unwrap();
    assert_eq!(process.exe.as_deref(), exe.to_str());
    assert!(process.ppid.is_some() && process.parent_comm.is_some());
}

/// A service that takes on the rights of a user for each request, and gives them back.
#[test]
fn process_that_returns_to_an_identity_has_the_same_one() {
    let mut table = Processes::new(ProcessOptions::default());
    table.fork(0, (10, S), 1, 0);
    table.exec(exec(10, S, &["smbd"]), 1);
    let mut serial = |euid| {
        let who = Owner {
            euid,
            ..owner(10, S, "smbd")
        };
        let node = table.node(&who);
        table.identify(&node, &who, nowhere()).serial
    };
    let first = [0, 1000, 1001].map(&mut serial);
    assert_eq!([0, 1000, 1001].map(&mut serial), first);
    // no more than a few are remembered
    for euid in 2000..2004 {
        serial(euid);
    }
    assert!(serial(0) > first[2]);
}
