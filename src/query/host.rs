//! The HOST of a question: a name, an address, a network, or "raw IPs".

use std::net::IpAddr;

/// A destination of traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// This name and its subdomains; lower case, no trailing dot.
    Domain(String),
    /// This name without its subdomains.
    Exact(String),
    /// The subdomains of this name.
    Subdomains(String),
    /// Names that have this label anywhere.
    Label(String),
    Begins(String),
    Ends(String),
    Contains(String),
    /// Addresses from the first to the last, inclusive, in the form of the view's `dst_addr`:
    /// IPv4 as `::ffff:a.b.c.d`.
    Addresses {
        first: u128,
        last: u128,
    },
    /// Every address of this autonomous system: `AS15169`.
    Network(u32),
    /// Every address that was contacted without a name, except DNS servers and multicast
    /// groups, which never have one.
    Raw,
}

impl Host {
    /// Parses a destination. `literal` (it was quoted) allows anything in a name: DNS names can
    /// contain any bytes.
    ///
    /// # Errors
    ///
    /// Why it is not a host, in words for the user.
    pub fn parse(text: &str, literal: bool) -> Result<Host, String> {
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return network(address, None);
        }
        if let Some((address, prefix)) = text.split_once('/')
            && let Ok(address) = address.parse()
        {
            return network(address, Some(prefix));
        }
        if !literal {
            if let Some(number) = autonomous_system(text) {
                return Ok(Host::Network(number));
            }
            refuse_other_notations(text)?;
        }
        name(text, literal)
    }
}

/// The number of `AS15169`, RFC 5396.
fn autonomous_system(text: &str) -> Option<u32> {
    let (prefix, digits) = text.split_at_checked(2)?;
    let is_number = prefix.eq_ignore_ascii_case("as") && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().ok())?
}

/// The addresses that share the first `prefix` bits of `address`; without a prefix, the
/// address itself.
fn network(address: IpAddr, prefix: Option<&str>) -> Result<Host, String> {
    let (bits, length, family) = match address {
        IpAddr::V4(v4) => (v4.to_ipv6_mapped().to_bits(), 32, "IPv4"),
        IpAddr::V6(v6) => (v6.to_bits(), 128, "IPv6"),
    };
    let prefix = match prefix {
        None => length,
        Some(digits) => digits
            .parse()
            .ok()
            .filter(|&prefix| prefix <= length)
            .ok_or_else(|| {
                format!("the prefix of an {family} network is a number from 0 to {length}")
            })?,
    };
    let rest = u128::MAX.checked_shr(128 - length + prefix).unwrap_or(0);
    Ok(Host::Addresses {
        first: bits & !rest,
        last: bits | rest,
    })
}

/// Refuses notations that are commonly pasted and would find nothing as a name.
fn refuse_other_notations(text: &str) -> Result<(), String> {
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split(['/', ':', '?', '#']).next().unwrap_or_default();
        return Err(format!("leave out the rest of the URL: {host}"));
    }
    if let Some((host, port)) = text.rsplit_once(':')
        && port.parse::<u16>().is_ok()
        && (!host.contains(':') || host.ends_with(']'))
    {
        return Err(format!("leave out the port: {host}"));
    }
    if text.contains('/') {
        return Err("a network is written as 10.0.0.0/8 or 2001:db8::/32".to_owned());
    }
    if text.contains(':') {
        return Err("this is neither a name nor an IPv6 address".to_owned());
    }
    let last_label = text.trim_end_matches('.').rsplit('.').next();
    if last_label
        .is_some_and(|label| !label.is_empty() && label.bytes().all(|b| b.is_ascii_digit()))
    {
        return Err("this is neither a name nor an IPv4 address".to_owned());
    }
    Ok(())
}

/// The forms in which the history may hold a name: as it is, and if it is not ASCII, as the DNS
/// has it (`xn--…`, RFC 5890) and with its bytes escaped, as multicast DNS sends it.
pub fn forms(name: &str) -> Vec<String> {
    let mut forms = vec![name.to_owned()];
    if !name.is_ascii() {
        forms.extend(idna::domain_to_ascii(name).ok());
        let escaped = name.bytes().map(|byte| match byte {
            b' '..=b'~' => char::from(byte).to_string(),
            byte => format!("\\{byte:03}"),
        });
        forms.push(escaped.collect());
    }
    forms
}

