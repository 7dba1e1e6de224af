//! `to` and `ports`: where a connection goes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::model::{Protocol, dst_scope};

use super::problem::shown;

/// The addresses of cloud metadata services: AWS, Google, Azure, Oracle, DigitalOcean (link-local),
/// ECS and EKS credentials, Azure's wire server, Alibaba, Oracle's older one.
pub const METADATA: [IpAddr; 8] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// A destination that a rule is about. One that matches is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Name(NamePattern),
    /// Also a single address.
    Cidr(IpNet),
    Scope(Scope),
    Metadata,
    /// A public or private address that has no name.
    Unnamed,
    /// Index into `Policy::lists`.
    List(usize),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NamePattern {
    /// Lower case, ASCII (IDNA's A-labels), without the trailing dot.
    pub name: String,
    pub kind: NameKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NameKind {
    /// `name`: itself and below.
    Both,
    /// `=name`: itself alone.
    Exact,
    /// `*.name`: below alone.
    Below,
}

/// Bytes of a name, and of a label (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

impl NamePattern {
    /// # Errors
    ///
    /// Why it is not a name, and what would be.
    pub fn parse(text: &str) -> Result<NamePattern, String> {
        if text.len() > 4 * MAX_NAME {
            return Err("is too long for a name".to_owned());
        }
        let (kind, name) = if let Some(name) = text.strip_prefix('=') {
            (NameKind::Exact, name)
        } else if let Some(name) = text.strip_prefix("*.") {
            (NameKind::Below, name)
        } else {
            (NameKind::Both, text)
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        let name = match name.is_ascii() {
            true => name.to_ascii_lowercase(),
            false => idna::domain_to_ascii(name).map_err(|_| "is not a valid name".to_owned())?,
        };
        check_name(&name)?;
        Ok(NamePattern { name, kind })
    }

    pub fn matches(&self, name: &str) -> bool {
        let below = || {
            name.strip_suffix(self.name.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        };
        match self.kind {
            NameKind::Both => name == self.name || below(),
            NameKind::Exact => name == self.name,
            NameKind::Below => below(),
        }
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if let Some((_, rest)) = name.split_once("://") {
        let host = rest.split(['/', ':', '?', '#']).next().unwrap_or_default();
        return Err(format!("is a URL: write its name alone, {}", shown(host)));
    }
    if let Some((host, port)) = name.rsplit_once(':')
        && port.parse::<u16>().is_ok()
        && !host.contains(':')
    {
        return Err(format!(
            "has a port: write {}, and 'ports: [{port}]'",
            shown(host)
        ));
    }
    if name.contains('*') {
        return Err("can have a * only at its start, as in *.example.com".to_owned());
    }
    let is_plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b':' | b'\\' | b'=' | b'!');
    if !name.bytes().all(is_plain) || name.len() > MAX_NAME {
        return Err("is neither a name nor an address".to_owned());
    }
    if name
        .split('.')
        .any(|label| label.is_empty() || label.len() > MAX_LABEL)
    {
        return Err("is not a name: each part has 1 to 63 characters".to_owned());
    }
    let is_number = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    match name.rsplit('.').next().is_some_and(is_number) {
        true => Err("is neither a name nor an IPv4 address".to_owned()),
        false => Ok(()),
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = match self.kind {
            NameKind::Both => "",
            NameKind::Exact => "=",
            NameKind::Below => "*.",
        };
        write!(f, "{before}{}", self.name)
    }
}

/// What an address is to this host, as in the history's `dst_scope`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    Loopback,
    Link,
    Private,
    Multicast,
    Public,
}

impl Scope {
    pub const ALL: [Scope; 5] = [
        Scope::Loopback,
        Scope::Link,
        Scope::Private,
        Scope::Multicast,
        Scope::Public,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Loopback => "loopback",
            Scope::Link => "link",
            Scope::Private => "private",
            Scope::Multicast => "multicast",
            Scope::Public => "public",
        }
    }

    /// Of an address from [`plain_address`].
    pub fn of(ip: IpAddr) -> Scope {
        match dst_scope(ip) {
            "loopback" => Scope::Loopback,
            "link" => Scope::Link,
            "private" => Scope::Private,
            "multicast" => Scope::Multicast,
            _ => Scope::Public,
        }
    }
}

pub use crate::model::plain_address;

/// Ports of a protocol, or of every protocol that has ports; a protocol without a range is all of
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ports {
    pub protocol: Option<Protocol>,
    /// First and last.
    pub range: Option<(u16, u16)>,
}

impl Ports {
    pub fn matches(&self, protocol: Protocol, port: Option<u16>) -> bool {
        self.protocol.is_none_or(|wanted| wanted == protocol)
            && self
                .range
                .is_none_or(|(first, last)| port.is_some_and(|port| (first..=last).contains(&port)))
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = self.protocol.map(Protocol::as_str);
        match (self.range, protocol) {
            (None, protocol) => f.write_str(protocol.unwrap_or_default()),
            (Some((first, last)), protocol) => {
                match first == last {
                    true => write!(f, "{first}")?,
                    false => write!(f, "{first}-{last}")?,
                }
                protocol.map_or(Ok(()), |protocol| write!(f, "/{protocol}"))
            }
        }
    }
}
