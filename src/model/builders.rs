//! Values for tests and benchmarks: each with something plausible in every field, to be
//! changed where a test depends on it.

use std::rc::Rc;

use super::{
    Connection, Endpoint, Lookup, LookupStatus, Outcome, Process, Protocol, ResourceRecord,
    Transport,
};

/// Process 2074 of root's, `/usr/bin/curl`, in no container.
pub fn process(comm: &str) -> Process {
    Process {
        serial: 1,
        pid: 2074,
        start_ns: 1,
        ppid: Some(1),
        parent_comm: Some("bash".into()),
        comm: comm.into(),
        exe_file: Default::default(),
        executable: None,
        exe: Some("/usr/bin/curl".into()),
        cmdline: None,
        uid: 0,
        account: 0,
        user: Some("root".into()),
        cgroup: None,
        unit: None,
        container: None,
        netns: None,
        euid: 0,
        euser: Some("root".into()),
        login_uid: None,
        login_user: None,
        parent: None,
        session: None,
    }
}

/// A TCP attempt to 192.0.2.1:443 that has no outcome yet.
pub fn connection(comm: &str) -> Connection {
    Connection {
        number: 1,
        ts: 0,
        process: Rc::new(process(comm)),
        tid: 2074,
        protocol: Protocol::Tcp,
        src: None,
        dst: Endpoint {
            ip: [192, 0, 2, 1].into(),
            port: 443,
        },
        name: None,
        outcome: Outcome::InProgress,
        errno: None,
        latency_us: None,
        tx_bytes: None,
        rx_bytes: None,
        tx_packets: None,
        rx_packets: None,
        duration_us: None,
        already_open: false,
        inbound: false,
        first_hop: None,
        total_bytes: None,
        wire: None,
        geo: None,
        verdict: None,
        raw: false,
        shared_pid: None,
    }
}

/// curl's query for the A records of `host`, answered with `ip`.
pub fn lookup(host: &str, ip: &str) -> Lookup {
    Lookup {
        number: 1,
        ts: 0,
        process: Rc::new(process("curl")),
        server: Endpoint {
            ip: [192, 0, 2, 53].into(),
            port: 53,
        },
        transport: Transport::Udp,
        qname: Some(host.into()),
        qtype: Some("A".into()),
        rcode: Some("NOERROR".into()),
        latency_us: Some(700),
        status: LookupStatus::Answered,
        answers: vec![ResourceRecord {
            name: host.into(),
            rtype: "A".into(),
            data: ip.into(),
            ttl: 60,
        }],
        times: 1,
    }
}
