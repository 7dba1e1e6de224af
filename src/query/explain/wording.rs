//! The sentences of an explanation.

use super::row::ViewRow;
use super::unnamed::{Flaw, Reason};

/// The meaning of a `host_source`.
pub fn source_meaning(source: &str, contained: bool) -> &'static str {
    match source {
        "process" => "the process itself had looked up this name",
        "ancestor" => "one of its ancestors had looked up this name",
        "container" if contained => "a process in its container had looked up this name",
        "container" => "a process in its cgroup had looked up this name",
        "netns" => "a process in its network namespace had looked up this name",
        "host" => "a process on this host had looked up this name",
        "hosts" => "/etc/hosts, as the process sees it, has this name for the address",
        "sni" => "the connection itself asked for this name (server name of TLS)",
        _ => "a source that this version of egrets does not know",
    }
}

/// Why a connection has no name.
pub fn reason(reason: Reason, ip: &str) -> String {
    match reason {
        Reason::AlreadyOpen => {
            "the connection is older than the recording, which did not see its lookup".to_owned()
        }
        Reason::Multicast => "multicast groups are contacted by address".to_owned(),
        Reason::DnsServer => {
            "DNS servers are contacted by address; only a lookup by the same process would name it"
                .to_owned()
        }
        Reason::Others => {
            format!("{ip} is only in answers that don't count for this connection")
        }
        Reason::NoAnswer => format!(
            "no answer in this history contains {ip}: the process used the address itself, or got \
             it in a way that egrets does not see"
        ),
    }
}

/// Why an answer does not count.
pub fn flaw(flaw: Flaw) -> &'static str {
    match flaw {
        Flaw::Unsolicited => "it matches no query of its socket",
        Flaw::Error => "its rcode is an error",
        Flaw::Later => "it came after the connection began",
        Flaw::EarlierRecording => "it belongs to an earlier recording",
        Flaw::Sinkhole => "such an address counts only for the process that looked it up",
        Flaw::OtherContainer => "it counts only in that container",
        Flaw::Forgotten => {
            "another process had this pid then, or the answer was evicted (--max-names)"
        }
        Flaw::NotTrusted => {
            "that process is not trusted here: another user, a resolver that the host does not \
             use, or another container"
        }
    }
}

/// How a connection is older than the recording, if it is.
pub fn already_open(connection: &ViewRow) -> Option<&'static str> {
    let already_open = connection.int("already_open") == Some(1);
    already_open.then_some(match connection.text("protocol").as_deref() {
        Some("udp") => "from a socket older than the recording",
        _ => "already open when the recording began",
    })
}
