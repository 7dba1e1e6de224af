//! The resolvers that the host is configured with. In the host's network namespace, their
//! answers count for all processes, as no user could have replaced them.

use std::collections::HashSet;
use std::fs;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::model::Endpoint;

/// glibc's file, and the servers behind systemd-resolved's stub.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
/// DHCP and VPNs change the files while egrets runs.
const REREAD: Duration = Duration::from_secs(10);

/// The port that resolv.conf(5) implies. To serve on it takes a privilege.
const DOMAIN: u16 = 53;

pub struct Resolvers {
    servers: HashSet<IpAddr>,
    host_netns: Option<u32>,
    read_at: Option<Instant>,
}

impl Resolvers {
    /// `host_netns` is the inode of the host's network namespace.
    pub fn new(host_netns: Option<u32>) -> Resolvers {
        Resolvers {
            servers: HashSet::new(),
            host_netns,
            read_at: None,
        }
    }

    /// Whether `server`, queried in the network namespace `netns` (inode), is one of the host's.
    /// On other ports of its address, which for a stub is a loopback one, any user may serve.
    pub fn is_trusted(&mut self, server: Endpoint, netns: u32) -> bool {
        if self.read_at.is_none_or(|at| at.elapsed() > REREAD) {
            self.read_at = Some(Instant::now());
            let texts = FILES.iter().filter_map(|f| fs::read_to_string(f).ok());
            self.servers = texts.flat_map(|t| nameservers(&t)).collect();
        }
        server.port == DOMAIN && self.host_netns == Some(netns) && self.servers.contains(&server.ip)
    }
}

/// The servers in a resolv.conf(5), without the interface of link-local ones (`%eth0`).
fn nameservers(text: &str) -> Vec<IpAddr> {
    text.lines()
        .filter_map(|line| line.strip_prefix("nameserver")?.split_whitespace().next())
        .filter_map(|server| server.split('%').next()?.parse::<IpAddr>().ok())
        .map(|ip| ip.to_canonical())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nameservers_of_a_resolv_conf_are_read() {
        let text = "# nameserver 192.0.2.9\nnameserver 127.0.0.53\nnameserver\tfe80::1%eth0\nsearch x\nnameserver bad\n";
        let ips: Vec<String> = nameservers(text).iter().map(ToString::to_string).collect();
        assert_eq!(ips, ["127.0.0.53", "fe80::1"]);
    }

    #[test]
    fn resolver_of_another_namespace_is_not_trusted() {
        let mut r = Resolvers {
            servers: HashSet::from([[192, 0, 2, 1].into()]),
            host_netns: Some(7),
            read_at: Some(Instant::now()),
        };
        assert!(r.is_trusted(server(1, 53), 7));
        assert!(!r.is_trusted(server(1, 53), 8));
        assert!(!r.is_trusted(server(2, 53), 7));
        assert!(!r.is_trusted(server(1, 5353), 7), "any user's port");
    }

    fn server(last: u8, port: u16) -> Endpoint {
        let ip = [192, 0, 2, last].into();
        Endpoint { ip, port }
    }
}
