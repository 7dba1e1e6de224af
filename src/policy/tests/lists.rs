use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::super::file::{resolvers_of, searches_of};
use super::super::*;
use super::{curl, ip, named, to};

fn list(text: &str) -> List {
    let mut list = List::new("test".into(), Position::default());
    list.add("bad.txt", &mut text.as_bytes()).unwrap();
    list.finish();
    list
}

#[test]
fn lists_have_names_addresses_and_hosts_files_and_say_what_they_refuse() {
    let list = list(
        "\u{feff}# a feed
example.com   # and below
*.cdn.example
=exact.example
EVIL.test.

127.0.0.1 localhost
::1 ip6-localhost ip6-loopback
0.0.0.0 0.0.0.0
0.0.0.0 ads.example tracker.example
192.0.2.1
198.51.100.0/24
198.51.100.128/25
2001:db8::/32
::ffff:203.0.113.9
com
co.uk
github.io
10.0.0.0/7
0.0.0.0
not a list
http://example.org/x
! comment
",
    );
    for (name, listed) in [
        ("example.com", true),
        ("a.b.example.com", true),
        ("badexample.com", false),
        ("cdn.example", false),
        ("a.cdn.example", true),
        ("exact.example", true),
        ("a.exact.example", false),
        ("evil.test", true),
        ("ads.example", true),
        ("tracker.example", true),
        ("localhost", false),
        ("example.co.uk", false),
    ] {
        assert_eq!(list.has_name(name), listed, "{name}");
    }
    for (address, listed) in [
        ("192.0.2.1", true),
        ("192.0.2.2", false),
        ("198.51.100.0", true),
        ("198.51.100.200", true),
        ("198.51.101.0", false),
        ("2001:db8::7", true),
        ("203.0.113.9", true),
        ("127.0.0.1", false),
    ] {
        assert_eq!(list.has_address(ip(address)), listed, "{address}");
    }
    assert_eq!(
        list.refused,
        [
            "bad.txt:16: \"com\" is a public suffix",
            "bad.txt:17: \"co.uk\" is a public suffix",
            "bad.txt:18: \"github.io\" is a public suffix",
            "bad.txt:19: \"10.0.0.0/7\" is wider than /8",
            "bad.txt:20: \"0.0.0.0\" is this host itself",
            "bad.txt:21: \"not a list\" has more than one entry",
            "bad.txt:22: \"http://example.org/x\" is a URL: write its name alone, \"example.org\"",
        ]
    );
    assert_eq!((list.refused_count, list.len()), (7, 11));
}

#[test]
fn large_lists_are_loaded_and_searched() {
    let mut text = String::new();
    for n in 0..40_000 {
        text += &format!("0.0.0.0 host-{n}.tracker-{}.example\n", n % 977);
    }
    for n in 0..10_000_u32 {
        text += &format!("{}\n", std::net::Ipv4Addr::from(0x0b00_0000 + n * 3));
    }
    let list = list(&text);
    assert_eq!(list.len(), 50_000);
    assert!(list.has_name("x.host-1977.tracker-23.example"));
    assert!(!list.has_name("x.host-1977.tracker-24.example"));
    assert!(list.has_address(ip("11.0.0.3")) && !list.has_address(ip("11.0.0.4")));
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}

#[test]
fn lists_are_read_beside_the_policy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.yaml");
    write(
        &path,
        "version: 1\ndefault: allow\nrules:\n  - { to: ['list:feeds/*.txt', 'list:own.list'], action: block }\n",
    );
    write(&dir.path().join("feeds/a.txt"), "bad.example.com\n");
    write(&dir.path().join("feeds/b.txt"), "203.0.113.0/24\n");
    write(&dir.path().join("feeds/c.bak"), "good.example.com\n");
    write(&dir.path().join("own.list"), "worse.example.com\n");
    let load = || Policy::load(&path, Owner::Caller);
    let policy = load().unwrap();
    let stops = |to: &Destination| policy.decide(&curl(), to, 0).stops();
    assert!(stops(&named("x.bad.example.com", "192.0.2.1", 80)));
    assert!(stops(&to("203.0.113.7", 80)));
    assert!(stops(&named("worse.example.com", "192.0.2.1", 80)));
    assert!(!stops(&named("good.example.com", "192.0.2.1", 80)));
    // the digest is that of the lists, too
    write(&dir.path().join("feeds/b.txt"), "203.0.113.0/25\n");
    assert_ne!(load().unwrap().digest, policy.digest);
    fs::remove_file(dir.path().join("own.list")).unwrap();
    let Err(LoadError::File(error)) = load() else {
        panic!()
    };
    assert!(format!("{error:#}").contains("own.list"), "{error:#}");
}

#[test]
fn files_that_others_can_write_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.yaml");
    write(&path, "version: 1\ndefault: allow\n");
    let why = || match Policy::load(&path, Owner::Caller) {
        Err(LoadError::File(error)) => format!("{error:#}"),
        other => panic!("{other:?}"),
    };
    assert!(Policy::load(&path, Owner::Caller).is_ok());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(why().contains("chmod go-w"), "{}", why());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(why().contains("every user can replace files"), "{}", why());
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    if rustix::process::geteuid().is_root() {
        // nor may another user replace it
        let stranger = Some(12_345);
        std::os::unix::fs::chown(dir.path(), stranger, None).unwrap();
        assert!(why().contains("user 12345 can replace files"), "{}", why());
        std::os::unix::fs::chown(dir.path(), Some(0), None).unwrap();
        std::os::unix::fs::chown(&path, stranger, None).unwrap();
        assert!(why().contains("belongs to user 12345"), "{}", why());
        std::os::unix::fs::chown(&path, Some(0), None).unwrap();
    }
    write(&path, &"#".repeat(1 << 20 | 1));
    assert!(why().contains("larger than 1 MiB"), "{}", why());
    fs::write(&path, b"version: 1\n\xff\n").unwrap();
    assert!(why().contains(":2: this is not UTF-8"), "{}", why());
}

#[test]
fn resolvers_of_the_system_are_those_of_resolv_conf() {
    let text = "# nameserver 192.0.2.1\nnameserver 192.0.2.53\noptions ndots:2\nnameserver fe80::1%eth0\nnameserver x\n";
    assert_eq!(resolvers_of(text), [ip("192.0.2.53"), ip("fe80::1")]);
    assert_eq!(resolvers_of(""), [ip("127.0.0.1")]);
    assert_eq!(
        searches_of("domain a.example\nsearch B.example. c.example\n"),
        ["b.example", "c.example"]
    );
}
