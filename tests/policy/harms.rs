//! What a policy must not break.

use std::net::UdpSocket;

use super::*;

/// Networks that have all addresses but those of one.
fn all_but(ip: Ipv4Addr, prefix: u32) -> Vec<String> {
    (1..=prefix)
        .map(|len| {
            let bit = 1 << (32 - len);
            let network = (u32::from(ip) ^ bit) & !(bit - 1);
            format!("{}/{len}", Ipv4Addr::from(network))
        })
        .collect()
}

/// What the kernel sends by itself, as it refuses a datagram.
#[test]
fn kernels_own_sockets_stay_open_where_the_default_blocks_unless_they_are_taken_out() {
    const SHUT: &str = "10.77.2.1";
    let net = Net::new();
    net.route_to_far("10.77.2.0/28");
    let (dir, db) = history();
    // the default is about this network alone: other tests run beside this one
    let open = all_but("10.77.2.0".parse().unwrap(), 28).join(", ");
    let open = format!(
        "{{ to: [{open}, \"2000::/3\", \"fc00::/7\", \"fe80::/10\", \"ff00::/8\", \"::1\"], action: allow }}"
    );
    let file = policy(dir.path(), "block", &[&open]);
    let recorder = start(&db, &file, &["--enforce"]);
    // by an ICMP error
    let is_answered = || {
        let far = net.far(|| UdpSocket::bind((SHUT, 0)).unwrap());
        far.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        far.connect((NEAR4, 9)).unwrap();
        far.send(b"x").unwrap();
        let error = far.recv(&mut [0; 1]).unwrap_err();
        error.kind() == std::io::ErrorKind::ConnectionRefused
    };
    let is_refused = || say(&net, "udp", SHUT, 9) == libc::EPERM;
    assert!(is_refused());
    assert!(is_answered());
    let rules = fs::read_to_string(&file).unwrap();
    let closed = "essentials: { kernel: false, icmp: false }\n";
    fs::write(&file, format!("{closed}{rules}")).unwrap();
    recorder.signal("HUP");
    recorder.expect("policy ");
    assert!(!is_answered());
    assert!(is_refused());
    assert_eq!(recorder.stop(), 0);
}
