//! A client for the tests that sends, or receives, in one certain way: COUNT pieces of
//! SIZE bytes. What comes back is more than what went out (`agreed`), and it fails
//! unless all of it came. Built as an example.
//!
//!     send WAY IP PORT COUNT SIZE
//!
//! Says "absent" where the kernel does not have the way.

mod agreed;
mod calls;
mod ring;
mod shapes;
mod tcp;
mod udp;
mod ways;
mod zerocopy;

use std::process::exit;

use calls::{Done, is_absent};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let [way, ip, port, count, size] = args[..] else {
        eprintln!("usage: send WAY IP PORT COUNT SIZE");
        exit(2);
    };
    let to = match ip.contains(':') {
        true => format!("[{ip}]:{port}"),
        false => format!("{ip}:{port}"),
    };
    let (Ok(to), Ok(count), Ok(size)) = (to.parse(), count.parse(), size.parse()) else {
        eprintln!("send: an address or a number can't be read");
        exit(2);
    };
    let result: Done = match (way, way.strip_prefix("udp-")) {
        ("many", _) => shapes::many(to, count, size),
        ("burst", _) => shapes::burst(to, count, size),
        ("duplex", _) => shapes::duplex(to, count, size),
        ("drip", _) => shapes::drip(to, count, size),
        ("sources", _) => shapes::sources(to, count, size),
        ("until-killed", _) => shapes::until_killed(to, size),
        (_, Some(way)) => udp::run(way, to, count, size),
        (_, None) => tcp::run(way, to, count, size),
    };
    match result {
        Err(e) if is_absent(&e) => println!("absent"),
        Err(e) => {
            eprintln!("send: {way}: {e}");
            exit(1);
        }
        Ok(()) => {}
    }
}
