//! What egrets says: the processes, lookups and connections that `attribute`
//! makes of the kernel's events, and that the sinks store and print.
//!
//! Times are nanoseconds since 1970 on the wall clock, ids count up from the
//! file's last one.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;

pub use crate::protocol::Protocol;

/// An address and a port; 0 where the protocol has none, or it can't be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub ip: IpAddr,
    pub port: u16,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::net::SocketAddr::new(self.ip, self.port).fmt(f)
    }
}

/// Stands for a destination that can't be told: what dials "any" dials loopback.
pub const UNKNOWN: Endpoint = Endpoint {
    ip: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    port: 0,
};

/// Who: a process between two changes of its identity. An exec, a new name,
/// user, cgroup or network namespace makes another one.
#[derive(Debug)]
pub struct Process {
    /// Tells this identity from every other one of the run.
    pub serial: u64,
    /// The process (tgid) in the initial pid namespace.
    pub pid: u32,
    /// Nanoseconds since boot: tells two users of one pid apart.
    pub start_ns: u64,
    pub ppid: Option<u32>,
    pub parent_comm: Option<String>,
    /// Of the thread group's leader.
    pub comm: String,
    pub exe: Option<String>,
    pub cmdline: Option<String>,
    /// As the initial user namespace sees it.
    pub uid: u32,
    pub user: Option<String>,
    pub cgroup: Option<String>,
    pub unit: Option<String>,
    pub container: Option<Rc<Container>>,
    /// Inode number, as lsns(8) shows it.
    pub netns: Option<u32>,
    /// When it was started; by one offset for a whole recording, so that two rows of a
    /// process have the same.
    pub start_ts: i64,
    /// Who had logged in, as audit keeps it.
    pub login_uid: Option<u32>,
    pub login_user: Option<String>,
    /// What started it.
    pub parent: Option<Rc<Ancestor>>,
    /// Pid of its session's leader, setsid(2).
    pub session: Option<u32>,
}

/// A program that started others: a process between two execs.
#[derive(Debug)]
pub struct Ancestor {
    /// Tells it from every other one of the run.
    pub serial: u64,
    pub pid: u32,
    /// As [`Process::start_ts`].
    pub start_ts: i64,
    pub comm: String,
    pub exe: Option<String>,
    pub cmdline: Option<String>,
    pub parent: Option<Rc<Ancestor>>,
}

