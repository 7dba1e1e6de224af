//! Addresses and ports, and what an address is to this host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address and a port, which is 0 where the protocol has none or it is unknown.
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

/// An unknown destination. No connection goes to this address, as "any" means loopback.
pub const UNKNOWN: Endpoint = Endpoint {
    ip: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    port: 0,
};

/// RFC 6052's well-known prefix for NAT64.
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

/// The IPv4 address that an address stands for by NAT64, if it has the well-known prefix. Which one a
/// network has of its own is not known.
pub fn nat64_ipv4(ip: IpAddr) -> Option<Ipv4Addr> {
    match ip {
        IpAddr::V6(v6) if v6.segments()[..6] == NAT64 => {
            let [.., a, b, c, d] = v6.octets();
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    }
}

/// The address that packets reach in the end: IPv4 where an IPv6 address only wraps it, mapped or
/// by NAT64.
pub fn plain_address(ip: IpAddr) -> IpAddr {
    let ip = ip.to_canonical();
    nat64_ipv4(ip).map_or(ip, IpAddr::V4)
}

/// What a destination is to this host: RFC 1122, 4193, 6598, 3927, 4291. By NAT64, what the IPv4
/// address is that it stands for.
pub fn dst_scope(ip: IpAddr) -> &'static str {
    let ip = plain_address(ip);
    if ip.is_loopback() || ip.is_unspecified() {
        "loopback"
    } else if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
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
fn is_shared(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    a == 100 && (64..128).contains(&b)
}

/// The address in 16 bytes, an IPv4-mapped one as the IPv4 address.
pub fn unmapped(addr: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(addr).to_canonical()
}

/// The 16 bytes of an address in the kernel side and in the history.
pub fn mapped(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
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
            ("::ffff:10.0.0.1", "private"),
            ("64:ff9b::a00:1", "private"),
            ("64:ff9b::7f00:1", "loopback"),
            ("64:ff9b::5db8:d822", "public"),
            ("64:ff9b:1::a00:1", "public"),
        ] {
            assert_eq!(dst_scope(ip.parse().unwrap()), scope, "{ip}");
        }
    }

    #[test]
    fn mapped_ipv4_address_is_the_ipv4_address() {
        let v4: IpAddr = "192.0.2.7".parse().unwrap();
        assert_eq!(unmapped(mapped(v4)), v4);
        let v6: IpAddr = "2001:db8::7".parse().unwrap();
        assert_eq!(unmapped(mapped(v6)), v6);
    }
}
