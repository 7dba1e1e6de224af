//! Which requests are answered. A page of another site can send requests here from the browser of
//! a user who may see the history, and a name of its own can come to lead here (DNS rebinding).

use std::net::IpAddr;

use hyper::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{Method, StatusCode};

use super::token::Token;

/// Why a request is not answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: StatusCode,
    pub why: &'static str,
}

fn forbidden(why: &'static str) -> Result<(), Refusal> {
    let status = StatusCode::FORBIDDEN;
    Err(Refusal { status, why })
}

/// What holds for every request, also for the document, which has no data.
pub fn is_for_us(request: &Parts) -> Result<(), Refusal> {
    if request.method != Method::GET {
        return Err(Refusal {
            status: StatusCode::METHOD_NOT_ALLOWED,
            why: "only GET is answered",
        });
    }
    let Some(host) = only(&request.headers, HOST.as_str()) else {
        return forbidden("the request has no Host, or several");
    };
    let also = request.uri.authority().map_or(host, Authority::as_str);
    if ![host, also].into_iter().all(is_literal) {
        return forbidden(
            "this is answered under localhost or an IP address alone, so that no name that leads \
             here makes another site's page ours",
        );
    }
    match (
        request.headers.contains_key(ORIGIN),
        only(&request.headers, ORIGIN.as_str()),
    ) {
        (false, _) => Ok(()),
        (true, Some(origin)) if is_origin(origin, host) => Ok(()),
        (true, _) => forbidden("the request comes from another site's page"),
    }
}

/// Whether it comes from the document, or from a program that has the token.
pub fn may_read(request: &Parts, token: &Token) -> Result<(), Refusal> {
    // Browsers say which page a request is from.
    let site = request.headers.get("sec-fetch-site");
    if site.is_some_and(|site| site != "same-origin" && site != "none") {
        return forbidden("the request comes from another site's page");
    }
    let given = request.headers.get(AUTHORIZATION);
    let given = given.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    match given {
        Some(given) if token.is(given) => Ok(()),
        _ => forbidden(
            "this page has no token, or one of an earlier run: open the address that 'egrets serve' \
             printed",
        ),
    }
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    value.to_str().ok()
}

/// Whether a host is written so that no name server decides what it is.
fn is_literal(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host();
    let address = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
    !host.contains('@')
        && (name.eq_ignore_ascii_case("localhost")
            || address.unwrap_or(name).parse::<IpAddr>().is_ok())
}

fn is_origin(origin: &str, host: &str) -> bool {
    let own = origin.strip_prefix("http://");
    own.is_some_and(|own| own.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn request(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::get("/view");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn hosts_that_a_name_server_could_decide_on_are_refused() {
        for host in [
            "127.0.0.1:8417",
            "localhost:9000",
            "LOCALHOST",
            "[::1]:8417",
            "192.0.2.7",
        ] {
            assert_eq!(is_for_us(&request(&[("host", host)])), Ok(()), "{host}");
        }
        for host in [
            "evil.test:8417",
            "localhost.evil.test",
            "127.0.0.1.evil.test",
            "127.0.0.1@evil.test",
            "evil.test@127.0.0.1",
            "localhost.",
            "",
            "a b",
            "2130706433",
        ] {
            assert!(is_for_us(&request(&[("host", host)])).is_err(), "{host}");
        }
        assert!(is_for_us(&request(&[])).is_err());
        let two = request(&[("host", "localhost"), ("host", "localhost")]);
        assert!(is_for_us(&two).is_err());
        let absolute = Request::get("http://evil.test/view").header("host", "localhost");
        let absolute = absolute.body(()).unwrap().into_parts().0;
        assert!(is_for_us(&absolute).is_err());
    }

    #[test]
    fn requests_of_other_sites_pages_are_refused() {
        let host = ("host", "127.0.0.1:8417");
        for (origin, answered) in [
            ("http://127.0.0.1:8417", true),
            ("http://127.0.0.1:9999", false),
            ("https://127.0.0.1:8417", false),
            ("http://evil.test", false),
            ("null", false),
        ] {
            let found = is_for_us(&request(&[host, ("origin", origin)]));
            assert_eq!(found.is_ok(), answered, "{origin}");
        }
        let post = Request::post("/view").header("host", "localhost");
        let post = post.body(()).unwrap().into_parts().0;
        let refused = is_for_us(&post).unwrap_err();
        assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED);
    }

    #[test]
    fn the_token_alone_opens_the_history_and_not_to_other_sites() {
        let token = Token::random().unwrap();
        let right = format!("Bearer {}", token.text());
        let read = |headers: &[(&str, &str)]| may_read(&request(headers), &token).is_ok();
        assert!(read(&[("authorization", &right)]));
        assert!(read(&[
            ("authorization", &right),
            ("sec-fetch-site", "same-origin")
        ]));
        for site in ["cross-site", "same-site"] {
            assert!(!read(&[
                ("authorization", &right),
                ("sec-fetch-site", site)
            ]));
        }
        for wrong in [
            "",
            "Bearer ",
            token.text(),
            &format!("{right}x"),
            "Basic eDp4",
        ] {
            assert!(!read(&[("authorization", wrong)]), "{wrong}");
        }
        assert!(!read(&[]));
    }
}
