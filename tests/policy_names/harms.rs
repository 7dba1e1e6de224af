//! What a policy by names must not break.

use super::*;

/// As musl's resolver asks: all servers at once, with one id.
#[test]
fn query_that_two_resolvers_got_with_one_id_is_answered_by_either() {
    let (net, port) = governed();
    let failed = |message: &[u8]| {
        let mut failed = answer(message, &[]);
        failed[3] |= 2; // SERVFAIL
        vec![failed]
    };
    // each knows the names of one kind only
    let knows = move |kind: u8| {
        move |message: &[u8]| match asked(message).get(2) == Some(&kind) {
            true => numbered(message),
            false => failed(message),
        }
    };
    net.dns(knows(b'a'));
    net.dns_at("10.77.1.3", knows(b'b'));
    net.near(|| {
        for (id, name_asked) in [(1, "1a.allowed.test"), (2, "2b.allowed.test")] {
            let socket = client();
            for resolver in [FAR4, "10.77.1.3"] {
                let asks = query(id, &name(name_asked));
                socket.send_to(&asks, (resolver, 53)).unwrap();
            }
            receive(&socket);
            receive(&socket);
            assert!(reaches(address(id as u8), port), "{name_asked}");
        }
    });
}

/// A pool of connections opens new ones to an address that was looked up long ago.
#[test]
fn process_keeps_an_address_whose_answer_has_expired_for_as_long_as_it_lives() {
    let (net, port) = governed();
    net.dns(|message| {
        let mut reply = numbered(message).concat();
        let ttl = reply.len() - 7; // its last byte, before the length and the address
        reply[ttl] = 1;
        vec![reply]
    });
    net.near(|| ask(&client(), 1, &name("1.allowed.test")));
    let mut other = net.command(crate::support::ask());
    other.args(["connected", "10.77.0.2:53", "0", "2.allowed.test"]);
    ok(&mut other);
    thread::sleep(Duration::from_millis(2_500));
    net.near(|| {
        assert!(reaches(address(1), port));
        // no process has it any more
        assert!(!reaches(address(2), port));
    });
}
