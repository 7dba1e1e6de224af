//! Ways to have an address without its name, or a name that is not the policy's: each grants
//! nothing. They are tried as root of the network namespace, who may do all that a user, or root of
//! a container, may.

use std::net::Ipv6Addr;

use super::*;

const BROADCAST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 255);
const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x5353);

/// A socket that has asked for `x.allowed.test`, and the forged answer to it.
fn asker(resolver: SocketAddr) -> (UdpSocket, Vec<u8>) {
    let socket = UdpSocket::bind((
        match resolver {
            SocketAddr::V4(_) => "0.0.0.0",
            SocketAddr::V6(_) => "::",
        },
        0,
    ))
    .unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let asks = query(1, &name("x.allowed.test"));
    socket.send_to(&asks, resolver).unwrap();
    (socket, answer(&asks, &[a(&QUESTION, address(9))]))
}

/// To an address that is not the host's.
fn freely_bound(to: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, None).unwrap();
    socket.set_freebind_v6(true).unwrap();
    socket.bind(&SockAddr::from(to)).unwrap();
    socket
}

/// In a container any program can be at a resolver's path: this one has a pid namespace of its own,
/// or a cgroup with a container's name.
#[test]
fn resolver_within_a_container_is_none_of_the_hosts() {
    for is_cgroup in [false, true] {
        let (net, port) = governed();
        let above = cgroup2().join("docker");
        let cgroup = above.join(format!("{:064x}", std::process::id()));
        let enter = match is_cgroup {
            true => format!("echo $$ > {}/cgroup.procs; sleep 1; exec", cgroup.display()),
            false => "exec unshare --pid --fork --kill-child".to_owned(),
        };
        if is_cgroup {
            std::fs::create_dir_all(&cgroup).unwrap();
        }
        let mut container = Command::new("sh");
        container.args(["-c", &format!("{enter} \"$@\""), "sh"]);
        let dnsmasq = stub_in(
            container,
            &net,
            &["--listen-address=127.0.0.11"],
            "127.0.0.11:53",
        );
        net.near(|| assert!(!reaches(address(9), port), "{is_cgroup}"));
        drop(dnsmasq);
        for cgroup in [&cgroup, &above] {
            let _ = std::fs::remove_dir(cgroup);
        }
    }
}

/// The copy of a multicast or broadcast packet that its sender's own host gets comes in by the
/// device that the query left by.
#[test]
fn own_copy_of_a_multicast_or_broadcast_answer_grants_nothing() {
    let (net, port) = governed();
    net.dns(|_| vec![]);
    net.near(|| {
        let resolver = SocketAddr::new(FAR6.parse().unwrap(), 53);
        let (socket, lie) = asker(resolver);
        // SAFETY: a string that ends with a NUL.
        let device = unsafe { libc::if_nametoindex(c"up0".as_ptr()) };
        socket.join_multicast_v6(&GROUP, device).unwrap();
        let forger = freely_bound(resolver);
        forger.set_multicast_if_v6(device).unwrap();
        let to = SocketAddr::new(GROUP.into(), socket.local_addr().unwrap().port());
        forger.send_to(&lie, &SockAddr::from(to)).unwrap();
        receive(&socket);
        drop(forger);
        assert!(!reaches(address(9), port), "multicast");

        let resolver = SocketAddr::new(FAR4.parse().unwrap(), 53);
        let (socket, lie) = asker(resolver);
        let to = SocketAddr::new(BROADCAST.into(), socket.local_addr().unwrap().port());
        let raw = Socket::new(
            Domain::IPV4,
            Type::RAW,
            Some(Protocol::from(libc::IPPROTO_RAW)),
        );
        let raw = raw.unwrap();
        raw.set_broadcast(true).unwrap();
        let forged = packet(resolver, to, &lie);
        raw.send_to(&forged, &SockAddr::from(to)).unwrap();
        receive(&socket);
        assert!(!reaches(address(9), port), "broadcast");

        // to the own address, by the device that the query left by
        let resolver = SocketAddr::new(FAR6.parse().unwrap(), 53);
        let (socket, lie) = asker(resolver);
        let forger = freely_bound(resolver);
        forger.bind_device(Some(b"up0")).unwrap();
        let own = socket.local_addr().unwrap().port();
        let own = SocketAddr::new("fd77::1".parse().unwrap(), own);
        forger.send_to(&lie, &SockAddr::from(own)).unwrap();
        receive(&socket);
        assert!(!reaches(address(9), port), "by the device");
    });
}

/// A name of the attacker's and one that is allowed, which have the same hash of 32 bits: it takes
/// less than a second to find some.
const COLLISIONS: [(Hash, &str, &str); 2] = [
    (fnv1a, "5942.other.test", "8677.allowed.test"),
    (djb2, "142201087.other.test", "100003.allowed.test"),
];

type Hash = fn(&[u8]) -> u32;

fn fnv1a(name: &[u8]) -> u32 {
    name.iter().fold(0x811c_9dc5, |h, byte| {
        (h ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

fn djb2(name: &[u8]) -> u32 {
    name.iter().fold(5381, |h: u32, byte| {
        h.wrapping_mul(33).wrapping_add(u32::from(*byte))
    })
}

#[test]
fn answer_of_no_resolver_or_for_a_name_of_equal_hash_grants_nothing() {
    let (net, port) = governed();
    run(
        "ip",
        &["-n", &net.far, "addr", "add", "10.77.0.3/24", "dev", "up0"],
    );
    let lie = |message: &[u8]| vec![answer(message, &[a(&QUESTION, address(9))])];
    net.dns(lie);
    net.dns_at("10.77.0.3", lie);
    let own = net.near(|| UdpSocket::bind("127.0.0.12:53").unwrap());
    thread::spawn(move || {
        let mut data = [0; 512];
        while let Ok((len, from)) = own.recv_from(&mut data) {
            let _ = own.send_to(&lie(&data[..len])[0], from);
        }
    });
    net.near(|| {
        for server in ["10.77.0.3:53", "127.0.0.12:53"] {
            let socket = client();
            let asks = query(1, &name("x.allowed.test"));
            socket.send_to(&asks, server).unwrap();
            receive(&socket);
            assert!(!reaches(address(9), port), "{server}");
        }
        for (hash, own, allowed) in COLLISIONS {
            assert_eq!(hash(&name(own)), hash(&name(allowed)));
            ask(&client(), 1, &name(own));
            assert!(!reaches(address(9), port), "{own} for {allowed}");
        }
    });
}
