use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::exempt::Exempt;
use super::identity::{Stat, Target};
use super::protocol::MAX_A_MINUTE;
use super::rate::RateLimit;
use crate::model::tick_ns;

fn child() -> Child {
    let cat = Command::new("cat").stdin(Stdio::piped()).spawn();
    cat.unwrap()
}

fn start_ns(pid: u32) -> u64 {
    Stat::read(pid).unwrap().start_ticks * tick_ns()
}

#[test]
fn only_the_process_that_was_meant_is_signalled() {
    let mut child = child();
    let (pid, start) = (child.id(), start_ns(child.id()));
    let open = |start| Target::open(pid, start).unwrap();
    // one that had the pid before, or will have it
    assert!(open(start - tick_ns()).is_none());
    assert!(open(start + tick_ns()).is_none());
    // the kernel's time is more precise than that of /proc
    let target = open(start + tick_ns() - 1).unwrap();
    target.signal(Signal::KILL).unwrap();
    child.wait().unwrap();
    assert!(target.has_ended());
    assert!(target.signal(Signal::KILL).is_err());
    assert!(open(start).is_none());
    assert!(Target::open(0, 0).unwrap().is_none());
    assert!(Target::open(u32::MAX, 0).unwrap().is_none());
}

#[test]
fn name_of_a_process_makes_no_other_state() {
    let fields = "S 7 1 1 0 -1 2097152 0 0 0 0 0 0 0 0 20 0 1 0 4321 0 0";
    let stat = Stat::parse(format!("9 (x) R 8 (y)) {fields}").as_bytes()).unwrap();
    assert_eq!((stat.state, stat.ppid, stat.start_ticks), ('S', 7, 4321));
    assert_eq!(stat.flags, 0x0020_0000);
    assert!(Stat::parse(b"9 (x) R").is_none());
}

#[test]
fn first_process_the_recorder_what_started_it_and_programs_of_the_host_are_spared() {
    let mut child = child();
    let target = |pid| Target::open(pid, start_ns(pid)).unwrap().unwrap();
    let other = target(child.id());
    let recorder = Exempt::new(std::process::id());
    let parent = Stat::read(std::process::id()).unwrap().ppid;
    for (pid, spared) in [
        (1, true),
        (std::process::id(), true),
        (parent, true),
        (child.id(), false),
    ] {
        let reason = recorder.reason(&target(pid), None);
        assert_eq!(reason.is_some(), spared, "{pid}: {reason:?}");
    }
    assert!(Exempt::new(child.id()).reason(&other, None).is_some());
    // by its program, also where the file has been replaced since
    for (exe, spared) in [
        ("/usr/sbin/sshd", true),
        ("/usr/bin/dockerd", true),
        ("/usr/lib/systemd/systemd-resolved", true),
        ("/usr/bin/curl", false),
    ] {
        let reason = recorder.reason(&other, Some(exe));
        assert_eq!(reason.is_some(), spared, "{exe}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_rule_does_so_only_so_often_in_a_minute() {
    let (mut limit, now) = (RateLimit::default(), Instant::now());
    let mut allowed = |rule: &str, at| {
        let at = now + Duration::from_secs(at);
        (0..100).filter(|_| limit.allows(rule, at)).count()
    };
    assert_eq!(allowed("a", 0), MAX_A_MINUTE);
    assert_eq!(allowed("a", 59), 0);
    assert_eq!(allowed("b", 59), MAX_A_MINUTE);
    assert_eq!(allowed("a", 60), MAX_A_MINUTE);
}