/// A container between two changes of what its runtime says of it.
#[derive(Debug)]
pub struct Container {
    /// Tells it from every other one of the run.
    pub serial: u64,
    pub id: String,
    pub runtime: Option<&'static str>,
    /// The container that it runs in.
    pub outer: Option<Rc<Container>>,
    /// What its runtime says of it; comes later than its first event may.
    pub details: RefCell<Details>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Details {
    /// Asked for, no answer yet.
    Pending,
    /// The runtime did not answer, or does not know it.
    Unknown,
    Known(ContainerDetails),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerDetails {
    pub name: Option<String>,
    pub image: Option<String>,
    pub hostname: Option<String>,
    pub ip: Option<String>,
    /// Of Kubernetes.
    pub pod: Option<String>,
    pub pod_namespace: Option<String>,
    /// Whose files these details are from, where the cgroup's path did not tell.
    pub runtime: Option<&'static str>,
}

/// Bytes that are kept of each text of a container's: names are 253 at most, images'
/// with a digest some 400.
const MAX_DETAIL: usize = 1024;

impl ContainerDetails {
    /// These, each text cut to a length that an honest one does not reach: they come from
    /// files that may be a user's own, and are in each row and line of the container.
    pub fn bounded(mut self) -> ContainerDetails {
        let texts = [
            &mut self.name,
            &mut self.image,
            &mut self.hostname,
            &mut self.ip,
            &mut self.pod,
            &mut self.pod_namespace,
        ];
        for text in texts.into_iter().flatten().filter(|t| t.len() > MAX_DETAIL) {
            let ends = (0..=MAX_DETAIL).rev().find(|&n| text.is_char_boundary(n));
            text.truncate(ends.unwrap_or_default());
            text.shrink_to_fit();
        }
        self
    }

    /// These, and what only the older ones have.
    pub fn or(self, older: &ContainerDetails) -> ContainerDetails {
        let or = |new: Option<String>, old: &Option<String>| new.or_else(|| old.clone());
        ContainerDetails {
            name: or(self.name, &older.name),
            image: or(self.image, &older.image),
            hostname: or(self.hostname, &older.hostname),
            ip: or(self.ip, &older.ip),
            pod: or(self.pod, &older.pod),
            pod_namespace: or(self.pod_namespace, &older.pod_namespace),
            runtime: self.runtime.or(older.runtime),
        }
    }

    /// Whether both can't be true of one container at one time.
    pub fn contradicts(&self, older: &ContainerDetails) -> bool {
        let differ = |new: &Option<String>, old: &Option<String>| matches!((new, old), (Some(new), Some(old)) if new != old);
        differ(&self.name, &older.name)
            || differ(&self.image, &older.image)
            || differ(&self.hostname, &older.hostname)
            || differ(&self.ip, &older.ip)
    }
}

impl Container {
    /// As its cgroup's path tells, or else its files.
    pub fn runtime(&self) -> Option<&'static str> {
        self.runtime.or_else(|| match &*self.details.borrow() {
            Details::Known(details) => details.runtime,
            _ => None,
        })
    }

    /// Its name, or its id where it has none.
    pub fn called(&self) -> String {
        let name = self.details().and_then(|d| d.name);
        name.unwrap_or_else(|| self.id.clone())
    }

    pub fn is_pending(&self) -> bool {
        *self.details.borrow() == Details::Pending
    }

    pub fn details(&self) -> Option<ContainerDetails> {
        match &*self.details.borrow() {
            Details::Known(details) => Some(details.clone()),
            _ => None,
        }
    }
}

/// Whose answer names a connection: the narrowest scope wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The process itself asked.
    Process,
    /// A process that it descends from asked.
    Ancestor,
    /// Somebody in the same container, or the same cgroup, asked.
    Container,
    /// Somebody in the same network namespace asked.
    Netns,
    /// Somebody on the host asked.
    Host,
    /// Nobody that egrets saw: the `/etc/hosts` that the process sees.
    Hosts,
}

impl Source {
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Process => "process",
            Source::Ancestor => "ancestor",
            Source::Container => "container",
            Source::Netns => "netns",
            Source::Host => "host",
            Source::Hosts => "hosts",
        }
    }
}

/// A destination's name and what it rests on.
#[derive(Debug, Clone)]
pub struct Name {
    pub host: Rc<str>,
    pub source: Source,
    /// How old the answer was when the connection began; None without one.
    pub age_ms: Option<u64>,
    /// The lookup that it comes from; None without one.
    pub lookup: Option<i64>,
    /// How many other names that scope has for the address.
    pub rivals: usize,
    /// The latest of them, [`MAX_RIVALS`] at most.
    pub rival_names: Vec<Rival>,
}

/// Another name that a destination could have had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rival {
    pub host: Rc<str>,
    pub lookup: Option<i64>,
}

/// The rivals that are kept by name for one connection.
pub const MAX_RIVALS: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Connected,
    Refused,
    Timeout,
    Unreachable,
    /// Connected, then broken off by the peer.
    Reset,
    Denied,
    InProgress,
    Failed,
    /// Of what has no connections: a packet left.
    Sent,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Connected => "connected",
            Outcome::Refused => "refused",
            Outcome::Timeout => "timeout",
            Outcome::Unreachable => "unreachable",
            Outcome::Reset => "reset",
            Outcome::Denied => "denied",
            Outcome::InProgress => "in_progress",
            Outcome::Failed => "failed",
            Outcome::Sent => "sent",
        }
    }

    /// What an attempt that ended with this errno came to.
    pub fn of_errno(errno: i32) -> Outcome {
        match errno {
            libc::ECONNREFUSED => Outcome::Refused,
            libc::ETIMEDOUT => Outcome::Timeout,
            libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EHOSTDOWN => {
                Outcome::Unreachable
            }
            libc::ECONNRESET => Outcome::Reset,
            libc::EPERM | libc::EACCES => Outcome::Denied,
            _ => Outcome::Failed,
        }
    }
}

