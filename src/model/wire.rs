//! What a connection itself says: the names in its first bytes.

use std::rc::Rc;

/// The names that a client sent over a connection before anything was encrypted. They are its own
/// words: no server has confirmed them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct WireNames {
    /// The server name of a TLS ClientHello.
    pub sni: Option<WireName>,
    /// The ClientHello has an encrypted one inside (ECH), or pretends to: then `sni` may be its
    /// provider's.
    pub sni_ech: bool,
    /// The application protocols that TLS offers, separated by commas.
    pub alpn: Option<Rc<str>>,
    /// The host of an HTTP request.
    pub http_host: Option<WireName>,
    /// Where a proxy is asked to connect to.
    pub proxied: Option<(WireName, u16)>,
}

/// A name as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WireName {
    /// In lower case, without a trailing dot; other bytes than printable ASCII as `\DDD`.
    pub text: Rc<str>,
    /// Whether a host can have this name.
    pub is_host: bool,
}

/// RFC 1035, section 2.3.4, in text form.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;
/// Bytes shown of what can't be a name.
const MAX_SHOWN: usize = 255;

impl WireNames {
    /// With what was sent later: what was sent first counts.
    pub fn and(&self, later: WireNames) -> WireNames {
        let first = self.clone();
        let tls = match first.sni.is_some() || first.alpn.is_some() {
            true => first.clone(),
            false => later.clone(),
        };
        WireNames {
            sni: tls.sni,
            sni_ech: tls.sni_ech,
            alpn: tls.alpn,
            http_host: first.http_host.or(later.http_host),
            proxied: first.proxied.or(later.proxied),
        }
    }
}

impl WireName {
    pub fn new(bytes: &[u8]) -> WireName {
        let bytes = bytes.strip_suffix(b".").unwrap_or(bytes);
        let shown = &bytes[..bytes.len().min(MAX_SHOWN)];
        let mut text = String::with_capacity(shown.len());
        for byte in shown {
            match byte {
                b'\\' => text.push_str("\\\\"),
                0x21..=0x7e => text.push(byte.to_ascii_lowercase() as char),
                _ => text.push_str(&format!("\\{byte:03}")),
            }
        }
        WireName {
            is_host: is_host(bytes),
            text: text.into(),
        }
    }
}

/// Letters, digits, hyphens and underscores, and no address.
fn is_host(name: &[u8]) -> bool {
    let is_label = |label: &[u8]| {
        (1..=MAX_LABEL).contains(&label.len())
            && label
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let last = name.rsplit(|b| *b == b'.').next().unwrap_or_default();
    name.len() <= MAX_NAME && name.split(|b| *b == b'.').all(is_label) && !is_number(last) // of an address, in any of inet_aton's forms
}

fn is_number(label: &[u8]) -> bool {
    let hex = label.strip_prefix(b"0x").or(label.strip_prefix(b"0X"));
    label.iter().all(u8::is_ascii_digit)
        || hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_a_name_is_one_and_the_rest_is_escaped() {
        for (sent, shown, is_host) in [
            (&b"WWW.Example.com."[..], "www.example.com", true),
            (
                b"_dmarc.xn--bcher-kva.test",
                "_dmarc.xn--bcher-kva.test",
                true,
            ),
            (b"localhost", "localhost", true),
            (b"a\x1b[2J\n.test", "a\\027[2j\\010.test", false),
            (b"b\xc3\xbccher.test", "b\\195\\188cher.test", false),
            (b"a\\b", "a\\\\b", false),
            (b"a..b", "a..b", false),
            (b"", "", false),
            (b".", "", false),
            (b"192.0.2.1", "192.0.2.1", false),
            (b"127.0x1", "127.0x1", false),
            (b"2001:db8::1", "2001:db8::1", false),
            (b"a b", "a\\032b", false),
        ] {
            let name = WireName::new(sent);
            assert_eq!((&*name.text, name.is_host), (shown, is_host), "{sent:?}");
        }
        let label = "a".repeat(MAX_LABEL);
        assert!(WireName::new(label.as_bytes()).is_host);
        assert!(!WireName::new(format!("{label}a").as_bytes()).is_host);
        let long = WireName::new(&[b'\xff'; 1000]);
        assert_eq!((long.text.len(), long.is_host), (4 * MAX_SHOWN, false));
    }
}
