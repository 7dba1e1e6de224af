mod decide;
mod explain;
mod import;
mod learn;
mod lists;
mod parse;
mod replay;
mod warnings;

use std::net::IpAddr;

use crate::model::Protocol;

use super::{Container, Destination, Details, Evidence, HostName, Policy, Said, Subject};

/// A policy of these rules, one a line, with this default.
pub fn policy(default: &str, rules: &[&str]) -> Policy {
    let rules: String = rules.iter().map(|rule| format!("  - {rule}\n")).collect();
    let text = format!("version: 1\ndefault: {default}\nrules:\n{rules}");
    Policy::parse(&text).unwrap_or_else(|e| panic!("{:?}", e.lines("policy.yaml")))
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A TCP connection.
pub fn to(address: &str, port: u16) -> Destination {
    Destination {
        ip: Some(ip(address)),
        port: Some(port),
        protocol: Protocol::Tcp,
        names: Vec::new(),
        said: Said::NotYet,
    }
}

/// The same, under a name that the process looked up itself.
pub fn named(name: &str, address: &str, port: u16) -> Destination {
    with_evidence(name, Evidence::Own, address, port)
}

pub fn with_evidence(name: &str, evidence: Evidence, address: &str, port: u16) -> Destination {
    let name = name.to_owned();
    Destination {
        names: vec![HostName { name, evidence }],
        ..to(address, port)
    }
}

/// curl, run by a user on the host.
pub fn curl() -> Subject {
    Subject {
        exe: Some("/usr/bin/curl".into()),
        exe_is_trusted: true,
        uid: Some(1000),
        user: Some("alice".into()),
        host: true,
        cgroup: Some("/user.slice/user-1000.slice/session-1.scope".into()),
        ancestors: vec!["/usr/bin/bash".into(), "/usr/sbin/sshd".into()],
        comm: Some("curl".into()),
        ..Subject::default()
    }
}

/// The same in a container.
pub fn in_container(name: &str, image: &str) -> Subject {
    Subject {
        host: false,
        uid: Some(0),
        user: Some("root".into()),
        container: Container::Known(Details {
            name: Some(name.into()),
            id: Some("0123456789abcdef0123".into()),
            image: Some(image.into()),
            ..Details::default()
        }),
        cgroup: Some("/system.slice/docker-0123456789abcdef0123.scope".into()),
        ..curl()
    }
}
