//! Protocols of connections and flows, and their names.

use std::sync::LazyLock;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
    /// Another protocol above IP, by its number.
    Ip(u8),
    /// Frames, from a packet socket.
    Packet,
}

/// Names from IANA's registry of protocol numbers in lower case, except for the better known
/// `icmpv6`, `udplite` and `ospf`. TCP and UDP have variants of their own.
const NAMES: [(u8, &str); 26] = [
    (0, "hopopt"),
    (1, "icmp"),
    (2, "igmp"),
    (4, "ipv4"),
    (8, "egp"),
    (33, "dccp"),
    (41, "ipv6"),
    (43, "ipv6-route"),
    (44, "ipv6-frag"),
    (46, "rsvp"),
    (47, "gre"),
    (50, "esp"),
    (51, "ah"),
    (58, "icmpv6"),
    (59, "ipv6-nonxt"),
    (60, "ipv6-opts"),
    (88, "eigrp"),
    (89, "ospf"),
    (97, "etherip"),
    (103, "pim"),
    (108, "ipcomp"),
    (112, "vrrp"),
    (115, "l2tp"),
    (132, "sctp"),
    (136, "udplite"),
    (137, "mpls-in-ip"),
];

/// By number; `ip-253` where there is no name.
static BY_NUMBER: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut names: Vec<String> = (0..=u8::MAX).map(|n| format!("ip-{n}")).collect();
    for (number, name) in NAMES {
        names[usize::from(number)] = name.to_string();
    }
    names
});

impl Protocol {
    pub const ICMP: Protocol = Protocol::Ip(1);
    pub const SCTP: Protocol = Protocol::Ip(132);

    /// By its IP protocol number.
    pub fn of(number: u16) -> Protocol {
        match number {
            6 => Protocol::Tcp,
            17 => Protocol::Udp,
            // raw sockets can have larger ones, of which IP's header holds the low byte
            other => Protocol::Ip(other as u8),
        }
    }

    /// The IP protocol number; None for packet sockets.
    pub fn number(self) -> Option<u16> {
        match self {
            Protocol::Tcp => Some(6),
            Protocol::Udp => Some(17),
            Protocol::Ip(number) => Some(number.into()),
            Protocol::Packet => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Packet => "packet",
            Protocol::Ip(number) => BY_NUMBER
                .get(usize::from(number))
                .map_or("", String::as_str),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_own_name() {
        let names: std::collections::HashSet<_> =
            (0..=255).map(|n| Protocol::of(n).as_str()).collect();
        assert_eq!(names.len(), 256);
        for (number, name) in [(1, "icmp"), (6, "tcp"), (132, "sctp"), (253, "ip-253")] {
            assert_eq!(Protocol::of(number).as_str(), name);
            assert_eq!(Protocol::of(number).number(), Some(number));
        }
    }
}
