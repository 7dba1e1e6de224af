//! Lookups: every record type that is stored, and answers that are late, missing, wrong or
//! malformed. dnsmasq and dig are real; a server that has to misbehave is the test's own.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;

use crate::support::*;
use simple_dns::rdata::{A, HTTPS, NS, RData, SOA, SVCB};
use simple_dns::{CLASS, Name, Packet, QCLASS, QTYPE, Question, ResourceRecord, TYPE};

/// Records what `script` does in the near namespace.
fn record(net: &Net, db: &Path, script: &str) {
    let output = net.observe(db, &["sh", "-c", script]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
}

/// The same with a recorder for it alone, whose end settles unanswered lookups.
fn record_to_the_end(net: &Net, db: &Path, script: &str) {
    let output = net.record(db, &["sh", "-c", script]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
}

fn rows(db: &Path, columns: &str) -> Vec<Vec<String>> {
    select(
        db,
        &format!("SELECT {columns} FROM dns ORDER BY id, type, data"),
    )
}

#[test]
fn every_record_type_is_stored_in_presentation_form() {
    let mut net = Net::new();
    net.dnsmasq(&[
        "--host-record=web.test,192.0.2.1,2001:db8::1",
        "--cname=alias.test,web.test",
        "--ptr-record=1.2.0.192.in-addr.arpa,web.test",
        "--mx-host=mx.test,mail.test,10",
        "--txt-record=txt.test,say hi,b=2",
        "--srv-host=_x._tcp.test,web.test,443,1,2",
        "--dns-rr=caa.test,257,00056973737565",
        "--local=/nx.test/",
    ]);
    let (_dir, db) = history();
    let dig = |name: &str, qtype: &str| {
        format!("dig +tries=1 +time=2 @{FAR4} {name} {qtype} >/dev/null; ")
    };
    let asked = [
        ("Web.TEST", "A"),
        ("web.test", "AAAA"),
        ("alias.test", "A"),
        ("1.2.0.192.in-addr.arpa", "PTR"),
        ("mx.test", "MX"),
        ("txt.test", "TXT"),
        ("_x._tcp.test", "SRV"),
        ("caa.test", "TYPE257"),
        ("gone.nx.test", "A"),
    ];
    record(
        &net,
        &db,
        &asked.map(|(name, qtype)| dig(name, qtype)).concat(),
    );
    assert_eq!(
        rows(
            &db,
            "comm, qname, qtype, rcode, name, type, data, status, latency_us > 0"
        ),
        [
            [
                "dig",
                "web.test",
                "A",
                "NOERROR",
                "web.test",
                "A",
                "192.0.2.1",
                "answered",
                "1"
            ],
            [
                "dig",
                "web.test",
                "AAAA",
                "NOERROR",
                "web.test",
                "AAAA",
                "2001:db8::1",
                "answered",
                "1"
            ],
            [
                "dig",
                "alias.test",
                "A",
                "NOERROR",
                "web.test",
                "A",
                "192.0.2.1",
                "answered",
                "1"
            ],
            [
                "dig",
                "alias.test",
                "A",
                "NOERROR",
                "alias.test",
                "CNAME",
                "web.test",
                "answered",
                "1"
            ],
            [
                "dig",
                "1.2.0.192.in-addr.arpa",
                "PTR",
                "NOERROR",
                "1.2.0.192.in-addr.arpa",
                "PTR",
                "web.test",
                "answered",
                "1"
            ],
            [
                "dig",
                "mx.test",
                "MX",
                "NOERROR",
                "mx.test",
                "MX",
                "10 mail.test",
                "answered",
                "1"
            ],
            [
                "dig",
                "txt.test",
                "TXT",
                "NOERROR",
                "txt.test",
                "TXT",
                "\"say hi\" \"b=2\"",
                "answered",
                "1"
            ],
            [
                "dig",
                "_x._tcp.test",
                "SRV",
                "NOERROR",
                "_x._tcp.test",
                "SRV",
                "1 2 443 web.test",
                "answered",
                "1"
            ],
            [
                "dig",
                "caa.test",
                "CAA",
                "NOERROR",
                "caa.test",
                "CAA",
                "\\# 7 00056973737565",
                "answered",
                "1"
            ],
            [
                "dig",
                "gone.nx.test",
                "A",
                "NXDOMAIN",
                "",
                "",
                "",
                "answered",
                "1"
            ],
        ]
    );
}

/// An answer to the query with these records.
fn answer(query: &[u8], records: &[RData<'static>]) -> Vec<u8> {
    let query = Packet::parse(query).unwrap();
    let mut reply = Packet::new_reply(query.id());
    for question in &query.questions {
        for rdata in records {
            let name = question.qname.clone();
            reply
                .answers
                .push(ResourceRecord::new(name, CLASS::IN, 60, rdata.clone()));
        }
    }
    reply.questions = query.questions.clone();
    reply.build_bytes_vec().unwrap()
}

fn address(last: u8) -> RData<'static> {
    RData::A(A {
        address: u32::from_be_bytes([192, 0, 2, last]),
    })
}

fn name(text: &str) -> Name<'static> {
    Name::new(text).unwrap().into_owned()
}

#[test]
fn authority_and_service_records_are_stored_too() {
    let net = Net::new();
    net.dns(|query| {
        let mut svcb = SVCB::new(1, name("."));
        svcb.set_port(8443);
        svcb.set_ipv4hint(&[u32::from_be_bytes([192, 0, 2, 9])]);
        let soa = SOA {
            mname: name("ns.test"),
            rname: name("admin.test"),
            serial: 1,
            refresh: 2,
            retry: 3,
            expire: 4,
            minimum: 5,
        };
        vec![answer(
            query,
            &[
                RData::NS(NS(name("ns.test"))),
                RData::SOA(soa),
                RData::HTTPS(HTTPS(svcb)),
            ],
        )]
    });
    let (_dir, db) = history();
    record(
        &net,
        &db,
        &format!("dig +tries=1 +time=2 @{FAR4} zone.test ANY +notcp >/dev/null"),
    );
    assert_eq!(
        rows(&db, "qname, qtype, type, data"),
        [
            [
                "zone.test",
                "ANY",
                "HTTPS",
                "1 . port=8443 ipv4hint=192.0.2.9"
            ],
            ["zone.test", "ANY", "NS", "ns.test"],
            ["zone.test", "ANY", "SOA", "ns.test admin.test 1 2 3 4 5"],
        ]
    );
}

#[test]
fn query_without_an_answer_is_recorded_as_unanswered() {
    let net = Net::new();
    net.dns(|_| Vec::new());
    let (_dir, db) = history();
    record_to_the_end(
        &net,
        &db,
        &format!("dig +tries=1 +time=1 @{FAR4} silent.test A >/dev/null; true"),
    );
    assert_eq!(
        rows(
            &db,
            "comm, server_ip, qname, qtype, rcode, latency_us, status"
        ),
        [["dig", FAR4, "silent.test", "A", "", "", "unanswered"]]
    );
}

#[test]
fn answer_that_matches_no_query_is_unsolicited_and_names_nothing() {
    let net = Net::new();
    let port = net.http("x").to_string();
    net.dns(|query| {
        let right = answer(
            query,
            &[RData::A(A {
                address: u32::from_be_bytes([10, 77, 0, 2]),
            })],
        );
        let mut forged = answer(
            query,
            &[RData::A(A {
                address: u32::from_be_bytes([10, 77, 0, 9]),
            })],
        );
        forged[0] ^= 0xff; // another transaction id
        vec![forged, right]
    });
    let (_dir, db) = history();
    record(
        &net,
        &db,
        &format!(
            "curl -s4 --max-time 5 http://real.test:{port}/; {} tcp 10.77.0.9 80; true",
            dial().display()
        ),
    );
    let mut got = rows(&db, "qname, data, status, latency_us IS NULL");
    got.sort();
    assert_eq!(
        got,
        [
            ["real.test", FAR4, "answered", "0"],
            ["real.test", "10.77.0.9", "unsolicited", "1"]
        ]
    );
    let named = select(
        &db,
        "SELECT dst_ip, host FROM egress WHERE protocol = 'tcp' ORDER BY id",
    );
    assert_eq!(named, [[FAR4, "real.test"], ["10.77.0.9", ""]]);
}

#[test]
fn arbitrary_bytes_are_recorded_as_malformed() {
    let net = Net::new();
    net.dns(|query| {
        let mut garbage = query[..12].to_vec();
        garbage[2] |= 0x80; // the QR bit: an answer
        garbage[5] = 1; // one question, whose name points at itself
        garbage.extend([0xc0, 0x0c, 0, 1, 0, 1]);
        // one per query: dig closes its socket at the first
        match query[14] {
            b'1' => vec![garbage],
            b'2' => vec![vec![0xff; 3]],
            _ => vec![Vec::new()],
        }
    });
    let (_dir, db) = history();
    record_to_the_end(
        &net,
        &db,
        &format!(
            "for i in 1 2 3; do dig +tries=1 +time=1 @{FAR4} b$i.test A >/dev/null; done; true"
        ),
    );
    let mut got = rows(&db, "comm, server_ip, qname, status");
    got.sort();
    assert_eq!(
        got,
        [
            ["dig", FAR4, "", "malformed"],
            ["dig", FAR4, "", "malformed"],
            ["dig", FAR4, "", "malformed"],
            ["dig", FAR4, "b1.test", "unanswered"],
            ["dig", FAR4, "b2.test", "unanswered"],
            ["dig", FAR4, "b3.test", "unanswered"],
        ]
    );
}

/// Answers with the address 10.77.0.9, each malformed in another way.
fn broken_answers(query: &[u8]) -> Vec<Vec<u8>> {
    let whole = answer(
        query,
        &[RData::A(A {
            address: u32::from_be_bytes([10, 77, 0, 9]),
        })],
    );
    let with = |at: usize, value: u8| {
        let mut bytes = whole.clone();
        bytes[at] = value;
        bytes
    };
    let length_at = whole.len() - 5; // low byte of the address record's length
    let mut pointers = whole[..12].to_vec();
    pointers[6..8].copy_from_slice(&[0xff, 0xff]);
    while pointers.len() < 65_507 {
        pointers.extend((0xc000 | (pointers.len() as u16 - 2) & 0x3fff).to_be_bytes());
    }
    pointers.truncate(65_507); // the largest UDP payload
    vec![
        whole[..whole.len() - 1].to_vec(),
        whole[..whole.len() / 2].to_vec(),
        whole[..13].to_vec(),
        with(7, 200),       // more records than there are
        with(6, 0xff),      // many more
        with(5, 9),         // more questions
        with(length_at, 3), // an address of three bytes
        with(length_at, 255),
        with(12, 0xff), // a name that points out of the message
        [&whole[..12], &[0xff; 65_495]].concat(),
        pointers,
    ]
}

#[test]
fn malformed_answers_name_nothing_and_a_later_valid_one_does() {
    const CASES: usize = 11;
    let net = Net::new();
    let port = net.http("x").to_string();
    net.dns(|query| {
        // bN.test or honest.test
        match query[13] {
            b'b' => {
                let mut cases = broken_answers(query);
                assert_eq!(cases.len(), CASES);
                vec![cases.swap_remove(usize::from(query[14] - b'a'))]
            }
            _ => {
                let [a, b, c, d] = FAR4.parse::<std::net::Ipv4Addr>().unwrap().octets();
                vec![answer(
                    query,
                    &[RData::A(A {
                        address: u32::from_be_bytes([a, b, c, d]),
                    })],
                )]
            }
        }
    });
    let (_dir, db) = history();
    let letters: String = (b'a'..)
        .take(CASES)
        .map(|c| format!("{} ", c as char))
        .collect();
    record_to_the_end(
        &net,
        &db,
        &format!(
            "for c in {letters}; do dig +tries=1 +time=8 @{FAR4} b$c.test A >/dev/null & done; wait
             {} tcp 10.77.0.9 80
             curl -s4 --max-time 5 http://honest.test:{port}/",
            dial().display()
        ),
    );
    let count = |status: &str| {
        value::<i64>(
            &db,
            &format!("SELECT count(*) FROM dns WHERE status = '{status}'"),
        )
    };
    assert_eq!((count("malformed"), count("unanswered")), (11, 11));
    let named = "SELECT dst_ip, host FROM egress WHERE protocol = 'tcp' ORDER BY id";
    assert_eq!(
        select(&db, named),
        [["10.77.0.9", ""], [FAR4, "honest.test"]]
    );
}

#[test]
fn queries_over_ipv6_are_recorded() {
    let mut net = Net::new();
    net.dnsmasq(&["--host-record=web.test,192.0.2.1"]);
    let (_dir, db) = history();
    record(
        &net,
        &db,
        &format!("dig +tries=1 +time=2 @{FAR6} web.test A >/dev/null"),
    );
    assert_eq!(
        rows(&db, "server_ip, data, status"),
        [[FAR6, "192.0.2.1", "answered"]]
    );
}

#[test]
fn large_answer_is_stored_completely() {
    let net = Net::new();
    net.dns(|query| {
        let records: Vec<_> = (1..=200).map(address).collect();
        vec![answer(query, &records)]
    });
    let (_dir, db) = history();
    record(
        &net,
        &db,
        &format!("dig +tries=1 +time=2 +bufsize=8192 +ignore @{FAR4} big.test A >/dev/null"),
    );
    let (count, distinct) = (
        "SELECT count(*) FROM dns WHERE status = 'answered'",
        "SELECT count(DISTINCT data) FROM dns",
    );
    assert_eq!(
        (value::<i64>(&db, count), value::<i64>(&db, distinct)),
        (200, 200)
    );
}

#[test]
fn messages_that_share_a_packet_are_parsed_separately() {
    let net = Net::new();
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    net.far(|| {
        let server = UdpSocket::bind((FAR4, 53)).unwrap();
        let client = UdpSocket::bind((FAR4, 0)).unwrap();
        client.connect((FAR4, 53)).unwrap();
        let option = |socket, name, value: usize| {
            agreed::option(socket, libc::SOL_UDP, name, &(value as i32)).unwrap()
        };
        let queries = ["one.test", "two.test"].map(|name| {
            let mut query = Packet::new_query(u16::from(name.as_bytes()[0]));
            let (name, class) = (Name::new(name).unwrap(), QCLASS::CLASS(CLASS::IN));
            let question = Question::new(name, QTYPE::TYPE(TYPE::A), class, false);
            query.questions.push(question);
            query.build_bytes_vec().unwrap()
        });
        option(&client, libc::UDP_SEGMENT, queries[0].len());
        client.send(&queries.concat()).unwrap();
        let mut room = [0; 4096];
        let answers = [1, 2].map(|last| {
            let (len, from) = server.recv_from(&mut room).unwrap();
            assert_eq!(from, client.local_addr().unwrap());
            addresses(&room[..len], &[Ipv4Addr::new(192, 0, 2, last)], 60)
        });
        option(&client, libc::UDP_GRO, 1);
        option(&server, libc::UDP_SEGMENT, answers[0].len());
        let together = answers.concat();
        server
            .send_to(&together, client.local_addr().unwrap())
            .unwrap();
        // Linux 5.10 delivers them separately over loopback
        let mut left = together.len();
        while left > 0 {
            left -= client.recv(&mut room).unwrap();
        }
    });
    recording.save(&db);
    let got =
        "SELECT qname, status, data FROM dns WHERE qname IN ('one.test', 'two.test') ORDER BY id";
    assert_eq!(
        select(&db, got),
        [
            ["one.test", "answered", "192.0.2.1"],
            ["two.test", "answered", "192.0.2.2"]
        ]
    );
}