/// A name in the form in which the history stores it.
fn name(text: &str, literal: bool) -> Result<Host, String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_lowercase();
    // ".example.com" as people write it; ".com" alone is an ending
    let below = name
        .strip_prefix("*.")
        .or_else(|| name.strip_prefix('.').filter(|base| base.contains('.')));
    let (below, base) = match below {
        Some(base) => (true, base),
        None => (false, name.as_str()),
    };
    if base.is_empty() {
        return Err("a host is a name, an address or a network".to_owned());
    }
    if base.contains('*') && !literal {
        return Err("a * is only allowed before a name, as in *.example.com".to_owned());
    }
    Ok(match below {
        true => Host::Subdomains(base.to_owned()),
        false if base.starts_with('.') && base.len() > 1 && !literal => Host::Ends(base.to_owned()),
        false => Host::Domain(base.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn range(text: &str) -> (String, String) {
        match Host::parse(text, false).unwrap() {
            Host::Addresses { first, last } => (
                Ipv6Addr::from_bits(first).to_string(),
                Ipv6Addr::from_bits(last).to_string(),
            ),
            other => panic!("{text} is {other:?}"),
        }
    }

    #[test]
    fn names_in_any_script_have_the_forms_that_the_dns_uses() {
        assert_eq!(
            Host::parse("BÜCHER.example", false),
            Ok(Host::Domain("bücher.example".into()))
        );
        let form = |name| forms(name).remove(1);
        assert_eq!(form("bücher.example"), "xn--bcher-kva.example");
        assert_eq!(form("例子.测试"), "xn--fsqu00a.xn--0zwm56d");
        assert_eq!(form("straße.example"), "xn--strae-oqa.example");
        assert!(forms("café.local").contains(&"caf\\195\\169.local".to_owned()));
        assert_eq!(forms("example.com"), ["example.com"]);
    }

    #[test]
    fn autonomous_systems_have_numbers() {
        assert_eq!(Host::parse("AS15169", false), Ok(Host::Network(15169)));
        assert_eq!(Host::parse("as1", false), Ok(Host::Network(1)));
        for name in ["as", "asn1", "as99999999999", "as1.example"] {
            assert_eq!(Host::parse(name, false), Ok(Host::Domain(name.into())));
        }
        assert_eq!(
            Host::parse("AS15169", true),
            Ok(Host::Domain("as15169".into()))
        );
    }

    #[test]
    fn names_are_lower_case_without_the_trailing_dot() {
        assert_eq!(
            Host::parse("Example.COM.", false),
            Ok(Host::Domain("example.com".into()))
        );
        assert_eq!(
            Host::parse("*.Example.com", false),
            Ok(Host::Subdomains("example.com".into()))
        );
        assert_eq!(
            Host::parse(".Example.com", false),
            Ok(Host::Subdomains("example.com".into()))
        );
        assert_eq!(
            Host::parse("_dmarc.a%b", false),
            Ok(Host::Domain("_dmarc.a%b".into()))
        );
        assert_eq!(
            Host::parse("localhost", false),
            Ok(Host::Domain("localhost".into()))
        );
    }

    #[test]
    fn addresses_and_networks_of_both_families_are_ranges() {
        for (text, first, last) in [
            ("192.0.2.7", "::ffff:192.0.2.7", "::ffff:192.0.2.7"),
            ("10.1.2.3/8", "::ffff:10.0.0.0", "::ffff:10.255.255.255"),
            ("0.0.0.0/0", "::ffff:0.0.0.0", "::ffff:255.255.255.255"),
            ("192.0.2.7/32", "::ffff:192.0.2.7", "::ffff:192.0.2.7"),
            ("[2001:DB8::1]", "2001:db8::1", "2001:db8::1"),
            (
                "2001:db8::/32",
                "2001:db8::",
                "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            ),
            ("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("::ffff:192.0.2.7", "::ffff:192.0.2.7", "::ffff:192.0.2.7"),
        ] {
            assert_eq!(range(text), (first.to_owned(), last.to_owned()), "{text}");
        }
    }

    #[test]
    fn pasted_notations_are_refused_with_a_correction() {
        for (text, why) in [
            (
                "https://example.com:8443/x?y",
                "leave out the rest of the URL: example.com",
            ),
            ("example.com:443", "leave out the port: example.com"),
            ("[::1]:443", "leave out the port: [::1]"),
            (
                "10.0.0.0/33",
                "the prefix of an IPv4 network is a number from 0 to 32",
            ),
            (
                "::/129",
                "the prefix of an IPv6 network is a number from 0 to 128",
            ),
            (
                "10.0.0.0/x",
                "the prefix of an IPv4 network is a number from 0 to 32",
            ),
            (
                "10/8",
                "a network is written as 10.0.0.0/8 or 2001:db8::/32",
            ),
            ("fe80::1%eth0", "this is neither a name nor an IPv6 address"),
            ("256.1.1.1", "this is neither a name nor an IPv4 address"),
            (
                "a*.example.com",
                "a * is only allowed before a name, as in *.example.com",
            ),
            (
                "*.",
                "a * is only allowed before a name, as in *.example.com",
            ),
            (".", "a host is a name, an address or a network"),
        ] {
            assert_eq!(Host::parse(text, false), Err(why.to_owned()), "{text}");
        }
    }

    #[test]
    fn quoted_name_can_contain_anything_but_not_be_empty() {
        assert_eq!(
            Host::parse("a*b:1/2 '", true),
            Ok(Host::Domain("a*b:1/2 '".into()))
        );
        assert!(Host::parse("", true).is_err());
    }

    proptest! {
        #[test]
        fn network_contains_exactly_the_addresses_that_share_its_prefix(
            address in any::<u32>(), other in any::<u32>(), prefix in 0u32..=32, near in any::<bool>()
        ) {
            // Half of the time an address that differs only in the last bits.
            let other = if near { address ^ other.checked_shr(prefix).unwrap_or(0) } else { other };
            let shares = (address ^ other).leading_zeros() >= prefix;
            let text = format!("{}/{prefix}", Ipv4Addr::from_bits(address));
            let Ok(Host::Addresses { first, last }) = Host::parse(&text, false) else {
                panic!("{text} is refused");
            };
            let other = Ipv4Addr::from_bits(other).to_ipv6_mapped().to_bits();
            prop_assert_eq!((first..=last).contains(&other), shares);
        }

        #[test]
        fn no_text_panics(text in any::<String>(), literal in any::<bool>()) {
            let _ = Host::parse(&text, literal);
        }
    }
}
