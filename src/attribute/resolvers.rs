//! The resolvers that this host is configured with: their answers, given to
//! somebody in the host's own network namespace, can be taken from anyone there,
//! who could not have put another server in their place.

use std::collections::HashSet;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use crate::model::Endpoint;

/// glibc's, and the servers behind systemd-resolved's stub.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
/// DHCP and VPNs change it while egrets runs.
const REREAD: Duration = Duration::from_secs(10);

/// The port that resolv.conf(5) means, which needs a privilege to serve.
const DOMAIN: u16 = 53;

#[derive(Default)]
pub struct Resolvers {
    servers: HashSet<IpAddr>,
    host_netns: Option<u32>,
    read_at: Option<Instant>,
}

impl Resolvers {
    /// Whether `server`, asked from the network namespace `netns` (inode), is one
    /// of the host's own. On other ports of its address anyone may serve: a stub's is
    /// on loopback.
    pub fn trusted(&mut self, server: Endpoint, netns: u32) -> bool {
        if self.read_at.is_none_or(|at| at.elapsed() > REREAD) {
            self.read_at = Some(Instant::now());
            self.host_netns = fs::metadata("/proc/1/ns/net").ok().map(|m| m.ino() as u32);
            let texts = FILES.iter().filter_map(|f| fs::read_to_string(f).ok());
            self.servers = texts.flat_map(|t| nameservers(&t)).collect();
        }
        server.port == DOMAIN && self.host_netns == Some(netns) && self.servers.contains(&server.ip)
    }
}

/// resolv.conf(5). A link-local server's interface (`%eth0`) is left aside.
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
    fn nameservers_are_read_as_resolv_conf_has_them() {
        let text = "# nameserver 192.0.2.9\nnameserver 127.0.0.53\nnameserver\tfe80::1%eth0\nsearch x\nnameserver bad\n";
        let ips: Vec<String> = nameservers(text).iter().map(ToString::to_string).collect();
        assert_eq!(ips, ["127.0.0.53", "fe80::1"]);
    }

    #[test]
    fn another_namespaces_resolver_is_not_the_hosts() {
        let mut r = Resolvers {
            servers: HashSet::from([[192, 0, 2, 1].into()]),
            host_netns: Some(7),
            read_at: Some(Instant::now()),
        };
        assert!(r.trusted(server(1, 53), 7));
        assert!(!r.trusted(server(1, 53), 8));
        assert!(!r.trusted(server(2, 53), 7));
        assert!(!r.trusted(server(1, 5353), 7), "anyone's port");
    }

    fn server(last: u8, port: u16) -> Endpoint {
        let ip = [192, 0, 2, last].into();
        Endpoint { ip, port }
    }
}
