//! Resolvers of DNS over HTTPS (RFC 8484) that are known by name.

/// The hosts that browsers offer: Chromium's net/dns/public/doh_provider_entry.cc, Firefox's
/// network.trr.resolvers. A name below one of these is a customer's own.
const RESOLVERS: [&str; 25] = [
    "canadianshield.cira.ca",
    "cloudflare-dns.com",
    "dns.adguard-dns.com",
    "dns.adguard.com",
    "dns.alidns.com",
    "dns.controld.com",
    "dns.google",
    "dns.mullvad.net",
    "dns.nextdns.io",
    "dns.quad9.net",
    "dns.switch.ch",
    "dns0.eu",
    "dns10.quad9.net",
    "dns11.quad9.net",
    "dns9.quad9.net",
    "doh.cleanbrowsing.org",
    "doh.dns.sb",
    "doh.familyshield.opendns.com",
    "doh.mullvad.net",
    "doh.opendns.com",
    "doh.pub",
    "doh.xfinity.com",
    "freedns.controld.com",
    "odvr.nic.cz",
    "public.dns.iij.jp",
];

/// The condition that a connection is to one of them, by the name that it was looked up by or that
/// it sent.
pub fn condition() -> String {
    let names = RESOLVERS.map(|name| format!("'{name}'")).join(", ");
    let any = |column: &str| {
        let below = RESOLVERS.map(|name| format!("{column} LIKE '%.{name}'"));
        format!("{column} IN ({names}) OR {}", below.join(" OR "))
    };
    format!("dst_port = 443 AND ({} OR {})", any("host"), any("sni"))
}
