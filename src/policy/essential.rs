//! What a host needs to work at all: open where the default would stop it, unless the file takes
//! it out.

use crate::model::Protocol;

use super::facts::{Destination, Subject};
use super::target::{Scope, plain_address};

/// The largest uid of a system user.
pub const LAST_SYSTEM_UID: u32 = 999;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Essential {
    /// DNS to the policy's resolvers. It comes before all rules.
    Dns,
    /// DHCP by a system user of the host.
    Dhcp,
    /// ICMP and IGMP by the kernel, or to link-local and multicast addresses: neighbour
    /// discovery, multicast membership, errors.
    Icmp,
    /// NTP by a system user of the host.
    Ntp,
    /// The kernel's own sockets: NFS, iSCSI.
    Kernel,
    Loopback,
}

impl Essential {
    pub const ALL: [Essential; 6] = [
        Essential::Dns,
        Essential::Dhcp,
        Essential::Icmp,
        Essential::Ntp,
        Essential::Kernel,
        Essential::Loopback,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Essential::Dns => "dns",
            Essential::Dhcp => "dhcp",
            Essential::Icmp => "icmp",
            Essential::Ntp => "ntp",
            Essential::Kernel => "kernel",
            Essential::Loopback => "loopback",
        }
    }

    /// Whether it covers a connection; DNS is the policy's to decide, since the resolvers are its.
    pub fn covers(self, who: &Subject, to: &Destination) -> bool {
        let scope = to.ip.map(|ip| Scope::of(plain_address(ip)));
        let udp = |port| to.protocol == Protocol::Udp && to.port == Some(port);
        let system = !who.in_container() && who.uid.is_some_and(|uid| uid <= LAST_SYSTEM_UID);
        match self {
            Essential::Dns => false,
            Essential::Dhcp => system && (udp(67) || udp(547)),
            Essential::Icmp => {
                matches!(to.protocol, Protocol::Ip(1 | 2 | 58))
                    && (who.kernel || matches!(scope, Some(Scope::Link | Scope::Multicast)))
            }
            Essential::Ntp => system && udp(123),
            Essential::Kernel => who.kernel,
            Essential::Loopback => scope == Some(Scope::Loopback),
        }
    }
}
