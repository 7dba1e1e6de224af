//! The head of an HTTP/1 request: RFC 9112. Pure.

use std::net::SocketAddr;

use httparse::{EMPTY_HEADER, Request, Status};

use super::Parsed;
use crate::model::{WireName, WireNames};

const MAX_HEADERS: usize = 64;
pub const HTTP_PORT: u16 = 80;

pub fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut request = Request::new(&mut headers);
    let status = request.parse(bytes);
    let names = names(&request);
    match status {
        // a proxy has its destination in the first line, a host its name in the first `Host`
        Ok(Status::Partial) if names.http_host.is_none() => Parsed::Incomplete,
        Ok(_) if names != WireNames::default() => Parsed::Names(names),
        _ => Parsed::Nothing,
    }
}

fn names(request: &Request<'_, '_>) -> WireNames {
    let hosts = request.headers.iter();
    let mut hosts = hosts.filter(|header| header.name.eq_ignore_ascii_case("host"));
    let host = hosts
        .next()
        .and_then(|header| authority(header.value, HTTP_PORT));
    WireNames {
        http_host: host.map(|(host, _)| host),
        proxied: request.path.and_then(|path| match request.method {
            Some("CONNECT") => authority(path.as_bytes(), HTTP_PORT),
            _ => {
                let rest = path.strip_prefix("http://")?;
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                authority(&rest.as_bytes()[..end], HTTP_PORT)
            }
        }),
        ..WireNames::default()
    }
}

/// A host and its port: RFC 3986, section 3.2.
pub fn authority(bytes: &[u8], default_port: u16) -> Option<(WireName, u16)> {
    let bytes = bytes.rsplit(|b| *b == b'@').next()?.trim_ascii();
    if let Some(address) = std::str::from_utf8(bytes)
        .ok()
        .and_then(|t| t.parse::<SocketAddr>().ok())
    {
        return Some((
            WireName::new(address.ip().to_string().as_bytes()),
            address.port(),
        ));
    }
    let colon = bytes.iter().rposition(|b| *b == b':');
    let (host, port) = match colon {
        Some(colon) if !bytes.ends_with(b"]") => {
            let port = std::str::from_utf8(&bytes[colon + 1..]).ok()?;
            (&bytes[..colon], port.parse().ok()?)
        }
        _ => (bytes, default_port),
    };
    (!host.is_empty()).then(|| (WireName::new(host), port))
}