/// A TCP attempt or a flow of another protocol, as far as it is known.
#[derive(Debug, Clone)]
pub struct Connection {
    pub id: i64,
    pub ts: i64,
    pub process: Rc<Process>,
    pub tid: u32,
    pub protocol: Protocol,
    pub src: Option<Endpoint>,
    pub dst: Endpoint,
    pub name: Option<Name>,
    pub outcome: Outcome,
    /// Positive, of `<errno.h>`.
    pub errno: Option<i32>,
    pub latency_us: Option<i64>,
    pub tx_bytes: Option<u64>,
    pub rx_bytes: Option<u64>,
    /// Packets of a flow.
    pub tx_packets: Option<u64>,
    pub rx_packets: Option<u64>,
    pub duration_us: Option<i64>,
    /// Older than the recording, which found it open.
    pub already_open: bool,
    /// From a raw socket: the process wrote its headers itself.
    pub raw: bool,
    /// Another process than the owner that was seen to use the socket.
    pub shared_pid: Option<u32>,
}

impl Connection {
    /// None where it can't be told: a frame that has no IP packet in it.
    pub fn dst_ip(&self) -> Option<IpAddr> {
        (self.dst.ip != UNKNOWN.ip).then_some(self.dst.ip)
    }

    pub fn dst_port(&self) -> Option<u16> {
        Some(self.dst.port).filter(|port| *port != 0)
    }

    pub fn src_port(&self) -> Option<u16> {
        self.src.map(|src| src.port).filter(|port| *port != 0)
    }
}

/// How a DNS message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    Udp,
    Tcp,
}

impl Transport {
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    Answered,
    Unanswered,
    /// An answer that matches no query of its socket.
    Unsolicited,
    Malformed,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Answered => "answered",
            Status::Unanswered => "unanswered",
            Status::Unsolicited => "unsolicited",
            Status::Malformed => "malformed",
        }
    }
}

/// One resource record of an answer, in presentation form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub name: Rc<str>,
    pub rtype: String,
    pub data: String,
    /// Seconds.
    pub ttl: u32,
}

/// A question and what became of it.
#[derive(Debug, Clone)]
pub struct Lookup {
    pub id: i64,
    pub ts: i64,
    pub process: Rc<Process>,
    pub server: Endpoint,
    pub transport: Transport,
    /// None where the message could not be read.
    pub qname: Option<Rc<str>>,
    pub qtype: Option<String>,
    pub rcode: Option<String>,
    pub latency_us: Option<i64>,
    pub status: Status,
    pub answers: Vec<Answer>,
    /// Messages alike that this one stands for, itself among them.
    pub times: u64,
}

/// How far a connection that is open has come.
#[derive(Debug, Clone)]
pub struct Progress {
    pub connection: Connection,
    /// When its bytes were read.
    pub ts: i64,
    /// Whether it is time for a line of it in the live log.
    pub due: bool,
}

/// What the sinks are told, in the order in which it happened.
#[derive(Debug)]
pub enum Record {
    /// A question went out; its [`Record::Lookup`] follows.
    Query(Lookup),
    /// What became of a question.
    Lookup(Lookup),
    /// An attempt or a flow began.
    Opened(Connection),
    /// An attempt's outcome is known.
    Outcome(Connection),
    /// The bytes of a connection or a flow have grown; nothing else has changed.
    Progress(Progress),
    /// A connection or a flow has ended.
    Closed(Connection),
    /// A container's details have come.
    Container(Rc<Container>),
}

