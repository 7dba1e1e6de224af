//! Where a connection went: hosts, addresses, ports, services and their protocols.

use super::Words;

pub const NAMES: Words = &[
    "hosts",
    "host",
    "names",
    "name",
    "hostnames",
    "hostname",
    "domains",
    "domain",
    "destinations",
    "destination",
    "sites",
    "site",
    "servers",
    "server",
    "endpoints",
    "endpoint",
    "websites",
    "website",
    "places",
    "place",
    "fqdns",
    "fqdn",
    "targets",
    "target",
    "peers",
    "peer",
    "machines",
    "remotes",
    "remote",
    "systems",
    "locations",
    "location",
    "parties",
];
/// The same before the name of a host.
pub const HOST: Words = &["host", "hostname", "domain", "name"];
pub const ADDRESSES: Words = &["IPs", "IP", "addresses", "address"];
pub const ADDRESS: Words = &["IP", "address", "network", "subnet"];
pub const PORTS: Words = &["ports", "port"];
pub const PORT: Words = &["port", "ports"];
/// The local end of a connection.
pub const OWN_PORT: Words = &["src", "source", "local"];
/// All public addresses.
pub const INTERNET: Words = &["internet", "outside"];
pub const RAW: Words = &["raw", "bare", "nameless", "unnamed"];
/// Address scopes, before "IPs" or "hosts".
pub const SCOPES: Words = &[
    "public",
    "private",
    "loopback",
    "multicast",
    "external",
    "internal",
];
/// "IP addresses directly": without a name.
pub const DIRECTLY: Words = &["directly"];
/// Before a host: without its subdomains.
pub const EXACTLY: Words = &["exactly", "just"];
/// Before a host: only its subdomains.
pub const SUBDOMAINS_OF: Words = &["subdomains-of"];
/// Parts of names.
pub const ENDING: Words = &["ending", "end", "ends"];
pub const BEGINNING: Words = &[
    "starting",
    "beginning",
    "starts",
    "begins",
    "start",
    "begin",
];
pub const CONTAINING: Words = &[
    "containing",
    "contain",
    "contains",
    "matching",
    "match",
    "matches",
];
pub const LIKE: Words = &["like"];
pub const THAT: Words = &["that", "which", "whose", "names", "name"];
/// Services that are recognised by their ports.
pub const SERVICES: Words = &[
    "https",
    "http",
    "quic",
    "http3",
    "http/3",
    "h3",
    "ssh",
    "sftp",
    "ftp",
    "telnet",
    "smtp",
    "imap",
    "pop3",
    "ntp",
    "snmp",
    "syslog",
    "ldap",
    "ldaps",
    "smb",
    "rdp",
    "vnc",
    "postgres",
    "postgresql",
    "mysql",
    "redis",
    "mongodb",
    "kafka",
];
pub const PROTOCOL: Words = &["protocol"];
pub const PROTOCOL_NAMES: Words = &["protocols"];
pub const PROTOCOLS: Words = &[
    "tcp", "udp", "udplite", "icmp", "icmpv6", "sctp", "packet", "igmp", "gre", "esp", "ospf",
    "vrrp",
];
pub const FAMILIES: Words = &["ipv4", "ipv6"];
pub const NAMED: Words = &["named"];
pub const SOURCES: Words = &[
    "process",
    "ancestor",
    "container",
    "netns",
    "host",
    "hosts",
    "sni",
    "history",
];
