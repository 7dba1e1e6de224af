//! Resolvers that a host or its containers run.

/// Their programs: what they answer over the loopback device counts, and nothing kills them.
pub const STUBS: [&str; 14] = [
    "/usr/lib/systemd/systemd-resolved",
    "/usr/bin/dockerd",
    "/usr/sbin/dockerd",
    "/usr/sbin/dnsmasq",
    "/usr/bin/dnsmasq",
    "/usr/sbin/unbound",
    "/usr/bin/unbound",
    "/usr/sbin/named",
    "/usr/bin/named",
    "/usr/sbin/kresd",
    "/usr/sbin/pdns_recursor",
    "/usr/bin/dnscrypt-proxy",
    "/usr/lib/podman/aardvark-dns",
    "/usr/libexec/podman/aardvark-dns",
];