/// What a destination is to this host: RFC 1122, 4193, 6598, 3927, 4291.
pub fn dst_scope(ip: IpAddr) -> &'static str {
    if ip.is_loopback() || ip.is_unspecified() {
        "loopback"
    } else if ip.is_multicast() || ip == IpAddr::V4(std::net::Ipv4Addr::BROADCAST) {
        "multicast"
    } else {
        match ip {
            IpAddr::V4(v4) if v4.is_link_local() => "link",
            IpAddr::V4(v4) if v4.is_private() || is_shared(v4) => "private",
            IpAddr::V6(v6) if v6.is_unicast_link_local() => "link",
            IpAddr::V6(v6) if v6.is_unique_local() => "private",
            _ => "public",
        }
    }
}

/// 100.64.0.0/10, RFC 6598: carrier-grade NAT.
fn is_shared(ip: std::net::Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    a == 100 && (64..128).contains(&b)
}

/// An IPv4 address in IPv6's clothes is that IPv4 address.
pub fn unmapped(addr: [u8; 16]) -> IpAddr {
    std::net::Ipv6Addr::from(addr).to_canonical()
}

/// The 16 bytes that the kernel side and the file know an address by.
pub fn mapped(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The name of an errno, as in `<errno.h>`; `E<number>` for one without.
pub fn errno_name(errno: i32) -> String {
    let name = match errno {
        libc::EPERM => "EPERM",
        libc::EINTR => "EINTR",
        libc::EAGAIN => "EAGAIN",
        libc::ENOMEM => "ENOMEM",
        libc::EACCES => "EACCES",
        libc::EFAULT => "EFAULT",
        libc::EINVAL => "EINVAL",
        libc::EPIPE => "EPIPE",
        libc::EPROTOTYPE => "EPROTOTYPE",
        libc::EPROTONOSUPPORT => "EPROTONOSUPPORT",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        libc::EAFNOSUPPORT => "EAFNOSUPPORT",
        libc::EADDRINUSE => "EADDRINUSE",
        libc::EADDRNOTAVAIL => "EADDRNOTAVAIL",
        libc::ENETDOWN => "ENETDOWN",
        libc::ENETUNREACH => "ENETUNREACH",
        libc::ENETRESET => "ENETRESET",
        libc::ECONNABORTED => "ECONNABORTED",
        libc::ECONNRESET => "ECONNRESET",
        libc::ENOBUFS => "ENOBUFS",
        libc::EISCONN => "EISCONN",
        libc::ETIMEDOUT => "ETIMEDOUT",
        libc::ECONNREFUSED => "ECONNREFUSED",
        libc::EHOSTDOWN => "EHOSTDOWN",
        libc::EHOSTUNREACH => "EHOSTUNREACH",
        libc::EALREADY => "EALREADY",
        libc::EPROTO => "EPROTO",
        libc::ENOPROTOOPT => "ENOPROTOOPT",
        libc::EMSGSIZE => "EMSGSIZE",
        other => return format!("E{other}"),
    };
    name.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_follow_the_rfcs() {
        for (ip, scope) in [
            ("127.0.0.53", "loopback"),
            ("0.0.0.0", "loopback"),
            ("::1", "loopback"),
            ("169.254.1.1", "link"),
            ("fe80::1", "link"),
            ("10.0.0.1", "private"),
            ("172.31.255.255", "private"),
            ("172.32.0.0", "public"),
            ("100.64.0.1", "private"),
            ("100.128.0.1", "public"),
            ("fd00::1", "private"),
            ("224.0.0.251", "multicast"),
            ("255.255.255.255", "multicast"),
            ("ff02::fb", "multicast"),
            ("93.184.216.34", "public"),
            ("2001:db8::1", "public"),
        ] {
            assert_eq!(dst_scope(ip.parse().unwrap()), scope, "{ip}");
        }
    }

    #[test]
    fn an_ipv4_mapped_address_is_the_ipv4_address() {
        let v4: IpAddr = "192.0.2.7".parse().unwrap();
        assert_eq!(unmapped(mapped(v4)), v4);
        let v6: IpAddr = "2001:db8::7".parse().unwrap();
        assert_eq!(unmapped(mapped(v6)), v6);
    }
}
